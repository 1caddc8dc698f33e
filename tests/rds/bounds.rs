//! How old a server's login is when the last transaction of a revoked role begins on it, for each choice that
//! an operator has (the table of `docs/iam.md`, here with the shortest `iam_max_age`).
//!
//! The age is PostgreSQL's own: when the transaction began, less `pg_stat_activity.backend_start`. Where
//! servers are dropped at a verdict, it is how long after that the last transaction began instead.

use crate::common::raw::Raw;
use crate::common::{Pooler, PoolerSetup, wait_until, wait_until_for};
use crate::fake::{FakeAws, Service::Sts};
use crate::rig::{Rds, attempt, whoami};
use std::time::{Duration, Instant};

/// `iam_max_age`, in seconds.
const MAX_AGE_S: f64 = 10.0;

/// Of `iam_all_denied = deny_after`, in seconds.
const DENY_AFTER_S: f64 = 12.0;

/// For so long transactions are begun after the revocation: whoever is served at its
/// end is bounded by nothing.
const SPAN: Duration = Duration::from_secs(25);

/// How much later than it was let through a transaction may begin, on a busy machine.
const SLACK_S: f64 = 1.0;

/// How long a role may be served.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// Until its login is so old, in seconds.
    Age(f64),
    /// Until a second after the pooler was told.
    Told,
    /// To the end.
    None,
}

use Bound::{Age, None as NONE, Told};

const MAX_AGE: Bound = Age(MAX_AGE_S);

/// How a client was served.
#[derive(Debug)]
struct Served {
    /// How old the oldest login was on which a transaction of it began, in seconds.
    oldest_s: f64,
    /// When the last one was asked for.
    last_at: Instant,
}

/// When a pooler was told of the revocation, and how its clients were served.
type Measured = (Instant, Vec<Served>);

const AGE: &str =
    "select extract(epoch from now() - backend_start) from pg_stat_activity where pid = pg_backend_pid()";

/// Databases, each with its own choice of what becomes of servers.
const DATABASES: [(&str, &str); 5] = [
    ("drain", ""),
    ("strict", "iam_strict_lifetime=1"),
    ("drop", "iam_on_denied=drop_now"),
    ("keep", "iam_on_denied=keep"),
    ("keep_strict", "iam_on_denied=keep iam_strict_lifetime=1"),
];

/// A client that goes on as it has begun.
struct Client {
    raw: Raw,
    served: Served,
}

impl Client {
    /// One whose first transaction has begun.
    fn of(pooler: &Pooler, user: &str, database: &str) -> Self {
        let raw = Raw::log_in(pooler.port, user, database);
        let mut client = Self { raw, served: Served { oldest_s: 0.0, last_at: Instant::now() } };
        assert!(client.begins(), "nothing is revoked yet");
        client
    }

    /// Whether one more transaction begins.
    fn begins(&mut self) -> bool {
        let at = Instant::now();
        let outcome = self.raw.simple(AGE);
        if outcome.status.is_some() {
            let age_s = outcome.value().parse().expect("an age");
            self.served = Served { oldest_s: self.served.oldest_s.max(age_s), last_at: at };
        }
        outcome.status.is_some()
    }

    /// Begins a transaction every tenth of a second until `end`, or until it is turned away.
    fn go_on(mut self, end: Instant) -> Served {
        while Instant::now() < end && self.begins() {
            std::thread::sleep(Duration::from_millis(100));
        }
        self.served
    }
}

/// A pooler under `iam_all_denied`, with all [`DATABASES`], which have `more` in common, and one whose
/// servers are replaced every other second.
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

/// Has `revoke` done once each client has begun a transaction; it says when each pooler was told. How clients
/// were served, in the order of [`DATABASES`], of each pooler.
fn measure(poolers: &[Pooler], revoke: impl FnOnce() -> Vec<Instant>) -> Vec<Measured> {
    let clients = |pooler: &Pooler| DATABASES.map(|(name, _)| Client::of(pooler, "app", name));
    let clients: Vec<_> = poolers.iter().map(clients).collect();
    let others: Vec<_> = poolers.iter().map(|pooler| Client::of(pooler, "reader", "lively")).collect();
    let end = Instant::now() + SPAN;
    std::thread::scope(|scope| {
        let begin = |client: Client| scope.spawn(move || client.go_on(end));
        others.into_iter().for_each(|other| drop(begin(other)));
        let running: Vec<Vec<_>> =
            clients.into_iter().map(|of_one| of_one.into_iter().map(begin).collect()).collect();
        let told = revoke();
        assert_eq!(told.len(), poolers.len());
        let served = |client: std::thread::ScopedJoinHandle<'_, Served>| client.join().expect("it ends");
        let all = running.into_iter().map(|of_one| of_one.into_iter().map(served).collect());
        told.into_iter().zip(all).collect()
    })
}

/// Makes RDS behave so, and holds what is served to its bounds, both in the order of the
/// choices and of [`DATABASES`].
fn hold(who: &str, behaviour: &str, choices: &[(&str, [Bound; 5])]) {
    let Some(rds) = Rds::start() else { return };
    let start = |(choice, _): &(&str, _)| pooler(&rds, choice, "http://127.0.0.1:1", "").start();
    let poolers: Vec<_> = choices.iter().map(start).collect();
    let measured = measure(&poolers, || {
        rds.behave(behaviour);
        vec![Instant::now(); choices.len()]
    });
    compare(who, choices, &measured);
}

fn compare(who: &str, choices: &[(&str, [Bound; 5])], measured: &[Measured]) {
    let mut wrong = Vec::new();
    for ((choice, bounds), (told, all)) in choices.iter().zip(measured) {
        for (((name, _), bound), served) in DATABASES.iter().zip(bounds).zip(all) {
            // How long after it was told, or before.
            let after_s = served.last_at.saturating_duration_since(*told).as_secs_f64()
                - told.saturating_duration_since(served.last_at).as_secs_f64();
            let age_s = served.oldest_s;
            let text =
                format!("{who}, iam_all_denied={choice}, {name}: age {age_s:.1} s, {after_s:.1} s after");
            eprintln!("{text}, bound {bound:?}");
            let is_held = match bound {
                Age(most_s) => MAX_AGE_S / 2.0 < age_s && age_s <= most_s + SLACK_S,
                Told => -1.0 < after_s && after_s <= 1.0 + SLACK_S,
                NONE => age_s > SPAN.as_secs_f64() - 5.0,
            };
            if !is_held {
                wrong.push(format!("{text}, bound {bound:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_revoked_role_begins_nothing_beyond_the_bound_of_each_choice() {
    // Where refusals of all may pass, that it is not all of them shows with the next login of another.
    let late = Age(MAX_AGE_S + 2.0);
    hold(
        "one role",
        "denied=app",
        &[
            ("iam_max_age", [MAX_AGE, MAX_AGE, MAX_AGE, NONE, NONE]),
            ("deny_after 12", [late, MAX_AGE, late, NONE, NONE]),
            ("service", [late, MAX_AGE, late, NONE, NONE]),
        ],
    );
}

#[test]
fn all_revoked_roles_begin_nothing_beyond_the_bound_of_each_choice() {
    let later = Age(MAX_AGE_S + DENY_AFTER_S);
    hold(
        "all roles",
        "denied=app\ndenied=reader",
        &[
            ("iam_max_age", [MAX_AGE, MAX_AGE, MAX_AGE, NONE, NONE]),
            // Its age comes before it counts as a denial.
            ("deny_after 12", [later, MAX_AGE, later, NONE, MAX_AGE]),
            ("service", [NONE, MAX_AGE, NONE, NONE, MAX_AGE]),
        ],
    );
}

#[test]
fn where_nobody_is_refused_and_no_login_succeeds_only_a_strict_lifetime_is_a_bound() {
    const SERVED: [Bound; 5] = [NONE, MAX_AGE, NONE, NONE, MAX_AGE];
    let choices = ["iam_max_age", "deny_after 12", "service"].map(|choice| (choice, SERVED));
    hold("no answer", "delay_ms=15000", &choices);
}

#[test]
fn a_role_of_aws_that_is_deleted_begins_nothing_beyond_the_age_whatever_the_choice() {
    const SERVED: [Bound; 5] = [MAX_AGE, MAX_AGE, MAX_AGE, NONE, NONE];
    let choices = ["iam_max_age", "deny_after 12", "service"].map(|choice| (choice, SERVED));
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    // So short that AWS is asked again, and says no, before a renewal is due.
    fake.set(Sts, "life_s=8");
    let role = "iam_role_arn=arn:aws:iam::123456789012:role/db";
    let start = |(choice, _): &(&str, _)| pooler(&rds, choice, &fake.url(), role).start();
    let poolers: Vec<_> = choices.iter().map(start).collect();
    let measured = measure(&poolers, || {
        fake.set(Sts, "status=403\ncode=AccessDenied");
        rds.behave("denied=app\ndenied=reader");
        vec![Instant::now(); choices.len()]
    });
    compare("a role of AWS", &choices, &measured);
    assert!(poolers[0].log().contains("AWS denied access"), "{}", poolers[0].log());
}

#[test]
fn what_the_server_said_bounds_servers_although_something_else_goes_wrong_after_it() {
    const SERVED: [Bound; 5] = [MAX_AGE, MAX_AGE, Told, NONE, NONE];
    let choices = ["iam_max_age", "service"].map(|choice| (choice, SERVED));
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_max_age={MAX_AGE_S}", rds.database());
    let start = |(choice, _): &(&str, _)| {
        let setup = pooler(&rds, choice, "http://127.0.0.1:1", "").set("iam_login_timeout", 1);
        setup.database_at("beside", &text).start()
    };
    let poolers: Vec<_> = choices.iter().map(start).collect();
    let measured = measure(&poolers, || {
        rds.psql("postgres", "revoke rds_iam from app");
        let tell = |pooler: &Pooler| {
            attempt(pooler, "app", "beside").expect_err("the server says so");
            pooler.wait_for_log("is not a member of rds_iam");
            Instant::now()
        };
        let told = poolers.iter().map(tell).collect();
        // From now on no verdict comes in time.
        rds.behave("delay_ms=15000\nonly=app");
        rds.psql("postgres", "grant rds_iam to app");
        told
    });
    compare("the server's word, then no answer", &choices, &measured);
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
    // Somebody who wants a server more is refused; the one that works is young.
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
