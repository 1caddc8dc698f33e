//! The process: start-up failures, arguments, signals, shutdown in its three forms, the pid file.
//! Source: PgBouncer, doc/usage.md ("Command line switches", "Signals").

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, postgres, programs, wait_until};
use std::net::TcpStream;
use std::process::Command;

fn refuses_tcp(pooler: &Pooler) -> bool {
    TcpStream::connect(("127.0.0.1", pooler.port)).is_err()
}

fn ends_well(mut pooler: Pooler) {
    let status = pooler.wait();
    assert_eq!(status.code(), Some(0), "{}", pooler.log());
    let socket = pooler.directory().join(format!(".s.PGSQL.{}", pooler.port));
    assert!(!socket.exists(), "the socket is removed");
}

#[test]
fn sigquit_ends_at_once() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("begin");
    pooler.signal("QUIT");
    ends_well(pooler);
    assert_eq!(client.outcome().status, None);
}

#[test]
fn sigterm_waits_for_clients() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("select 1");
    pooler.signal("TERM");
    wait_until("TCP is refused", || refuses_tcp(&pooler));
    pooler.wait_for_log("got SIGTERM, shutting down, waiting for all clients disconnect");
    assert_eq!(client.simple("select 2").value(), "2", "who is in may go on");
    assert_eq!(pooler.status(), None);
    drop(client);
    ends_well(pooler);
}

#[test]
fn sigint_waits_for_servers() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    let (mut busy, mut idle) = (pooler.client(), pooler.client());
    busy.simple("begin");
    pooler.signal("INT");
    wait_until("TCP is refused", || refuses_tcp(&pooler));
    assert_eq!(busy.simple("select 2").value(), "2");
    assert_eq!(pooler.status(), None);
    idle.send(&raw::query("select 1"));
    assert!(idle.last_words().ends_with("server shutting down"));
    busy.send(&raw::query("commit"));
    assert_eq!(busy.outcome().commands, ["COMMIT"]);
    ends_well(pooler);
}

#[test]
fn a_second_signal_ends_at_once() {
    for first in ["TERM", "INT"] {
        for second in ["TERM", "INT"] {
            let pooler = PoolerSetup::new(postgres()).start();
            let mut client = pooler.client();
            client.simple("begin");
            pooler.signal(first);
            wait_until("TCP is refused", || refuses_tcp(&pooler));
            pooler.signal(second);
            pooler.wait_for_log(&format!("got SIG{second} while shutting down, fast exit"));
            ends_well(pooler);
        }
    }
}

#[test]
fn signals_out_of_turn_change_nothing_and_say_so() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    for (signal, line) in [
        ("USR2", "got SIGUSR2, but not paused/suspended"),
        ("USR1", "got SIGUSR1, pausing all activity"),
        ("USR1", "got SIGUSR1, but already paused/suspended"),
        ("USR2", "got SIGUSR2, continuing from PAUSE"),
    ] {
        pooler.signal(signal);
        pooler.wait_for_log(line);
    }
    let mut client = pooler.client();
    assert_eq!(client.simple("select 1").value(), "1");
    pooler.signal("TERM");
    wait_until("TCP is refused", || refuses_tcp(&pooler));
    pooler.signal("USR2");
    pooler.wait_for_log("got SIGUSR2 while shutting down, ignoring");
    assert_eq!(client.simple("select 2").value(), "2");
    assert_eq!(pooler.status(), None);
    pooler.signal("QUIT");
    pooler.wait_for_log("got SIGQUIT, fast exit");
    ends_well(pooler);
}

#[test]
fn an_administrator_who_is_connected_keeps_sigterm_waiting() {
    let mut pooler = PoolerSetup::new(postgres()).start();
    let mut console = pooler.console();
    pooler.signal("TERM");
    wait_until("TCP is refused", || refuses_tcp(&pooler));
    assert_eq!(console.simple("show version").rows.len(), 1);
    assert_eq!(pooler.status(), None);
    drop(console);
    ends_well(pooler);
}

#[test]
fn a_signal_to_end_while_suspended_is_a_failure() {
    for signal in ["TERM", "INT"] {
        let mut pooler = PoolerSetup::new(postgres()).start();
        let mut console = pooler.console();
        assert_eq!(console.simple("suspend").commands, ["SUSPEND"]);
        pooler.signal(signal);
        assert_eq!(pooler.wait().code(), Some(1), "{signal}");
        assert!(pooler.log().contains("suspend was in progress, going down immediately"), "{}", pooler.log());
    }
}

#[test]
fn sigusr1_pauses_and_sigusr2_resumes() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("select 1");
    let state = |wanted: &str| {
        pooler.ask("show state").records().iter().any(|row| row["key"] == "paused" && row["value"] == wanted)
    };
    pooler.signal("USR1");
    wait_until("it is paused", || state("yes"));
    client.send(&raw::query("select 2"));
    pooler.signal("USR2");
    wait_until("it is resumed", || state("no"));
    assert_eq!(client.outcome().value(), "2");
    pooler.wait_for_log("got SIGUSR2, continuing from PAUSE");
}

#[test]
fn shutdown_has_three_forms() {
    let pooler = PoolerSetup::new(postgres()).start();
    let outcome = pooler.ask("shutdown");
    assert_eq!(outcome.status, None, "the connection just ends");
    ends_well(pooler);
    for form in ["wait_for_clients", "wait_for_servers"] {
        let pooler = PoolerSetup::new(postgres()).start();
        let mut client = pooler.client();
        client.simple("begin");
        assert_eq!(pooler.ask(&format!("shutdown {form}")).commands, ["SHUTDOWN"]);
        wait_until("TCP is refused", || refuses_tcp(&pooler));
        client.simple("commit");
        drop(client);
        ends_well(pooler);
    }
}

#[test]
fn during_a_soft_shutdown_the_unix_socket_serves_only_the_console() {
    let pooler = PoolerSetup::new(postgres()).start();
    let _client = pooler.client();
    pooler.signal("TERM");
    wait_until("TCP is refused", || refuses_tcp(&pooler));
    let mut refused = Raw::unix(pooler.directory(), pooler.port);
    refused.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(refused.last_words(), "FATAL 08P01: pooler is shutting down");
    let mut console = Raw::unix(pooler.directory(), pooler.port);
    console.startup(&[("user", "admin"), ("database", "pgbouncer")]);
    assert_eq!(console.outcome().status, Some(b'I'));
    assert_eq!(console.simple("show version").rows.len(), 1);
}

#[test]
fn arguments_are_understood_or_explained() {
    let run = |arguments: &[&str]| {
        programs::limited(programs::pooler()).args(arguments).output().expect("can be run")
    };
    for argument in ["--help", "-h", "--version", "-V"] {
        assert_eq!(run(&[argument]).status.code(), Some(0), "{argument}");
    }
    for arguments in [&[][..], &["--no-such-option"], &["one.ini", "two.ini"], &["/no/such/file.ini"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(!programs::said(&output).is_empty());
    }
}

#[test]
fn what_cannot_start_says_why_and_exits_1() {
    let rows = [
        (
            PoolerSetup::new(postgres()).set("listen_addr", "").set("unix_socket_dir", ""),
            "nowhere to listen on",
        ),
        (PoolerSetup::new(postgres()).set("auth_type", "no-such"), "auth_type"),
        (PoolerSetup::new(postgres()).database_at("x", "no_such_key=1"), "no_such_key"),
        (
            PoolerSetup::new(postgres()).set("listen_addr", "192.0.2.1").set("unix_socket_dir", ""),
            "failed to listen",
        ),
    ];
    for (setup, text) in rows {
        let mut pooler = setup.launch();
        let status = pooler.wait();
        assert_eq!(status.code(), Some(1), "{}", pooler.log());
        assert!(pooler.log().contains(text), "{text}: {}", pooler.log());
    }
}

#[test]
fn a_second_start_on_the_same_socket_is_refused() {
    let pooler = PoolerSetup::new(postgres()).start();
    let file = pooler.directory().join("pgweir.ini");
    let mut second = crate::common::account::command(programs::pooler());
    let output = second.arg(&file).output().expect("can be run");
    assert_eq!(output.status.code(), Some(1));
    let text = "unix socket is in use, cannot continue";
    assert!(programs::said(&output).contains(text), "{}", programs::said(&output));
    assert_eq!(pooler.client().simple("select 1").value(), "1", "the first is unharmed");
}

#[test]
fn the_pid_file_is_written_and_removed() {
    let directory = crate::common::reaper::directory();
    let file = directory.join("pidfile-test.d");
    std::fs::create_dir(&file).expect("the parent is ours");
    crate::common::account::hand_over(&file, 0o755);
    let file = file.join("pid");
    let pooler = PoolerSetup::new(postgres()).set("pidfile", file.display()).start();
    wait_until("it is written", || file.exists());
    assert_eq!(std::fs::read_to_string(&file).expect("is there").trim(), pooler.pid().to_string());
    drop(pooler);
    assert!(!file.exists());
}

#[test]
fn root_is_refused() {
    let uid = Command::new("id").arg("-u").output().expect("id runs").stdout;
    if uid.trim_ascii() != b"0" {
        println!("not root: nothing to refuse");
        return;
    }
    let pooler = PoolerSetup::new(postgres()).start();
    let output = programs::limited(programs::pooler())
        .arg(pooler.directory().join("pgweir.ini"))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(programs::said(&output).contains("should not run as root"), "{}", programs::said(&output));
}
