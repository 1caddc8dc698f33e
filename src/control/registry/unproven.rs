//! Databases that `*` made for auth_query, since somebody has named them, and in which
//! nobody has proven himself.
//!
//! They are forgotten beyond a bound; a database that a client has a right to is none of them.
//! Never closes a server itself.

use super::{DatabaseEntry, PoolEntry, Registry, Standing, Tables};
use crate::base::PoolId;
use std::sync::Arc;

/// Pools of databases in which nobody has proven himself.
#[derive(Default)]
pub struct Unproven {
    /// They are gone.
    pub gone: Vec<Arc<PoolEntry>>,
    /// They have servers, which are to be closed.
    pub to_close: Vec<Arc<PoolEntry>>,
}

impl Registry {
    /// Takes out those databases that were made for auth_query and in which nobody has proven himself, but
    /// for the newest `most` and those that are being looked into. Returns their pools; of one that has
    /// `servers`, they are to be closed first, and another time it goes.
    pub fn take_unproven(&self, most: usize, servers: impl Fn(PoolId) -> u32) -> Unproven {
        let mut found = Unproven::default();
        if self.read().unproven.len() <= most {
            return found;
        }
        let mut tables = self.write();
        let Tables { unproven, databases, by_id, .. } = &mut *tables;
        let standing = |entry: &DatabaseEntry| entry.standing;
        unproven
            .retain(|number, name| databases.get(name).map(standing) == Some(Standing::Unproven(*number)));
        let mut surplus = unproven.len().saturating_sub(most);
        unproven.retain(|_, name| {
            let Some(entry) = databases.get(name).filter(|_| surplus > 0) else { return true };
            if entry.pools.values().any(|pool| pool.client_count() > 0) {
                return true;
            }
            surplus -= 1;
            let busy = entry.pools.values().filter(|pool| servers(pool.share.id) > 0).cloned();
            let before = found.to_close.len();
            found.to_close.extend(busy);
            let goes = found.to_close.len() == before;
            if goes {
                let entry = databases.remove(name);
                found.gone.extend(entry.into_iter().flat_map(|entry| entry.pools.into_values()));
            }
            !goes
        });
        found.gone.iter().for_each(|pool| pool.leave(by_id));
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::control::tests::{registry, snapshot};

    #[test]
    fn what_strangers_name_is_forgotten_before_what_somebody_has_a_right_to() {
        let snapshot = snapshot("* = auth_user=boss\nown =", "");
        let registry = registry();
        let look_into = |name: &str| registry.count_client_as(&snapshot, name, "boss").unwrap();
        let names = || -> String {
            registry
                .databases()
                .iter()
                .map(|entry| entry.config.name.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        drop(look_into("own"));
        let busy = look_into("a");
        for name in ["b", "c", "d", "e"] {
            drop(look_into(name));
        }
        assert!(registry.database(&snapshot, "c").is_some(), "its client has proven himself");
        assert!(registry.take_unproven(4, |_| 0).gone.is_empty());
        let taken = registry.take_unproven(3, |_| 1);
        assert!(taken.gone.is_empty() && &*taken.to_close[0].share.database.name == "b", "its servers first");
        let taken = registry.take_unproven(3, |_| 0).gone;
        assert_eq!((&*taken[0].share.database.name, taken.len()), ("b", 1));
        assert!(taken[0].is_removed() && registry.by_id(taken[0].share.id).is_none());
        assert_eq!(names(), "a c d e own", "a is being looked into");
        drop(busy);
        registry.take_unproven(0, |_| 0);
        assert_eq!(names(), "c own");
        drop(look_into("c"));
        assert!(registry.take_unproven(0, |_| 0).gone.is_empty() && names() == "c own");
    }
}
