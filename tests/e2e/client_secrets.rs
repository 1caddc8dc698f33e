//! Secrets that others keep and that clients prove themselves by (`auth_secret_file`, `auth_secret_arn`):
//! every method, lists, new versions, outages, floods of wrong passwords, users who are gone.
//! Every password has the mark by which a leak is found in a log.

use crate::auth::try_log_in;
use crate::common::raw::{self, Raw};
use crate::common::secrets::{MARK, none_in};
use crate::common::{Pooler, PoolerSetup, postgres, programs, wait_until};
use crate::secrets::{alter, json, role};
use crate::vault::{KEY, SECRET_KEY, Vault, arn};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

pub(crate) const METHODS: [&str; 3] = ["plain", "md5", "scram-sha-256"];

/// How PostgreSQL's own words for a wrong proof begin, by method.
fn refusal(method: &str) -> &'static str {
    if method == "scram-sha-256" { "SASL authentication failed" } else { "password authentication failed" }
}

/// A pooler that asks clients by that method, but for its console, and whose servers need no secret.
pub(crate) fn asking(method: &str) -> PoolerSetup {
    let method = if method == "plain" { "password" } else { method };
    PoolerSetup::new(postgres())
        .set("auth_type", "hba")
        .set("auth_hba_file", "rules.conf")
        .file("rules.conf", &format!("host pgbouncer admin all trust\nhost all all all {method}\n"))
        .database("app", "user=app password=x")
}

pub(crate) fn by_vault(setup: PoolerSetup, vault: &Vault) -> PoolerSetup {
    setup
        .set("iam_credential_source", "env")
        .environment("AWS_ENDPOINT_URL", vault.url())
        .environment("AWS_ACCESS_KEY_ID", KEY)
        .environment("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
}

/// psql as that user, with a password that has the mark.
fn try_as(pooler: &Pooler, user: &str, password: &str) -> Result<String, String> {
    try_log_in(pooler, "127.0.0.1", user, &format!("{MARK}{password}"))
}

#[track_caller]
fn lets_in(pooler: &Pooler, user: &str, password: &str) {
    let outcome = try_as(pooler, user, password);
    assert!(outcome.is_ok(), "{user}: {outcome:?}: {}", pooler.log());
}

#[track_caller]
fn refuses(pooler: &Pooler, user: &str, password: &str) -> String {
    let refused = try_as(pooler, user, password).expect_err("must be refused");
    none_in("an error for a client", &refused);
    refused
}

fn rows(pooler: &Pooler) -> Vec<BTreeMap<String, String>> {
    pooler.ask("show secrets").records()
}

pub(crate) fn row(pooler: &Pooler) -> BTreeMap<String, String> {
    rows(pooler).into_iter().next().expect("there is one")
}

/// Puts another text in a file's place, whole.
pub(crate) fn replace(pooler: &Pooler, file: &str, text: &str) {
    pooler.overwrite("new", text);
    std::fs::rename(pooler.directory().join("new"), pooler.directory().join(file)).expect("it is ours");
}

fn wait_for_version(pooler: &Pooler, version: &str) {
    wait_until(&format!("version {version} is read"), || row(pooler)["version"] == version);
}

#[test]
fn every_method_proves_clients_by_the_secret_of_their_user() {
    for method in METHODS {
        let pooler = asking(method)
            .user_settings("kept", "auth_secret_file=kept.json")
            .user_settings("line", "auth_secret_file=line")
            .user_settings("foreign", "auth_secret_file=kept.json")
            .user("line", "of-the-file")
            .file("kept.json", &json("kept", "first"))
            .file("line", &format!("{MARK}one line\n"))
            .start();
        lets_in(&pooler, "kept", "first");
        lets_in(&pooler, "line", "one line");
        for (user, password) in
            [("kept", "wrong"), ("nobody-known", "first"), ("foreign", "first"), ("line", "wrong")]
        {
            let refused = refuses(&pooler, user, password);
            assert!(refused.contains(refusal(method)), "{method} {user}: {refused}");
        }
        let of_file = try_log_in(&pooler, "127.0.0.1", "line", "of-the-file");
        assert!(of_file.is_err(), "{method}: auth_file does not count for who has a secret of its own");
        let shown = rows(&pooler);
        let told: Vec<_> =
            shown.iter().map(|row| (&*row["purpose"], &*row["state"], &*row["users"])).collect();
        assert_eq!(told, [("user", "fresh", "1"); 2], "{method}");
        none_in("SHOW SECRETS", &format!("{shown:?}"));
        pooler.wait_for_log("login failed: db=app user=kept");
    }
}

#[test]
fn verifiers_and_hashes_of_a_list_are_what_they_look_like() {
    let stored = |role: &str| {
        postgres().psql("postgres", &format!("select rolpassword from pg_authid where rolname = '{role}'"))
    };
    let list = format!("\"scrammer\" \"{}\"\n\"md5er\" \"{}\"\n", stored("scrammer"), stored("md5er"));
    for (method, user) in [("scram-sha-256", "scrammer"), ("plain", "scrammer"), ("md5", "md5er")] {
        let pooler = asking(method).set("auth_secret_file", "list").file("list", &list).start();
        let log_in = |password: &str| try_log_in(&pooler, "127.0.0.1", user, password);
        assert!(log_in(&format!("{user}-secret")).is_ok(), "{method}");
        assert!(log_in("wrong").is_err(), "{method}");
    }
}

#[test]
fn auth_file_goes_before_lists_and_lists_before_auth_query() {
    role("asked", "by query");
    role("twice", "by query");
    let list = format!(
        r#"{{"users":{{"twice":"{MARK}by list","filed":"{MARK}by list","listed":"{MARK}by list"}}}}"#
    );
    let pooler = asking("scram-sha-256")
        .set("auth_user", "postgres")
        .set("auth_dbname", "app")
        .set("auth_secret_file", "list")
        .user("filed", &format!("{MARK}by file"))
        .file("list", &list)
        .file("own", &format!("{MARK}by database"))
        .file("of_database", &format!("\"listed\" \"{MARK}by database\"\n"))
        .database("app", "user=postgres")
        .database("other", "user=postgres auth_secret_file=of_database")
        .start();
    for (user, password) in
        [("filed", "by file"), ("listed", "by list"), ("twice", "by list"), ("asked", "by query")]
    {
        lets_in(&pooler, user, password);
        refuses(&pooler, user, "by another");
    }
    refuses(&pooler, "filed", "by list");
    refuses(&pooler, "twice", "by query");
    let other = |password: &str| {
        let mut psql = programs::limited(programs::postgres("psql"));
        psql.args(["-X", "-At", "-w", "-h", "127.0.0.1", "-p", &pooler.port.to_string(), "-U", "listed"]);
        psql.args(["-d", "other", "-c", "select 1"]).env("PGPASSWORD", format!("{MARK}{password}"));
        psql.output().expect("psql is installed").status.success()
    };
    assert!(other("by database") && !other("by list"), "the database's list is all that counts there");
}

#[test]
fn a_new_version_counts_at_once_and_the_one_before_still() {
    for method in METHODS {
        let pooler = asking(method).set("auth_secret_file", "kept").file("kept", &json("kept", "0")).start();
        for number in 1..4 {
            lets_in(&pooler, "kept", &(number - 1).to_string());
            replace(&pooler, "kept", &json("kept", &number.to_string()));
            // before anybody has looked at the file
            lets_in(&pooler, "kept", &number.to_string());
            lets_in(&pooler, "kept", &(number - 1).to_string());
            wait_for_version(&pooler, &format!("#{}", number + 1));
        }
        refuses(&pooler, "kept", "1");
        assert_eq!(row(&pooler)["previous"], "#3", "{method}");
        none_in("the log", &pooler.log());
    }
}

#[test]
fn parts_in_a_directory_are_followed_through_kubernetes_links() {
    let pooler =
        asking("scram-sha-256").user_settings("kept", "auth_secret_file=mount").file("nothing", "").start();
    refuses(&pooler, "kept", "first");
    let mount = pooler.directory().join("mount");
    for (at, password) in [("..1", "first"), ("..2", "second")] {
        std::fs::create_dir_all(mount.join(at)).expect("the directory is ours");
        std::fs::write(mount.join(at).join("password"), format!("{MARK}{password}\n")).expect("it is ours");
    }
    let link = |to: &str| {
        symlink(to, mount.join("..data_tmp")).expect("it is ours");
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("it is ours");
    };
    symlink(Path::new("..data").join("password"), mount.join("password")).expect("it is ours");
    link("..1");
    lets_in(&pooler, "kept", "first");
    link("..2");
    lets_in(&pooler, "kept", "second");
    lets_in(&pooler, "kept", "first");
}

#[test]
fn what_is_broken_or_gone_leaves_the_last_version() {
    let pooler =
        asking("md5").set("auth_secret_file", "list").file("list", "\"kept\" \"hUsHhUsH1\"\n").start();
    lets_in(&pooler, "kept", "1");
    replace(&pooler, "list", "\"kept\" \"hUsHhUsH2\"\n\"half");
    wait_until("it is found broken", || row(&pooler)["state"] == "stale");
    assert!(row(&pooler)["last_error"].contains("line 2 of its list of users is broken"));
    lets_in(&pooler, "kept", "1");
    refuses(&pooler, "kept", "2");
    std::fs::remove_file(pooler.directory().join("list")).expect("it is ours");
    wait_until("it is missed", || row(&pooler)["last_error"].contains("there is no such secret"));
    lets_in(&pooler, "kept", "1");
    replace(&pooler, "list", "\"kept\" \"hUsHhUsH2\"\n");
    lets_in(&pooler, "kept", "2");
}

/// A session of a user that its secret lets in by SCRAM, kept open.
struct Session(Child);

impl Session {
    fn open(pooler: &Pooler, user: &str, password: &str) -> Self {
        let script = "import os, sys, time, psycopg\n\
                      c = psycopg.connect(os.environ['DSN'], autocommit=True)\n\
                      print('in', flush=True)\n\
                      sys.stdin.readline()\n\
                      try:\n    c.execute('select 1')\n    c.execute('select 1')\n    print('stays')\n\
                      except Exception as error:\n    print('ended', str(error).splitlines()[0])\n";
        let dsn =
            format!("host=127.0.0.1 port={} dbname=app user={user} password={MARK}{password}", pooler.port);
        let mut python = programs::limited(programs::in_repository(".venv/bin/python"));
        python.args(["-c", script]).env("DSN", dsn).stdin(Stdio::piped()).stdout(Stdio::piped());
        let session = Self(python.spawn().expect("Python is installed"));
        wait_until("it is logged in", || {
            let clients = pooler.ask("show clients").records();
            clients.iter().any(|client| client["user"] == user)
        });
        session
    }

    /// What became of it.
    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().expect("is our child");
        String::from_utf8_lossy(&output.stdout).replace("in\n", "").trim().to_owned()
    }
}

fn has_client(pooler: &Pooler, user: &str) -> bool {
    pooler.ask("show clients").records().iter().any(|client| client["user"] == user)
}

#[test]
fn who_is_gone_from_a_list_cannot_log_in_and_its_sessions_end() {
    let list = |users: &[&str]| -> String {
        users.iter().map(|user| format!("\"{user}\" \"{MARK}{user}\"\n")).collect()
    };
    let pooler = asking("scram-sha-256")
        .set("auth_secret_file", "list")
        .set("identity_recheck", "all")
        .file("list", &list(&["goes", "stays"]))
        .start();
    lets_in(&pooler, "goes", "goes");
    let [goes, stays] = ["goes", "stays"].map(|user| Session::open(&pooler, user, user));
    replace(&pooler, "list", &list(&["stays"]));
    wait_until("its session ends", || !has_client(&pooler, "goes"));
    assert!(goes.end().starts_with("ended"), "{}", pooler.log());
    refuses(&pooler, "goes", "goes");
    assert!(has_client(&pooler, "stays"));
    replace(&pooler, "list", &list(&["goes", "stays"]));
    lets_in(&pooler, "goes", "goes");
    let goes = Session::open(&pooler, "goes", "goes");
    assert_eq!([goes, stays].map(Session::end), ["stays", "stays"]);
}

#[test]
fn a_reload_takes_keys_away_and_brings_others() {
    let mut pooler = asking("scram-sha-256")
        .set("identity_recheck", "all")
        .user_settings("one", "auth_secret_file=one")
        .user_settings("two", "auth_secret_file=two")
        .file("one", &format!("{MARK}one"))
        .file("two", &format!("{MARK}two"))
        .file("three", &format!("{MARK}three"))
        .start();
    let [one, two] = ["one", "two"].map(|user| Session::open(&pooler, user, user));
    pooler.rewrite(|setup| {
        setup.user_settings("one", "pool_size=20").user_settings("two", "auth_secret_file=three")
    });
    pooler.ask("reload");
    wait_until("the session of the one without a secret ends", || !has_client(&pooler, "one"));
    refuses(&pooler, "one", "one");
    lets_in(&pooler, "two", "three");
    refuses(&pooler, "two", "two");
    assert!(one.end().starts_with("ended"));
    assert_eq!(two.end(), "stays");
    assert_eq!(rows(&pooler).len(), 1, "nobody names the others any more");
}

#[test]
fn servers_are_logged_in_to_as_auth_file_would_have_it() {
    role("pooled_kept", "first");
    let pooler = asking("scram-sha-256")
        .user_settings("pooled_kept", "auth_secret_file=kept")
        .set("server_lifetime", 0)
        .file("kept", &json("pooled_kept", "first"))
        .database("app", "")
        .start();
    assert_eq!(try_as(&pooler, "pooled_kept", "first").as_deref(), Ok("pooled_kept"));
    alter("pooled_kept", "second");
    replace(&pooler, "kept", &json("pooled_kept", "second"));
    assert_eq!(try_as(&pooler, "pooled_kept", "second").as_deref(), Ok("pooled_kept"));
}

#[test]
fn alternating_users_at_aws_are_both_let_in() {
    let vault = Vault::start();
    vault.put("turns", "AWSCURRENT", Some(("v0", &json("turn_a", "a"))));
    let pooler = by_vault(asking("scram-sha-256"), &vault).set("auth_secret_arn", arn("turns")).start();
    lets_in(&pooler, "turn_a", "a");
    refuses(&pooler, "turn_b", "b");
    vault.put("turns", "AWSCURRENT", Some(("v1", &json("turn_b", "b"))));
    lets_in(&pooler, "turn_b", "b");
    lets_in(&pooler, "turn_a", "a");
    assert_eq!([&row(&pooler)["version"], &row(&pooler)["previous"]], ["v1", "v0"]);
}

#[test]
fn a_flood_of_wrong_passwords_makes_few_calls_and_shuts_nobody_out() {
    let vault = Vault::start();
    vault.put("kept", "AWSCURRENT", Some(("v0", &json("kept", "0"))));
    let pooler = by_vault(asking("md5"), &vault).set("auth_secret_arn", arn("kept")).start();
    lets_in(&pooler, "kept", "0");
    let begin = Instant::now();
    // names that there are and names that there are not
    let flood = || {
        let mut clients: Vec<_> = (0..200)
            .map(|number| {
                let mut client = Raw::tcp(pooler.port);
                let user = if number % 2 == 0 { "kept".to_owned() } else { format!("nobody{number}") };
                client.startup(&[("user", &user), ("database", "app")]);
                client
            })
            .collect();
        for client in &mut clients {
            client.read().expect("it is asked for a password");
            client.send(&raw::frame(b'p', b"md500000000000000000000000000000000\0"));
        }
        clients
    };
    let mut last = Vec::new();
    for _ in 0..5 {
        for mut client in std::mem::replace(&mut last, flood()) {
            let errors = client.outcome().errors;
            assert!(errors[0].contains("password authentication failed"), "{errors:?}");
        }
    }
    vault.put("kept", "AWSCURRENT", Some(("v1", &json("kept", "1"))));
    lets_in(&pooler, "kept", "1");
    let (calls, seconds) = (vault.calls().len() as u64, begin.elapsed().as_secs());
    assert!(calls <= 1 + 10 + seconds / 3 + 2, "{calls} calls for 1,000 wrong passwords in {seconds} s");
    assert!(calls >= 3, "{calls}: a wrong password has it fetched");
}

#[test]
fn an_outage_keeps_the_last_version() {
    let vault = Vault::start();
    vault.put("kept", "AWSCURRENT", Some(("v0", &json("kept", "0"))));
    let pooler = by_vault(asking("scram-sha-256"), &vault)
        .user_settings("kept", &format!("auth_secret_arn={}", arn("kept")))
        .start();
    lets_in(&pooler, "kept", "0");
    for fault in ["AccessDeniedException", "InternalServiceError", "garbage", "ResourceNotFoundException"] {
        vault.fail(Some(fault));
        refuses(&pooler, "kept", "wrong");
        wait_until(fault, || row(&pooler)["state"] == "stale");
        lets_in(&pooler, "kept", "0");
        vault.fail(None);
        pooler.ask("reload");
        wait_until("it is over", || row(&pooler)["state"] == "fresh");
    }
}

#[test]
fn without_a_secret_at_the_start_clients_wait_and_are_told_to_come_again() {
    let vault = Vault::start();
    vault.put("kept", "AWSCURRENT", Some(("v0", &json("kept", "0"))));
    vault.fail(Some("AccessDeniedException"));
    let pooler = by_vault(asking("scram-sha-256"), &vault)
        .set("auth_secret_arn", arn("kept"))
        .user("filed", &format!("{MARK}filed"))
        .start();
    pooler.wait_for_log("not known: AWS denies reading it");
    for (user, password) in [("kept", "0"), ("nobody-known", "0"), ("filed", "wrong")] {
        let refused = refuses(&pooler, user, password);
        assert!(refused.contains("a secret that clients prove themselves by is not known yet"), "{refused}");
    }
    lets_in(&pooler, "filed", "filed");
    vault.fail(None);
    wait_until("it is known", || try_as(&pooler, "kept", "0").is_ok());
    assert!(refuses(&pooler, "kept", "wrong").contains("SASL authentication failed"));
}

#[test]
fn check_reads_keys_and_fetches_where_it_is_told_to() {
    let setup = |keys: &str| asking("md5").user_settings("kept", keys).file("kept", &json("kept", "0"));
    let checked = setup("auth_secret_file=kept auth_secret_arn=x").check(&[]);
    assert!(!checked.status.success());
    assert!(programs::said(&checked).contains("auth_secret_arn"), "{checked:?}");
    let fetched = setup("auth_secret_file=kept").check(&["--iam"]);
    let said = programs::said(&fetched);
    assert!(fetched.status.success() && said.contains("version #1, 1 users for clients"), "{said}");
    none_in("--check", &said);
    let missing = setup("auth_secret_file=none").check(&["--iam"]);
    assert!(!missing.status.success() && programs::said(&missing).contains("there is no such secret"));
}
