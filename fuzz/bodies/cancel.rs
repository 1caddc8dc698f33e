//! What must hold for any key that a cancel request brings, among peers: it comes to an end, and to the
//! client that it was given to.

use pgweir::control::client_key::{as_issued, forwarded, issuer, mark};

/// `data` is a key, and the id of the process that has issued another of the same random bytes.
pub fn run(data: &[u8]) {
    let Some((key, rest)) = data.split_first_chunk::<8>() else { return };
    let peer_id = u16::from_le_bytes(rest.first_chunk().copied().unwrap_or_default());
    travel(*key);
    let mut issued = *key;
    mark(&mut issued, peer_id);
    assert_eq!((issuer(&issued), as_issued(issued)), (peer_id, issued), "what is issued says by whom");
    let changed = issued.iter().zip(key).filter(|(one, other)| one != other).count();
    assert!(changed <= 3, "the rest stays random");
    assert_eq!(travel(issued), 3, "from where it was issued as far as may be");
}

/// How many times `key` is forwarded before that ends.
fn travel(key: [u8; 8]) -> usize {
    let stations: Vec<_> = std::iter::successors(forwarded(key), |key| forwarded(*key)).take(4).collect();
    for station in &stations {
        assert_eq!((issuer(station), as_issued(*station)), (issuer(&key), as_issued(key)), "it is the same");
    }
    assert!(stations.len() <= 3, "a circle of peers ends");
    stations.len()
}
