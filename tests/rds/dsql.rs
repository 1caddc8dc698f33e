//! Logins to Aurora DSQL (`server_auth = dsql_iam`): other words under the same signature, one
//! database, sessions of an hour.

use crate::common::certs::{RDS_HOST, certs};
use crate::common::raw::Raw;
use crate::common::{Pooler, PoolerSetup, programs};
use crate::rig::{KEY, Rds, SECRET, attempt, whoami};

const CLUSTER: &str = "foo0bar1baz2qux3.dsql.us-east-1.on.aws";

/// A rig that takes tokens as the cluster does; `more` are lines of its behaviour.
fn behave(rds: &Rds, more: &str) {
    rds.behave(&format!("endpoint={CLUSTER}\nregion=us-east-1\n{more}"));
}

fn rig() -> Option<Rds> {
    let rds = Rds::start()?;
    rds.psql("postgres", "create role admin login in role rds_iam");
    behave(&rds, "");
    Some(rds)
}

/// The entry `app`, dialled as through a tunnel.
fn entry(rds: &Rds) -> String {
    format!(
        "host=127.0.0.1 port={} server_auth=dsql_iam iam_host={CLUSTER} tls_server_name={RDS_HOST} \
         server_tls_ca_file={} iam_credential_source=env",
        rds.port,
        certs().ca().display()
    )
}

fn setup(rds: &Rds, entry: &str) -> PoolerSetup {
    rds.bare_pooler()
        .database_at("app", entry)
        .environment("AWS_ACCESS_KEY_ID", KEY)
        .environment("AWS_SECRET_ACCESS_KEY", SECRET)
}

fn row_of(pooler: &Pooler, user: &str) -> std::collections::BTreeMap<String, String> {
    let outcome = pooler.ask("show iam");
    outcome.records().into_iter().find(|row| row["user"] == user).unwrap_or_else(|| panic!("{outcome:?}"))
}

#[test]
fn each_role_is_let_in_by_its_own_action() {
    let Some(rds) = rig() else { return };
    let pooler = setup(&rds, &entry(&rds)).start();
    for user in ["app", "admin"] {
        assert_eq!(whoami(&pooler, user), user);
        assert_eq!(rds.codes(user), [200], "{:?}", rds.verdicts());
        let mut client = Raw::log_in(pooler.port, user, "app");
        assert_eq!(client.simple("select current_database()").value(), "postgres");
    }
    let row = row_of(&pooler, "admin");
    assert_eq!((&*row["endpoint"], &*row["region"]), (&*format!("{CLUSTER}:{}", rds.port), "us-east-1"));
}

#[test]
fn a_role_that_may_not_is_told_what_dsql_wants() {
    let Some(rds) = rig() else { return };
    behave(&rds, "denied=app\ndenied=admin\n");
    for (user, next) in [("app", "check dsql:DbConnect in"), ("admin", "check dsql:DbConnectAdmin in")] {
        // Each alone: two roles that are refused might be a fault of the service.
        let pooler = setup(&rds, &entry(&rds)).start();
        attempt(&pooler, user, "app").unwrap_err();
        let row = row_of(&pooler, user);
        assert!(row["last_error"].contains(next), "{row:?}");
    }
}

#[test]
fn what_a_cluster_has_not_is_refused_at_load() {
    let Some(rds) = rig() else { return };
    let refused = |entry: &str| {
        let output = setup(&rds, entry).check(&[]);
        assert!(!output.status.success());
        programs::said(&output)
    };
    let dsql = entry(&rds);
    for (entry, why) in [
        (format!("{dsql} dbname=app"), "the one database of Aurora DSQL is postgres"),
        (format!("{dsql} iam_max_age=3600"), "a whole number from 10 to 3300"),
        (format!("{dsql} iam_port=5432"), "no port is signed"),
        (dsql.replace(&format!("iam_host={CLUSTER} "), ""), "Aurora DSQL listens on 5432"),
    ] {
        assert!(refused(&entry).contains(why), "{entry}\n{}", refused(&entry));
    }
}
