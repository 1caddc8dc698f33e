//! Floods and slowness, each with a bound: many connections, many bytes, a server that stands still, a pooler that does.

use crate::common::raw::{Raw, bind, execute, parse, query, sync};
use crate::common::{PoolerSetup, postgres, programs, wait_until};
use crate::states::log_in;
use crate::wire::Wire;
use crate::witness::beside;
use std::process::Command;
use std::time::Duration;

fn setup() -> PoolerSetup {
    PoolerSetup::new(postgres())
        .set("workers", 2)
        .set("client_login_timeout", 3)
        .set("log_connections", 0)
        .database("quiet", "dbname=app pool_size=2")
        .database("evil", "dbname=app pool_size=2")
}

#[test]
fn connections_that_come_and_go_cost_others_nothing() {
    let mut pooler = setup().start();
    beside("comers and goers", &mut pooler, |pooler| {
        for _ in 0..10 {
            let half_open: Vec<Wire> = (0..100).map(|_| Wire::connect(pooler.port)).collect();
            drop(half_open);
        }
        (0..200).for_each(|_| log_in(&mut Wire::connect(pooler.port), "app", "evil"));
    });
}

#[test]
fn who_sends_one_byte_a_second_is_ended_and_named() {
    let mut pooler = setup().start();
    beside("slow logins", &mut pooler, |pooler| {
        let mut slow: Vec<Wire> = (0..100).map(|_| Wire::connect(pooler.port)).collect();
        slow.iter_mut().for_each(|wire| {
            wire.send(&[0, 0, 0]);
        });
        pooler.wait_for_log("client_login_timeout");
    });
}

#[test]
fn who_does_not_read_is_not_read_from() {
    let mut pooler = setup().start();
    beside("answers unread", &mut pooler, |pooler| {
        let mut deaf: Vec<Wire> = (0..6).map(|_| Wire::connect(pooler.port)).collect();
        for (number, wire) in deaf.iter_mut().enumerate() {
            let (user, database) = if number < 2 { ("admin", "pgbouncer") } else { ("app", "evil") };
            log_in(wire, user, database);
            let asked = match number {
                0 | 1 => query("show help"),
                2 | 3 => query("select repeat('x', 100000)"),
                _ => [parse("", "select 1"), bind("", &[]), execute(), sync()].concat(),
            };
            // up to 16 MiB of questions, each send at most a second
            let many = asked.repeat((1 << 20) / asked.len());
            (0..4).for_each(|_| {
                wire.send(&many);
            });
        }
        std::thread::sleep(Duration::from_millis(200));
    });
}

#[test]
fn many_statements_of_one_client_stay_within_the_bound() {
    let mut pooler = setup().set("max_prepared_statements", 100).start();
    beside("many statements", &mut pooler, |pooler| {
        let mut raw = Raw::log_in(pooler.port, "app", "evil");
        for round in 0..20 {
            let text = |number: usize| format!("select '{}{round}.{number}'", "x".repeat(20_000));
            let many: Vec<_> =
                (0..50).map(|number| parse(&format!("s{round}.{number}"), &text(number))).collect();
            let outcome = raw.ask(&[many.concat(), sync()]);
            assert!(outcome.status.is_none_or(|status| status == b'I'), "{:?}", outcome.errors);
            if outcome.status.is_none() {
                break; // ended for it: as good
            }
        }
    });
}

#[test]
fn a_server_that_stands_still_holds_up_its_own_clients_alone() {
    let mut pooler = setup().set("query_timeout", 2).start();
    beside("SIGSTOP of a backend", &mut pooler, |pooler| {
        let mut raw = Raw::log_in(pooler.port, "app", "evil");
        let pid = raw.simple("select pg_backend_pid()").value();
        let signal = |name: &str| programs::run(Command::new("kill").args(["-s", name, &pid]));
        signal("STOP");
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| raw.simple("select 1")));
        signal("CONT");
        let outcome = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert_eq!(outcome.status, None, "it is ended: {outcome:?}");
    });
    pooler.wait_for_log("query timeout");
}

#[test]
fn a_pooler_that_stood_still_goes_on() {
    let pooler = setup().start();
    let mut raw = Raw::log_in(pooler.port, "app", "quiet");
    for round in 0..5 {
        pooler.signal("STOP");
        raw.send(&query(&format!("select '{round}'")));
        pooler.signal("CONT");
        assert_eq!(raw.outcome().rows, [[Some(round.to_string())]]);
    }
    wait_until("it is at rest", || pooler.ask("show pools").errors.is_empty());
}
