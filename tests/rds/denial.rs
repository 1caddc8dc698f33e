//! A role that is denied, a service that is slow or busy: who notices, who does not, and how it ends (cases 5, 6, 13 and 18).

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, wait_until, wait_until_for};
use crate::rig::{Rds, attempt, whoami};
use std::time::{Duration, Instant};

/// The shortest `iam_max_age`.
const MAX_AGE: Duration = Duration::from_secs(10);

/// A pooler whose servers are renewed as often as may be.
fn short_lived(rds: &Rds, more: &str) -> Pooler {
    let age = MAX_AGE.as_secs();
    let text = format!("{} iam_credential_source=env iam_max_age={age} {more}", rds.database());
    rds.pooler().database_at("app", &text).start()
}

/// Waits until no backend of `app` is left but `kept`, then returns the verdicts' codes.
fn drains_to(rds: &Rds, kept: &[u32], patience: Duration) {
    wait_until_for("the pool drains", patience, || rds.backends("app") == kept);
}

/// One client in a transaction and one whose server is idle; the pid of the transaction's server.
fn busy_and_idle(pooler: &Pooler) -> (Raw, u32) {
    let mut busy = pooler.client();
    assert_eq!(busy.simple("begin").status, Some(b'T'));
    let pid = busy.simple("select pg_backend_pid()").value().parse().expect("a pid");
    assert_eq!(whoami(pooler, "app"), "app");
    (busy, pid)
}

fn served_again(pooler: &Pooler) {
    wait_until("the role is served again, without a reload", || attempt(pooler, "app", "app").is_ok());
}

#[test]
fn a_role_that_left_rds_iam_keeps_its_transactions_and_loses_its_servers() {
    let Some(rds) = Rds::start() else { return };
    let pooler = short_lived(&rds, "");
    let (mut busy, pid) = busy_and_idle(&pooler);
    rds.psql("postgres", "revoke rds_iam from app");
    drains_to(&rds, &[pid], 3 * MAX_AGE);
    pooler.wait_for_log("role app is not a member of rds_iam: the server asked for SCRAM");
    pooler.wait_for_log("GRANT rds_iam TO \"app\"");
    let error = attempt(&pooler, "app", "app").unwrap_err();
    assert!(error.contains("rds_iam") || error.contains("login"), "{error}");
    assert_eq!(busy.simple("select 1").status, Some(b'T'), "its transaction was not cut");
    assert_eq!(busy.simple("commit").commands, ["COMMIT"]);
    drains_to(&rds, &[], MAX_AGE);
    assert_eq!(rds.codes("app"), [200; 2], "no token was sent into a request for SCRAM");
    rds.psql("postgres", "grant rds_iam to app");
    served_again(&pooler);
    assert_eq!(busy.simple("select 2").value(), "2", "the client itself was never cut");
}

#[test]
fn a_revoked_permission_ends_the_pool_once_it_is_proven_and_not_before() {
    let Some(rds) = Rds::start() else { return };
    let pooler = short_lived(&rds, "");
    let (mut busy, pid) = busy_and_idle(&pooler);
    rds.behave("denied=app");
    let revoked = Instant::now();
    // a denial is believed after a minute of refusals: until then old servers serve on
    while revoked.elapsed() < Duration::from_secs(45) {
        assert_eq!(whoami(&pooler, "app"), "app", "{:?} after the revocation", revoked.elapsed());
        std::thread::sleep(Duration::from_millis(200));
    }
    drains_to(&rds, &[pid], Duration::from_secs(60));
    attempt(&pooler, "app", "app").unwrap_err();
    pooler.wait_for_log("because this principal may not");
    assert_eq!(busy.simple("select 1").status, Some(b'T'));
    assert_eq!(busy.simple("commit").commands, ["COMMIT"]);
    drains_to(&rds, &[], MAX_AGE);
    let refused = rds.codes("app").iter().filter(|code| **code == 403).count();
    assert!((3..=30).contains(&refused), "it is tried, but with pauses: {refused} times");
    rds.behave("");
    served_again(&pooler);
}

#[test]
fn on_denied_decides_what_becomes_of_the_servers() {
    let Some(rds) = Rds::start() else { return };
    let pooler = short_lived(&rds, "iam_on_denied=keep");
    // servers of a pool without a client would be given up instead of replaced
    let mut held = pooler.client();
    assert_eq!(held.simple("select current_user").value(), "app");
    rds.psql("postgres", "revoke rds_iam from app");
    let begun = Instant::now();
    while begun.elapsed() < 2 * MAX_AGE {
        assert_eq!(whoami(&pooler, "app"), "app", "keep, after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(pooler.log().contains("is not a member of rds_iam"), "a renewal was tried:\n{}", pooler.log());
    rds.psql("postgres", "grant rds_iam to app");
    drop((held, pooler));
    let pooler = short_lived(&rds, "iam_on_denied=drop_now pool_size=5");
    let (mut busy, pid) = busy_and_idle(&pooler);
    rds.psql("postgres", "revoke rds_iam from app");
    // a second transaction makes the pool want a server more, and so a login that is denied
    let mut third = pooler.client();
    assert_eq!(third.simple("begin").status, Some(b'T'));
    let mut fourth = pooler.client();
    fourth.send(&raw::query("select 1"));
    pooler.wait_for_log("is not a member of rds_iam");
    assert_eq!(third.simple("commit").commands, ["COMMIT"]);
    drains_to(&rds, &[pid], MAX_AGE / 2);
    assert_eq!(busy.simple("commit").commands, ["COMMIT"]);
}

#[test]
fn a_role_that_is_permitted_later_is_served_without_a_reload() {
    let Some(rds) = Rds::start() else { return };
    rds.behave("denied=app");
    let pooler = rds.pooler().start();
    attempt(&pooler, "app", "app").unwrap_err();
    rds.behave("");
    served_again(&pooler);
}

#[test]
fn a_slow_service_holds_up_only_those_who_need_it() {
    let Some(rds) = Rds::start() else { return };
    rds.behave("delay_ms=8000\nonly=app");
    let pooler = rds.pooler().set("iam_login_timeout", 2).start();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| attempt(&pooler, "app", "app"));
        wait_until("its login is under way", || rds.log().contains("connection received"));
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(whoami(&pooler, "reader"), "reader");
            assert!(begun.elapsed() < Duration::from_secs(2), "another role waited {:?}", begun.elapsed());
        }
        let end = slow.join().expect("it came to an end");
        assert!(end.is_err(), "{end:?}");
    });
    pooler.wait_for_log("closing because: connect timeout");
    rds.behave("");
    served_again(&pooler);
}

#[test]
fn a_server_that_hangs_up_over_a_token_is_no_denial() {
    let Some(rds) = Rds::start_with("authentication_timeout = '2s'") else { return };
    rds.behave("delay_ms=3000\nonly=app");
    let pooler = rds.pooler().start();
    let _ = attempt(&pooler, "app", "app");
    pooler.wait_for_log("hung up over the token of role app: IAM was slow");
    rds.behave("");
    served_again(&pooler);
}

#[test]
fn a_storm_of_clients_logs_in_at_the_pace_of_the_budget() {
    const DATABASES: usize = 10;
    const CLIENTS: usize = 500;
    const RATE: u32 = 5;
    let Some(rds) = Rds::start() else { return };
    // A full bucket and a second's worth may be sent within a second; on a busy machine more arrive within one.
    rds.behave(&format!("limit={}", 4 * RATE));
    let text = format!("{} iam_credential_source=env iam_login_rate={RATE} pool_size=4", rds.database());
    let mut setup = rds.pooler();
    for number in 0..DATABASES {
        setup = setup.database_at(&format!("app{number}"), &text);
    }
    let pooler = setup.set("query_wait_timeout", 60).start();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let database = format!("app{}", number % DATABASES);
                let pooler = &pooler;
                let visit = move || {
                    let mut raw = Raw::log_in(pooler.port, "app", &database);
                    raw.simple("select pg_sleep(0.1)").errors
                };
                let thread = std::thread::Builder::new().stack_size(512 << 10);
                thread.spawn_scoped(scope, visit).expect("a thread for each client")
            })
            .collect();
        for client in clients {
            assert_eq!(client.join().expect("it came through"), Vec::<String>::new());
        }
    });
    let took = begun.elapsed();
    let verdicts = rds.verdicts();
    assert!(verdicts.iter().all(|verdict| verdict.code == 200), "nobody was throttled: {verdicts:?}");
    assert!(verdicts.len() >= DATABASES, "each pool has a server");
    let bound = f64::from(RATE) * (1.0 + took.as_secs_f64());
    assert!(verdicts.len() as f64 <= bound, "{} logins in {took:?}", verdicts.len());
    assert!(!pooler.log().contains("28000"), "{}", pooler.log());
}
