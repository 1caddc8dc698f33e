//! The pools by IAM that the files foresee: what can be known of them before a client has come.
//!
//! Of users whose keys are equal one stands for all, so that the cost of a load is in the differences between
//! users, not in their number. Pure.

use super::{keys_of, rules};
use crate::config::{CONSOLE_DATABASE, Database, IamIdentity, ServerAuth, Snapshot, UserEntry};
use crate::iam::rules::{BadKey, Keys, Rules};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Whose pool it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The entry's own: of the user that it forces, or of whoever has no keys.
    Entry,
    /// That of a user with keys in `[users]`, and of so many others with the same ones.
    Keyed {
        /// The others.
        others: usize,
    },
    /// That of the user that runs auth_query, in a database which forces another one on clients.
    Querier,
}

/// A pool by IAM that the files foresee.
pub(super) struct Foreseen<'a> {
    /// The entry.
    pub database: &'a Arc<Database>,
    /// The user; empty = anybody without keys.
    pub user: Arc<str>,
    /// Whose it is.
    pub whose: Whose,
    /// What its keys mean.
    pub rules: Result<Rules, Vec<BadKey>>,
}

/// The rules of every pool by IAM that the files foresee.
pub fn foreseen(snapshot: &Snapshot) -> impl Iterator<Item = Rules> {
    pools(snapshot).filter_map(|pool| pool.rules.ok())
}

/// Every pool by IAM that the files foresee, entry by entry.
pub(super) fn pools(snapshot: &Snapshot) -> impl Iterator<Item = Foreseen<'_>> {
    let keyed = kinds_of_users(snapshot);
    let mut queriers_of: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
    for (database, user) in queriers(snapshot) {
        if let Some(entry) = snapshot.databases.get(&database).or(snapshot.fallback.as_ref()) {
            queriers_of.entry(Arc::clone(&entry.name)).or_default().push(user);
        }
    }
    entries(snapshot).flat_map(move |database| {
        let users: Vec<(Arc<str>, Whose)> = match &database.user {
            Some(forced) => {
                let queriers = queriers_of.get(&database.name).into_iter().flatten();
                let queriers = queriers.filter(|user| *user != forced);
                let queriers = queriers.map(|user| (Arc::clone(user), Whose::Querier));
                std::iter::once((Arc::clone(forced), Whose::Entry)).chain(queriers).collect()
            }
            None => std::iter::once(("".into(), Whose::Entry)).chain(keyed.iter().cloned()).collect(),
        };
        users.into_iter().filter_map(move |(user, whose)| {
            let rules = rules(snapshot, database, &user)?;
            Some(Foreseen { database, user, whose, rules })
        })
    })
}

/// The entries of `[databases]`, `*` last.
pub(super) fn entries(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Database>> {
    snapshot.databases.values().chain(&snapshot.fallback)
}

/// Users that have keys of their own for logins by IAM.
pub fn users_with_keys(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<str>, &UserEntry)> {
    let none = IamIdentity::default();
    snapshot.users.iter().filter(move |(_, user)| user.server_auth.is_some() || user.iam != none)
}

/// One user of each set of keys, in the order of their names.
fn kinds_of_users(snapshot: &Snapshot) -> Vec<(Arc<str>, Whose)> {
    type Kind<'a> = (Option<ServerAuth>, Option<bool>, Keys<'a>);
    let mut at: HashMap<Kind<'_>, usize> = HashMap::new();
    let mut kinds: Vec<(Arc<str>, Whose)> = Vec::new();
    for (name, user) in users_with_keys(snapshot) {
        let kind = (user.server_auth, user.iam.strict_lifetime, keys_of(&user.iam));
        match at.get(&kind).and_then(|at| kinds.get_mut(*at)) {
            Some((_, Whose::Keyed { others })) => *others += 1,
            _ => {
                at.insert(kind, kinds.len());
                kinds.push((Arc::clone(name), Whose::Keyed { others: 0 }));
            }
        }
    }
    kinds
}

/// Who runs auth_query, and in which database: (database, user).
pub fn queriers(snapshot: &Snapshot) -> BTreeSet<(Arc<str>, Arc<str>)> {
    let settings = &snapshot.settings;
    let of = |database: &Database| {
        Some((database.auth_query_database(settings), database.auth_query_user(settings)?))
    };
    let of_console = of(&Database::new(CONSOLE_DATABASE.into()));
    let all = entries(snapshot).filter_map(|database| of(database)).chain(of_console);
    all.filter(|(database, _)| &**database != CONSOLE_DATABASE).collect()
}
