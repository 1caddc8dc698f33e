//! A cancel key as clients have it, and what it says of the process that has issued it, where processes are
//! peers: PgBouncer's layout, so that a group may have both.
//!
//! Among peers bytes 1 and 2 are the process's `peer_id`, the low byte first; the two lowest bits of the last
//! byte say how many times the key may still be forwarded. All others are random. Pure. Source: PgBouncer,
//! doc/config.md ("Section `[peers]`"); the keys that it gives out and forwards.

/// Process id and secret of BackendKeyData, as one.
pub type ClientKey = [u8; 8];

/// Of the last byte: how many times the key may still be forwarded.
const HOPS_MASK: u8 = 0b11;

/// Makes a random key one of the process with this id.
pub fn mark(key: &mut ClientKey, peer_id: u16) {
    [key[1], key[2]] = peer_id.to_le_bytes();
    key[7] |= HOPS_MASK;
}

/// The id of the process that has issued it.
pub fn issuer(key: &ClientKey) -> u16 {
    u16::from_le_bytes([key[1], key[2]])
}

/// As it was issued: it may have been forwarded since.
pub fn as_issued(mut key: ClientKey) -> ClientKey {
    key[7] |= HOPS_MASK;
    key
}

/// As it is forwarded; `None`: that has been done often enough, somewhere they go in a circle.
pub fn forwarded(mut key: ClientKey) -> Option<ClientKey> {
    let has_hops = key[7] & HOPS_MASK > 0;
    key[7] -= u8::from(has_hops);
    has_hops.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_laid_out_as_pgbouncer_does_it() {
        let mut key = [0x41, 0xaa, 0xbb, 0x63, 0xa1, 0xea, 0x75, 0x04];
        mark(&mut key, 258);
        assert_eq!(key, [0x41, 0x02, 0x01, 0x63, 0xa1, 0xea, 0x75, 0x07]);
        assert_eq!(issuer(&key), 258);
    }

    #[test]
    fn a_key_is_forwarded_three_times_and_still_the_same() {
        let mut issued = [0xff; 8];
        mark(&mut issued, 7);
        let mut key = issued;
        for last in [0xfe, 0xfd, 0xfc] {
            key = forwarded(key).expect("not three times yet");
            assert_eq!((key[7], as_issued(key), issuer(&key)), (last, issued, 7));
        }
        assert_eq!(forwarded(key), None);
    }
}
