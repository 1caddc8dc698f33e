//! Reloads that narrow what has let somebody in: the sessions concerned end behind their transactions, and
//! are told why; nobody else notices.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, page, postgres, programs, wait_until};
use crate::issuer::Issuer;
use crate::{log_in, log_in_to, setup};
use serde_json::json;
use std::process::{Child, Stdio};

const RULES: &str = "hostssl all app all jwt\nhostssl all all all jwt issuer=others\n";
const MAP: &str = "teams groups readers app\nteams sub carol app\n";

const ROLE: &str = "FATAL 28000: session ended: its role is no longer given by the mapping";
const RULE: &str = "FATAL 28000: session ended: no rule lets it in any more";
const METHOD: &str = "FATAL 28000: session ended: its rule asks for another authentication method now";
const ISSUER: &str = "FATAL 28000: session ended: the issuer of its token is no longer accepted";
const TOKEN: &str = "FATAL 28000: session ended: its token is no longer accepted by its issuer's entry";

/// Two issuers: those of the first become `app` by a map, those of the other are who they are.
fn two(one: &Issuer, other: &Issuer) -> PoolerSetup {
    setup(one, "map=teams required_claims=team=red|blue audience=postgres,web")
        .issuer("others", &other.entry(""))
        .set("auth_type", "hba")
        .set("auth_hba_file", "hba.conf")
        .file("hba.conf", RULES)
        .set("auth_claims_file", "claims.conf")
        .file("claims.conf", MAP)
}

/// A token of somebody who reads.
fn reader(issuer: &Issuer) -> String {
    let mut claims = issuer.claims("alice");
    claims["groups"] = json!(["readers", "others"]);
    claims["team"] = json!("red");
    claims["aud"] = json!("web");
    issuer.sign("k1", "RS256", &claims)
}

/// SIGHUP, and what the log says to that many sessions that end.
fn reload(pooler: &Pooler, ended: usize) {
    pooler.signal("HUP");
    pooler.wait_for_log(&format!("the configuration has changed: {ended} sessions by tokens end"));
}

type Narrow = fn(&mut Pooler, &Issuer);

/// The first issuer's entry says this from now on.
fn to_entry(pooler: &mut Pooler, one: &Issuer, text: &str) {
    let entry = one.entry(text);
    pooler.rewrite(|setup| setup.issuer("tests", &entry));
}

/// What narrows, what the sessions concerned are told, and what the log says more.
const CASES: [(&str, Narrow, &str, &str); 10] = [
    (
        "a line of the map is gone",
        |pooler, _| pooler.overwrite("claims.conf", "teams sub carol app\n"),
        ROLE,
        "issuer tests: claims of alice are in no line of map teams for this role any more",
    ),
    (
        "the entry names another map",
        |pooler, one| {
            pooler.overwrite("claims.conf", &format!("{MAP}small sub carol app\n"));
            let entry = one.entry("map=small required_claims=team=red|blue audience=postgres,web");
            pooler.rewrite(|setup| setup.issuer("tests", &entry));
        },
        ROLE,
        "in no line of map small for this role any more",
    ),
    (
        "the rule names another map",
        |pooler, _| {
            pooler.overwrite("claims.conf", &format!("{MAP}small sub carol app\n"));
            pooler.overwrite("hba.conf", &RULES.replacen("all jwt\n", "all jwt map=small\n", 1));
        },
        ROLE,
        "in no line of map small for this role any more",
    ),
    (
        "the issuer is gone",
        |pooler, _| pooler.rewrite(|setup| setup.without_issuer("tests")),
        ISSUER,
        "issuer tests is gone, or its tokens do not count there any more",
    ),
    (
        "the rule names another issuer",
        |pooler, _| {
            pooler.overwrite("hba.conf", &RULES.replacen("all jwt\n", "all jwt issuer=others\n", 1));
        },
        ISSUER,
        "issuer tests is gone, or its tokens do not count there any more",
    ),
    (
        "the audience is gone",
        |pooler, one| to_entry(pooler, one, "map=teams required_claims=team=red|blue audience=postgres"),
        TOKEN,
        "issuer tests: claim aud is web, which is none of the audiences that are accepted",
    ),
    (
        "a claim must have another value",
        |pooler, one| to_entry(pooler, one, "map=teams required_claims=team=blue audience=postgres,web"),
        TOKEN,
        "issuer tests: claim team has none of the values that are required",
    ),
    (
        "the algorithm is gone",
        |pooler, one| to_entry(pooler, one, "map=teams audience=postgres,web algorithms=ES256"),
        TOKEN,
        "issuer tests: the token's algorithm is not allowed: RS256",
    ),
    (
        "a rule rejects it",
        |pooler, _| pooler.overwrite("hba.conf", &format!("host app app all reject\n{RULES}")),
        RULE,
        "no rule lets it in any more",
    ),
    (
        "the rule asks for a password",
        |pooler, _| pooler.overwrite("hba.conf", &RULES.replacen("all jwt\n", "all scram-sha-256\n", 1)),
        METHOD,
        "it would have to log in by scram-sha-256 now",
    ),
];

#[test]
fn who_would_not_be_let_in_any_more_is_ended_and_told_why() {
    let (one, other) = (Issuer::start(), Issuer::start());
    for (what, narrow, words, reason) in CASES {
        let mut pooler = two(&one, &other).start();
        let token = reader(&one);
        let [mut idle, mut busy] = [0, 1].map(|_| log_in(&pooler, "app", &token).expect("it may come"));
        let mut stays = log_in(&pooler, "other", &other.token("other")).expect("it may come");
        idle.simple("select 1");
        busy.simple("begin");
        stays.simple("begin");
        narrow(&mut pooler, &one);
        reload(&pooler, 2);
        assert_eq!(idle.last_words(), words, "{what}");
        pooler.wait_for_log(reason);
        assert_eq!(busy.simple("select 2").value(), "2", "{what}: its transaction goes on");
        busy.send(&raw::query("commit"));
        assert_eq!(busy.outcome().status, Some(b'I'), "{what}");
        assert_eq!(busy.last_words(), words, "{what}");
        assert!(log_in(&pooler, "app", &token).is_err(), "{what}: nor can it come again");
        assert_eq!(stays.simple("commit").status, Some(b'I'), "{what}");
        assert_eq!(stays.simple("select 3").value(), "3", "{what}");
        crate::no_token_in("the log", &pooler.log(), &token);
    }
}

#[test]
fn what_is_changed_without_taking_anything_away_ends_nobody() {
    let (one, other) = (Issuer::start(), Issuer::start());
    let mut pooler = two(&one, &other).start();
    let mut alice = log_in(&pooler, "app", &reader(&one)).expect("it may come");
    let mut other_one = log_in(&pooler, "other", &other.token("other")).expect("it may come");
    // another line gives the role, by a claim that no line has looked at before
    pooler.overwrite("claims.conf", "teams team red app query_timeout=20\n");
    pooler.overwrite("hba.conf", &format!("host all nobody all reject\n{RULES}"));
    let entry = one.entry("map=teams required_claims=team=red audience=web algorithms=RS256,ES256");
    pooler.rewrite(|setup| setup.issuer("tests", &entry).set("query_timeout", 100));
    pooler.signal("HUP");
    pooler.wait_for_log("got SIGHUP, re-reading config");
    // a login behind the reload shows that it is over
    wait_until("the reload is over", || pooler.log().contains("RELOAD") || show(&pooler, &other));
    for client in [&mut alice, &mut other_one] {
        assert_eq!(client.simple("select 1").value(), "1");
    }
    assert!(!pooler.log().contains("session is to end"));
}

/// Whether the console's admin, by a token of `other`, finds the new setting in force.
fn show(pooler: &Pooler, other: &Issuer) -> bool {
    let console = log_in_to(pooler, "admin", "pgbouncer", &other.token("admin"));
    console.is_ok_and(|mut console| {
        let rows = console.simple("show config").records();
        rows.iter().any(|row| row["key"] == "query_timeout" && row["value"] == "100")
    })
}

#[test]
fn a_file_that_is_broken_takes_nothing_away() {
    let (one, other) = (Issuer::start(), Issuer::start());
    let mut pooler = two(&one, &other).start();
    let mut alice = log_in(&pooler, "app", &reader(&one)).expect("it may come");
    let mut count = 0;
    let mut fails = |pooler: &Pooler, error: &str| {
        count += 1;
        pooler.signal("HUP");
        pooler.wait_for_log(error);
        wait_until("the reload has failed", || {
            pooler.log().matches("the configuration in force stays").count() == count
        });
    };
    pooler.overwrite("claims.conf", "teams sub carol\n");
    fails(&pooler, "could not parse claims config line (claims.conf:1)");
    pooler.overwrite("claims.conf", MAP);
    pooler.overwrite("hba.conf", "host all all all reject\nnonsense\n");
    fails(&pooler, "hba.conf:2");
    pooler.overwrite("hba.conf", RULES);
    pooler.rewrite(|setup| setup.issuer("tests", &one.entry("map=nobody")));
    fails(&pooler, "auth_claims_file has no map nobody");
    assert_eq!(alice.simple("select 1").value(), "1");
    assert!(!pooler.log().contains("session is to end"));
}

#[test]
fn the_console_and_a_set_are_held_to_it_too() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "map=teams")
        .set("auth_claims_file", "claims.conf")
        .file("claims.conf", "teams sub root admin\nteams sub alice app\nteams sub bob admin\n")
        .file("narrow.conf", "teams sub root admin\n")
        .start();
    let token = |sub: &str| issuer.token(sub);
    let mut console = log_in_to(&pooler, "admin", "pgbouncer", &token("root")).expect("it may come");
    let mut bob = log_in_to(&pooler, "admin", "pgbouncer", &token("bob")).expect("it may come");
    let mut alice = log_in(&pooler, "app", &token("alice")).expect("it may come");
    alice.simple("begin");
    let set = console.simple("set auth_claims_file = 'narrow.conf'");
    assert_eq!(set.errors, [""; 0]);
    pooler.wait_for_log("the configuration has changed: 2 sessions by tokens end");
    wait_until("its session is marked", || {
        let sessions = console.simple("show sessions").records();
        sessions.iter().any(|row| row["principal"] == "alice" && row["ending"] == "role")
    });
    bob.send(&raw::query("show version"));
    assert_eq!(bob.last_words(), ROLE);
    alice.send(&raw::query("commit"));
    assert_eq!(alice.outcome().status, Some(b'I'));
    assert_eq!(alice.last_words(), ROLE);
    assert_eq!(console.simple("show version").rows.len(), 1);
}

#[test]
fn drop_now_does_not_wait_for_the_transaction() {
    let (one, other) = (Issuer::start(), Issuer::start());
    let pooler = two(&one, &other).set("identity_on_denied", "drop_now").start();
    let mut busy = log_in(&pooler, "app", &reader(&one)).expect("it may come");
    busy.send(&raw::query("select pg_sleep(601)"));
    let running =
        "select count(*) from pg_stat_activity where query like '%pg_sleep(601)' and state = 'active'";
    wait_until("it runs", || postgres().psql("postgres", running).trim() == "1");
    pooler.overwrite("claims.conf", "teams sub carol app\n");
    reload(&pooler, 1);
    assert_eq!(busy.last_words(), ROLE);
    wait_until("PostgreSQL has stopped", || postgres().psql("postgres", running).trim() == "0");
}

/// pgbench of many sessions of one user with that token.
fn load(pooler: &Pooler, user: &str, token: &str, seconds: u64, script: &str) -> Child {
    let file = pooler.directory().join(format!("{user}.sql"));
    std::fs::write(&file, script).expect("the directory is ours");
    let mut pgbench = programs::limited(programs::postgres("pgbench"));
    let (port, seconds) = (pooler.port.to_string(), seconds.to_string());
    pgbench.args(["-h", "localhost", "-p", &port, "-U", user, "-n", "-c", "12", "-j", "2", "-T", &seconds]);
    pgbench.arg("-f").arg(file).arg("app").env("PGPASSWORD", token).env("PGSSLMODE", "require");
    pgbench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgbench is installed")
}

#[test]
fn a_narrowing_under_load_cuts_no_transaction_and_nobody_else_notices() {
    let (one, other) = (Issuer::start(), Issuer::start());
    let pooler = two(&one, &other).database("app", "pool_size=6").with_page().start();
    let table = "begun_by_readers";
    postgres().psql("app", &format!("drop table if exists {table}; create table {table} (at timestamptz)"));
    postgres().psql("app", &format!("grant insert on {table} to public"));
    let writes = format!("begin;\ninsert into {table} select now();\nselect pg_sleep(0.01);\ncommit;\n");
    let readers = load(&pooler, "app", &reader(&one), 60, &writes);
    let mut carol = {
        let mut claims = one.claims("carol");
        claims["team"] = json!("blue");
        log_in(&pooler, "app", &one.sign("k1", "RS256", &claims)).expect("it may come")
    };
    let others =
        load(&pooler, "other", &other.token("other"), 8, "begin;\nselect pg_sleep(0.005);\ncommit;\n");
    let count = |more: &str| {
        postgres().psql("app", &format!("select count(*) from {table} {more}")).trim().to_owned()
    };
    wait_until("it works", || count("").parse::<u64>().is_ok_and(|count| count > 200));
    pooler.overwrite("claims.conf", "teams sub carol app\n");
    reload(&pooler, 12);
    let told_at = postgres().psql("app", "select clock_timestamp()").trim().to_owned();
    let readers = programs::said(&readers.wait_with_output().expect("it ends"));
    assert!(readers.contains("session ended: its role is no longer given by the mapping"), "{readers}");
    // Behind the line of the log every worker has marked its sessions.
    assert_eq!(count(&format!("where at > '{told_at}'")), "0", "a transaction began behind the mark");
    assert_eq!(carol.simple("select 1").value(), "1");
    let others = others.wait_with_output().expect("it ends");
    let said = programs::said(&others);
    assert!(others.status.success() && said.contains("number of failed transactions: 0"), "{said}");
    assert_eq!(pooler.log().matches("no longer given by the mapping, principal=").count(), 12);
    let cut = pooler.log().matches("closing because: client disconnect while server was not ready").count();
    assert_eq!(cut, 0, "no server was lost by it");
    let ended = page::metrics(pooler.page_port())
        .into_iter()
        .filter(|(series, _)| series.starts_with("pgweir_sessions_ended_rule_changed_total"))
        .map(|(_, count)| count)
        .sum::<f64>();
    assert!((ended - 12.0).abs() < 0.5, "{ended} are counted");
}

#[test]
fn logins_that_a_reload_meets_are_let_in_by_none_that_is_gone() {
    let (one, other) = (Issuer::start(), Issuer::start());
    let pooler = two(&one, &other).set("max_client_conn", 1000).start();
    let token = reader(&one);
    let sessions: Vec<Raw> = std::thread::scope(|scope| {
        let logins: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut sessions = Vec::new();
                    while let Ok(session) = log_in(&pooler, "app", &token) {
                        sessions.push(session);
                        if sessions.len() > 100 {
                            break;
                        }
                    }
                    sessions
                })
            })
            .collect();
        wait_until("they come", || pooler.log().matches("login attempt: db=app user=app").count() > 80);
        pooler.overwrite("claims.conf", "teams sub carol app\n");
        pooler.signal("HUP");
        logins.into_iter().flat_map(|login| login.join().expect("no panic")).collect()
    });
    assert!(!sessions.is_empty());
    for mut session in sessions {
        assert_eq!(session.last_words(), ROLE);
    }
    assert!(log_in(&pooler, "app", &token).is_err());
}
