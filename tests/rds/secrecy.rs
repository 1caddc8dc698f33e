//! No secret is seen: not in the log at its most talkative, not on the console, not on the page of metrics,
//! not in what is left of a process that was killed over a fault (case 22). The other tests' logs are
//! searched too, when their poolers end.

use crate::common::certs::certs;
use crate::common::memory::{places, process_memory};
use crate::common::skip::skip;
use crate::common::{Pooler, free_port, raw, secrets, wait_until};
use crate::fake::{FakeAws, Service::Imds};
use crate::rig::{Rds, attempt, whoami};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Everything that the console and the page show.
pub fn shown(pooler: &Pooler, metrics: u16) -> String {
    let mut console = pooler.console();
    console.send(&raw::query("show help"));
    let mut usage = String::new();
    while let Some(frame) = console.read().filter(|frame| frame.tag != b'Z') {
        usage += &String::from_utf8_lossy(&frame.body);
    }
    let mut all = usage.clone();
    let words: std::collections::BTreeSet<String> = usage
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .map(str::to_ascii_lowercase)
        .collect();
    assert!(words.contains("pools") && words.contains("config"), "the help names what can be shown: {usage}");
    for word in words {
        all += &format!("{word}: {:?}\n", console.simple(&format!("show {word}")));
    }
    let mut page = TcpStream::connect(("127.0.0.1", metrics)).expect("the page is served");
    write!(page, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    page.read_to_string(&mut all).expect("it answers");
    all
}

#[test]
fn no_output_shows_a_secret() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    let metrics = free_port();
    let imds = format!("{} iam_credential_source=imds", rds.database());
    let pooler = rds
        .pooler()
        .set("verbose", 3)
        .set("metrics_listen", format!("127.0.0.1:{metrics}"))
        .set("stats_period", 1)
        .database_at("by_imds", &imds)
        .database_at(
            "lost",
            &imds.replace(&certs().ca().display().to_string(), &certs().other_ca().display().to_string()),
        )
        .database_at("abroad", &format!("{imds} iam_region=us-gov-west-1"))
        .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())
        .start();
    assert_eq!(whoami(&pooler, "app"), "app");
    assert_eq!(attempt(&pooler, "app", "by_imds").as_deref(), Ok("app"));
    for database in ["lost", "abroad"] {
        attempt(&pooler, "app", database).unwrap_err();
    }
    fake.set(Imds, "garbage=1");
    rds.behave("denied=reader");
    let error = attempt(&pooler, "reader", "by_imds").unwrap_err();
    secrets::none_in("an error for a client", &error);
    wait_until("the page is served", || TcpStream::connect(("127.0.0.1", metrics)).is_ok());
    secrets::none_in("the console or the page", &shown(&pooler, metrics));
    pooler.overwrite("pgweir.ini", "[databases]\napp = server_auth=rds_iam password=hUsHhUsH\n[pgbouncer]\n");
    let refused = pooler.ask("reload");
    secrets::none_in("the answer to a reload", &format!("{refused:?}"));
    secrets::none_in("the log of the pooler", &pooler.log());
}

#[test]
fn no_token_stays_in_memory() {
    let Some(rds) = Rds::start() else { return };
    let pooler = rds.pooler().set("allow_core_dump", 1).start();
    let mut clients: Vec<_> = (0..4).map(|_| pooler.client()).collect();
    for client in &mut clients {
        client.simple("begin");
    }
    rds.behave("fault=1\nonly=reader");
    attempt(&pooler, "reader", "app").unwrap_err();
    assert!(rds.codes("reader").contains(&500) && rds.codes("app").len() >= 4);
    let Some(first) = process_memory(pooler.pid()) else {
        return skip("the memory of another process cannot be read here").unwrap_or(());
    };
    assert!(places(&first, "iam_credential_source").count() > 0, "it is the pooler's memory that was read");
    // What a login holds that still waits for fresh credentials goes when that is over.
    wait_until("no token is left in memory", || {
        process_memory(pooler.pid()).is_some_and(|memory| {
            // The signer's own words have no signature behind them.
            let is_token = |at: usize| {
                memory[at..].iter().take(64).filter(|byte| byte.is_ascii_hexdigit()).count() == 64
            };
            !places(&memory, "X-Amz-Signature=").any(is_token)
        })
    });
}
