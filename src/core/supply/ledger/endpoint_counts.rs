//! How many servers there are at each endpoint: exact, also while a login may end at any of several.
//!
//! Counts only. A server counts where it is, whatever the configuration has made of its entry since; which
//! endpoints are one server of PostgreSQL is looked up anew each time, so a reload that changes it counts at
//! once.

use crate::config::Endpoints;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

/// Servers by where they are.
#[derive(Debug, Default)]
pub(super) struct EndpointCounts {
    /// Those past their login.
    live: HashMap<Arc<str>, u32>,
    /// Logins in progress, by where they may end: of a list of hosts it is not known yet at which.
    logging_in: HashMap<Endpoints, u32>,
}

impl EndpointCounts {
    pub(super) fn login_begins(&mut self, endpoints: &Endpoints) {
        *self.logging_in.entry(Arc::clone(endpoints)).or_default() += 1;
    }

    pub(super) fn login_ends(&mut self, endpoints: &Endpoints) {
        take_one(&mut self.logging_in, Arc::clone(endpoints));
    }

    pub(super) fn server_begins(&mut self, endpoint: &Arc<str>) {
        *self.live.entry(Arc::clone(endpoint)).or_default() += 1;
    }

    pub(super) fn server_ends(&mut self, endpoint: &Arc<str>) {
        take_one(&mut self.live, Arc::clone(endpoint));
    }

    /// Servers that are, or may come to be, at one of `endpoints`.
    pub(super) fn at(&self, endpoints: &Endpoints) -> u32 {
        let live: u32 = endpoints.iter().filter_map(|endpoint| self.live.get(endpoint)).sum();
        let may_end_here = |at: &Endpoints| at.iter().any(|endpoint| endpoints.contains(endpoint));
        let logging_in = self.logging_in.iter().filter(|(at, _)| may_end_here(at));
        live + logging_in.map(|(_, count)| count).sum::<u32>()
    }
}

/// One less; what has none is forgotten.
fn take_one<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) {
    let Entry::Occupied(mut count) = counts.entry(key) else {
        unreachable!("a server ends where none has begun");
    };
    *count.get_mut() -= 1;
    if *count.get() == 0 {
        count.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Endpoints {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn a_login_to_a_list_of_hosts_counts_once_at_each_server_until_it_is_known_where_it_ends() {
        let mut counts = EndpointCounts::default();
        let list = of(&["a:1", "b:1"]);
        counts.login_begins(&list);
        let seen = |counts: &EndpointCounts| {
            [&["a:1"][..], &["b:1"], &["a:1", "b:1"], &["c:1"]].map(|names| counts.at(&of(names)))
        };
        assert_eq!(seen(&counts), [1, 1, 1, 0], "one server, wherever it ends");
        counts.login_ends(&list);
        counts.server_begins(&"b:1".into());
        assert_eq!(seen(&counts), [0, 1, 1, 0]);
        counts.server_ends(&"b:1".into());
        assert_eq!(seen(&counts), [0; 4]);
        assert!(counts.live.is_empty() && counts.logging_in.is_empty());
    }
}
