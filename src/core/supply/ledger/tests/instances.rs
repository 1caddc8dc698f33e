//! Caps on the servers of all pools at one server of PostgreSQL.

use super::*;
use crate::config::{Endpoints, InstanceCap};

fn endpoints(names: &[&str]) -> Endpoints {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// Pools of as many databases and one user: each with its hosts, all at servers that take one connection.
fn at(hosts: &[&[&str]], instances: &[&[&str]]) -> Vec<Arc<PoolShare>> {
    let pools = pools(hosts.len() as u32, 1, &rules());
    for (pool, hosts) in pools.iter().zip(hosts) {
        let there = instances.iter().filter(|names| names.iter().any(|name| hosts.contains(name)));
        let cap = |names: &&[&str]| InstanceCap { endpoints: endpoints(names), max_server_connections: 1 };
        let (endpoints, instance_caps) = (endpoints(hosts), there.map(cap).collect());
        pool.set_rules(Arc::new(PoolRules { endpoints, instance_caps, ..rules() }));
    }
    pools
}

fn log_in(ledger: &mut Ledger, pool: &Arc<PoolShare>, endpoint: &str) {
    let opening = begin(ledger, pool, WAITER, Micros(1));
    ledger.logged_in(pool, &opening, &endpoint.into());
}

#[test]
fn a_server_of_two_names_is_full_for_the_pools_of_both() {
    let both: &[&str] = &["a:1", "b:1"];
    let pools = at(&[&["a:1"], &["b:1"], &["c:1"]], &[both]);
    let mut ledger = Ledger::default();
    log_in(&mut ledger, &pools[0], "a:1");
    let scope = Scope::Endpoints(endpoints(both));
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::EvictFirst(scope.clone()));
    begin(&mut ledger, &pools[2], WAITER, Micros(1));
    ledger.nothing_to_evict(&scope);
    assert!(pools[0].is_claimed() && !pools[2].is_claimed());
    ledger.returned(&pools[0], &Use::Live("a:1".into()));
    assert!(!pools[0].is_claimed());
    assert!(ledger.revived_by(&pools[0]).iter().any(|share| share.id == pools[1].id));
    begin(&mut ledger, &pools[1], WAITER, Micros(1));
}

#[test]
fn a_list_of_hosts_wants_a_place_at_each_until_it_is_known_which_one_it_is() {
    let pools = at(&[&["a:1", "b:1"], &["a:1"], &["b:1"]], &[&["a:1"], &["b:1"]]);
    let mut ledger = Ledger::default();
    let opening = begin(&mut ledger, &pools[0], WAITER, Micros(1));
    for pool in &pools[1..] {
        let verdict = ledger.consider(pool, WAITER, Micros(1));
        assert!(matches!(verdict, Verdict::EvictFirst(_)), "{verdict:?}");
    }
    ledger.logged_in(&pools[0], &opening, &"b:1".into());
    begin(&mut ledger, &pools[1], WAITER, Micros(1));
    assert!(!matches!(ledger.consider(&pools[2], WAITER, Micros(1)), Verdict::Launch(_)));
}

#[test]
fn a_server_counts_where_it_is_after_its_entry_has_moved() {
    let pools = at(&[&["a:1"], &["a:1"]], &[&["a:1"]]);
    let mut ledger = Ledger::default();
    log_in(&mut ledger, &pools[0], "a:1");
    let elsewhere = PoolRules { endpoints: endpoints(&["b:1"]), instance_caps: [].into(), ..rules() };
    pools[0].set_rules(Arc::new(elsewhere));
    let scope = Scope::Endpoints(endpoints(&["a:1"]));
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::EvictFirst(scope.clone()));
    assert!(pools[0].has_in(&scope, &"a:1".into()), "what is idle there may go");
    ledger.returned(&pools[0], &Use::Live("a:1".into()));
    begin(&mut ledger, &pools[1], WAITER, Micros(1));
}

#[test]
fn a_renewal_at_a_full_server_retires_first() {
    let pools = at(&[&["a:1"]], &[&["a:1"]]);
    let mut ledger = Ledger::default();
    log_in(&mut ledger, &pools[0], "a:1");
    assert!(!ledger.has_room(&pools[0]));
    assert_eq!(ledger.consider(&pools[0], Want::Renewal, Micros(1)), Verdict::RetireFirst);
}

#[test]
fn a_claim_at_one_server_spares_those_at_another() {
    let pools = at(&[&["a:1", "b:1"], &["a:1"]], &[&["a:1"]]);
    let mut ledger = Ledger::default();
    let since = Micros::from_secs(10);
    log_in(&mut ledger, &pools[0], "a:1");
    let _ = ledger.consider(&pools[1], Want::Waiter { since }, since);
    ledger.nothing_to_evict(&Scope::Endpoints(endpoints(&["a:1"])));
    let now = since + Micros(2 * limits::FAIR_LEAD_US);
    assert_eq!(pools[0].yields_server(&"b:1".into(), now), None);
    assert!(pools[0].yields_server(&"a:1".into(), now).is_some());
}
