//! Which users the secrets of clients have named: who is gone is told by what is named no more.
//!
//! Pure, but for the secrets' memories. A list takes a user away when it does not have it any more; a secret
//! of one login does not: in a rotation of alternating users the other one is its own, too. What is not known
//! at present takes nobody away.

use crate::base::limits;
use crate::secrets::{KeptSecret, SecretKey, Users};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A secret, and the user whose own it is.
type Place = (SecretKey, Option<Arc<str>>);

/// Users by the secret that names them.
#[derive(Default)]
pub(super) struct NamedUsers(HashMap<Place, Named>);

#[derive(Default)]
struct Named {
    users: BTreeSet<Arc<str>>,
    /// The secret was never known: these are who it may be that it names.
    is_guess: bool,
}

impl NamedUsers {
    /// Takes up what `secrets` say now; those that are not among them name nobody any more.
    pub(super) fn update<'a>(
        &mut self,
        secrets: impl Iterator<Item = (Option<&'a Arc<str>>, &'a Arc<KeptSecret>)>,
    ) {
        let all = self.all();
        let mut next = HashMap::new();
        for (owner, secret) in secrets {
            let place = (secret.key().clone(), owner.cloned());
            let version = secret.current();
            let users = version.as_ref().and_then(|version| version.content.users());
            let before = self.0.remove(&place);
            next.insert(place, after(before, &all, users, owner));
        }
        self.0 = next;
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeSet<Arc<str>> {
        self.0.values().flat_map(|named| &named.users).cloned().collect()
    }
}

/// The users of one place, whose secret says `users` now; `all` were named by any.
fn after(
    before: Option<Named>,
    all: &BTreeSet<Arc<str>>,
    users: Option<&Users>,
    owner: Option<&Arc<str>>,
) -> Named {
    let Some(users) = users else {
        // A reload may have put it in the place of one that named them.
        let may_name = |user: &&Arc<str>| owner.is_none_or(|owner| owner == *user);
        let guess = || Named { users: all.iter().filter(may_name).cloned().collect(), is_guess: true };
        return before.unwrap_or_else(guess);
    };
    let named = match owner {
        Some(owner) => users.secret(owner).map(|_| Arc::clone(owner)).into_iter().collect::<Vec<_>>(),
        None => users.named().into_iter().map(|(name, _)| Arc::clone(name)).collect(),
    };
    let mut names = match (users, before) {
        (Users::One(_), Some(Named { users, is_guess: false })) if users.len() < limits::LOGIN_NAMES_MAX => {
            users
        }
        _ => BTreeSet::new(),
    };
    names.extend(named);
    Named { users: names, is_guess: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;
    use crate::secrets::Login;

    fn names(all: &[&str]) -> BTreeSet<Arc<str>> {
        all.iter().map(|name| Arc::from(*name)).collect()
    }

    fn one(user: Option<&str>) -> Users {
        Users::One(Login { user: user.map(Arc::from), secret: Arc::new(Secret::parse("x")) })
    }

    fn list(all: &[&str]) -> Users {
        Users::List(all.iter().map(|name| (Arc::from(*name), Arc::new(Secret::parse("x")))).collect())
    }

    /// What is left of `before` when the secret says `users`.
    fn next(before: &[&str], users: Option<&Users>, owner: Option<&str>) -> BTreeSet<Arc<str>> {
        let before = Named { users: names(before), is_guess: false };
        after(Some(before), &names(&[]), users, owner.map(Arc::from).as_ref()).users
    }

    #[test]
    fn a_list_takes_users_away_and_a_rotation_of_logins_does_not() {
        assert_eq!(next(&["a", "b"], Some(&list(&["b", "c"])), None), names(&["b", "c"]));
        assert_eq!(next(&["a"], Some(&one(Some("b"))), None), names(&["a", "b"]));
        assert_eq!(next(&["a", "b"], None, None), names(&["a", "b"]), "an outage");
        let mut named = Named::default();
        for number in 0..100 {
            named = after(Some(named), &names(&[]), Some(&one(Some(&format!("u{number}")))), None);
            assert!(named.users.len() <= limits::LOGIN_NAMES_MAX);
        }
    }

    #[test]
    fn a_user_s_own_secret_names_that_user_alone() {
        let named = |users: &Users, before: &[&str]| next(before, Some(users), Some("a"));
        assert_eq!(named(&one(None), &[]), names(&["a"]));
        assert_eq!(named(&one(Some("b")), &[]), names(&[]));
        assert_eq!(named(&one(Some("b")), &["a"]), names(&["a"]), "it alternates");
        assert_eq!(named(&list(&["a", "b"]), &[]), names(&["a"]));
        assert_eq!(named(&list(&["b"]), &["a"]), names(&[]));
    }

    #[test]
    fn who_may_be_named_by_what_is_not_known_yet_is_not_gone() {
        let (all, owner) = (names(&["a", "b"]), Arc::from("a"));
        let own = after(None, &all, None, Some(&owner));
        assert_eq!(own.users, names(&["a"]));
        assert_eq!(after(Some(own), &all, Some(&list(&["b"])), Some(&owner)).users, names(&[]));
        let of_all = after(None, &all, None, None);
        assert_eq!(of_all.users, all);
        let known = after(Some(of_all), &all, Some(&one(Some("c"))), None);
        assert_eq!(known.users, names(&["c"]), "who was guessed is not its own");
    }
}
