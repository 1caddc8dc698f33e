//! What SCRAM clients are checked against: a user's stored verifier, one derived from a
//! plain password, or a mock.
//!
//! Derived and mock verifiers of one user have the same salt for as long as the process lives, and take the
//! same time, so that nobody can tell a user with a plain password from one who does not exist: what the file
//! has is derived beforehand (`prepared`). Source: PgBouncer, doc/config.md (`auth_type`); the mock is
//! PostgreSQL's.

mod prepared;

use crate::auth::scram::{SALT_BYTES, Verifier, mock_salt};
use crate::auth::{ScramSecret, Secret};
use crate::base::{Address, Password, limits};
use crate::control::{BoundedCache, FairSemaphore, Permit, Weight};
use aws_lc_rs::hmac;
use prepared::Prepared;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where PBKDF2 is computed for a client.
#[derive(Clone, Copy)]
pub struct KeyDerivation<'a> {
    /// Permits for it.
    pub semaphore: &'a FairSemaphore,
    /// Who asks.
    pub client: &'a Address,
    /// `max_scram_iterations`: a stored verifier may come from a database whose owner is nobody we know.
    pub iterations_max: u32,
    /// Whether every client waits for a derivation, since some have to.
    pub is_due_to_all: bool,
}

impl KeyDerivation<'_> {
    /// A permit for this client.
    pub(super) async fn acquire(&self) -> Permit {
        self.semaphore.acquire_for_client(self.client).await
    }
}

/// Makes verifiers, and remembers those that cost PBKDF2's time: of each user's each password, since users of
/// one name are others in each database of auth_query.
pub struct Verifiers {
    seed: [u8; 32],
    prepared: Prepared,
    derived: BoundedCache<Tag, Derived>,
}

/// A user and a password under the seed: what is remembered holds neither.
type Tag = [u8; 32];

/// What was derived of a password.
#[derive(Default)]
struct Derived(Option<Arc<ScramSecret>>);

impl Weight for Derived {
    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |verifier| size_of::<ScramSecret>() + verifier.salt.len())
    }
}

impl Default for Verifiers {
    /// With a seed of its own.
    fn default() -> Self {
        let mut seed = [0; 32];
        // INVARIANT: made once, at the start of the process, which without randomness could
        // not greet anybody anyway.
        aws_lc_rs::rand::fill(&mut seed).expect("randomness from the system");
        Self::new(seed)
    }
}

impl Verifiers {
    /// None remembered yet. `seed` is random and secret: it makes salts.
    pub fn new(seed: [u8; 32]) -> Self {
        let derived = BoundedCache::new(limits::VERIFIERS_MAX, limits::FOUND_SECRETS_BYTES_MAX);
        Self { seed, prepared: Prepared::default(), derived }
    }

    /// What `user` is checked against, whose secret is `secret` (`None`: no such user). `iterations` are
    /// those of secrets that have none of their own. For who `is_gone` when it gets its permit nothing is
    /// derived: it gets the mock.
    ///
    /// # Cancel safety
    /// Dropping it loses at most the work of deriving.
    pub async fn of(
        &self,
        user: &str,
        secret: Option<&Arc<Secret>>,
        iterations: u32,
        key_derivation: KeyDerivation<'_>,
        is_gone: impl Fn() -> bool,
    ) -> Verifier {
        let salt = self.salt(user);
        let mock = || Verifier::Mock { salt, iterations };
        let (stored, password) = match secret.map(|secret| &**secret) {
            Some(Secret::Scram(secret)) => (Some(secret.clone()), None),
            Some(Secret::Plain(password)) if !password.is_empty() => (None, Some(password)),
            _ => (None, None),
        };
        let tag = self.tag(user, password.map_or("", Password::expose));
        let known = || stored.clone().or_else(|| self.known(&tag, iterations));
        let at_once = || match known() {
            Some(known) => Some(Verifier::Known(known)),
            None => password.is_none().then(mock),
        };
        if let Some(verifier) = at_once().filter(|_| !key_derivation.is_due_to_all) {
            return verifier;
        }
        let permit = key_derivation.acquire().await;
        if let Some(verifier) = at_once().filter(|_| !key_derivation.is_due_to_all) {
            return verifier; // by somebody who came first
        }
        if is_gone() {
            return mock();
        }
        let text = Zeroizing::new(password.map_or("", Password::expose).to_owned());
        let work = move || ScramSecret::derive(text.as_bytes(), &salt, iterations);
        let Some((verifier, _permit)) = permit.compute_and_hold(work).await else { return mock() };
        if password.is_none() {
            return at_once().unwrap_or_else(mock);
        }
        let verifier = Arc::new(verifier);
        self.derived.change(tag, |derived| derived.0 = Some(verifier.clone()));
        Verifier::Known(verifier)
    }

    fn salt(&self, user: &str) -> [u8; SALT_BYTES] {
        mock_salt(&self.seed, user)
    }

    fn tag(&self, user: &str, password: &str) -> Tag {
        let mut hash = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.seed));
        hash.update(&user.len().to_le_bytes());
        hash.update(user.as_bytes());
        hash.update(password.as_bytes());
        let mut tag = Tag::default();
        tag.copy_from_slice(hash.sign().as_ref());
        tag
    }

    fn known(&self, tag: &Tag, iterations: u32) -> Option<Arc<ScramSecret>> {
        let derived = || self.derived.get(tag, |derived| derived.0.clone()).flatten();
        let verifier = self.prepared.get(tag).or_else(derived)?;
        (verifier.iterations == iterations).then_some(verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;
    use crate::control::FairSemaphore;

    const CLIENT: Address = Address::Unix { port: 0, pid: 0, uid: 0 };

    fn key_derivation(semaphore: &FairSemaphore) -> KeyDerivation<'_> {
        KeyDerivation { semaphore, client: &CLIENT, iterations_max: 1, is_due_to_all: false }
    }

    async fn known(verifiers: &Verifiers, secret: &Arc<Secret>, iterations: u32) -> Arc<ScramSecret> {
        let semaphore = FairSemaphore::new(1, 1);
        match verifiers.of("u", Some(secret), iterations, key_derivation(&semaphore), || false).await {
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
    async fn no_more_are_remembered_than_the_bound_says() {
        let verifiers = Verifiers { derived: BoundedCache::new(3, usize::MAX), ..Verifiers::new([1; 32]) };
        for number in 0..20 {
            let secret = Arc::new(Secret::parse(&format!("secret {number}")));
            let last = known(&verifiers, &secret, 1).await;
            assert!((1..=3).contains(&verifiers.derived.len()));
            assert!(Arc::ptr_eq(&last, &known(&verifiers, &secret, 1).await), "the last one");
        }
    }

    #[tokio::test]
    async fn users_of_one_name_in_several_databases_do_not_push_each_other_out() {
        let verifiers = Verifiers::new([1; 32]);
        let secrets: Vec<_> = (0..9).map(|number| Arc::new(Secret::parse(&format!("of {number}")))).collect();
        let mut first = Vec::new();
        for secret in &secrets {
            first.push(known(&verifiers, secret, 1).await);
        }
        for (secret, first) in secrets.iter().zip(&first) {
            assert!(Arc::ptr_eq(first, &known(&verifiers, secret, 1).await));
        }
    }

    #[tokio::test]
    async fn for_who_is_gone_when_its_turn_comes_nothing_is_derived() {
        let (verifiers, semaphore) = (Verifiers::new([1; 32]), FairSemaphore::new(1, 1));
        let secret = Arc::new(Secret::parse("pencil"));
        let verifier = verifiers.of("u", Some(&secret), 10, key_derivation(&semaphore), || true).await;
        assert!(matches!(verifier, Verifier::Mock { .. }));
        assert_eq!(verifiers.derived.len(), 0);
    }

    #[tokio::test]
    async fn who_comes_while_it_is_derived_waits_and_takes_it() {
        let (verifiers, semaphore) = (Arc::new(Verifiers::new([1; 32])), FairSemaphore::new(1, 1));
        let secret = Arc::new(Secret::parse("pencil"));
        let permit = semaphore.acquire("another").await;
        let derive = || {
            let (verifiers, secret, semaphore) =
                (Arc::clone(&verifiers), Arc::clone(&secret), semaphore.clone());
            tokio::spawn(async move {
                verifiers.of("u", Some(&secret), 10, key_derivation(&semaphore), || false).await
            })
        };
        let (one, other) = (derive(), derive());
        drop(permit);
        let (Verifier::Known(one), Verifier::Known(other)) = (one.await.unwrap(), other.await.unwrap())
        else {
            panic!("mocks")
        };
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[tokio::test]
    async fn unknown_users_see_the_salt_that_known_ones_have() {
        let verifiers = Verifiers::new([1; 32]);
        let derived = known(&verifiers, &Arc::new(Secret::parse("pencil")), 10).await;
        for secret in
            [None, Some(Arc::new(Secret::none())), Some(Arc::new(Secret::parse(&format!("md5{:032}", 0))))]
        {
            let semaphore = FairSemaphore::new(1, 1);
            let verifier = verifiers.of("u", secret.as_ref(), 10, key_derivation(&semaphore), || false).await;
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
