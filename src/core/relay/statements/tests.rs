//! Texts, names and their bytes: who shares what, who is refused, what is forgotten.

use super::*;
use crate::core::pool::Gate;
use crate::core::relay::{ClientStatements, ServerStatements};

fn database() -> Arc<DatabaseShare> {
    Arc::new(DatabaseShare::new("db".into(), Arc::new(Gate::default())))
}

fn text(n: usize, bytes: usize) -> Vec<u8> {
    format!("select {n} /*{}*/\0\0\0", "x".repeat(bytes)).into_bytes()
}

#[test]
fn equal_texts_are_one_statement_and_names_are_never_reused() {
    let (registry, db) = (Arc::new(StatementRegistry::default()), database());
    let one = registry.name(1, b"select 1\0\0\0", &db).unwrap();
    let same = registry.name(1, b"select 1\0\0\0", &db).unwrap();
    assert!(Arc::ptr_eq(&one.statement, &same.statement));
    let two = registry.name(1, b"select 2\0\0\0", &db).unwrap();
    assert_eq!((&*one.statement.name, &*two.statement.name), ("PGBOUNCER_1", "PGBOUNCER_2"));
}

#[test]
fn every_byte_is_counted_once_and_given_back() {
    let (registry, one, two) = (Arc::new(StatementRegistry::default()), database(), database());
    let rest = text(1, 1000);
    let cost = TEXT_COST + rest.len();
    let names: Vec<_> =
        [&one, &one, &two].into_iter().map(|db| registry.name(10, &rest, db).unwrap()).collect();
    assert_eq!(registry.bytes(), cost + 3 * (NAME_COST + 10), "the text lies there once");
    assert_eq!(one.statements().bytes(), cost + 2 * (NAME_COST + 10));
    assert_eq!(two.statements().bytes(), cost + NAME_COST + 10);
    drop(names);
    assert_eq!((one.statements().bytes(), two.statements().bytes()), (0, 0));
    assert_eq!((registry.bytes(), registry.count()), (cost, 1), "kept for whoever comes again");
}

#[test]
fn what_nobody_names_makes_room_the_oldest_first() {
    let (registry, db) = (Arc::new(StatementRegistry::default()), database());
    registry.set_bytes_max(1 << 20);
    let kept = registry.name(1, &text(0, 1000), &db).unwrap();
    for n in 1..1000 {
        drop(registry.name(1, &text(n, 1000), &db).unwrap());
        assert!(registry.bytes() <= (1 << 20) / limits::UNNAMED_STATEMENTS_PART + 2000, "{n}");
    }
    assert!(registry.forgotten() > 0);
    for n in registry.forgotten() + 1..1000 {
        let known = registry.name(1, &text(n as usize, 1000), &db).unwrap();
        assert_eq!(known.statement.id, StatementId(n + 1), "the later ones are still known");
    }
    let again = registry.name(1, &text(0, 1000), &db).unwrap();
    assert!(Arc::ptr_eq(&again.statement, &kept.statement), "what is named is never forgotten");
}

#[test]
fn the_limit_holds_whoever_names_what() {
    let (registry, db) = (Arc::new(StatementRegistry::default()), database());
    registry.set_bytes_max(100_000);
    let mut names = Vec::new();
    while let Ok(named) = registry.name(1, &text(names.len(), 1000), &db) {
        names.push(named);
        assert!(registry.bytes() <= 100_000 && names.len() < 100);
    }
    assert!(names.len() > 45, "{}", names.len());
    let before = registry.bytes();
    assert!(registry.name(1, &text(1000, 1000), &db).is_err());
    assert_eq!(registry.bytes(), before, "a refusal costs nothing");
    names.truncate(10);
    assert!(registry.name(1, &text(1000, 1000), &db).is_ok());
}

#[test]
fn a_database_has_a_limit_of_its_own() {
    let (registry, small, other) = (Arc::new(StatementRegistry::default()), database(), database());
    small.statements().set_bytes_max(10_000);
    let names: Vec<_> = (0..100).map_while(|n| registry.name(1, &text(n, 1000), &small).ok()).collect();
    assert!((5..10).contains(&names.len()), "{}", names.len());
    assert!(small.statements().bytes() <= 10_000);
    assert!(registry.name(1, &text(100, 1000), &other).is_ok());
}

#[test]
fn who_takes_all_it_can_leaves_the_others_their_share() {
    let (registry, greedy, other) = (Arc::new(StatementRegistry::default()), database(), database());
    registry.set_bytes_max(1_000_000);
    registry.set_databases(2);
    let fill = |db: &Arc<DatabaseShare>, from: usize| -> Vec<_> {
        (from..from + 10_000).map_while(|n| registry.name(1, &text(n, 1000), db).ok()).collect()
    };
    let taken = fill(&greedy, 0);
    assert!((700_000..=750_000).contains(&greedy.statements().bytes()), "three quarters, no more");
    let its = fill(&other, 20_000);
    let share = registry.share();
    assert!((share - 2000..=share).contains(&other.statements().bytes()), "of {share}");
    assert!(registry.name(1, &text(10_000, 1000), &greedy).is_err(), "who holds most is refused");
    assert!(registry.bytes() <= 1_000_000);
    drop(taken);
    assert!(fill(&other, 30_000).len() > 400, "what is free is anybody's");
    assert!(!its.is_empty());
}

#[test]
fn databases_that_no_file_names_count_while_they_hold_something() {
    let registry = Arc::new(StatementRegistry::default());
    registry.set_bytes_max(1_000_000);
    let databases: Vec<_> = (0..9).map(|_| database()).collect();
    let alone = registry.share();
    let names: Vec<_> = databases.iter().map(|db| registry.name(1, b"select 1\0\0\0", db)).collect();
    assert_eq!(registry.share(), alone / 10);
    drop(names);
    assert_eq!(registry.share(), alone);
}

proptest::proptest! {
    /// Texts are shared, names come and go: the total holds, and nobody is refused below its share.
    #[test]
    fn nobody_is_refused_below_its_share(
        steps in proptest::collection::vec((0..4_usize, 0..60_usize, 0..3_u8), 1..600),
    ) {
        let registry = Arc::new(StatementRegistry::default());
        registry.set_bytes_max(60_000);
        registry.set_databases(4);
        let databases: Vec<_> = (0..4).map(|_| database()).collect();
        let mut held: Vec<Vec<Named>> = (0..4).map(|_| Vec::new()).collect();
        for (at, number, what) in steps {
            if what == 0 && !held[at].is_empty() {
                let which = number % held[at].len();
                held[at].swap_remove(which);
                continue;
            }
            // Database 0 and 1 have the same texts, the others texts of their own.
            let rest = text(number + 100 * at.saturating_sub(1), 100 * (number % 16));
            let before = databases[at].statements().bytes();
            match registry.name(4, &rest, &databases[at]) {
                Ok(named) => held[at].push(named),
                Err(NoRoom) => {
                    let wanted = name_cost(4) + TEXT_COST + rest.len();
                    proptest::prop_assert!(before + wanted > registry.share(), "{before} and {wanted}");
                    proptest::prop_assert_eq!(before, databases[at].statements().bytes());
                }
            }
            proptest::prop_assert!(registry.bytes() <= 60_000);
        }
    }
}

#[test]
fn a_client_has_a_limit_of_its_own() {
    let (registry, db) = (Arc::new(StatementRegistry::default()), database());
    let mut client = ClientStatements::default();
    let rest = text(0, 1 << 20);
    let mut count = 0;
    let most = limits::CLIENT_STATEMENT_BYTES_MAX;
    let named = || registry.name(8, &rest, &db).unwrap();
    while client.insert(format!("s{count}").as_bytes(), named(), most).is_ok() {
        count += 1;
    }
    assert_eq!(count, most / (TEXT_COST + rest.len() + NAME_COST + 8));
    client.remove(b"s0");
    assert!(client.insert(b"s0", named(), most).is_ok());
    client.retain(&HashSet::new());
    assert_eq!((client.count(), client.bytes), (0, 0));
}

#[test]
fn workers_that_name_at_once_agree_on_the_sum() {
    let (registry, db) = (Arc::new(StatementRegistry::default()), database());
    registry.set_bytes_max(50_000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut names = Vec::new();
                for n in 0..2000 {
                    names.extend(registry.name(4, &text(n % 97, 300), &db));
                    if names.len() > 20 {
                        names.clear();
                    }
                }
            });
        }
    });
    assert_eq!(db.statements().bytes(), 0);
    let known: usize = registry
        .shards
        .iter()
        .flat_map(|s| lock(s).by_rest.iter().map(|k| text_cost(&k.0)).collect::<Vec<_>>())
        .sum();
    assert_eq!(registry.bytes(), known);
    assert_eq!(registry.unnamed_bytes.load(Ordering::Relaxed), known);
}

#[test]
fn the_least_recently_used_goes_first() {
    let [a, b, c] = [1, 2, 3].map(StatementId);
    let mut server = ServerStatements::default();
    [a, b, c].into_iter().for_each(|statement| server.insert(statement));
    assert!(server.touch(a));
    assert_eq!(server.evict(2), Some(b));
    assert_eq!(server.evict(2), None);
    server.insert(b);
    assert_eq!(server.count(), 3);
}
