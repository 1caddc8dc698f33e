//! Sessions over an in-memory stream, before a plane that has databases but no worker and so no server.

use super::super::show_process::Standing;
use super::*;
use crate::clients::Clients;
use crate::config::Snapshot;
use crate::console::ProcessOrder;
use crate::control::{Plane, Policy, WorkerSet};
use crate::core::{Answer, Command};
use crate::servers::Servers;
use crate::status::Status;
use crate::worker::{Mail, WorkerHandle};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

const FILE: &str = "[databases]\napp = host=10.0.0.1\n[users]\n[pgbouncer]\nmax_packet_size = 100000\n";

/// A console, and where the orders for its process arrive.
fn console() -> (Arc<Console>, mpsc::UnboundedReceiver<ProcessOrder>) {
    console_beside(WorkerSet::none())
}

fn console_beside(workers: WorkerSet) -> (Arc<Console>, mpsc::UnboundedReceiver<ProcessOrder>) {
    let snapshot = Snapshot::load_with("test.ini", None, &|_| Ok(FILE.into())).unwrap();
    let (plane, _launcher) = Plane::new(Arc::new(Policy::without_tls(snapshot)), workers);
    plane.registry.adopt(&plane.policy.load().snapshot);
    let (clients, servers) = (Clients::new(Arc::clone(&plane)).0, Servers::new(plane));
    Console::new(Status::new(clients, servers))
}

struct Visitor {
    stream: DuplexStream,
    inbox: Vec<u8>,
}

impl ConsoleStream for DuplexStream {
    fn has_hung_up(&self) -> bool {
        false
    }
}

impl ConsoleStream for tokio::net::UnixStream {
    fn has_hung_up(&self) -> bool {
        crate::io::has_hung_up(self)
    }
}

/// Lets somebody in who has rights, and reads the welcome.
async fn visit(console: &Arc<Console>, rights: Rights) -> (Visitor, Vec<String>) {
    let (ours, theirs) = tokio::io::duplex(256);
    enter(console, rights, Box::new(theirs));
    let mut visitor = Visitor { stream: ours, inbox: Vec::new() };
    let welcome = visitor.read().await;
    (visitor, welcome)
}

fn enter(console: &Arc<Console>, rights: Rights, stream: Box<dyn ConsoleStream>) {
    let identity = ClientIdentity::of_console_for_tests(console.status.plane.next_socket_id());
    let login = ConsoleLogin { stream, identity: Arc::new(identity), rights, guard: Box::new(()) };
    tokio::spawn(serve(Arc::clone(console), login));
}

/// Lets everybody else go on.
async fn a_while() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

impl Visitor {
    /// The next message as text: its tag, and its payload with zeros as bars. `None` = the end.
    async fn message(&mut self) -> Option<String> {
        loop {
            if let Some(header) = crate::wire::FrameHeader::read(&self.inbox, u32::MAX).unwrap()
                && self.inbox.len() >= header.frame_bytes
            {
                let frame: Vec<u8> = self.inbox.drain(..header.frame_bytes).collect();
                let payload: String =
                    frame[5..].iter().map(|b| if *b == 0 { '|' } else { *b as char }).collect();
                return Some(format!("{}{payload}", char::from(header.tag)));
            }
            if self.stream.read_buf(&mut self.inbox).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// Messages up to ReadyForQuery or the end, without either.
    async fn read(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            if message == "ZI" {
                break;
            }
            messages.push(message);
        }
        messages
    }

    async fn send(&mut self, query: &str) {
        let mut out = Vec::new();
        encode::query(&mut out, query);
        self.stream.write_all(&out).await.unwrap();
    }

    async fn ask(&mut self, query: &str) -> Vec<String> {
        self.send(query).await;
        self.read().await
    }
}

fn error(text: &str) -> Vec<String> {
    vec![format!("ESERROR|C08P01|M{text}||")]
}

fn fatal(text: &str) -> String {
    format!("ESFATAL|C08P01|M{text}||")
}

fn tag(text: &str) -> Vec<String> {
    vec![format!("C{text}|")]
}

#[tokio::test]
async fn the_welcome_is_pgbouncers() {
    let (console, _orders) = console();
    let (_visitor, mut welcome) = visit(&console, Rights::Admin).await;
    let key = welcome.pop().unwrap();
    assert!(key.starts_with('K') && key.chars().count() == 9, "{key}");
    assert_eq!(
        welcome,
        [
            "Sserver_version|1.26.0/bouncer|",
            "Sclient_encoding|UTF8|",
            "Sserver_encoding|UTF8|",
            "SDateStyle|ISO|",
            "STimeZone|GMT|",
            "Sstandard_conforming_strings|on|",
            "Sis_superuser|on|",
        ]
    );
}

#[tokio::test]
async fn everything_shows_and_fds_says_why_not() {
    let (console, _orders) = console();
    let (mut visitor, _) = visit(&console, Rights::Admin).await;
    for shown in tables::TABLES.iter().filter(|shown| shown.source != Source::Fds) {
        let answer = visitor.ask(&format!("show {}", shown.name)).await;
        let first = if shown.source == Source::Help { 'N' } else { 'T' };
        assert!(answer[0].starts_with(first), "SHOW {}: {answer:?}", shown.name);
        assert_eq!(answer.last().unwrap(), "CSHOW|", "SHOW {}", shown.name);
    }
    let refused = error(
        "SHOW FDS is not available: PgBouncer 1.26 has removed it with online restarts; a restart without a \
         gap goes by so_reuseport",
    );
    assert_eq!(visitor.ask("show fds").await, refused);
    let help = visitor.ask("show help").await;
    assert!(help[0].starts_with("NSNOTICE|C00000|MConsole usage|D\n\tSHOW HELP|CONFIG|"), "{help:?}");
}

#[tokio::test]
async fn who_may_only_show_may_not_command() {
    let (console, mut orders) = console();
    let (mut visitor, _) = visit(&console, Rights::Show).await;
    for command in [
        "pause",
        "resume app",
        "suspend",
        "kill",
        "kill_client 1",
        "kill_client",
        "disable",
        "enable app",
        "reconnect",
        "wait_close",
        "iam refresh",
        "iam refresh app",
        "reload",
        "shutdown",
        "shutdown wait_for_clients",
        "set verbose=1",
        "show fds",
    ] {
        assert_eq!(visitor.ask(command).await, error("admin access needed"), "{command}");
    }
    assert_eq!(visitor.ask("reload x").await, error("invalid command 'reload x', use SHOW HELP;"));
    let ignored = ["NSNOTICE|C00000|MSET ignored||", "CSET|"];
    for command in ["set TimeZone = 'x'", "SET extra_float_digits = 3", "SET application_name = 'DBeaver'"] {
        assert_eq!(visitor.ask(command).await, ignored, "{command}");
    }
    assert!(visitor.ask("show config").await.len() > 90);
    assert!(orders.try_recv().is_err(), "nothing reached the process");
}

#[tokio::test]
async fn refusals_are_pgbouncers() {
    let (console, _orders) = console();
    let (mut visitor, _) = visit(&console, Rights::Admin).await;
    for (command, text) in [
        ("pause pgbouncer", "cannot pause admin db: pgbouncer"),
        ("kill pgbouncer", "cannot kill admin db: pgbouncer"),
        ("disable pgbouncer", "cannot disable admin db: pgbouncer"),
        ("enable pgbouncer", "cannot enable admin db: pgbouncer"),
        ("reconnect pgbouncer", "cannot reconnect admin db: pgbouncer"),
        ("wait_close pgbouncer", "cannot wait in admin db: pgbouncer"),
        ("resume pgbouncer", "database pgbouncer is not paused"),
        ("resume app", "database app is not paused"),
        ("resume", "pooler is not paused/suspended"),
        ("pause nope", "no such database: nope"),
        ("kill nope", "no such database: nope"),
        ("disable nope", "no such database: nope"),
        ("enable nope", "no such database: nope"),
        ("reconnect nope", "no such database: nope"),
        ("wait_close nope", "no such database: nope"),
        ("disable", "a database is required"),
        ("enable", "a database is required"),
        ("kill_client x", "invalid client pointer supplied"),
        ("kill_client 77", "client not found"),
        ("", "invalid command '', use SHOW HELP;"),
    ] {
        assert_eq!(visitor.ask(command).await, error(text), "{command}");
    }
}

#[tokio::test]
async fn commands_change_what_state_and_databases_show() {
    let (console, _orders) = console();
    let (mut visitor, _) = visit(&console, Rights::Admin).await;
    assert_eq!(visitor.ask("pause app").await, tag("PAUSE"), "there is no server to wait for");
    assert_eq!(visitor.ask("suspend").await, error("cannot suspend with paused databases"));
    assert!(console.status.plane.registry.databases()[0].share.is_paused_itself());
    assert_eq!(visitor.ask("resume app").await, tag("RESUME"));
    assert_eq!(visitor.ask("kill app").await, tag("KILL"));
    assert_eq!(visitor.ask("resume app").await, tag("RESUME"));
    assert_eq!(visitor.ask("pause").await, tag("PAUSE"));
    assert_eq!(console.control.standing(), Standing::Paused);
    for command in ["pause", "pause app", "suspend", "kill", "kill app"] {
        assert_eq!(visitor.ask(command).await, error("already suspended/paused"), "{command}");
    }
    assert_eq!(visitor.ask("resume").await, tag("RESUME"));
    assert_eq!(visitor.ask("disable app").await, tag("DISABLE"));
    assert!(console.status.plane.registry.databases()[0].share.is_disabled());
    assert_eq!(visitor.ask("enable app").await, tag("ENABLE"));
    assert_eq!(visitor.ask("reconnect").await, tag("RECONNECT"));
    assert_eq!(visitor.ask("wait_close app").await, tag("WAIT_CLOSE"));
}

#[tokio::test]
async fn iam_refresh_wants_a_database_by_iam_or_all() {
    let (console, _orders) = console();
    let (mut visitor, _) = visit(&console, Rights::Admin).await;
    let nothing = "NSNOTICE|C00000|Mno source of AWS credentials is in use||";
    assert_eq!(visitor.ask("iam refresh").await, [nothing, "CIAM REFRESH|"]);
    assert_eq!(visitor.ask("iam refresh app").await, error("database app does not log in by IAM"));
    assert_eq!(visitor.ask("iam refresh nowhere").await, error("no such database: nowhere"));
    assert_eq!(visitor.ask("iam refresh pgbouncer").await, error("cannot refresh admin db: pgbouncer"));
}

#[tokio::test]
async fn the_process_is_asked_and_its_refusals_told() {
    let (console, mut orders) = console();
    let (mut visitor, _) = visit(&console, Rights::Admin).await;
    tokio::spawn(async move {
        let mut succeed = true;
        while let Some(order) = orders.recv().await {
            match order {
                ProcessOrder::Reload(reply) if succeed => reply.send(Ok(())).unwrap(),
                ProcessOrder::Reload(reply) => reply.send(Err("bad file".into())).unwrap(),
                ProcessOrder::Set { key, value, reply } => {
                    let told = (&*key, &*value) == ("server_tls_ca_file", "it's");
                    let result = if told { Ok(Some("told".into())) } else { Err("no".into()) };
                    reply.send(if key == "verbose" { Ok(None) } else { result }).unwrap();
                }
                other => panic!("{other:?}"),
            }
            succeed = !succeed;
        }
    });
    assert_eq!(visitor.ask("reload").await, tag("RELOAD"));
    let failed = "ESERROR|CF0000|MRELOAD failed, see logs for additional details||";
    assert_eq!(visitor.ask("reload").await, [failed]);
    assert_eq!(visitor.ask("set verbose=2").await, tag("SET verbose=2"));
    assert_eq!(visitor.ask("set unknown=2").await, error("SET failed"));
    let noticed = ["NSNOTICE|C00000|Mtold||", "CSET server_tls_ca_file=it's|"];
    assert_eq!(visitor.ask("set server_tls_ca_file='it''s'").await, noticed);
}

#[tokio::test]
async fn shutdown_is_an_order_to_the_process() {
    let (console, mut orders) = console();
    let (mut visitor, _) = visit(&console, Rights::Admin).await;
    assert_eq!(visitor.ask("shutdown wait_for_clients").await, tag("SHUTDOWN"));
    assert!(matches!(orders.recv().await, Some(ProcessOrder::Shutdown(Phase::WaitForClients))));
    assert_eq!(visitor.ask("shutdown wait_for_servers").await, tag("SHUTDOWN"));
    assert!(matches!(orders.recv().await, Some(ProcessOrder::Shutdown(Phase::WaitForServers))));
    visitor.send("shutdown").await;
    assert!(matches!(orders.recv().await, Some(ProcessOrder::Exit)));
    assert_eq!(visitor.message().await, None, "the connection just closes");
}

#[tokio::test]
async fn a_shutdown_that_waits_ends_a_suspension() {
    for (phase, standing) in
        [(Phase::WaitForClients, Standing::Active), (Phase::WaitForServers, Standing::Paused)]
    {
        let (console, _orders) = console();
        console.control.suspend().unwrap();
        console.control.begin_shutdown(phase);
        assert_eq!(console.control.standing(), standing, "{phase:?}");
    }
}

#[tokio::test]
async fn the_extended_protocol_is_refused_and_ends_the_session() {
    let (console, _orders) = console();
    for (sent, text) in [
        (&b"P\0\0\0\x08\0\0\0\0"[..], "extended query protocol not supported by admin console"),
        (b"S\0\0\0\x04", "unsupported packet type for admin console: 83"),
    ] {
        let (mut visitor, _) = visit(&console, Rights::Admin).await;
        visitor.stream.write_all(sent).await.unwrap();
        assert_eq!(visitor.read().await, error(text));
        assert_eq!(visitor.read().await, [fatal("bad packet")]);
    }
    for (sent, text) in [
        (&b"p\0\0\0\x04"[..], "unknown pkt"),
        (b"Q\0\0\0\x03", "bad packet header: '5100000003'"),
        (b"Q\x7f\0\0\x04", "bad packet header: '517f000004'"),
        (b"Q\0\x01\0\x04", "incomplete pkt"),
    ] {
        let (mut visitor, _) = visit(&console, Rights::Admin).await;
        visitor.stream.write_all(sent).await.unwrap();
        assert_eq!(visitor.read().await, [fatal(text)]);
    }
}

#[tokio::test]
async fn visitors_see_each_other_and_can_be_killed() {
    let (console, _orders) = console();
    let (mut admin, _) = visit(&console, Rights::Admin).await;
    let (mut other, _) = visit(&console, Rights::Show).await;
    assert_eq!(admin.ask("show clients").await.len(), 4, "a description, two rows, a tag");
    assert_eq!(admin.ask("kill_client 2").await, tag("KILL_CLIENT"));
    assert_eq!(other.read().await, [fatal("admin forced disconnect")]);
    assert_eq!(other.message().await, None);
    let totals = admin.ask("show totals").await;
    let logins = totals.iter().find(|row| row.contains("total_client_login_count")).unwrap();
    assert!(logins.ends_with('2'), "{logins}");
    let queries = totals.iter().find(|row| row.contains("total_query_count")).unwrap();
    assert!(queries.ends_with('1'), "only one of them has asked something: {queries}");
}

#[tokio::test]
async fn a_suspended_process_resumes_when_the_last_visitor_leaves() {
    let (console, _orders) = console();
    let (mut first, _) = visit(&console, Rights::Admin).await;
    let (second, _) = visit(&console, Rights::Show).await;
    assert_eq!(first.ask("suspend").await, tag("SUSPEND"));
    drop(second);
    while console.status.plane.console_clients.count() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(console.control.standing(), Standing::Suspended);
    drop(first);
    while console.control.standing() != Standing::Active {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_has_left_before_a_show_is_not_in_it() {
    let (console, _orders) = console();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).unwrap();
    }
    enter(&console, Rights::Admin, Box::new(tokio::net::UnixStream::from_std(theirs).unwrap()));
    let mut welcome = Vec::new();
    while !welcome.ends_with(b"Z\0\0\0\x05I") {
        tokio::task::yield_now().await;
        let mut some = [0; 512];
        welcome.extend(ours.read(&mut some).map_or(&[][..], |bytes| &some[..bytes]));
    }
    let (mut asker, _) = visit(&console, Rights::Admin).await;
    let rows = |answer: Vec<String>| answer.iter().filter(|message| message.starts_with('D')).count();
    assert_eq!(rows(asker.ask("show clients").await), 2);
    ours.write_all(b"X\0\0\0\x04").unwrap();
    drop(ours);
    // tokio has not heard of that: it looks at sockets when nobody has anything left to do
    assert_eq!(rows(asker.ask("show clients").await), 1);
}

#[tokio::test]
async fn who_reads_its_last_words_is_not_there_any_more() {
    let (console, _orders) = console();
    let (mut killed, _) = visit(&console, Rights::Show).await;
    let (mut killer, _) = visit(&console, Rights::Admin).await;
    assert_eq!(killer.ask("kill_client 1").await, tag("KILL_CLIENT"));
    assert_eq!(killed.message().await.unwrap(), fatal("admin forced disconnect"));
    assert_eq!(console.status.plane.console_clients.count(), 1);
}

#[tokio::test]
async fn what_is_told_can_be_read_in_the_log() {
    let (console, _orders) = console();
    let (mut visitor, _) = visit(&console, Rights::Admin).await;
    let log = &console.status.plane.log;
    let answer = error("invalid command 'x', use SHOW HELP;").remove(0);
    for (sent, told) in [(&b"Q\0\0\0\x06x\0"[..], &answer), (b"p\0\0\0\x04", &fatal("unknown pkt"))] {
        log.add(); // as if the line about it were slow to be written
        visitor.stream.write_all(sent).await.unwrap();
        tokio::select! {
            biased;
            message = visitor.message() => panic!("told too early: {message:?}"),
            () = a_while() => log.advance(1),
        }
        assert_eq!(visitor.read().await, [told.as_str()]);
    }
}

#[tokio::test]
async fn a_show_is_answered_when_the_workers_have_heard_who_left() {
    let workers = [WorkerHandle::new().unwrap(), WorkerHandle::new().unwrap()];
    let (console, _orders) =
        console_beside(WorkerSet { handles: workers.clone().into(), ..WorkerSet::none() });
    let (mut visitor, _) = visit(&console, Rights::Admin).await;
    let heard = async {
        for worker in &workers {
            let barrier = loop {
                let barrier = worker.take().into_iter().find_map(|mail| match mail {
                    Mail::Command(Command::Barrier, reply) => Some(reply),
                    _ => None,
                });
                match barrier {
                    Some(reply) => break reply,
                    None => tokio::task::yield_now().await,
                }
            };
            a_while().await;
            barrier(Answer::Done);
        }
    };
    let asked = async { tokio::join!(visitor.ask("show databases"), heard).0 };
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await.expect("workers are asked");
    assert!(answer.last().is_some_and(|message| message == "CSHOW|"), "{answer:?}");
}
