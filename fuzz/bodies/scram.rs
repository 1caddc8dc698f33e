//! What must hold for any peer of a SCRAM exchange: no panic, no unbounded work, and no
//! proof without the password.

use pgweir::auth::ScramSecret;
use pgweir::auth::scram::{ScramClient, ScramServer, Verifier};
use pgweir::base::Password;
use std::sync::Arc;

/// `data` is two messages with a newline between them: a client's, and then a server's.
pub fn run(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (first, second) = (&data[..cut], data.get(cut + 1..).unwrap_or_default());
    // Keys ready made: the time of PBKDF2 is not the subject.
    let known = Verifier::Known(Arc::new(ScramSecret::derive(b"known only to us", b"salt", 1)));
    for verifier in [known, Verifier::Mock { salt: [7; 16], iterations: 4096 }] {
        if let Ok((server, _)) = ScramServer::start(verifier, first, "3rfcNHYJY1ZVvWVs7j") {
            assert!(server.finish(second).is_err(), "a proof was accepted that nobody could make");
        }
    }
    let iterations_are_few =
        !second.windows(7).any(|part| part.starts_with(b"i=") && part[2..].iter().all(u8::is_ascii_digit));
    let (client, _) = ScramClient::start("rOprNGfwEbeRWgbNEkqO".to_owned());
    if iterations_are_few && let Ok(challenge) = client.challenged(second, 4096) {
        let keys = challenge.sum(&Password::new("x")).compute();
        let (proof, _) = challenge.answer(&keys);
        assert!(proof.check(first).is_err(), "a signature was accepted that nobody could make");
    }
}
