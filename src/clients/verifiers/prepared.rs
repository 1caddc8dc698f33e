//! The verifiers of the plain passwords of auth_file, and of secrets that others keep, derived before anybody
//! is waited for: a login must not take longer because it is the first of a user that there is.
//!
//! Until they are ready every client waits for a derivation, whoever it says it is: one that only some wait
//! for would tell who they are. Derived one by one on permits like a client's, from the first login by SCRAM
//! on. Invariant: no loop of a worker computes anything of it.

use super::{Tag, Verifiers};
use crate::auth::{ScramSecret, Secret, UserList};
use crate::base::limits;
use crate::control::{FairSemaphore, SecretsOfClients};
use crate::tasks;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is ready, and for whom.
#[derive(Default)]
pub(super) struct Prepared(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whose they are, or are to be.
    of: Option<Wanted>,
    is_ready: bool,
    verifiers: Arc<Ready>,
}

type Ready = HashMap<Tag, Arc<ScramSecret>>;

#[derive(Clone)]
struct Wanted {
    users: Arc<UserList>,
    kept: Arc<SecretsOfClients>,
    /// What state of `kept` it is.
    stamp: u64,
    iterations: u32,
}

impl Wanted {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.users, &other.users)
            && Arc::ptr_eq(&self.kept, &other.kept)
            && (self.stamp, self.iterations) == (other.stamp, other.iterations)
    }

    /// Every user, with each of its secrets.
    fn all(&self) -> Vec<(Arc<str>, Arc<Secret>)> {
        let of_file = self.users.users().filter_map(|user| {
            let secret = self.users.secret(user)?;
            Some((Arc::clone(user), Arc::clone(secret)))
        });
        of_file.chain(self.kept.known()).collect()
    }
}

/// A user whose verifier is not ready, and its secret.
type Missing = (Tag, Arc<str>, Arc<Secret>);

impl Prepared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, tag: &Tag) -> Option<Arc<ScramSecret>> {
        self.state().verifiers.get(tag).cloned()
    }

    fn is_wanted(&self, wanted: &Wanted) -> bool {
        self.state().of.as_ref().is_some_and(|own| own.is(wanted))
    }
}

impl Verifiers {
    /// Whether the verifiers of `users`, and of those whom `kept` names, are ready; where nobody has begun to
    /// derive them, that begins.
    pub fn prepare(
        self: &Arc<Self>,
        (users, kept): (&Arc<UserList>, &Arc<SecretsOfClients>),
        iterations: u32,
        permits: &FairSemaphore,
    ) -> bool {
        let stamp = kept.stamp();
        let wanted = Wanted { users: Arc::clone(users), kept: Arc::clone(kept), stamp, iterations };
        let mut state = self.prepared.state();
        if state.of.as_ref().is_some_and(|own| own.is(&wanted)) {
            return state.is_ready;
        }
        (state.of, state.is_ready) = (Some(wanted.clone()), false);
        drop(state);
        let work = Arc::clone(self).derive_all(wanted, permits.clone());
        drop(tasks::spawn("verifiers of auth_file", "auth_file", work));
        false
    }

    async fn derive_all(self: Arc<Self>, wanted: Wanted, permits: FairSemaphore) {
        let (verifiers, of) = (Arc::clone(&self), wanted.clone());
        let found = tasks::blocking("verifiers", "auth_file", move || verifiers.look_up(&of)).await;
        let Some(Some((mut ready, missing))) = found else { return };
        for (tag, user, secret) in missing {
            let permit = permits.acquire("auth_file").await;
            if !self.prepared.is_wanted(&wanted) {
                return; // a reload has brought others
            }
            let (verifiers, iterations) = (Arc::clone(&self), wanted.iterations);
            let work = move || verifiers.derive(&user, &secret, iterations);
            let Some(Some(verifier)) = permit.compute(work).await else { return };
            ready.insert(tag, Arc::new(verifier));
        }
        let mut state = self.prepared.state();
        if state.of.as_ref().is_some_and(|own| own.is(&wanted)) {
            state.verifiers = Arc::new(ready);
            state.is_ready = true;
        }
    }

    /// What is known of those that are wanted, and what is missing. `None`: so many are not prepared.
    fn look_up(&self, wanted: &Wanted) -> Option<(Ready, Vec<Missing>)> {
        let (mut ready, mut missing) = (Ready::new(), Vec::new());
        for (user, secret) in wanted.all() {
            let Secret::Plain(password) = &*secret else { continue };
            if password.is_empty() {
                continue;
            }
            let tag = self.tag(&user, password.expose());
            match self.known(&tag, wanted.iterations) {
                Some(verifier) => drop(ready.insert(tag, verifier)),
                None => missing.push((tag, user, secret)),
            }
            if ready.len() + missing.len() > limits::PREPARED_VERIFIERS_MAX {
                return None;
            }
        }
        Some((ready, missing))
    }

    fn derive(&self, user: &str, secret: &Secret, iterations: u32) -> Option<ScramSecret> {
        let Secret::Plain(password) = secret else { return None };
        Some(ScramSecret::derive(password.expose().as_bytes(), &self.salt(user), iterations))
    }
}

#[cfg(test)]
mod tests {
    use super::super::KeyDerivation;
    use super::*;
    use crate::auth::scram::Verifier;
    use crate::base::Address;
    use tokio::task::{JoinHandle, yield_now};

    const CLIENT: Address = Address::Unix { port: 0, pid: 0, uid: 0 };

    /// Users of a file, and none of secrets.
    type Users = (Arc<UserList>, Arc<SecretsOfClients>);

    fn users(text: &str) -> Users {
        (Arc::new(UserList::parse(text.as_bytes()).0), Arc::default())
    }

    /// Logins of every kind of user, in the list's order, and of nobody.
    fn logins(
        verifiers: &Arc<Verifiers>,
        (users, kept): &Users,
        permits: &FairSemaphore,
    ) -> Vec<JoinHandle<Verifier>> {
        let names = users.users().map(|user| user.to_string()).chain(["nobody".to_owned()]);
        let logins = names.map(|user| {
            let (verifiers, users, permits) = (Arc::clone(verifiers), Arc::clone(users), permits.clone());
            let kept = Arc::clone(kept);
            tokio::spawn(async move {
                let is_due_to_all = !verifiers.prepare((&users, &kept), 10, &permits);
                let key_derivation =
                    KeyDerivation { semaphore: &permits, client: &CLIENT, iterations_max: 1, is_due_to_all };
                verifiers.of(&user, users.secret(&user), 10, key_derivation, || false).await
            })
        });
        logins.collect()
    }

    async fn ready(verifiers: &Arc<Verifiers>, (users, kept): &Users, permits: &FairSemaphore) {
        while !verifiers.prepare((users, kept), 10, permits) {
            yield_now().await;
        }
    }

    /// Who waits for a derivation shows in who gets on while there are no permits: all, or nobody.
    #[tokio::test]
    async fn who_waits_does_not_tell_who_exists() {
        let stored = Secret::Scram(Arc::new(ScramSecret::derive(b"x", b"salt", 7))).to_text();
        let text = format!("\"a\" \"first\"\n\"b\" \"\"\n\"c\" \"{}\"\n\"d\" \"fourth\"\n", stored.expose());
        let (verifiers, permits) = (Arc::new(Verifiers::new([1; 32])), FairSemaphore::new(1, 1));
        let users = users(&text);
        let held = permits.acquire("test").await;
        let waiting = logins(&verifiers, &users, &permits);
        while permits.counts().1 < waiting.len() + 1 {
            yield_now().await; // all of them, and the preparation
        }
        assert!(waiting.iter().all(|login| !login.is_finished()));
        drop(held);
        for login in waiting {
            login.await.unwrap();
        }
        ready(&verifiers, &users, &permits).await;
        let _held = permits.acquire("test").await;
        let mut known = 0;
        for login in logins(&verifiers, &users, &permits) {
            known += usize::from(matches!(login.await.unwrap(), Verifier::Known(_)));
        }
        assert_eq!(known, 3);
    }

    #[tokio::test]
    async fn a_reload_derives_what_is_new_and_forgets_what_is_gone() {
        let (verifiers, permits) = (Arc::new(Verifiers::new([1; 32])), FairSemaphore::new(1, 1));
        let before = users("\"a\" \"1\"\n\"b\" \"2\"\n");
        ready(&verifiers, &before, &permits).await;
        let of = |user: &str, password: &str| verifiers.prepared.get(&verifiers.tag(user, password));
        let kept = of("a", "1").unwrap();
        let after = users("\"a\" \"1\"\n\"b\" \"3\"\n");
        ready(&verifiers, &after, &permits).await;
        assert!(Arc::ptr_eq(&of("a", "1").unwrap(), &kept));
        assert!(of("b", "2").is_none() && of("b", "3").is_some());
    }
}
