//! What an init script and a service manager see: the background, the log of a start that is refused, the
//! notices of systemd, sockets that are handed over, the abstract namespace.
//! Source: PgBouncer, doc/usage.md ("Command line switches"); sd_notify(3), sd_listen_fds(3).

use crate::common::raw::Raw;
use crate::common::{Pooler, PoolerSetup, account, free_port, postgres, programs, reaper, wait_until};
use std::fs::File;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A directory that the account of the pooler may write to.
fn directory(name: &str) -> PathBuf {
    let directory = reaper::directory().join(name);
    std::fs::create_dir(&directory).expect("the parent is ours");
    account::hand_over(&directory, 0o755);
    directory
}

/// A configuration of its own in `directory`, with its log, its pidfile and its Unix socket there.
fn own_file(directory: &Path, more: &str) -> PathBuf {
    let (file, port) = (directory.join("pgweir.ini"), free_port());
    let own = directory.display();
    let text = format!(
        "[pgbouncer]\nlisten_port = {port}\nunix_socket_dir = {own}\nlogfile = {own}/log\npidfile = \
         {own}/pid\nauth_type = trust\n{more}"
    );
    account::write(&file, text, 0o644);
    file
}

fn run(file: &Path, arguments: &[&str]) -> Output {
    account::command(programs::pooler()).args(arguments).arg(file).output().expect("can be run")
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// Starts it with `-d` and waits until it is up; its process id.
#[track_caller]
fn into_background(directory: &Path, file: &Path) -> u32 {
    let output = run(file, &["-d"]);
    assert_eq!((output.status.code(), &*programs::said(&output)), (Some(0), ""));
    let pid = || text(&directory.join("pid")).trim().parse::<u32>().ok();
    wait_until("its pidfile is there", || pid().is_some());
    let pid = pid().expect("is there");
    reaper::guard(pid, "QUIT");
    wait_until("it is up", || text(&directory.join("log")).contains("process up: "));
    pid
}

#[test]
fn a_daemon_runs_in_the_background_with_its_pidfile() {
    let directory = directory("daemon");
    let file = own_file(&directory, "");
    let pid = into_background(&directory, &file);

    let second = run(&file, &["-d"]);
    let why = "FATAL unix socket is in use, cannot continue";
    assert_eq!(second.status.code(), Some(1));
    assert!(programs::said(&second).contains(why), "{}", programs::said(&second));
    assert!(text(&directory.join("log")).contains(why), "who only reads the log is told, too");

    programs::run(Command::new("kill").args(["-s", "TERM", &pid.to_string()]));
    wait_until("it tidies up", || !directory.join("pid").exists());
    reaper::release(pid);
    let left: Vec<_> = std::fs::read_dir(&directory).expect("is ours").flatten().collect();
    assert_eq!(left.len(), 2, "the configuration and the log: {left:?}");
}

#[test]
fn a_daemon_without_a_log_says_so_while_it_can() {
    let directory = directory("daemon-without-log");
    let file = own_file(&directory, "logfile = /no/such/directory/log\n");
    let output = run(&file, &["-d"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(programs::said(&output).contains("could not open the log file"), "{}", programs::said(&output));
}

#[test]
fn a_pidfile_that_names_something_else_costs_nobody_a_file() {
    let directory = directory("wrong-pidfile");
    let own = directory.display();
    let users = directory.join("users");
    account::write(&users, "\"app\" \"secret\"\n", 0o666);
    let file = own_file(&directory, &format!("auth_file = {own}/users\npidfile = {own}/users\n"));
    for arguments in [&[][..], &["-d"]] {
        let output = run(&file, arguments);
        assert_eq!(output.status.code(), Some(1));
        let said = programs::said(&output);
        assert!(said.contains("users' exists and holds no process id"), "{said}");
        assert_eq!(text(&users), "\"app\" \"secret\"\n");
    }
}

#[test]
fn an_empty_user_is_none() {
    let directory = directory("no-user");
    let file = own_file(&directory, "user =\n");
    let pid = into_background(&directory, &file);
    programs::run(Command::new("kill").args(["-s", "QUIT", &pid.to_string()]));
    wait_until("it tidies up", || !directory.join("pid").exists());
    reaper::release(pid);
}

#[test]
fn an_online_restart_is_refused_whether_or_not_somebody_is_there() {
    let file = own_file(&directory("reboot"), "");
    for option in ["-R", "--reboot"] {
        let output = run(&file, &[option]);
        assert_eq!(output.status.code(), Some(1));
        let said = programs::said(&output);
        assert!(said.contains("1.26 has removed it") && said.contains("so_reuseport"), "{said}");
    }
}

#[test]
fn quiet_verbose_and_another_user_are_heard() {
    let directory = directory("options");
    let own = directory.display();
    let file = own_file(&directory, &format!("auth_file = {own}/users\nadmin_users = admin\n"));
    account::write(&directory.join("users"), "\"admin\" \"\"\n", 0o644);
    let port = text(&file).lines().find_map(|line| line.strip_prefix("listen_port = ")?.parse().ok());
    let port: u16 = port.expect("is written there");
    let stderr = File::create(directory.join("stderr")).expect("the directory is ours");
    // As root, where the tests run as root: the account that it may become is the tests' own in any case.
    let mut pooler = Command::new(programs::pooler());
    pooler.args(["-qv", "-u", &account::name()]).arg(&file).stderr(stderr);
    let mut child = pooler.spawn().expect("can be run");
    reaper::guard(child.id(), "QUIT");
    wait_until("it is up", || text(&directory.join("log")).contains("process up: "));
    let status = text(Path::new(&format!("/proc/{}/status", child.id())));
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
    let expected = programs::run(Command::new("id").args(["-u", &account::name()]));
    assert_eq!(uid, Some(expected.trim()));
    let mut console = Raw::unix(&directory, port);
    console.startup(&[("user", "admin"), ("database", "pgbouncer")]);
    assert_eq!(console.outcome().status, Some(b'I'));
    let config = console.simple("show config").records();
    assert!(config.iter().any(|row| row["key"] == "verbose" && row["value"] == "1"), "{config:?}");
    programs::run(Command::new("kill").args(["-s", "QUIT", &child.id().to_string()]));
    assert!(child.wait().expect("is our child").success());
    reaper::release(child.id());
    assert_eq!(text(&directory.join("stderr")), "");
}

/// What a service manager hears from `setup`, through its start, a reload and its end.
fn heard(setup: PoolerSetup, manager: &UnixDatagram) -> Vec<String> {
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("is a socket");
    let mut told = Vec::new();
    let mut hear = |end: &str| {
        let mut buffer = [0; 4096];
        loop {
            let bytes = match manager.recv(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                received => received.unwrap_or_else(|error| panic!("{end}: {error}; {told:?}")),
            };
            let text = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
            let is_end = text.starts_with(end);
            told.push(text);
            if is_end {
                return;
            }
        }
    };
    let mut pooler = setup.start();
    hear("READY=1");
    hear("STATUS=stats: ");
    pooler.signal("HUP");
    hear("RELOADING=1");
    hear("READY=1");
    let client = pooler.client();
    pooler.signal("TERM");
    hear("STOPPING=1");
    pooler.signal("HUP");
    wait_until("it reloads amid its end", || pooler.log().matches("got SIGHUP").count() == 2);
    drop(client);
    assert_eq!(pooler.wait().code(), Some(0));
    manager.set_nonblocking(true).expect("is a socket");
    let mut buffer = [0; 4096];
    while let Ok(bytes) = manager.recv(&mut buffer) {
        told.push(String::from_utf8_lossy(&buffer[..bytes]).into_owned());
    }
    told.retain(|text| !text.starts_with("STATUS="));
    told
}

#[test]
fn a_service_manager_is_told_of_the_start_each_reload_and_the_end() {
    use std::os::linux::net::SocketAddrExt;
    let file = directory("manager").join("notify");
    let of_file = UnixDatagram::bind(&file).expect("the directory is ours");
    account::hand_over(&file, 0o666);
    let name = format!("pgweir-notify-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("is short");
    let of_name = UnixDatagram::bind_addr(&address).expect("nobody else has it");
    for (manager, path) in [(of_file, file.display().to_string()), (of_name, format!("@{name}"))] {
        let setup = PoolerSetup::new(postgres()).set("stats_period", 1).environment("NOTIFY_SOCKET", path);
        let told = heard(setup, &manager);
        let [ready, reloading, again, stopping] = &told[..] else { panic!("{told:?}") };
        assert_eq!([&**ready, &**again, &**stopping], ["READY=1", "READY=1", "STOPPING=1"]);
        let us = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").map(str::parse::<u64>);
        assert!(us.is_some_and(|us| us.is_ok_and(|us| us > 0)), "{reloading}");
    }
}

/// Starts the pooler as a service manager does that has opened its sockets: they are its descriptors from 3
/// on, and `LISTEN_PID` is its own.
fn start_with(sockets: [OwnedFd; 2], file: &Path) -> std::process::Child {
    const SCRIPT: &str = "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$1\"";
    let log = File::create(file.with_file_name("stderr")).expect("the directory is ours");
    let [first, second] = sockets.map(Stdio::from);
    let mut shell = account::command("/bin/sh");
    shell.args(["-c", SCRIPT]).arg(programs::pooler()).arg(file);
    let child = shell.stdin(first).stdout(second).stderr(log).spawn().expect("sh runs");
    reaper::guard(child.id(), "QUIT");
    child
}

#[test]
fn what_the_service_manager_passes_beside_sockets_is_told() {
    let directory = directory("activated-with-more");
    let own = directory.display();
    let file = own_file(&directory, &format!("auth_file = {own}/users\n"));
    account::write(&directory.join("users"), "\"app\" \"\"\n", 0o644);
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut child = start_with([udp.into(), tcp.into()], &file);
    let log = || text(&directory.join("log"));
    wait_until("it is up", || log().contains("process up: "));
    let told = "WARNING 1 descriptors from the service manager are no sockets for clients";
    assert!(log().contains(told), "{}", log());
    programs::run(Command::new("kill").args(["-s", "QUIT", &child.id().to_string()]));
    assert!(child.wait().expect("is our child").success());
    reaper::release(child.id());
}

#[test]
fn sockets_of_the_service_manager_are_used_and_left_where_they_are() {
    let directory = directory("activated");
    let own = directory.display();
    let databases = format!("[databases]\napp = host=127.0.0.1 port={}\n", postgres().port);
    let file =
        own_file(&directory, &format!("listen_addr = 127.0.0.1\nauth_file = {own}/users\n{databases}"));
    account::write(&directory.join("users"), "\"app\" \"\"\n", 0o644);
    let socket = directory.join(".s.PGSQL.7777");
    let unix = UnixListener::bind(&socket).expect("the directory is ours");
    account::hand_over(&socket, 0o777);
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = tcp.local_addr().expect("is bound").port();
    let mut child = start_with([tcp.try_clone().expect("a descriptor is free").into(), unix.into()], &file);
    let log = || text(&directory.join("log"));
    wait_until("it is up", || log().contains("process up: "));
    for ignored in ["listen_addr", "unix_socket_dir"] {
        let warning = format!("WARNING sockets come from the service manager, {ignored} is ignored");
        assert!(log().contains(&warning), "{}", log());
    }
    let mut client = Raw::log_in(port, "app", "app");
    assert_eq!(client.simple("select 1").value(), "1");
    let mut local = Raw::unix(&directory, 7777);
    local.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(local.outcome().status, Some(b'I'));

    programs::run(Command::new("kill").args(["-s", "TERM", &child.id().to_string()]));
    wait_until("it ends softly", || log().contains("waiting for all clients disconnect"));
    drop((client, local));
    assert_eq!(child.wait().expect("is our child").code(), Some(0), "{}", log());
    reaper::release(child.id());
    assert!(socket.exists(), "whoever made it removes it");
    assert!(
        tcp.local_addr().is_ok_and(|address| std::net::TcpStream::connect(address).is_ok()),
        "it queues on"
    );
}

#[test]
fn an_abstract_socket_serves_as_a_file_does() {
    let name = format!("@pgweir-abstract-{}", std::process::id());
    let pooler = PoolerSetup::new(postgres()).set("unix_socket_dir", &name).start();
    let ask = |pooler: &Pooler| {
        let mut psql = pooler.psql();
        psql.args(["-h", &name, "-c", "select 7"]);
        programs::run(&mut psql)
    };
    assert_eq!(ask(&pooler).trim(), "7");
    let second = run(&pooler.directory().join("pgweir.ini"), &[]);
    assert!(programs::said(&second).contains("unix socket is in use"), "{}", programs::said(&second));
}

#[test]
fn a_check_ends_with_what_will_change() {
    let output = PoolerSetup::new(postgres()).set("pkt_buf", 8192).check(&[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let (before, table) =
        said.split_once("what will change, coming from PgBouncer 1.26:\n").expect("its head");
    assert!(before.ends_with(": ok\n"), "{said}");
    let of_file: Vec<_> = table.lines().filter(|line| line.starts_with("  pkt_buf ")).collect();
    assert!(of_file.len() == 1 && of_file[0].contains("no effect"), "{said}");
    assert!(!table.contains("auth_type = hba"), "only what the file uses: {said}");
}

#[test]
fn the_journal_gets_each_lines_level() {
    use std::os::unix::fs::MetadataExt;
    let directory = directory("journal");
    let file = own_file(&directory, "logfile =\nlisten_addr =\n");
    let journal = directory.join("journal");
    let stream = File::create(&journal).expect("the directory is ours");
    let stat = stream.metadata().expect("is open");
    let mut pooler = account::command(programs::pooler());
    pooler.arg(&file).env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino())).stderr(stream);
    let mut child = pooler.spawn().expect("can be run");
    reaper::guard(child.id(), "QUIT");
    wait_until("it is up", || text(&journal).contains("process up: "));
    programs::run(Command::new("kill").args(["-s", "QUIT", &child.id().to_string()]));
    assert!(child.wait().expect("is our child").success());
    reaper::release(child.id());
    let lines = text(&journal);
    assert!(lines.lines().all(|line| line.starts_with('<')), "{lines}");
    assert!(lines.contains("\n<6>got SIGQUIT, fast exit\n"), "{lines}");
}
