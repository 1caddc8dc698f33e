//! How old a server's login is when the last transaction of a revoked role begins on it, for each choice that
//! an operator has (the table of `docs/iam.md`, here with the shortest `iam_max_age`).
//!
//! The age is PostgreSQL's own: when the transaction began, less `pg_stat_activity.backend_start`.

use crate::common::raw::Raw;
use crate::common::{Pooler, PoolerSetup, wait_until, wait_until_for};
use crate::fake::{FakeAws, Service::Sts};
use crate::rig::{Rds, attempt, whoami};
use std::time::{Duration, Instant};

/// `iam_max_age`, in seconds.
const MAX_AGE_S: f64 = 10.0;

/// Of `iam_all_denied = deny_after`, in seconds.
const DENY_AFTER_S: f64 = 8.0;

/// For so long transactions are begun after the revocation: whoever is served at its end is bounded by nothing.
const SPAN: Duration = Duration::from_secs(25);

/// How much later than it was let through a transaction may begin, on a busy machine.
const SLACK_S: f64 = 1.0;

/// No bound: it is served to the end.
const NONE: f64 = f64::INFINITY;

/// So old is a server that is dropped at the server's word, which comes as soon as all have logged in.
const AT_ONCE: f64 = 3.0;

const AGE: &str =
    "select extract(epoch from now() - backend_start) from pg_stat_activity where pid = pg_backend_pid()";

/// Databases, each with its own choice of what becomes of servers.
const DATABASES: [(&str, &str); 4] = [
    ("drain", ""),
    ("strict", "iam_strict_lifetime=1"),
    ("drop", "iam_on_denied=drop_now"),
    ("keep", "iam_on_denied=keep"),
];

/// Begins a transaction every tenth of a second until `end`, or until the client is turned away; how old the
/// oldest login was on which one began.
fn oldest(mut client: Raw, end: Instant) -> f64 {
    let mut oldest = 0.0_f64;
    while Instant::now() < end {
        let outcome = client.simple(AGE);
        if outcome.status.is_none() {
            return oldest;
        }
        oldest = oldest.max(outcome.value().parse().expect("an age"));
        std::thread::sleep(Duration::from_millis(100));
    }
    oldest
}

/// A pooler under `iam_all_denied`, with all [`DATABASES`], which have `more` in common, and one whose servers are
/// replaced every other second.
fn pooler(rds: &Rds, all_denied: &str, sts: &str, more: &str) -> PoolerSetup {
    let text = format!(
        "{} iam_credential_source=env iam_max_age={MAX_AGE_S} iam_login_rate=200 pool_size=1",
        rds.database()
    );
    let setup = rds.pooler().set("iam_all_denied", all_denied).set("query_wait_timeout", 2);
    let setup = setup.environment("AWS_ENDPOINT_URL_STS", sts);
    let setup = setup.database_at("lively", &format!("{text} server_lifetime=1"));
    let text = format!("{text} {more}");
    let add =
        |setup: PoolerSetup, (name, more): (&str, &str)| setup.database_at(name, &format!("{text} {more}"));
    DATABASES.into_iter().fold(setup, add)
}

/// Has `revoke` done; the ages, in the order of [`DATABASES`], of each pooler.
fn measure(poolers: &[Pooler], revoke: impl FnOnce()) -> Vec<Vec<f64>> {
    let clients = |pooler: &Pooler| {
        DATABASES.map(|(name, _)| {
            let mut client = Raw::log_in(pooler.port, "app", name);
            assert_eq!(client.simple("select current_user").value(), "app");
            client
        })
    };
    let clients: Vec<_> = poolers.iter().map(clients).collect();
    let others = poolers.iter().map(|pooler| Raw::log_in(pooler.port, "reader", "lively"));
    let others: Vec<_> = others.collect();
    let end = Instant::now() + SPAN;
    std::thread::scope(|scope| {
        others.into_iter().for_each(|other| drop(scope.spawn(move || oldest(other, end))));
        let begin = |client| scope.spawn(move || oldest(client, end));
        let running: Vec<Vec<_>> =
            clients.into_iter().map(|of_one| of_one.into_iter().map(begin).collect()).collect();
        revoke();
        let age = |client: std::thread::ScopedJoinHandle<'_, f64>| client.join().expect("it came to an end");
        running.into_iter().map(|of_one| of_one.into_iter().map(age).collect()).collect()
    })
}

/// Revokes what RDS lets in, and holds the ages to their bounds, both in the order of the choices and of
/// [`DATABASES`].
fn hold(who: &str, choices: &[(&str, [f64; 4])]) {
    let behaviour = if who == "all roles" { "denied=app\ndenied=reader" } else { "denied=app" };
    let Some(rds) = Rds::start() else { return };
    let start = |(choice, _): &(&str, _)| pooler(&rds, choice, "http://127.0.0.1:1", "").start();
    let poolers: Vec<_> = choices.iter().map(start).collect();
    compare(who, choices, &measure(&poolers, || rds.behave(behaviour)));
}

fn compare(who: &str, choices: &[(&str, [f64; 4])], measured: &[Vec<f64>]) {
    let mut wrong = Vec::new();
    for ((choice, bounds), ages) in choices.iter().zip(measured) {
        for (((name, _), bound), age) in DATABASES.iter().zip(bounds).zip(ages) {
            eprintln!("{who}, iam_all_denied={choice}, {name}: {age:.1} s of {bound}");
            let is_held = match bound.is_finite() {
                true => *age <= bound + SLACK_S && (*age > MAX_AGE_S / 2.0 || *bound == AT_ONCE),
                false => *age > SPAN.as_secs_f64() - 5.0,
            };
            if !is_held {
                wrong.push(format!("{who}, {choice}, {name}: {age:.1} s, bound {bound}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_revoked_role_begins_nothing_beyond_the_bound_of_each_choice() {
    // where refusals of all may pass, that it is not all of them shows with the next login of another
    let late = MAX_AGE_S + 2.0;
    hold(
        "one role",
        &[
            ("iam_max_age", [MAX_AGE_S, MAX_AGE_S, MAX_AGE_S, NONE]),
            ("deny_after 8", [late, MAX_AGE_S, late, NONE]),
            ("service", [late, MAX_AGE_S, late, NONE]),
        ],
    );
}

#[test]
fn all_revoked_roles_begin_nothing_beyond_the_bound_of_each_choice() {
    let later = MAX_AGE_S + DENY_AFTER_S;
    hold(
        "all roles",
        &[
            ("iam_max_age", [MAX_AGE_S, MAX_AGE_S, MAX_AGE_S, NONE]),
            ("deny_after 8", [later, MAX_AGE_S, later, NONE]),
            ("service", [NONE, MAX_AGE_S, NONE, NONE]),
        ],
    );
}

#[test]
fn a_role_of_aws_that_is_deleted_begins_nothing_beyond_the_age_whatever_the_choice() {
    const CHOICES: [(&str, [f64; 4]); 3] = [
        ("iam_max_age", [MAX_AGE_S, MAX_AGE_S, MAX_AGE_S, NONE]),
        ("deny_after 8", [MAX_AGE_S, MAX_AGE_S, MAX_AGE_S, NONE]),
        ("service", [MAX_AGE_S, MAX_AGE_S, MAX_AGE_S, NONE]),
    ];
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    // so short that AWS is asked again, and says no, before a renewal is due
    fake.set(Sts, "life_s=8");
    let role = "iam_role_arn=arn:aws:iam::123456789012:role/db";
    let start = |(choice, _): &(&str, _)| pooler(&rds, choice, &fake.url(), role).start();
    let poolers: Vec<_> = CHOICES.iter().map(start).collect();
    let measured = measure(&poolers, || {
        fake.set(Sts, "status=403\ncode=AccessDenied");
        rds.behave("denied=app\ndenied=reader");
    });
    compare("a role of AWS", &CHOICES, &measured);
    assert!(poolers[0].log().contains("AWS denied access"), "{}", poolers[0].log());
}

#[test]
fn what_the_server_said_bounds_servers_although_something_else_goes_wrong_after_it() {
    const CHOICES: [(&str, [f64; 4]); 2] = [
        ("iam_max_age", [MAX_AGE_S, MAX_AGE_S, AT_ONCE, NONE]),
        ("service", [MAX_AGE_S, MAX_AGE_S, AT_ONCE, NONE]),
    ];
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_max_age={MAX_AGE_S}", rds.database());
    let start = |(choice, _): &(&str, _)| {
        let setup = pooler(&rds, choice, "http://127.0.0.1:1", "").set("iam_login_timeout", 1);
        setup.database_at("beside", &text).start()
    };
    let poolers: Vec<_> = CHOICES.iter().map(start).collect();
    let measured = measure(&poolers, || {
        rds.psql("postgres", "revoke rds_iam from app");
        for pooler in &poolers {
            attempt(pooler, "app", "beside").expect_err("the server says so");
            pooler.wait_for_log("is not a member of rds_iam");
        }
        // from now on no verdict comes in time
        rds.behave("delay_ms=15000\nonly=app");
        rds.psql("postgres", "grant rds_iam to app");
    });
    compare("the server's word, then no answer", &CHOICES, &measured);
}

#[test]
fn drop_now_drops_within_a_second_of_the_verdict() {
    const PROOF_S: f64 = 6.0;
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_max_age=60 iam_on_denied=drop_now", rds.database());
    let pooler = rds.pooler().database_at("app", &text).database_at("beside", &text).start();
    assert_eq!(whoami(&pooler, "app"), "app");
    rds.behave("denied=app");
    let served_s =
        || attempt(&pooler, "app", "app").map(|_| rds.psql("postgres", "select extract(epoch from now())"));
    // somebody who wants a server more is refused; the one that works is young
    attempt(&pooler, "app", "beside").expect_err("it is refused");
    let mut last_s = 0.0_f64;
    wait_until_for("its server is dropped", Duration::from_secs(30), || {
        if let Ok(at) = served_s() {
            last_s = at.parse().expect("a time");
        }
        rds.backends("app").is_empty()
    });
    let refused: Vec<f64> =
        rds.verdicts().iter().filter(|verdict| verdict.code == 403).map(|verdict| verdict.at_s).collect();
    let proven_s =
        refused.iter().find(|at| **at >= refused[0] + PROOF_S - 0.1).expect("the one that proves it");
    assert!(last_s <= proven_s + 1.0, "served {:.2} s after the verdict", last_s - proven_s);
    assert!(last_s > refused[0], "it was served until then");
    rds.behave("");
    wait_until("it is served again", || attempt(&pooler, "app", "app").is_ok());
}
