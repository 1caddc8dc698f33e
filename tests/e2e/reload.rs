//! Reload by SIGHUP and RELOAD: what changes, what stays, and that a broken file changes nothing.

use crate::common::raw::{self, Raw};
use crate::common::{PoolerSetup, postgres, programs, wait_until};

#[test]
fn a_new_database_and_a_new_user_appear() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    pooler.rewrite(|setup| setup.database("second", "dbname=other").user("newcomer", ""));
    assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
    assert_eq!(
        Raw::log_in(pooler.port, "app", "second").simple("select current_database()").value(),
        "other"
    );
    pooler.wait_for_log("RELOAD command issued");
}

#[test]
fn sighup_does_the_same() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    pooler.rewrite(|setup| setup.database("second", "dbname=other"));
    pooler.signal("HUP");
    pooler.wait_for_log("got SIGHUP, re-reading config");
    wait_until("the database is there", || {
        pooler.ask("show databases").records().iter().any(|row| row["name"] == "second")
    });
}

#[test]
fn a_changed_database_gets_new_servers_and_keeps_its_clients() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    assert_eq!(client.simple("select current_database()").value(), "app");
    pooler.rewrite(|setup| setup.database("app", "dbname=other"));
    assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
    wait_until("the client reaches the new database", || {
        client.simple("select current_database()").value() == "other"
    });
}

#[test]
fn a_removed_database_ends_its_clients() {
    let mut pooler = PoolerSetup::new(postgres()).database("doomed", "dbname=app").start();
    let mut client = Raw::log_in(pooler.port, "app", "doomed");
    client.simple("select 1");
    let text = std::fs::read_to_string(pooler.directory().join("pgweir.ini")).expect("was written");
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("doomed")).collect();
    pooler.overwrite("pgweir.ini", &kept.join("\n"));
    assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
    assert!(client.last_words().ends_with("database removed"));
    assert_eq!(pooler.status(), None);
}

#[test]
fn a_larger_pool_takes_effect_for_those_who_wait() {
    let mut pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let (mut holder, mut waiter) = (pooler.client(), pooler.client());
    holder.simple("begin");
    waiter.send(&raw::query("select 2"));
    wait_until("it waits", || pooler.ask("show pools").records().iter().any(|row| row["cl_waiting"] == "1"));
    pooler.rewrite(|setup| setup.database("app", "pool_size=2"));
    assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
    assert_eq!(waiter.outcome().value(), "2");
    assert_eq!(holder.simple("commit").status, Some(b'I'));
}

#[test]
fn a_broken_file_leaves_everything_as_it_was() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    let before = pooler.ask("show config").rows;
    let sound = std::fs::read_to_string(pooler.directory().join("pgweir.ini")).expect("was written");
    // Good changes stand before the error, so that a reload that stops halfway would show.
    let changed =
        sound.replace("[pgbouncer]", "[databases]\nhalfway = host=127.0.0.1\n[pgbouncer]\nquery_timeout = 1");
    for broken in
        ["nonsense = 1\n", "listen_backlog = many\n", "[no such section]\nx = 1\n", "no equals sign\n"]
    {
        pooler.overwrite("pgweir.ini", &format!("{changed}\n{broken}"));
        let outcome = pooler.ask("reload");
        assert_eq!(outcome.errors.len(), 1, "{broken}: {outcome:?}");
        assert!(outcome.errors[0].starts_with("ERROR F0000: "), "{broken}: {outcome:?}");
        assert_eq!(pooler.ask("show config").rows, before, "{broken}");
        let databases = pooler.ask("show databases").records();
        assert!(databases.iter().all(|row| row["name"] != "halfway"), "{broken}");
    }
    pooler.signal("HUP");
    pooler.wait_for_log("got SIGHUP");
    assert_eq!(client.simple("select 1").value(), "1");
    pooler.overwrite("pgweir.ini", &sound);
    assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
    assert_eq!(pooler.status(), None);
}

#[test]
fn check_reports_every_error_with_file_and_line() {
    let pooler = PoolerSetup::new(postgres()).start();
    let file = pooler.directory().join("pgweir.ini");
    let check =
        || programs::limited(programs::pooler()).arg("--check").arg(&file).output().expect("can be run");
    let fine = check();
    assert_eq!(fine.status.code(), Some(0), "{}", programs::said(&fine));
    pooler.overwrite(
        "pgweir.ini",
        "[databases]\nx = nonsense=1\n[pgbouncer]\nlisten_port = many\nno_such = 1\n\
         [databases]\ny = host=/run server_auth=rds_iam\n",
    );
    let broken = check();
    let said = programs::said(&broken);
    assert_eq!(broken.status.code(), Some(1), "{said}");
    for line in [2, 4, 5, 7] {
        assert!(said.contains(&format!("pgweir.ini:{line}")), "line {line} is not named: {said}");
    }
}

#[test]
fn a_reload_that_would_lose_users_changes_nothing() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    let userlist = std::fs::read_to_string(pooler.directory().join("userlist.txt")).expect("was written");
    pooler.rewrite(|setup| setup.set("query_timeout", 77));
    let unchanged = || {
        let outcome = pooler.ask("reload");
        assert!(outcome.errors[0].starts_with("ERROR F0000: "), "{outcome:?}");
        let row = pooler.ask("show config").records().into_iter().find(|row| row["key"] == "query_timeout");
        assert_eq!(row.expect("is there")["value"], "0");
        pooler.client().simple("select 1");
    };
    pooler.overwrite("userlist.txt", "\"app\" \"app-secret");
    unchanged();
    pooler.wait_for_log("broken auth file");
    std::fs::remove_file(pooler.directory().join("userlist.txt")).expect("was written");
    unchanged();
    pooler.wait_for_log("could not open auth_file");
    pooler.overwrite("userlist.txt", &userlist);
    assert_eq!(pooler.ask("reload").commands, ["RELOAD"]);
}
