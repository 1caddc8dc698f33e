//! What a SCRAM login costs us. Defends the claim that logins belong on the login plane: with a stored
//! verifier a client's login is a few microseconds, while deriving keys from a password (a server's login, or
//! a userlist in clear text at first use) is PBKDF2's milliseconds, which must never run on a data worker.
//!
//! `derive`: 4096 iterations; `login`: both halves of an exchange with keys at hand.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use pgweir::auth::scram::{self, ScramClient, ScramServer, Verifier};
use pgweir::auth::{ScramKeys, ScramSecret};
use std::hint::black_box;
use std::sync::Arc;

const SALT: &[u8] = b"sixteen bytes of";
const ITERATIONS: u32 = 4096;

fn exchange(secret: &Arc<ScramSecret>, keys: &ScramKeys) -> bool {
    let (client, first) = ScramClient::start(scram::nonce_text([1; 18]));
    let Ok((server, challenge)) =
        ScramServer::start(Verifier::Known(Arc::clone(secret)), first.as_bytes(), "server's-nonce")
    else {
        return false;
    };
    let Ok(challenge) = client.challenged(challenge.as_bytes(), ITERATIONS) else { return false };
    let (proof, answer) = challenge.answer(keys);
    let Ok((last, _keys)) = server.finish(answer.as_bytes()) else { return false };
    proof.check(last.as_bytes()).is_ok()
}

fn logins(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scram");
    group.sample_size(20);
    group.bench_function("derive", |bencher| {
        bencher.iter(|| scram::derive_keys(black_box(b"pencil"), SALT, ITERATIONS))
    });
    let secret = Arc::new(ScramSecret::derive(b"pencil", SALT, ITERATIONS));
    let keys = scram::derive_keys(b"pencil", SALT, ITERATIONS);
    assert!(exchange(&secret, &keys), "the login that is measured succeeds");
    group.bench_function("login", |bencher| bencher.iter(|| exchange(black_box(&secret), &keys)));
    group.finish();
}

criterion_group!(benches, logins);
criterion_main!(benches);
