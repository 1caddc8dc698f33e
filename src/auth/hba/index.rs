//! Which rules may be for a client, without a look at each: a login costs as much before the most rules that
//! there may be as before ten, but for those that name neither users nor databases, or one user often.

use super::rule::{Rule, Visit};
use std::hash::{DefaultHasher, Hasher};

/// Rules by the names in them. A pair is a name's hash and the rule's number; those of one hash stand in the
/// order of the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Of those that name one user, or one database, and others with it.
    by_pair: Box<[(u32, u32)]>,
    by_user: Box<[(u32, u32)]>,
    /// Of those that are for any user.
    by_database: Box<[(u32, u32)]>,
    /// The rest, under one hash.
    others: Box<[(u32, u32)]>,
}

impl Index {
    pub(super) fn of(rules: &[Rule]) -> Self {
        let [mut by_pair, mut by_user, mut by_database, mut others] = [const { Vec::new() }; 4];
        for (rule, number) in rules.iter().zip(0..) {
            match (rule.users.only_names(), rule.databases.only_names()) {
                (Some(users), Some(databases)) if users.has_one() || databases.has_one() => {
                    for user in users.iter() {
                        by_pair.extend(databases.iter().map(|name| (hash(&[user, name]), number)));
                    }
                }
                (Some(users), _) => by_user.extend(users.iter().map(|user| (hash(&[user]), number))),
                (None, Some(names)) => by_database.extend(names.iter().map(|name| (hash(&[name]), number))),
                (None, None) => others.push((0, number)),
            }
        }
        for pairs in [&mut by_pair, &mut by_user, &mut by_database] {
            pairs.sort_unstable();
        }
        let [by_pair, by_user, by_database, others] =
            [by_pair, by_user, by_database, others].map(Vec::into_boxed_slice);
        Self { by_pair, by_user, by_database, others }
    }

    /// The numbers of the rules that may fit, in their order.
    pub(super) fn candidates(&self, visit: &Visit<'_>) -> impl Iterator<Item = usize> {
        let (user, database) = (visit.user.as_bytes(), visit.database.as_bytes());
        let mut lists = [
            under(&self.by_pair, hash(&[user, database])),
            under(&self.by_user, hash(&[user])),
            under(&self.by_database, hash(&[database])),
            &self.others,
        ];
        std::iter::from_fn(move || {
            let waiting = lists.iter_mut().filter(|list| !list.is_empty());
            let next = waiting.min_by_key(|list| list[0].1)?;
            let (_, number) = next[0];
            *next = &next[1..];
            Some(number as usize)
        })
    }
}

/// The pairs of one hash.
fn under(pairs: &[(u32, u32)], hash: u32) -> &[(u32, u32)] {
    let begin = pairs.partition_point(|pair| pair.0 < hash);
    let count = pairs[begin..].partition_point(|pair| pair.0 == hash);
    &pairs[begin..begin + count]
}

/// Names of one hash cost a comparison more, and nobody but who writes the file chooses them.
fn hash(names: &[&[u8]]) -> u32 {
    let mut hasher = DefaultHasher::new();
    for name in names {
        hasher.write(name);
        hasher.write_u8(0);
    }
    hasher.finish() as u32
}
