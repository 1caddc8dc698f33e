//! A role that is denied, a service that is slow or busy: who notices, who does not, and how it ends
//! (cases 5, 6, 13 and 18).

use crate::cases::{Case, Server};
use crate::common::raw::{self, Raw};
use crate::common::story::{SOME, Story};
use crate::common::{Pooler, PoolerSetup, account, page, reaper, wait_until, wait_until_for};
use crate::detour::Detour;
use crate::rig::{Rds, SECRET, attempt, refused_with, whoami};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// What is told of `app` while it is denied, and afterwards.
const DENIED: Story<'static> = Story {
    class: "denied",
    last_error: "",
    failed: &[("denied", SOME)],
    stance: "keep_to_hard_age",
    ..Story::FINE
};

const HUNG_UP: &str = "the server closed the connection while it checked the token of role app: IAM was slow";

/// What is told of `app` while its logins end without a verdict.
const UNREACHABLE: Story<'static> = Story {
    class: "unreachable",
    last_error: HUNG_UP,
    ok: 0..=0,
    failed: &[("unreachable", SOME)],
    stance: "keep_on",
    ..Story::FINE
};

fn served_again(pooler: &Pooler) {
    wait_until("the role is served again, without a reload", || attempt(pooler, "app", "app").is_ok());
}

#[test]
fn a_role_that_left_rds_iam_keeps_its_transactions_and_loses_its_servers() {
    let Some(rds) = Rds::start() else { return };
    let pooler = short_lived(&rds, "");
    let case = Case::of(&rds, &pooler);
    let (mut busy, pid) = busy_and_idle(&pooler);
    case.is(&Story { ok: 2..=2, ..Story::FINE }, &Server::FINE);
    rds.psql("postgres", "revoke rds_iam from app");
    drains_to(&rds, &[pid], 3 * MAX_AGE);
    const WHY: &str = "role app is not a member of rds_iam: the server asked for SCRAM";
    pooler.wait_for_log(WHY);
    pooler.wait_for_log("GRANT rds_iam TO \"app\"");
    let story = Story { last_error: "; run: GRANT rds_iam TO \"app\"", ok: 2..=2, ..DENIED };
    case.is(&story, &Server::FINE);
    wait_until("its transaction outlasts the age", || story.told_by(&pooler).number("sv_past_hard_age") == 1);
    refused_with(&pooler, "app", "app", WHY);
    assert_eq!(busy.simple("select 1").status, Some(b'T'), "its transaction was not cut");
    assert_eq!(busy.simple("commit").commands, ["COMMIT"]);
    drains_to(&rds, &[], MAX_AGE);
    assert_eq!(rds.codes("app"), [200; 2], "no token was sent into a request for SCRAM");
    rds.psql("postgres", "grant rds_iam to app");
    served_again(&pooler);
    assert_eq!(busy.simple("select 2").value(), "2", "the client itself was never cut");
    let told = case.is(&Story { ok: 3..=u64::MAX, failed: DENIED.failed, ..Story::FINE }, &Server::FINE);
    assert_eq!(told.number("over_age"), 1, "its transaction was noticed: {told:?}");
}

#[test]
fn a_revoked_permission_ends_the_pool_with_the_age_of_its_servers() {
    let Some(rds) = Rds::start() else { return };
    let pooler = short_lived(&rds, "");
    let case = Case::of(&rds, &pooler);
    let server = Server { refused: &["NotAuthorized: role"], ..Server::FINE };
    let (mut busy, pid) = busy_and_idle(&pooler);
    rds.behave("denied=app");
    drains_to(&rds, &[pid], 2 * MAX_AGE);
    const WHY: &str = "the token for role app was refused, probably because the principal has no permission";
    refused_with(&pooler, "app", "app", WHY);
    pooler.wait_for_log(WHY);
    const STEP: &str = "check rds-db:connect for dbuser app";
    let failed = &[("denied", SOME), ("service", SOME)][..];
    case.is(&Story { last_error: STEP, ok: 2..=2, failed, ..DENIED }, &server);
    assert_eq!(busy.simple("select 1").status, Some(b'T'), "its transaction was not cut");
    assert_eq!(busy.simple("commit").commands, ["COMMIT"]);
    drains_to(&rds, &[], MAX_AGE);
    let refused = rds.codes("app").iter().filter(|code| **code == 403).count();
    assert!((3..=30).contains(&refused), "it is tried, but with pauses: {refused} times");
    rds.behave("");
    served_again(&pooler);
    case.is(&Story { ok: 3..=u64::MAX, failed, ..Story::FINE }, &server);
}

#[test]
fn on_denied_decides_what_becomes_of_the_servers() {
    let Some(rds) = Rds::start() else { return };
    let pooler = short_lived(&rds, "iam_on_denied=keep");
    // Servers of a pool without a client would be given up instead of replaced.
    let mut held = pooler.client();
    assert_eq!(held.simple("select current_user").value(), "app");
    rds.psql("postgres", "revoke rds_iam from app");
    let begun = Instant::now();
    while begun.elapsed() < 2 * MAX_AGE {
        assert_eq!(whoami(&pooler, "app"), "app", "keep, after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(pooler.log().contains("is not a member of rds_iam"), "a renewal was tried:\n{}", pooler.log());
    let denied = Story { last_error: "is not a member of rds_iam", ..DENIED };
    let told = Story { stance: "keep_on", ..denied.clone() }.told_by(&pooler);
    assert!(told.number("extended") > 0, "servers were lent beyond their age: {told:?}");
    rds.psql("postgres", "grant rds_iam to app");
    drop((held, pooler));
    let pooler = short_lived(&rds, "iam_on_denied=drop_now pool_size=5");
    let (mut busy, pid) = busy_and_idle(&pooler);
    rds.psql("postgres", "revoke rds_iam from app");
    // A second transaction makes the pool want a server more, and so a login that is denied.
    let mut third = pooler.client();
    assert_eq!(third.simple("begin").status, Some(b'T'));
    let mut fourth = pooler.client();
    fourth.send(&raw::query("select 1"));
    pooler.wait_for_log("is not a member of rds_iam");
    assert_eq!(third.simple("commit").commands, ["COMMIT"]);
    drains_to(&rds, &[pid], MAX_AGE / 2);
    Story { stance: "close_now", ..denied }.told_by(&pooler);
    assert_eq!(busy.simple("commit").commands, ["COMMIT"]);
}

#[test]
fn a_role_that_is_permitted_later_is_served_without_a_reload() {
    let Some(rds) = Rds::start() else { return };
    rds.behave("denied=app");
    let pooler = rds.pooler().start();
    let case = Case::of(&rds, &pooler);
    let server = Server { refused: &["NotAuthorized: role"], ..Server::FINE };
    refused_with(&pooler, "app", "app", "FATAL 28000: the token for role app was refused");
    let unproven = Story { ok: 0..=0, last_error: "rds-db:connect for dbuser app", ..DENIED };
    case.is(&unproven, &server);
    rds.behave("");
    served_again(&pooler);
    case.is(&Story { failed: DENIED.failed, ..Story::FINE }, &server);
}

#[test]
fn a_tenant_whose_principal_is_denied_is_no_matter_of_another_that_logs_in_as_the_same_user() {
    let Some(rds) = Rds::start() else { return };
    let keys = |tenant: &str| format!("AKIA{}", tenant.to_uppercase());
    let profile = |tenant: &str| {
        format!("[{tenant}]\naws_access_key_id = {}\naws_secret_access_key = {SECRET}\n", keys(tenant))
    };
    let file = reaper::directory().join("credentials-of-tenants");
    account::write(&file, ["acme", "globex"].map(profile).concat(), 0o644);
    let add = |setup: PoolerSetup, tenant: &str| {
        rds.add_key(&keys(tenant), SECRET, "-", "-");
        let age = MAX_AGE.as_secs();
        let text = format!("{} user=app iam_credential_source=profile iam_profile={tenant}", rds.database());
        setup.database_at(tenant, &format!("{text} iam_max_age={age} iam_on_denied=drop_now pool_size=1"))
    };
    let setup = rds.pooler().environment("AWS_SHARED_CREDENTIALS_FILE", file.display());
    let pooler = ["acme", "globex"].into_iter().fold(setup, add).start();
    let mut clients = ["acme", "globex"].map(|tenant| Raw::log_in(pooler.port, "app", tenant));
    let mut ask = |tenant: usize| clients[tenant].simple("select current_user");
    assert_eq!([ask(0).value(), ask(1).value()], ["app", "app"]);
    rds.behave(&format!("denied_key={}", keys("acme")));
    let (begun, mut is_over) = (Instant::now(), false);
    while begun.elapsed() < 3 * MAX_AGE {
        let outcome = if is_over { None } else { Some(ask(0)) };
        is_over |= outcome.is_some_and(|outcome| outcome.status.is_none());
        assert_eq!(ask(1).value(), "app", "globex, {:?} after the revocation", begun.elapsed());
        let told = pooler.ask("show iam").records();
        let globex = told.iter().find(|row| row["database"] == "globex").expect("its row");
        assert_eq!((&*globex["class"], &*globex["logins_denied"]), ("", "0"), "{globex:?}");
        assert!(!matches!(&*globex["stance"], "keep_to_hard_age" | "close_now"), "{globex:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(is_over, "acme is denied");
    let by = |tenant: &str, code: u16| {
        rds.verdicts().iter().filter(|verdict| verdict.key == keys(tenant) && verdict.code == code).count()
    };
    assert!(by("globex", 200) >= 2 && by("globex", 403) == 0, "it was renewed: {:?}", rds.verdicts());
    assert_eq!(by("acme", 200), 1);
}

#[test]
fn a_brief_refusal_of_a_role_that_was_let_in_before_costs_waiting() {
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env", rds.database());
    let pooler = rds.pooler().database_at("second", &text).set("query_wait_timeout", 30).start();
    let case = Case::of(&rds, &pooler);
    assert_eq!(whoami(&pooler, "app"), "app");
    rds.behave("denied=app");
    std::thread::scope(|scope| {
        let client = scope.spawn(|| attempt(&pooler, "app", "second"));
        let refusals = || rds.codes("app").iter().filter(|code| **code == 403).count();
        wait_until("fresh tokens do not help", || refusals() > 3);
        rds.behave("");
        assert_eq!(client.join().expect("it came to an end").as_deref(), Ok("app"));
    });
    let server = Server { refused: &["NotAuthorized: role"], ..Server::FINE };
    case.is(&Story { database: "second", failed: &[("service", SOME)], ..Story::FINE }, &server);
    assert!(!pooler.log().contains("28000"), "{}", pooler.log());
}

#[test]
fn a_slow_service_holds_up_only_those_who_need_it() {
    let Some(rds) = Rds::start() else { return };
    rds.behave("delay_ms=8000\nonly=app");
    let pooler = rds.pooler().set("iam_login_timeout", 2).start();
    let case = Case::of(&rds, &pooler);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| attempt(&pooler, "app", "app"));
        wait_until("its login is under way", || rds.asked("app") > 0);
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(whoami(&pooler, "reader"), "reader");
            assert!(begun.elapsed() < Duration::from_secs(2), "another role waited {:?}", begun.elapsed());
        }
        let end = slow.join().expect("it came to an end").unwrap_err();
        assert!(end.starts_with(&format!("FATAL 08006: query_wait_timeout: {HUNG_UP}")), "{end}");
    });
    pooler.wait_for_log("closing because: connect timeout");
    case.is(&UNREACHABLE, &Server::FINE);
    case.is(&Story { user: "reader", ..Story::FINE }, &Server::FINE);
    rds.behave("");
    served_again(&pooler);
    case.is(&Story { failed: UNREACHABLE.failed, ..Story::FINE }, &Server::FINE);
}

#[test]
fn a_server_that_hangs_up_over_a_token_is_no_denial() {
    let Some(rds) = Rds::start_with("authentication_timeout = '2s'") else { return };
    rds.behave("delay_ms=3000\nonly=app");
    let pooler = rds.pooler().start();
    let case = Case::of(&rds, &pooler);
    refused_with(&pooler, "app", "app", &format!("FATAL 08006: query_wait_timeout: {HUNG_UP}"));
    pooler.wait_for_log(HUNG_UP);
    case.is(&UNREACHABLE, &Server { log: &["canceling authentication due to timeout"], ..Server::FINE });
    rds.behave("");
    served_again(&pooler);
    case.is(&Story { failed: UNREACHABLE.failed, ..Story::FINE }, &Server::FINE);
}

#[test]
fn a_network_that_is_cut_in_the_middle_of_a_login_holds_up_nobody_else() {
    let Some(rds) = Rds::start() else { return };
    let detour = Detour::to(rds.port);
    let pooler = rds
        .pooler()
        .database_at("app", &format!("{} iam_credential_source=env", rds.database_by(detour.port)))
        .database_at("near", &format!("{} iam_credential_source=env", rds.database()))
        .set("iam_login_timeout", 2)
        .start();
    let case = Case::of(&rds, &pooler);
    let near = |user| attempt(&pooler, user, "near");
    assert_eq!(near("reader").as_deref(), Ok("reader"));
    rds.behave("delay_ms=1000\nonly=app");
    std::thread::scope(|scope| {
        let cut_off = scope.spawn(|| attempt(&pooler, "app", "app"));
        wait_until("its token is looked at", || rds.asked("app") > 0);
        detour.stop();
        let begun = Instant::now();
        while !pooler.log().contains("closing because: connect timeout") {
            assert!(begun.elapsed() < Duration::from_secs(4), "its socket is not closed in time");
            let asked = Instant::now();
            assert_eq!(near("reader").as_deref(), Ok("reader"), "another pool");
            assert!(asked.elapsed() < Duration::from_secs(1), "another pool waited {:?}", asked.elapsed());
        }
        let end = cut_off.join().expect("it came to an end").unwrap_err();
        assert!(end.starts_with("FATAL 08006: query_wait_timeout: "), "it waited, and was not denied: {end}");
    });
    pooler.wait_for_log(HUNG_UP);
    // The token was taken, but the pooler never heard of it; tries after that got no answer at all.
    case.is(&Story { last_error: "(endpoint ", ..UNREACHABLE }, &Server::FINE);
    assert_eq!(rds.codes("app"), [200]);
    case.is(&Story { user: "reader", database: "near", ..Story::FINE }, &Server::FINE);
    rds.behave("");
    detour.go_on();
    served_again(&pooler);
    case.is(&Story { failed: UNREACHABLE.failed, ..Story::FINE }, &Server::FINE);
    wait_until("what was left half open has ended", || rds.backends("app").len() <= 1);
}

#[test]
fn a_server_that_takes_fewer_logins_than_are_tried_is_told_as_that_and_tried_less() {
    const DATABASES: usize = 10;
    const RATE: u32 = 40;
    const TAKES: u32 = 4;
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_login_rate={RATE} pool_size=3", rds.database());
    let setup =
        (0..DATABASES).fold(rds.pooler(), |setup, number| setup.database_at(&format!("app{number}"), &text));
    let pooler = setup.set("query_wait_timeout", 60).start();
    assert_eq!(attempt(&pooler, "app", "app0").as_deref(), Ok("app"));
    rds.behave(&format!("limit={TAKES}"));
    std::thread::scope(|scope| {
        let visit = |number: usize, user: &'static str| {
            let pooler = &pooler;
            scope.spawn(move || attempt(pooler, user, &format!("app{number}")))
        };
        let clients: Vec<_> =
            (0..DATABASES).flat_map(|number| [visit(number, "app"), visit(number, "reader")]).collect();
        for client in clients {
            client.join().expect("it came to an end").expect("it was served");
        }
    });
    let refused = rds.verdicts().iter().filter(|verdict| verdict.code == 429).count();
    assert!(refused > 0, "it was tried as fast as that");
    let tried = rds.verdicts().len();
    assert!(
        refused < tried / 2 + RATE as usize,
        "{refused} of {tried} logins were refused: the pace does not adapt"
    );
    let rows = pooler.ask("show iam").records();
    let rate =
        |row: &std::collections::BTreeMap<String, String>| row["login_rate"].parse::<u32>().expect("a pace");
    assert!(rows.iter().all(|row| rate(row) <= RATE / 2), "{rows:?}");
    assert!(rows.iter().any(|row| row["throttled"] != "0"), "{rows:?}");
    assert!(
        rows.iter().all(|row| row["logins_denied"] == "0"),
        "the alert on denials stays silent: {rows:?}"
    );
    assert!(!pooler.log().contains("28000"), "{}", pooler.log());
}

#[test]
fn a_revoked_role_of_many_databases_takes_no_turns_from_the_others() {
    const DATABASES: usize = 100;
    const RATE: u32 = 20;
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_login_rate={RATE} pool_size=1", rds.database());
    let setup =
        (0..DATABASES).fold(rds.pooler(), |setup, number| setup.database_at(&format!("app{number}"), &text));
    let pooler = setup.set("query_wait_timeout", 8).start();
    assert_eq!(attempt(&pooler, "app", "app0").as_deref(), Ok("app"));
    rds.behave("denied=app");
    let is_over = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        for number in 1..DATABASES {
            let (pooler, is_over) = (&pooler, &is_over);
            let visit = move || {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = attempt(pooler, "app", &format!("app{number}"));
                    std::thread::sleep(Duration::from_millis(100));
                }
            };
            let thread = std::thread::Builder::new().stack_size(512 << 10);
            thread.spawn_scoped(scope, visit).expect("a thread for each client");
        }
        wait_until("the role is refused", || rds.codes("app").contains(&403));
        let took = (0..20).map(|number| {
            let begun = Instant::now();
            assert_eq!(attempt(&pooler, "reader", &format!("app{number}")).as_deref(), Ok("reader"));
            let took = begun.elapsed();
            std::thread::sleep(Duration::from_millis(500));
            took
        });
        let slowest = took.max().expect("there were some");
        is_over.store(true, Ordering::Relaxed);
        rds.behave(""); // those that wait are served
        slowest
    });
    assert!(slowest < Duration::from_secs(5), "another role waited {slowest:?} for a server");
    let refused = rds.codes("app").iter().filter(|code| **code == 403).count();
    assert!((3..2 * RATE as usize + 20).contains(&refused), "{refused} tries of the revoked role");
    let rows = pooler.ask("show iam").records();
    let rate = rows[0]["login_rate"].parse::<u32>().expect("a pace");
    assert!(rate >= RATE / 2, "the pace has fallen to {rate}");
}

#[test]
fn a_storm_of_clients_logs_in_at_the_pace_of_the_budget() {
    const DATABASES: usize = 10;
    const CLIENTS: usize = 500;
    const RATE: u32 = 5;
    let Some(rds) = Rds::start() else { return };
    // A full bucket and a second's worth may be sent within a second; on a busy
    // machine more arrive within one.
    rds.behave(&format!("limit={}", 4 * RATE));
    let text = format!("{} iam_credential_source=env iam_login_rate={RATE} pool_size=4", rds.database());
    let mut setup = rds.pooler();
    for number in 0..DATABASES {
        setup = setup.database_at(&format!("app{number}"), &text);
    }
    let pooler = setup.set("query_wait_timeout", 60).start();
    let (case, begun) = (Case::of(&rds, &pooler), Instant::now());
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
        page::wait_for(pooler.page_port());
        let waiting = || page::value(pooler.page_port(), "pgweir_iam_logins_waiting");
        wait_until("logins wait for their turn", || waiting().is_some_and(|logins| logins > 0.0));
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
    for number in 0..DATABASES {
        let database = &*format!("app{number}");
        let told = case.is(&Story { database, ..Story::FINE }, &Server::FINE);
        assert_eq!(told.row["login_rate"], RATE.to_string(), "nothing has slowed it down");
        let waits = |what| told.metric(&format!("pgweir_iam_login_throttle_wait_seconds_{what}"), &[]);
        assert!(waits("count").is_some_and(|count| count >= told.number("logins_ok") as f64), "{told:?}");
        assert!(waits("sum").is_some_and(|sum| sum > 1.0), "{told:?}");
    }
}
