//! What must hold for any bytes before login: one packet at most is taken, of bounded length, and a prefix of
//! a packet is either refused for the same reason or waited for.

use pgweir::wire::TrackedNames;
use pgweir::wire::startup::{FirstPacket, IgnoredNames, Startup, first_packet, packet_bytes};

/// Reads `data` as what a new connection sends.
pub fn run(data: &[u8]) {
    let names = TrackedNames::new(["IntervalStyle"]);
    let ignored: [std::sync::Arc<str>; 1] = ["extra_float_digits".into()];
    let Ok(Some((packet, bytes))) = first_packet(data) else { return };
    assert!((8..=data.len()).contains(&bytes));
    for cut in 0..bytes {
        assert!(
            matches!(first_packet(&data[..cut]), Ok(None)),
            "what is good in the end was good on the way"
        );
    }
    assert_eq!(packet_bytes(data).ok().flatten(), Some(bytes));
    if let FirstPacket::Startup { minor, payload } = packet
        && let Ok(startup) = Startup::read(minor, payload, &names, IgnoredNames(&ignored))
    {
        let again = Startup::read(minor, payload, &names, IgnoredNames(&ignored));
        assert_eq!(Ok(format!("{startup:?}")), again.map(|again| format!("{again:?}")).map_err(|_| ()));
    }
}
