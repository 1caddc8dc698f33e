//! Secrets that others keep and change, as files (`server_auth=secret_file`): how they are mounted, what a
//! rotation costs, what is seen of them. Every password has the mark by which a leak is found in a log.

use crate::common::raw::{self, Raw};
use crate::common::secrets::{MARK, none_in};
use crate::common::{Pooler, PoolerSetup, page, postgres, programs, wait_until, wait_until_for};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A role that proves itself by SCRAM, made anew.
pub(crate) fn role(name: &str, password: &str) {
    postgres().psql(
        "postgres",
        &format!(
            "drop role if exists {name}; create role {name} login password '{MARK}{password}' in role \
             secretive"
        ),
    );
}

pub(crate) fn alter(name: &str, password: &str) {
    postgres().psql("postgres", &format!("alter role {name} password '{MARK}{password}'"));
}

/// As Secrets Manager has it; host, port and database are of no interest.
pub(crate) fn json(user: &str, password: &str) -> String {
    format!(
        r#"{{"engine":"postgres","host":"nowhere.invalid","port":1,"dbname":"none","username":"{user}",
        "password":"{MARK}{password}"}}"#
    )
}

/// A pooler whose database `app` is logged in to by the file `secret` of its directory.
fn setup(text: &str, more: &str) -> PoolerSetup {
    PoolerSetup::new(postgres())
        .file("secret", text)
        .database("app", &format!("user=pooled server_auth=secret_file secret_file=secret {more}"))
}

/// Puts another text in the file's place, whole.
fn replace(pooler: &Pooler, text: &str) {
    pooler.overwrite("new", text);
    std::fs::rename(pooler.directory().join("new"), pooler.directory().join("secret")).expect("it is ours");
}

pub(crate) fn whoami(client: &mut Raw) -> String {
    client.simple("select session_user").value()
}

pub(crate) fn row(pooler: &Pooler) -> std::collections::BTreeMap<String, String> {
    pooler.ask("show secrets").records().into_iter().next().expect("there is one").into_iter().collect()
}

fn wait_for_version(pooler: &Pooler, version: &str) {
    wait_until(&format!("version {version} is read"), || row(pooler)["version"] == version);
}

#[test]
fn servers_are_logged_in_to_as_the_secret_says_and_clients_see_their_own_name() {
    role("by_json", "first");
    let pooler = setup(&json("by_json", "first"), "").start();
    let mut client = pooler.client();
    assert_eq!(whoami(&mut client), "by_json");
    let pools = pooler.ask("show pools").records();
    assert!(pools.iter().any(|pool| pool["database"] == "app" && pool["user"] == "pooled"), "{pools:?}");
    let clients = pooler.ask("show clients").records();
    assert!(clients.iter().any(|client| client["user"] == "app"), "{clients:?}");
    let row = row(&pooler);
    assert_eq!([&row["state"], &row["version"], &row["server_user"]], ["fresh", "#1", "by_json"]);
    pooler.wait_for_log("everybody on this machine may read it (mode 0644)");
    none_in("SHOW SECRETS", &format!("{row:?}"));
}

#[test]
fn a_directory_of_parts_is_followed_through_kubernetes_links() {
    role("k_one", "first");
    role("k_two", "other");
    let pooler = PoolerSetup::new(postgres())
        .database("app", "user=pooled server_auth=secret_file secret_file=mount")
        .set("server_lifetime", 0)
        .start();
    let mount = pooler.directory().join("mount");
    for (at, user, password) in [("..1", "k_one", "first"), ("..2", "k_two", "other")] {
        std::fs::create_dir_all(mount.join(at)).expect("the directory is ours");
        std::fs::write(mount.join(at).join("username"), user).expect("it is ours");
        std::fs::write(mount.join(at).join("password"), format!("{MARK}{password}\n")).expect("it is ours");
    }
    let link = |to: &str| {
        symlink(to, mount.join("..data_tmp")).expect("it is ours");
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("it is ours");
    };
    for part in ["username", "password"] {
        symlink(PathBuf::from("..data").join(part), mount.join(part)).expect("it is ours");
    }
    link("..1");
    assert_eq!(whoami(&mut pooler.client()), "k_one", "it was mounted after the start");
    link("..2");
    wait_for_version(&pooler, "#2");
    assert_eq!(whoami(&mut pooler.client()), "k_two");
    pooler.wait_for_log("new servers are logged in to as k_two");
}

#[test]
fn a_file_that_is_half_written_changes_nothing_and_is_told_once() {
    role("half", "first");
    let pooler = setup(&json("half", "first"), "").set("server_lifetime", 0).start();
    assert_eq!(whoami(&mut pooler.client()), "half");
    let whole = json("half", "first");
    pooler.overwrite("secret", &whole[..whole.len() / 2]);
    wait_until("it is found broken", || row(&pooler)["state"] == "stale");
    assert_eq!(whoami(&mut pooler.client()), "half");
    std::fs::remove_file(pooler.directory().join("secret")).expect("it is ours");
    wait_until("it is missed", || row(&pooler)["last_error"].contains("there is no such secret"));
    assert_eq!(whoami(&mut pooler.client()), "half");
    pooler.overwrite("secret", &whole);
    wait_until("it is read again", || row(&pooler)["state"] == "fresh");
    assert_eq!(row(&pooler)["version"], "#1");
    let log = pooler.log();
    assert_eq!(log.matches("it is not one whole JSON object").count(), 1, "{log}");
    pooler.wait_for_log("fetching it succeeds again");
}

#[test]
fn a_wrong_secret_is_told_and_a_right_one_works_at_once() {
    role("wrong", "right");
    let pooler = setup(&json("wrong", "false"), "").start();
    // the first has a login tried, the others come in the pause behind it or are the next try's
    for _ in 0..3 {
        let mut refused = Raw::tcp(pooler.port);
        refused.startup(&[("user", "app"), ("database", "app")]);
        let words = refused.last_words();
        assert!(words.starts_with("FATAL 28P01: password authentication failed for user"), "{words}");
        none_in("an error for a client", &words);
    }
    pooler.wait_for_log("version #1 was refused");
    replace(&pooler, &json("wrong", "right"));
    wait_for_version(&pooler, "#2");
    assert_eq!(whoami(&mut pooler.client()), "wrong");
}

#[test]
fn a_replication_client_is_told_that_there_is_no_secret_as_others_are() {
    let pooler = setup("", "").set("query_wait_timeout", 2).start();
    std::fs::remove_file(pooler.directory().join("secret")).expect("it is ours");
    wait_until("it is missed", || row(&pooler)["last_error"].contains("there is no such secret"));
    let login = [("user", "app"), ("database", "app")];
    // others come last: what they have learnt is not what these are told
    for more in [&[("replication", "true")][..], &[("replication", "database")], &[]] {
        let mut client = Raw::tcp(pooler.port);
        client.startup(&[&login[..], more].concat());
        let words = client.last_words();
        let is_told = words.starts_with("FATAL 08006: query_wait_timeout: secret ")
            && words.ends_with("is not known: there is no such secret");
        assert!(is_told, "{more:?}: {words}");
    }
}

#[test]
fn a_reload_to_another_way_to_log_in_takes_the_reason_of_the_old_one_with_it() {
    role("other_way", "first");
    let missing = "user=pooled server_auth=secret_file secret_file=nowhere";
    let setup = setup(&json("other_way", "first"), "").database("app", missing).with_page();
    let mut pooler = setup.set("query_wait_timeout", 1).start();
    let port = pooler.page_port();
    let ready = || page::get(port, "/ready?database=app").1;
    let served = || page::value(port, "pgweir_database_served{database=\"app\"}");
    for good in [
        format!("user=other_way password={MARK}first"),
        "user=pooled server_auth=secret_file secret_file=secret".to_owned(),
    ] {
        let mut waits = Raw::tcp(pooler.port);
        waits.startup(&[("user", "app"), ("database", "app")]);
        let words = waits.last_words();
        assert!(words.contains("nowhere is not known: there is no such secret"), "{words}");
        assert!(ready().contains("nowhere is not known") && served() == Some(0.0), "{}", ready());
        pooler.rewrite(|setup| setup.database("app", &good));
        pooler.ask("reload");
        assert!(!ready().contains("nowhere"), "{}", ready());
        wait_until("it is ready without a login", || ready() == "ready\n" && served() == Some(1.0));
        assert_eq!(whoami(&mut pooler.client()), "other_way");
        pooler.rewrite(|setup| setup.database("app", missing));
        pooler.ask("reload");
    }
}

#[test]
fn servers_that_work_outlive_a_secret_that_does_not() {
    role("lasting", "first");
    let pooler = setup(&json("lasting", "first"), "pool_size=2").start();
    let mut client = pooler.client();
    let pid = client.simple("select pg_backend_pid()").value();
    alter("lasting", "unknown to the pooler");
    client.simple("begin");
    let mut other = pooler.client();
    other.send(&raw::query("select pg_backend_pid()"));
    pooler.wait_for_log("version #1 was refused");
    client.simple("commit");
    assert_eq!(other.outcome().value(), pid, "it is served by the one that is there");
    alter("lasting", "first");
}

/// Runs pgbench for `seconds`, and `rotate` a few times meanwhile, at equal distances.
pub(crate) fn under_load(pooler: &Pooler, seconds: u64, mut rotate: impl FnMut(u32)) {
    let mut pgbench = programs::limited_to(seconds + 60, programs::postgres("pgbench"));
    let script = pooler.directory().join("load.sql");
    std::fs::write(&script, "select count(*) from generate_series(1, 100);\n").expect("it is ours");
    pgbench
        .args(["-h", "127.0.0.1", "-p", &pooler.port.to_string(), "-U", "app", "-n", "-c", "8", "-j", "2"])
        .args(["-T", &seconds.to_string(), "-f", &script.display().to_string(), "app"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let begin = Instant::now();
    let mut load = pgbench.spawn().expect("pgbench is installed");
    let rotations = u32::try_from(seconds / 20).expect("not so long").max(2);
    let distance = Duration::from_secs(seconds) / (rotations + 1);
    for number in 1..=rotations {
        wait_until_for("it is time", Duration::from_secs(seconds), || begin.elapsed() >= distance * number);
        rotate(number);
        assert!(load.try_wait().expect("is our child").is_none(), "rotation {number} was done under load");
    }
    let done = load.wait_with_output().expect("is our child");
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(done.status.success() && said.contains("number of failed transactions: 0"), "{said}");
    assert!(!said.contains("ERROR") && !said.contains("FATAL"), "{said}");
    eprintln!("{rotations} rotations in {seconds}s: {said}");
}

/// How long a load test runs.
pub(crate) fn load_seconds() -> u64 {
    std::env::var("PGWEIR_LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

#[test]
fn a_rotation_of_one_user_under_load_costs_no_client_an_error() {
    role("single", "0");
    let pooler = setup(&json("single", "0"), "pool_size=4 server_lifetime=1").start();
    under_load(&pooler, load_seconds(), |number| {
        // Whoever rotates first tells the database, then the file: in between nothing that is known works.
        alter("single", &number.to_string());
        let refused = || pooler.log().matches("was refused").count();
        let before = refused();
        wait_until("a login meets the gap", || refused() > before);
        replace(&pooler, &json("single", &number.to_string()));
        wait_for_version(&pooler, &format!("#{}", number + 1));
    });
    assert!(pooler.log().contains("was refused"), "there were logins in the gap");
}

#[test]
fn a_rotation_of_alternating_users_under_load_costs_no_client_an_error() {
    role("turn_a", "a0");
    role("turn_b", "b0");
    let pooler = setup(&json("turn_a", "a0"), "pool_size=4 server_lifetime=1").start();
    let users = || {
        let sql = "select string_agg(distinct usename, ',' order by usename) from pg_stat_activity where \
                   usename like 'turn%'";
        postgres().psql("postgres", sql)
    };
    under_load(&pooler, load_seconds(), |number| {
        let (user, password) = (["turn_a", "turn_b"][number as usize % 2], format!("x{number}"));
        alter(user, &password);
        replace(&pooler, &json(user, &password));
        wait_for_version(&pooler, &format!("#{}", number + 1));
        wait_until("servers are of the other user alone", || users() == user);
    });
    let log = pooler.log();
    assert!(log.contains("new servers are logged in to as turn_b"), "{log}");
    assert!(!log.contains("was refused"), "both users stay valid");
}
