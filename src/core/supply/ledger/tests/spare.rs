//! Places for servers that clients' own tokens open: none that the pool's own logins may want.

use super::*;

fn rules_of(pool_size: u32, max_db_connections: u32) -> PoolRules {
    PoolRules { pool_size, max_db_connections, ..rules() }
}

const NOW: Micros = Micros::from_secs(100);

fn waiter() -> Want {
    Want::Waiter { since: NOW }
}

#[test]
fn one_place_stays_free_in_the_pool_and_under_each_cap() {
    for (rules, spare) in [
        (rules_of(4, 0), 3),
        (rules_of(1, 0), 0),
        (rules_of(10, 3), 2),
        (PoolRules { max_user_connections: 2, ..rules_of(0, 0) }, 1),
    ] {
        let (pool, mut ledger) = (pools(1, 1, &rules).remove(0), Ledger::default());
        let taken: Vec<_> = (0..5).map_while(|_| ledger.take_spare(&pool, NOW)).collect();
        assert_eq!(taken.len(), spare, "{rules:?}");
        assert!(matches!(ledger.consider(&pool, waiter(), NOW), Verdict::Launch(_)), "it is the pool's own");
        for opening in taken {
            ledger.returned(&pool, &Use::LoggingIn(opening));
        }
        assert_eq!(ledger.pool_servers(pool.id), (1, 0));
    }
}

#[test]
fn the_pools_own_logins_neither_wait_for_it_nor_learn_from_its_end() {
    let (pool, mut ledger) = (pools(1, 1, &rules_of(5, 0)).remove(0), Ledger::default());
    let spare = ledger.take_spare(&pool, NOW).expect("there is room");
    assert_eq!(ledger.coming(pool.id), 0, "nobody waits for it");
    let Verdict::Launch(own) = ledger.consider(&pool, waiter(), NOW) else { panic!("it waits for nobody") };
    ledger.returned(&pool, &Use::LoggingIn(spare));
    assert_eq!((pool.failing(), ledger.pool_servers(pool.id)), (None, (1, 0)));
    ledger.logged_in(&pool, &own, &endpoint());
    assert!(matches!(ledger.consider(&pool, waiter(), NOW), Verdict::Launch(_)), "there is no pause");
}

#[test]
fn a_server_that_a_token_has_opened_is_one_of_the_pools() {
    let (pool, mut ledger) = (pools(1, 1, &rules_of(5, 0)).remove(0), Ledger::default());
    let spare = ledger.take_spare(&pool, NOW).expect("there is room");
    ledger.logged_in(&pool, &spare, &endpoint());
    assert_eq!((ledger.pool_servers(pool.id), pool.live_count()), ((0, 1), 1));
    assert!(!pool.is_retirement_wanted(), "it replaces none");
    ledger.returned(&pool, &live());
    assert_eq!(ledger.all_servers(), 0);
}

#[test]
fn there_is_none_for_a_paused_database_or_where_somebody_starves() {
    let both = pools(1, 2, &rules_of(5, 1));
    let mut ledger = Ledger::default();
    let Verdict::Launch(_) = ledger.consider(&both[0], waiter(), NOW) else { panic!("there is room") };
    assert!(!matches!(ledger.consider(&both[1], waiter(), NOW), Verdict::Launch(_)), "it starves at the cap");
    for pool in &both {
        assert_eq!(ledger.take_spare(pool, NOW), None);
    }
    let (pool, mut ledger) = (pools(1, 1, &rules_of(5, 0)).remove(0), Ledger::default());
    pool.database.set_paused(true);
    assert_eq!(ledger.take_spare(&pool, NOW), None);
}
