//! `application_name_template`: PostgreSQL knows for whom each of its sessions works.

use crate::common::raw::Raw;
use crate::common::{Pooler, PoolerSetup, postgres};
use std::thread;

const SEEN: &str = "select application_name from pg_stat_activity where pid = pg_backend_pid()";

fn client(pooler: &Pooler, own: &str) -> Raw {
    Raw::log_in_with(pooler.port, &[("user", "app"), ("database", "app"), ("application_name", own)])
}

/// What the session of SHOW CLIENTS' row with this name is called by us: `%s` without the run.
fn number(pooler: &Pooler, own: &str) -> String {
    let rows = pooler.ask("show clients").records();
    let row = rows.iter().find(|row| row["application_name"] == own).expect("it is there");
    format!("{:x}", row["id"].parse::<u64>().expect("a number"))
}

#[test]
fn each_statement_of_many_clients_on_few_servers_runs_under_its_clients_name() {
    let pooler = PoolerSetup::new(postgres())
        .database("app", "pool_size=2")
        .set("application_name_template", "%a|%u|%s")
        .start();
    thread::scope(|scope| {
        for number in 0..8 {
            let pooler = &pooler;
            scope.spawn(move || {
                let own = format!("worker {number}");
                let mut client = client(pooler, &own);
                let mut names = std::collections::BTreeSet::new();
                for _ in 0..100 {
                    names.insert(client.simple(SEEN).value());
                    let batch = client.ask(&[
                        crate::common::raw::parse("", SEEN),
                        crate::common::raw::bind("", &[]),
                        crate::common::raw::execute(),
                        crate::common::raw::sync(),
                    ]);
                    names.insert(batch.value());
                }
                let names: Vec<_> = names.into_iter().collect();
                assert!(names.len() == 1 && names[0].starts_with(&format!("{own}|app|")), "{names:?}");
            });
        }
    });
}

#[test]
fn a_client_sees_its_own_name_and_postgresql_both() {
    for mode in ["transaction", "session"] {
        let pooler = PoolerSetup::new(postgres())
            .set("pool_mode", mode)
            .set("application_name_template", "%a|%d|%p|%s")
            .start();
        let mut ada = client(&pooler, "ada");
        let own = |client: &Raw| {
            let mut all = client.parameters.iter().rev();
            all.find(|(name, _)| name == "application_name").map(|(_, value)| value.clone())
        };
        assert_eq!(own(&ada).as_deref(), Some("ada"));
        let seen = ada.simple(SEEN).value();
        let session = number(&pooler, "ada");
        assert!(seen.starts_with("ada|app|app|") && seen.ends_with(&format!(".{session}")), "{seen}");
        assert_eq!(ada.simple("show application_name").value(), seen);
        ada.simple("set application_name to 'eve'");
        assert_eq!(number(&pooler, "eve"), session);
        assert_eq!(ada.simple(SEEN).value(), seen.replace("ada", "eve"), "{mode}");
        ada.simple("begin");
        ada.simple("set local application_name to 'bob'");
        assert_eq!(ada.simple(SEEN).value(), "bob", "its own until the transaction is over");
        ada.simple("rollback");
        assert_eq!(ada.simple(SEEN).value(), seen.replace("ada", "eve"), "{mode}");
    }
}

#[test]
fn a_database_may_have_a_template_of_its_own_or_none() {
    let pooler = PoolerSetup::new(postgres())
        .database("app", "application_name_template='%a at %d'")
        .database("other", "application_name_template=%a")
        .set("application_name_template", "all")
        .start();
    let seen = |database| {
        let parameters = [("user", "app"), ("database", database), ("application_name", "ada")];
        Raw::log_in_with(pooler.port, &parameters).simple(SEEN).value()
    };
    assert_eq!((seen("app"), seen("other")), ("ada at app".to_owned(), "ada".to_owned()));
}
