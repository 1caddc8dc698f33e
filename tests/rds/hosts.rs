//! Entries with several hosts, of which some refuse.

use crate::common::Pooler;
use crate::common::certs::{RDS_HOST, certs};
use crate::common::skip::skip;
use crate::rig::{REGION, Rds, attempt, preloaded, refused_with};

/// A pooler whose hosts are both this rig, each with tokens of its own.
fn pooler(rds: &Rds, hosts: &str, balance: &str) -> Result<Pooler, String> {
    let names = preloaded("tests/rds/names.c")?;
    let text = format!(
        "host={hosts} port={} dbname=app server_auth=rds_iam iam_region={REGION} iam_credential_source=env \
         iam_max_age=10 load_balance_hosts={balance} tls_server_name={RDS_HOST} server_tls_ca_file={}",
        rds.port,
        certs().ca().display()
    );
    let setup = rds.pooler().database_at("app", &text);
    Ok(setup.environment("LD_PRELOAD", names.display().to_string()).start())
}

/// Lets tokens of these hosts in, and of no other.
fn let_in(rds: &Rds, hosts: &[&str]) {
    let lines: Vec<_> = hosts.iter().map(|host| format!("endpoint={host}:{}", rds.port)).collect();
    rds.behave(&lines.join("\n"));
}

#[test]
fn one_host_that_lets_in_is_enough() {
    let Some(rds) = Rds::start() else { return };
    let (one, two) = ("one.rds.test", "two.rds.test");
    for (first, balance) in [(one, "round-robin"), (two, "round-robin"), (one, "disable"), (two, "disable")] {
        let at = format!("{first} goes first, {balance}");
        let_in(&rds, &[two]);
        let hosts = if first == one { [one, two] } else { [two, one] };
        let pooler = match pooler(&rds, &hosts.join(","), balance) {
            Ok(pooler) => pooler,
            Err(why) => return skip(&why).unwrap_or(()),
        };
        let served = |when: &str| {
            for _ in 0..4 {
                assert_eq!(attempt(&pooler, "app", "app").as_deref(), Ok("app"), "{at}: {when}");
                pooler.ask("reconnect");
            }
        };
        served("one has refused from the start");
        let_in(&rds, &[one, two]);
        pooler.ask("iam refresh");
        served("both let in");
        let_in(&rds, &[one]);
        served("the other refuses what it has taken");
        let_in(&rds, &["elsewhere"]);
        pooler.ask("reconnect");
        refused_with(&pooler, "app", "app", "the token for role app was refused");
    }
}
