//! Identities that end: principals who are denied while they work, rules and users that a reload takes away,
//! and what the console tells and does.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, account, page, postgres, programs, wait_until};

const DENIED: &str = "FATAL 28000: session ended: its principal is denied";
const REFUSED: &str = "FATAL 28000: principal is denied";

/// From the change of the file to the begin of the last transaction, in seconds: the file is looked at each
/// second, and the rest is for a machine that has other things to do.
const BOUND_S: u64 = 10;

fn with_list(text: &str) -> PoolerSetup {
    PoolerSetup::new(postgres()).set("deny_principals", "denied").file("denied", text)
}

/// Puts the whole file in its place at once.
fn deny(pooler: &Pooler, text: &str) {
    let (new, file) = (pooler.directory().join("denied.new"), pooler.directory().join("denied"));
    std::fs::write(&new, text).expect("the directory is ours");
    std::fs::rename(new, file).expect("the directory is ours");
}

fn login(pooler: &Pooler, user: &str) -> String {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", user), ("database", "app")]);
    let outcome = raw.outcome();
    outcome.errors.first().cloned().unwrap_or_else(|| "in".to_owned())
}

#[test]
fn who_is_denied_cannot_log_in_and_his_sessions_end_behind_their_transactions() {
    let pooler = with_list("# nobody yet\n").start();
    let mut idle = pooler.client();
    let mut busy = pooler.client();
    let mut other = Raw::log_in(pooler.port, "other", "app");
    idle.simple("select 1");
    busy.simple("begin");
    deny(&pooler, "trust app\n");
    assert_eq!(idle.last_words(), DENIED);
    pooler.wait_for_log("deny_principals has changed: 1 lines, 2 sessions end");
    assert_eq!(busy.simple("select 2").value(), "2", "its transaction goes on");
    let sessions = pooler.ask("show sessions").records();
    let mine: Vec<_> =
        sessions.iter().map(|row| (&*row["principal"], &*row["method"], &*row["ending"])).collect();
    assert_eq!(mine, [("app", "trust", "denied"), ("other", "trust", "")]);
    busy.send(&raw::query("commit"));
    assert_eq!(busy.outcome().status, Some(b'I'));
    assert_eq!(busy.last_words(), DENIED);
    assert_eq!(
        (login(&pooler, "app"), other.simple("select 3").value()),
        (REFUSED.to_owned(), "3".to_owned())
    );
    pooler.wait_for_log("principal app is denied (deny_principals)");
    deny(&pooler, "");
    wait_until("the list is empty", || login(&pooler, "app") == "in");
    assert_eq!(other.simple("select 4").value(), "4");
}

#[test]
fn a_broken_list_keeps_the_old_one_and_refuses_a_start() {
    let pooler = with_list("app\n").start();
    assert_eq!(login(&pooler, "app"), REFUSED);
    deny(&pooler, "a b c\n");
    pooler.wait_for_log("deny_principals could not be read, who was denied stays so");
    pooler.wait_for_log("could not parse deny_principals line (denied:1): a principal is wanted");
    assert_eq!(login(&pooler, "app"), REFUSED);
    assert!(pooler.ask("reload").errors[0].contains("RELOAD failed"), "nor does a reload take it");
    std::fs::remove_file(pooler.directory().join("denied")).expect("it was there");
    pooler.wait_for_log("could not open deny_principals file denied: No such file");
    assert_eq!(login(&pooler, "app"), REFUSED);
    deny(&pooler, "nobody\n");
    wait_until("a sound list counts", || login(&pooler, "app") == "in");
    assert_eq!(pooler.log().matches("could not be read, who was denied").count(), 2, "each once");

    let checked = with_list("/(\n").check(&[]);
    assert!(programs::said(&checked).contains("not a regular expression"), "{checked:?}");
    assert!(!checked.status.success());
}

/// A word too few, or a name of an issuer that has another now, denies nobody.
#[test]
fn lines_that_concern_nobody_are_told_of() {
    const TOLD: &str = "deny_principals: corp is no issuer and no method, its lines concern nobody";
    let checked = with_list("corp alice\ncert bob\n").check(&[]);
    assert!(programs::said(&checked).contains(TOLD) && checked.status.success(), "{checked:?}");
    let pooler = with_list("scram-sha-256 alice\n").start();
    deny(&pooler, "corp alice\n");
    pooler.wait_for_log(&format!("WARNING {TOLD}"));
    assert!(!pooler.log().contains("deny_principals: scram"));
    deny(&pooler, "\u{feff}alice\n");
    pooler.wait_for_log("line (denied:1): the file begins with a byte order mark");
}

#[test]
fn drop_now_does_not_wait() {
    let pooler = with_list("").set("identity_on_denied", "drop_now").start();
    let mut busy = pooler.client();
    busy.send(&raw::query("select pg_sleep(600)"));
    wait_until("it runs", || {
        pooler.ask("show sessions").records().iter().any(|row| row["state"] == "active")
    });
    deny(&pooler, "all /a.*\n");
    assert_eq!(busy.last_words(), DENIED);
    wait_until("PostgreSQL has stopped", || {
        let sql =
            "select count(*) from pg_stat_activity where query like '%pg_sleep(600)' and state = 'active'";
        postgres().psql("postgres", sql).trim() == "0"
    });
}

#[test]
fn a_denied_session_that_keeps_its_transaction_open_ends_all_the_same() {
    let pooler = with_list("").set("identity_drain_timeout", "2").start();
    let (mut busy, mut patient) = (pooler.client(), pooler.client());
    busy.simple("begin");
    patient.simple("begin");
    deny(&pooler, "all /a.*\n");
    let mut goes_on = || busy.simple("commit; begin; select 1");
    wait_until("it is ended", || goes_on().errors.iter().any(|error| error.contains("denied")));
    assert_eq!(patient.last_words(), DENIED, "whether it is busy or not");
    wait_until("PostgreSQL has rolled back", || {
        let sql = "select count(*) from pg_stat_activity where usename = 'app' and state like 'idle in%'";
        postgres().psql("postgres", sql).trim() == "0"
    });
}

/// Whatever a denied client sends in one go: of each row that stays it has heard.
#[test]
fn no_row_of_a_denied_session_stays_that_it_was_not_told_of() {
    postgres().psql("app", "create table told_of (at text); grant all on told_of to public");
    let batch = |sqls: &[&str], behind_each: &[u8]| -> Vec<u8> {
        let one = |sql: &&str| {
            [raw::parse("", sql), raw::bind("", &[]), raw::execute(), behind_each.to_vec()].concat()
        };
        sqls.iter().flat_map(one).collect()
    };
    let block = ["commit", "begin", "insert into told_of values ('d')", "commit"];
    for (what, sent, rows) in [
        ("another block", raw::query("commit; begin; insert into told_of values ('a'); commit"), 1),
        ("what follows it", raw::query("commit; insert into told_of values ('b')"), 1),
        ("a block left open", raw::query("commit; begin; insert into told_of values ('c')"), 0),
        ("chained", raw::query("commit and chain"), 0),
        ("a batch", batch(&block, &[]).repeat(5), 0),
        ("one with answers", batch(&block, &raw::flush()).repeat(5), 0),
    ] {
        postgres().psql("app", "truncate told_of");
        let pooler = with_list("").start();
        let mut client = pooler.client();
        client.simple("begin");
        deny(&pooler, "all /a.*\n");
        pooler.wait_for_log("deny_principals has changed: 1 lines, 1 sessions end");
        client.send(&sent);
        let outcome = client.outcome();
        let told = outcome.commands.iter().filter(|tag| tag.starts_with("INSERT")).count();
        if outcome.status.is_some() {
            assert_eq!(client.last_words(), DENIED, "{what}");
        }
        let stay = || postgres().psql("app", "select count(*) from told_of").trim().to_owned();
        wait_until("its server has rolled back", || {
            let sql = "select count(*) from pg_stat_activity where usename = 'app' and state like 'idle in%'";
            postgres().psql("postgres", sql).trim() == "0"
        });
        assert_eq!(stay(), rows.to_string(), "{what}");
        assert!(told >= rows, "{what}: {outcome:?}");
    }
}

#[test]
fn a_set_and_a_reload_take_another_list() {
    let mut pooler = PoolerSetup::new(postgres()).file("denied", "app\n").start();
    let mut client = pooler.client();
    client.simple("select 1");
    assert_eq!(pooler.ask("set deny_principals = 'denied'").commands, ["SET deny_principals=denied"]);
    assert_eq!((client.last_words(), login(&pooler, "app")), (DENIED.to_owned(), REFUSED.to_owned()));
    pooler.rewrite(|setup| setup.set("deny_principals", ""));
    assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
    assert_eq!(login(&pooler, "app"), "in");
}

#[test]
fn a_reload_judges_sessions_where_it_is_told_to() {
    let rules = "host all all all trust\n";
    let hba = |recheck: &str| {
        PoolerSetup::new(postgres())
            .set("auth_type", "hba")
            .set("auth_hba_file", "rules.conf")
            .set("identity_recheck", recheck)
            .file("rules.conf", rules)
    };
    let narrower = "host app app all reject\nhost all all all trust\n";
    for (recheck, ends) in [("off", false), ("all", true)] {
        let mut pooler = hba(recheck).start();
        let (mut app, mut other) = (pooler.client(), Raw::log_in(pooler.port, "other", "app"));
        app.simple("begin");
        other.simple("select 1");
        pooler.overwrite("rules.conf", narrower);
        assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
        assert_eq!(app.simple("select 2").value(), "2", "{recheck}");
        app.send(&raw::query("commit"));
        assert_eq!(app.outcome().status, Some(b'I'), "{recheck}");
        if ends {
            assert_eq!(app.last_words(), "FATAL 28000: session ended: no rule lets it in any more");
        } else {
            assert_eq!(app.simple("select 3").value(), "3");
        }
        pooler.overwrite("userlist.txt", "\"app\" \"\"\n\"admin\" \"admin-secret\"\n");
        assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
        if ends {
            assert_eq!(other.last_words(), "FATAL 28000: session ended: its user is gone");
        } else {
            assert_eq!(other.simple("select 4").value(), "4");
        }
        assert_eq!(pooler.status(), None);
    }
}

#[test]
fn kill_principal_drops_his_sessions_and_says_how_many() {
    let setup = PoolerSetup::new(postgres()).set("audit_log", "file").set("audit_file", "audit.log");
    let pooler = setup.start();
    let (mut one, mut two) = (pooler.client(), pooler.client());
    let mut other = Raw::log_in(pooler.port, "other", "app");
    one.simple("select 1");
    two.simple("begin");
    for whose in ["idp", "password", "md5"] {
        let none = pooler.ask(&format!("kill_principal 'app' {whose}"));
        assert_eq!(none.commands, ["KILL_PRINCIPAL 0"], "{whose}");
    }
    let mut three = pooler.client();
    three.simple("select 1");
    assert_eq!(pooler.ask("kill_principal 'app' trust").commands, ["KILL_PRINCIPAL 3"]);
    pooler.wait_for_log("KILL_PRINCIPAL 'app' of 'trust' command issued: 3 sessions ended");
    wait_until("the audit log tells it", || {
        let told = std::fs::read_to_string(pooler.directory().join("audit.log")).unwrap_or_default();
        told.contains("\"command\":\"KILL_PRINCIPAL app trust\",\"error\":null,\"sessions_ended\":3}")
    });
    let mut four = pooler.client();
    four.simple("select 1");
    assert_eq!(pooler.ask("kill_principal 'app'").commands, ["KILL_PRINCIPAL 1"]);
    pooler.wait_for_log("KILL_PRINCIPAL 'app' of any issuer or method command issued: 1 sessions ended");
    for client in [&mut one, &mut two, &mut three, &mut four] {
        assert!(client.last_words().ends_with("admin forced disconnect"));
    }
    assert_eq!((other.simple("select 2").value(), login(&pooler, "app")), ("2".to_owned(), "in".to_owned()));
    let mut stats = Raw::log_in(pooler.port, "stats", "pgbouncer");
    assert!(stats.simple("kill_principal app").errors[0].contains("admin access needed"));
    assert_eq!(stats.simple("show sessions").errors, [""; 0]);
}

#[test]
fn an_admin_who_is_denied_is_out_and_the_own_account_is_not() {
    let pooler = with_list("").start();
    let mut admin = pooler.console();
    assert_eq!(admin.simple("show version").rows.len(), 1);
    deny(&pooler, "/.*\n");
    pooler.wait_for_log("deny_principals has changed");
    admin.send(&raw::query("show version"));
    assert!(admin.last_words().contains("session ended: its principal is denied"));
    let mut psql = account::command("timeout");
    psql.arg("100").arg(programs::postgres("psql")).args([
        "-X",
        "-At",
        "-w",
        "-U",
        "pgbouncer",
        "-d",
        "pgbouncer",
    ]);
    psql.args(["-h", &pooler.directory().display().to_string(), "-p", &pooler.port.to_string()]);
    let own = psql.args(["-c", "show version"]).output().expect("psql is installed");
    assert!(own.status.success(), "somebody can put it right: {own:?}");
}

/// pgbench of many sessions as one user, until it is stopped; what it said.
fn load(pooler: &Pooler, user: &str, seconds: u64, script: &str) -> std::process::Child {
    let file = pooler.directory().join(format!("{user}.sql"));
    std::fs::write(&file, script).expect("the directory is ours");
    let mut pgbench = programs::limited(programs::postgres("pgbench"));
    pgbench.args([
        "-h",
        "127.0.0.1",
        "-p",
        &pooler.port.to_string(),
        "-U",
        user,
        "-n",
        "-c",
        "12",
        "-j",
        "2",
    ]);
    pgbench.args(["-T", &seconds.to_string(), "-f", &file.display().to_string(), "app"]);
    let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
    pgbench.stdout(out).stderr(err).spawn().expect("pgbench is installed")
}

#[test]
fn a_revocation_under_load_ends_one_principal_within_the_bound_and_nobody_else_notices() {
    let pooler = with_list("").database("app", "pool_size=6").with_page().start();
    let table = "begun_by_app";
    postgres().psql("app", &format!("drop table if exists {table}; create table {table} (at timestamptz)"));
    postgres().psql("app", &format!("grant insert on {table} to public"));
    // Each transaction of the one takes down when it begins, by PostgreSQL's clock.
    let writes = format!("begin;\ninsert into {table} select now();\nselect pg_sleep(0.01);\ncommit;\n");
    let denied = load(&pooler, "app", 60, &writes);
    let others = load(&pooler, "other", 8, "begin;\nselect pg_sleep(0.005);\ncommit;\n");
    let count = || postgres().psql("app", &format!("select count(*) from {table}")).trim().to_owned();
    wait_until("it works", || count().parse::<u64>().is_ok_and(|count| count > 200));
    let changed_at = postgres().psql("app", "select clock_timestamp()").trim().to_owned();
    deny(&pooler, "app\n");
    let denied = denied.wait_with_output().expect("it ends");
    let said = programs::said(&denied);
    assert!(said.contains("session ended: its principal is denied") || !denied.status.success(), "{said}");
    let late = format!(
        "select count(*) from {table} where at > '{changed_at}'::timestamptz + interval '{BOUND_S} s'"
    );
    assert_eq!(postgres().psql("app", &late).trim(), "0", "a transaction began later than the bound");
    let others = others.wait_with_output().expect("it ends");
    let said = programs::said(&others);
    assert!(others.status.success() && said.contains("number of failed transactions: 0"), "{said}");
    assert_eq!(pooler.log().matches("session ended: its principal is denied (age=").count(), 12);
    let cut = pooler.log().matches("closing because: client disconnect while server was not ready").count();
    assert_eq!(cut, 0, "no server was lost by it");
    let ended: f64 = page::metrics(pooler.page_port())
        .into_iter()
        .filter(|(series, _)| series.starts_with("pgweir_sessions_ended_denied_total"))
        .map(|(_, count)| count)
        .sum();
    assert!((ended - 12.0).abs() < 0.5, "{ended} are counted");
}
