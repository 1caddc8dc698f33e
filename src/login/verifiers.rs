//! What SCRAM clients are checked against: a user's stored verifier, one derived from a plain password, or a mock.
//!
//! Derived and mock verifiers of one user have the same salt for as long as the process lives, so that a stranger
//! cannot tell a user with a plain password from one who does not exist. Source: PgBouncer, doc/config.md
//! (`auth_type`); the mock is PostgreSQL's.

use super::authenticate::Sums;
use super::kept::{Kept, Weight};
use crate::auth::scram::{SALT_BYTES, Verifier, mock_salt};
use crate::auth::{ScramSecret, Secret};
use crate::base::limits;
use std::sync::Arc;

/// Makes verifiers, and remembers those that cost PBKDF2's time.
pub struct Verifiers {
    seed: [u8; 32],
    derived: Kept<Box<str>, Derived>,
}

/// A password, and what was derived of it.
#[derive(Default)]
struct Derived(Option<(Arc<Secret>, Arc<ScramSecret>)>);

impl Weight for Derived {
    fn bytes(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |(secret, verifier)| secret.bytes() + size_of::<ScramSecret>() + verifier.salt.len())
    }
}

impl Default for Verifiers {
    /// With a seed of its own.
    fn default() -> Self {
        let mut seed = [0; 32];
        // INVARIANT: made once, at the start of the process, which without randomness could not greet anybody anyway.
        aws_lc_rs::rand::fill(&mut seed).expect("randomness from the system");
        Self::new(seed)
    }
}

impl Verifiers {
    /// None remembered yet. `seed` is random and secret: it makes salts.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, derived: Kept::new(limits::VERIFIERS_MAX, limits::FOUND_SECRETS_BYTES_MAX) }
    }

    /// What `user` is checked against, whose secret is `secret` (`None`: no such user). `iterations` are those of secrets
    /// that have none of their own.
    ///
    /// # Cancel safety
    /// Dropping it loses at most the work of deriving.
    pub async fn of(
        &self,
        user: &str,
        secret: Option<&Arc<Secret>>,
        iterations: u32,
        sums: Sums<'_>,
    ) -> Verifier {
        let salt = mock_salt(&self.seed, user);
        let mock = Verifier::Mock { salt, iterations };
        match secret.map(|secret| (secret, &**secret)) {
            Some((_, Secret::Scram(secret))) => Verifier::Known(secret.clone()),
            Some((secret, Secret::Plain(password))) if !password.is_empty() => {
                self.derive(user, secret, salt, iterations, sums).await.map_or(mock, Verifier::Known)
            }
            _ => mock,
        }
    }

    async fn derive(
        &self,
        user: &str,
        secret: &Arc<Secret>,
        salt: [u8; SALT_BYTES],
        iterations: u32,
        sums: Sums<'_>,
    ) -> Option<Arc<ScramSecret>> {
        if let Some(known) = self.known(user, secret, iterations) {
            return Some(known);
        }
        let turn = sums.lanes.turn(sums.lane).await;
        if let Some(known) = self.known(user, secret, iterations) {
            return Some(known); // by somebody whose turn came first
        }
        let Secret::Plain(password) = (**secret).clone() else { return None };
        let work = move || ScramSecret::derive(password.expose().as_bytes(), &salt, iterations);
        let (verifier, _turn) = turn.compute_and_hold(work).await?;
        let verifier = Arc::new(verifier);
        self.derived.change(user.into(), |derived| derived.0 = Some((secret.clone(), verifier.clone())));
        Some(verifier)
    }

    fn known(&self, user: &str, secret: &Arc<Secret>, iterations: u32) -> Option<Arc<ScramSecret>> {
        let (of, verifier) = self.derived.get(&user.into(), |derived| derived.0.clone())??;
        (of == *secret && verifier.iterations == iterations).then_some(verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Lanes;

    fn sums(lanes: &Lanes) -> Sums<'_> {
        Sums { lanes, lane: "a client", iterations_max: 1 }
    }

    async fn known(verifiers: &Verifiers, secret: &Arc<Secret>, iterations: u32) -> Arc<ScramSecret> {
        let lanes = Lanes::new(1, 1);
        match verifiers.of("u", Some(secret), iterations, sums(&lanes)).await {
            Verifier::Known(secret) => secret,
            Verifier::Mock { .. } => panic!("a mock"),
        }
    }

    #[tokio::test]
    async fn plain_secrets_are_derived_once() {
        let verifiers = Verifiers::new([1; 32]);
        let secret = Arc::new(Secret::parse("pencil"));
        let first = known(&verifiers, &secret, 10).await;
        assert!(Arc::ptr_eq(&first, &known(&verifiers, &Arc::new(Secret::parse("pencil")), 10).await));
        let changed = known(&verifiers, &Arc::new(Secret::parse("pen")), 10).await;
        assert!(*changed != *first, "a new password");
        assert_eq!(known(&verifiers, &secret, 20).await.iterations, 20, "a new setting");
    }

    #[tokio::test]
    async fn who_comes_while_it_is_derived_waits_and_takes_it() {
        let (verifiers, lanes) = (Arc::new(Verifiers::new([1; 32])), Lanes::new(1, 1));
        let secret = Arc::new(Secret::parse("pencil"));
        let turn = lanes.turn("another").await;
        let derive = || {
            let (verifiers, secret, lanes) = (Arc::clone(&verifiers), Arc::clone(&secret), lanes.clone());
            tokio::spawn(async move { verifiers.of("u", Some(&secret), 10, sums(&lanes)).await })
        };
        let (one, other) = (derive(), derive());
        drop(turn);
        let (Verifier::Known(one), Verifier::Known(other)) = (one.await.unwrap(), other.await.unwrap())
        else {
            panic!("mocks")
        };
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[tokio::test]
    async fn strangers_see_the_salt_that_users_have() {
        let verifiers = Verifiers::new([1; 32]);
        let derived = known(&verifiers, &Arc::new(Secret::parse("pencil")), 10).await;
        for secret in
            [None, Some(Arc::new(Secret::none())), Some(Arc::new(Secret::parse(&format!("md5{:032}", 0))))]
        {
            let lanes = Lanes::new(1, 1);
            let verifier = verifiers.of("u", secret.as_ref(), 10, sums(&lanes)).await;
            let Verifier::Mock { salt, iterations } = verifier else { panic!("not a mock: {secret:?}") };
            assert_eq!((&salt[..], iterations), (&*derived.salt, 10));
        }
    }

    #[tokio::test]
    async fn stored_verifiers_are_taken_as_they_are() {
        let verifiers = Verifiers::new([1; 32]);
        let stored = Arc::new(ScramSecret::derive(b"pencil", b"salt", 7));
        let secret = Arc::new(Secret::Scram(stored.clone()));
        assert!(Arc::ptr_eq(&known(&verifiers, &secret, 4096).await, &stored));
    }
}
