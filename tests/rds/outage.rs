//! While logins fail and old servers serve on, nothing that an operator asks for takes those servers away,
//! unless it is that very thing.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, wait_until};
use crate::rig::{Rds, attempt, whoami};
use std::time::{Duration, Instant};

/// A pooler whose only server is older than it may be, and serves on since IAM fails; a client that keeps the
/// pool in use, and the server.
fn kept(rds: &Rds) -> (Pooler, Raw, Vec<u32>) {
    let text = format!("{} iam_credential_source=env iam_max_age=10 pool_size=1", rds.database());
    let pooler =
        rds.pooler().set("iam_all_denied", "service").database_at("app", &text).database_at("beside", &text);
    let pooler = pooler.start();
    let mut client = pooler.client();
    assert_eq!(client.simple("select current_user").value(), "app");
    let kept = rds.backends("app");
    rds.behave("fault=1");
    wait_until("a transaction ended beyond the hard age", || {
        assert_eq!(whoami(&pooler, "app"), "app");
        let rows = pooler.ask("show iam").records();
        let row = rows.iter().find(|row| row["database"] == "app" && row["user"] == "app");
        row.is_some_and(|row| row["extended"] != "0")
    });
    (pooler, client, kept)
}

#[test]
fn a_refresh_or_a_reconnect_of_another_database_keeps_what_works() {
    let Some(rds) = Rds::start() else { return };
    let (pooler, _client, kept) = kept(&rds);
    for command in ["iam refresh", "iam refresh app", "reconnect beside"] {
        let tries = rds.codes("app").len();
        assert!(pooler.ask(command).errors.is_empty(), "{command}");
        let begun = Instant::now();
        // It is tried at once, in vain.
        while rds.codes("app").len() == tries || begun.elapsed() < Duration::from_secs(2) {
            assert_eq!(whoami(&pooler, "app"), "app", "{command}, {:?} later", begun.elapsed());
        }
        assert_eq!(rds.backends("app"), kept, "{command}");
    }
    rds.behave("");
    wait_until("it is renewed", || attempt(&pooler, "app", "app").is_ok() && rds.backends("app") != kept);
}

#[test]
fn a_pool_is_not_emptied_when_logins_work_again() {
    const SERVERS: usize = 6;
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_max_age=10 pool_size={SERVERS}", rds.database());
    let pooler = rds.pooler().set("iam_all_denied", "service").database_at("app", &text).start();
    let mut clients: Vec<_> = (0..SERVERS).map(|_| pooler.client()).collect();
    let mut round = || {
        clients.iter_mut().for_each(|client| client.send(&raw::query("select pg_sleep(0.02)")));
        for client in &mut clients {
            assert_eq!(client.outcome().errors, [""; 0]);
        }
        rds.backends("app")
    };
    wait_until("all servers are there", || round().len() == SERVERS);
    rds.behave("fault=1");
    let column = |name: &str| {
        let rows = pooler.ask("show iam").records();
        rows.into_iter().find(|row| row["user"] == "app").map_or(String::new(), |row| row[name].clone())
    };
    wait_until("all are beyond their hard age", || {
        round();
        column("sv_past_hard_age") == SERVERS.to_string()
    });
    let kept = rds.backends("app");
    rds.behave("");
    let mut least = SERVERS;
    wait_until("all are replaced", || {
        let now = round();
        least = least.min(now.len());
        now.len() == SERVERS && now.iter().all(|pid| !kept.contains(pid))
    });
    assert!(least >= SERVERS - 1, "it fell to {least} of {SERVERS}");
    assert_eq!(pooler.log().matches("authorization too old").count(), 0, "none was closed without another");
    wait_until("the usual pace is back", || column("stance") == "renew");
}
