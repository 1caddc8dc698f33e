//! Lines of the log that alerts and humans look for: what, at which level, and what leaves none.
//! Source: PgBouncer, src/client.c, src/objects.c, src/sbuf.c, src/loader.c, src/main.c.

use crate::common::certs::certs;
use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, free_port, postgres, programs, wait_until};

/// Lines without what differs from one to the next.
fn lines(log: &str) -> Vec<&str> {
    log.lines().filter_map(|line| line.split_once("] ")).map(|(_, line)| line).collect()
}

fn has(pooler: &Pooler, level: &str, part: &str) -> bool {
    lines(&pooler.log()).iter().any(|line| line.starts_with(level) && line.contains(part))
}

#[track_caller]
fn wait_for(pooler: &Pooler, level: &str, part: &str) {
    wait_until(&format!("{level} … {part}"), || has(pooler, level, part));
}

/// What a client of that user is refused with.
fn refused(pooler: &Pooler, user: &str) -> String {
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", user), ("database", "app")]);
    client.last_words()
}

#[test]
fn a_failed_handshake_is_a_warning_whatever_else_is_left_out() {
    let pooler = PoolerSetup::new(postgres())
        .set("client_tls_sslmode", "require")
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .set("log_disconnections", 0)
        .set("log_connections", 0)
        .start();
    let mut client = Raw::tcp(pooler.port);
    client.send(&[0, 0, 0, 8, 4, 210, 22, 47]);
    assert_eq!(client.read_byte(), b'S');
    client.send(b"this is no TLS hello at all......");
    wait_for(&pooler, "WARNING C-", " TLS handshake error: ");
    assert!(!has(&pooler, "LOG", "closing because"));
}

#[test]
fn what_a_client_is_refused_for_is_an_error_that_says_so() {
    let pooler = PoolerSetup::new(postgres()).set("auth_type", "any").start();
    assert!(refused(&pooler, "app").ends_with("bouncer config error"));
    wait_for(&pooler, "ERROR C-", " auth_type=any requires forced user");

    let pooler = PoolerSetup::new(postgres()).set("disable_pqexec", 1).start();
    let mut client = pooler.client();
    client.send(&raw::query("select 1"));
    assert!(client.last_words().ends_with("PQexec disallowed"));
    wait_for(&pooler, "ERROR C-", " client used \"Query\" packet type");

    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "md5")
        .set("auth_user", "app")
        .set("auth_query", "select * from nosuch($1)")
        .start();
    assert!(refused(&pooler, "unknown").ends_with("bouncer config error"));
    wait_for(&pooler, "ERROR", "S: error in auth_query: ERROR: function nosuch");
}

#[test]
fn a_cancel_request_is_told_on_both_sides() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.send(&raw::query("select pg_sleep(60) as both_sides"));
    let running = "select count(*) from pg_stat_activity where state = 'active' and query like '%both_sides' \
                   and pid <> pg_backend_pid()";
    wait_until("the query runs", || postgres().psql("postgres", running) == "1");
    let cancel = |key: &[u8]| {
        let mut messenger = Raw::tcp(pooler.port);
        messenger.send(&raw::cancel_request(key));
        assert_eq!(messenger.read(), None, "closed without an answer");
    };
    cancel(&client.key.clone());
    assert_eq!(client.outcome().errors, ["ERROR 57014: canceling statement due to user request"]);
    for side in ["LOG C-", "LOG S-"] {
        wait_for(&pooler, side, " closing because: successfully sent cancel request (age=");
    }
    cancel(&client.key.clone());
    wait_for(&pooler, "LOG C-", " closing because: cancel request for idle client (age=");
    cancel(&[7; 8]);
    wait_for(&pooler, "LOG C-", " closing because: failed cancel request (age=");
}

#[test]
fn an_auth_file_that_is_not_there_is_an_error_of_the_start() {
    let pooler = PoolerSetup::new(postgres()).set("auth_file", "/nonexistent/users.txt").start();
    wait_for(&pooler, "ERROR", "could not open auth_file /nonexistent/users.txt: ");
    let setup = PoolerSetup::new(postgres()).set("auth_file", "/nonexistent/users.txt");
    let output = setup.check(&[]);
    let said = programs::said(&output);
    assert!(output.status.success() && said.contains("warning: could not open auth_file"), "{said}");
}

#[test]
fn a_full_disk_is_told_as_such() {
    let pooler = PoolerSetup::new(postgres()).set("logfile", "/dev/full").start();
    drop(pooler.client());
    wait_for(&pooler, "WARNING", " log lines were lost: could not write to the log file: No space left");
    assert!(!pooler.log().contains("faster"), "{}", pooler.log());
}

#[test]
fn a_pidfile_of_a_dead_process_is_told() {
    let file = crate::common::reaper::directory().join(format!("stale-{}.pid", free_port()));
    crate::common::account::write(&file, "2147483647\n", 0o644);
    let pooler = PoolerSetup::new(postgres()).set("pidfile", file.display()).start();
    wait_for(&pooler, "LOG", "stale pidfile, removing");
}

#[test]
fn a_start_that_fails_has_one_last_word() {
    let mut pooler = PoolerSetup::new(postgres()).set("max_client_conn", "many").set("nosuch", 1).launch();
    assert!(!pooler.wait().success());
    let log = pooler.log();
    let levels: Vec<_> = lines(&log).iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(levels, ["ERROR", "ERROR", "FATAL"], "{log}");
    assert!(lines(&log)[2].ends_with("cannot load config file"), "{log}");
}

#[test]
fn a_path_too_long_for_a_socket_is_told_with_the_limit() {
    let directory = crate::common::reaper::directory().join("x".repeat(100));
    std::fs::create_dir_all(&directory).expect("ours");
    let setup = || PoolerSetup::new(postgres()).set("unix_socket_dir", directory.display());
    let said = programs::said(&setup().check(&[]));
    assert!(said.contains(" would be refused: path of the unix socket is too long: "), "{said}");
    let mut pooler = setup().launch();
    assert!(!pooler.wait().success());
    wait_for(&pooler, "FATAL path of the unix socket is too long: ", " bytes, at most 107 ");
}

#[test]
fn an_include_that_cannot_be_read_is_told_with_its_line() {
    let setup = PoolerSetup::new(postgres()).set("verbose", "0\n%include /nonexistent/i.ini");
    let output = setup.check(&[]);
    let said = programs::said(&output);
    let (_, place) = said.split_once("could not load file \"/nonexistent/i.ini\": ").expect(&said);
    assert!(place.contains("included in configuration (") && place.contains("pgweir.ini:"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
