//! Servers are renewed under load: no client notices, no login too many, and no transaction begins on a
//! server that was authorised longer ago than `iam_max_age` (case 19).
//!
//! The age is PostgreSQL's own: when the transaction began, less when the verifier let that very backend in,
//! both by the same clock; and, as an upper bound of it, less `pg_stat_activity.backend_start`. Usually 25 s
//! with an age of 10 s; `PGWEIR_LOAD_SECONDS=120` is the run of two minutes with an age of 30 s.

use crate::cases::{Case, Server};
use crate::common::story::Story;
use crate::common::{Pooler, load_time, programs, raw, wait_until};
use crate::rig::{Rds, Verdict, attempt};
use std::time::{Duration, Instant};

/// `iam_login_rate`.
const RATE: u32 = 5;

const POOL_SIZE: usize = 8;

/// Every transaction notes where it ran and how old its backend was then; some take a
/// while between two statements.
const SCRIPT: &str = "\\set long random(1, 20)
begin;
insert into ages select pg_backend_pid(), extract(epoch from now()), extract(epoch from now() - backend_start)
    from pg_stat_activity where pid = pg_backend_pid();
select pg_sleep(case when :long = 1 then 0.2 else 0 end);
select count(*) from generate_series(1, 10);
commit;
";

/// One transaction as it noted itself.
struct Noted {
    pid: u32,
    began_s: f64,
    session_age_s: f64,
}

fn noted(rds: &Rds) -> Vec<Noted> {
    let text = rds.psql("app", "select pid, began, session_age from ages");
    let row = |line: &str| {
        let cells: Vec<f64> = line.split('|').map(|cell| cell.parse().expect("a number")).collect();
        Noted { pid: cells[0] as u32, began_s: cells[1], session_age_s: cells[2] }
    };
    text.lines().map(row).collect()
}

/// The age of the authorization under which a transaction began: a pid may have served
/// twice, the later login counts.
fn authorised_for(verdicts: &[Verdict], transaction: &Noted) -> f64 {
    let of_pid = verdicts.iter().filter(|verdict| verdict.pid == transaction.pid && verdict.code == 200);
    let at = of_pid.map(|verdict| verdict.at_s).filter(|at| *at <= transaction.began_s).fold(0.0, f64::max);
    assert!(at > 0.0, "backend {} was let in by nobody", transaction.pid);
    transaction.began_s - at
}

/// Most logins within any second.
fn busiest_second(verdicts: &[Verdict]) -> usize {
    let begins = verdicts.iter().map(|first| first.at_s);
    let within = |from: f64| verdicts.iter().filter(|next| (from..from + 1.0).contains(&next.at_s)).count();
    begins.map(within).max().unwrap_or(0)
}

#[test]
fn a_loaded_pool_is_renewed_again_and_again_and_nobody_notices() {
    let span = load_time(25);
    let max_age = if span >= Duration::from_secs(120) { 30 } else { 10 };
    let Some(rds) = Rds::start() else { return };
    rds.psql(
        "app",
        "create unlogged table ages (pid int, began numeric, session_age numeric); grant all on ages to \
         public",
    );
    let text = format!(
        "{} iam_credential_source=env iam_max_age={max_age} iam_login_rate={RATE} pool_size={POOL_SIZE}",
        rds.database()
    );
    let pooler = rds.pooler().database_at("app", &text).start();
    let case = Case::of(&rds, &pooler);
    let script = pooler.directory().join("ages.sql");
    std::fs::write(&script, SCRIPT).expect("the directory is ours");
    let mut pgbench = std::process::Command::new(programs::postgres("pgbench"));
    let seconds = span.as_secs().to_string();
    pgbench
        .args(["-h", "127.0.0.1", "-p", &pooler.port.to_string(), "-U", "app", "-n", "-c", "16", "-j", "2"])
        .args(["-R", "300", "-T", &seconds, "-f"])
        .arg(&script)
        .arg("app");
    // Beside it, a transaction that lasts longer than any authorization: it is never cut.
    let (said, most) = std::thread::scope(|scope| {
        let load = scope.spawn(|| programs::run(&mut pgbench));
        let mut long = pooler.client();
        assert_eq!(long.simple("begin").status, Some(b'T'));
        let (begun, mut most) = (Instant::now(), 0);
        wait_until("the load is there", || rds.backends("app").len() > 1);
        while !load.is_finished() {
            most = most.max(rds.backends("app").len());
            if begun.elapsed() < span {
                assert_eq!(long.simple("select 1").status, Some(b'T'), "after {:?}", begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(long.simple("commit").commands, ["COMMIT"]);
        (load.join().expect("no transaction failed"), most)
    });
    assert!(said.contains("number of failed transactions: 0"), "{said}");
    assert!(!said.contains("ERROR") && !said.contains("FATAL") && !said.contains("aborted"), "{said}");
    println!("{}", judge(&rds, max_age, span, most));
    let told = case.is(&Story::FINE, &Server::FINE);
    // The first servers are all as old: some grow too old before it is their turn.
    assert!(told.number("renewed") > 0, "servers were replaced in time: {told:?}");
    let begun = |edge_s| told.no_older_than("pgweir_backend_auth_age_seconds", edge_s);
    assert!(begun("+Inf").is_some_and(|count| count > 1000.0), "all transactions are in the metric");
    assert_eq!(begun(&max_age.to_string()), begun("+Inf"), "none of them began beyond the limit");
    assert!(
        told.number("over_age") >= 1 && told.number("extended") == 0,
        "the long one was noticed: {told:?}"
    );
    wait_until("its server is gone, and no other is as old", || {
        let told = Story::FINE.told_by(&pooler);
        told.number("sv_past_hard_age") == 0 && told.number("auth_age") <= max_age.into()
    });
}

/// Panics when a bound was passed; else tells how far from it all stayed.
fn judge(rds: &Rds, max_age: u32, span: Duration, most: usize) -> String {
    let (verdicts, transactions) = (rds.verdicts(), noted(rds));
    let ages = transactions.iter().map(|transaction| authorised_for(&verdicts, transaction));
    let oldest = ages.fold(0.0, f64::max);
    let session = transactions.iter().map(|transaction| transaction.session_age_s).fold(0.0, f64::max);
    let busiest = busiest_second(&verdicts);
    let generations = verdicts.len() / POOL_SIZE;
    assert!(transactions.len() > 1000, "there was a load");
    assert!(verdicts.iter().all(|verdict| verdict.code == 200), "{verdicts:?}");
    assert!(oldest <= f64::from(max_age), "a transaction began {oldest} s after its server's login");
    assert!(session <= f64::from(max_age) + 1.0, "a transaction began {session} s into a session");
    assert!(generations >= 2, "{} logins are no two generations", verdicts.len());
    assert!(busiest <= 2 * RATE as usize, "{busiest} logins within a second");
    let bound = f64::from(RATE) * (2.0 + span.as_secs_f64());
    assert!((verdicts.len() as f64) < bound, "{} logins", verdicts.len());
    assert!(most <= POOL_SIZE, "{most} servers");
    format!(
        "{} transactions, {} logins, {busiest} in the busiest second, oldest authorization {oldest:.2} s, \
         oldest session {session:.2} s, at most {most} servers",
        transactions.len(),
        verdicts.len()
    )
}

/// Clients that come again and again for `span`; the errors that they saw, with the time they came at.
fn visits(pooler: &Pooler, span: Duration) -> Vec<(Duration, String)> {
    let begun = Instant::now();
    let mut clients: Vec<_> = (0..6).map(|_| pooler.client()).collect();
    let mut errors = Vec::new();
    while begun.elapsed() < span {
        for client in &mut clients {
            client.send(&raw::query("select pg_sleep(0.05)"));
        }
        for client in &mut clients {
            let outcome = client.outcome();
            errors.extend(outcome.errors.iter().map(|error| (begun.elapsed(), error.clone())));
            if outcome.status.is_none() {
                return errors;
            }
        }
    }
    errors
}

#[test]
fn while_iam_fails_old_servers_serve_on_unless_the_lifetime_is_strict() {
    const MAX_AGE_S: u64 = 10;
    let Some(rds) = Rds::start() else { return };
    for (strict, is_served) in [(0, true), (1, false)] {
        let text = format!(
            "{} iam_credential_source=env iam_max_age={MAX_AGE_S} pool_size=3 iam_strict_lifetime={strict}",
            rds.database()
        );
        let pooler = rds.pooler().set("iam_all_denied", "service").database_at("app", &text).start();
        assert_eq!(visits(&pooler, Duration::from_secs(1)), []);
        rds.behave("fault=1");
        let errors = visits(&pooler, Duration::from_secs(2 * MAX_AGE_S));
        if is_served {
            assert_eq!(errors, [], "IAM fails, but the servers do not");
            assert!(!rds.backends("app").is_empty());
        } else {
            let soonest = Duration::from_secs(MAX_AGE_S - 3);
            assert!(errors.first().is_some_and(|(at, _)| *at > soonest), "strict: {errors:?}");
            assert!(rds.backends("app").is_empty(), "none is older than it may be");
        }
        rds.behave("");
        wait_until("it is renewed", || attempt(&pooler, "app", "app").is_ok());
    }
}

#[test]
fn a_session_goes_on_beyond_its_servers_age() {
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_max_age=10", rds.database());
    let pooler = rds.pooler().set("pool_mode", "session").database_at("app", &text).start();
    let mut client = pooler.client();
    client.simple("create temp table mine()");
    pooler.wait_for_log("authorization expired; kept until the session ends");
    assert_eq!(client.simple("select count(*) from mine").value(), "0");
    drop(client);
    wait_until("then it is closed", || rds.backends("app").is_empty());
    assert_eq!(pooler.log().matches("authorization expired; kept").count(), 1, "told once");
}

#[test]
fn the_only_server_that_a_pool_may_have_is_kept_while_iam_fails() {
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_max_age=10 pool_size=1", rds.database());
    let pooler = rds.pooler().set("iam_all_denied", "service").database_at("app", &text).start();
    assert_eq!(visits(&pooler, Duration::from_secs(1)), []);
    rds.behave("fault=1");
    assert_eq!(
        visits(&pooler, Duration::from_secs(20)),
        [],
        "it is known to fail before the server is given up"
    );
    rds.behave("");
    let old = rds.backends("app");
    wait_until("it is renewed", || {
        assert!(attempt(&pooler, "app", "app").is_ok());
        rds.backends("app") != old
    });
}
