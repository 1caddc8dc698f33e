//! Whole logins over socket pairs with a scripted client, in front of workers that do not run.

use super::*;
use crate::auth::UserList;
use crate::clients::ConsoleLogin;
use crate::control::tests::{Lines, policy, until};
use crate::control::{LauncherReceiver, Phase, Plane, Welcome, WorkerSet};
use crate::wire::authentication::AuthRequest;
use crate::wire::backend::{self, ErrorFields};
use crate::wire::{FrameHeader, HEADER_BYTES, sqlstate, startup, tags};
use crate::worker::{Mail, WorkerHandle};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

const USERS: &str =
    "\"u\" \"pencil\"\n\"v\" \"pen\"\n\"admin\" \"x\"\n\"stats\" \"x\"\n\"pgbouncer\" \"x\"\n";
const CONSOLE: &str = "admin_users = admin\nstats_users = stats";

/// What logins lead to, held open.
pub(in crate::clients) struct Receivers {
    _launcher: LauncherReceiver,
    console: mpsc::UnboundedReceiver<ConsoleLogin>,
}

fn clients_of(databases: &str, settings: &str) -> (Arc<Clients>, Receivers) {
    let (users, error) = UserList::parse(USERS.as_bytes());
    assert_eq!(error, None);
    clients_by(Policy { users: Arc::new(users), ..policy(databases, settings) })
}

fn clients_by(policy: Policy) -> (Arc<Clients>, Receivers) {
    let workers = [WorkerHandle::new().unwrap(), WorkerHandle::new().unwrap()];
    let (plane, _launcher) =
        Plane::new(Arc::new(policy), WorkerSet { handles: workers.into(), ..WorkerSet::none() });
    let (clients, console) = Clients::new(plane);
    (clients, Receivers { _launcher, console })
}

/// A plane whose pool (d, `user`) has had its first server.
fn welcoming(databases: &str, settings: &str, user: &str) -> (Arc<Clients>, Receivers) {
    let (clients, doors) = welcomed(databases, settings, user);
    tokio::spawn(welcome_clients(clients.clone()));
    (clients, doors)
}

/// The same, and the letters to its workers stay where they are.
pub(in crate::clients) fn welcomed(databases: &str, settings: &str, user: &str) -> (Arc<Clients>, Receivers) {
    let (clients, doors) = clients_of(databases, settings);
    let entry = clients.plane.pool_entry("d", user).unwrap();
    let names = clients.plane.names.clone();
    entry.welcome.learn(entry.share.generation(), || Welcome {
        reported: vec![("server_version".to_owned(), "15.4".to_owned())],
        params: names.empty_set().with(0, "ISO").with(2, "UTC"),
    });
    (clients, doors)
}

/// Does what workers do first for a client that joins: sends it the end of its login. Keeps it, as they do.
async fn welcome_clients(clients: Arc<Clients>) {
    let mut here = Vec::new();
    loop {
        for mail in clients.plane.workers.iter().flat_map(|worker| worker.take()) {
            if let Mail::Client(parts) = mail {
                rustix::io::write(&parts.0.fd, &parts.1.welcome).unwrap();
                here.push(parts);
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const TCP: &str = "127.0.0.1:50000";

/// A client from `remote` whose login runs by itself.
fn arrive(clients: &Arc<Clients>, remote: Address) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let local = Address::Unix { port: 6432, pid: 1, uid: 1 };
    let login_slot = clients.unauthenticated.enter(&remote);
    tokio::spawn(serve(
        clients.clone(),
        Arrival { socket: Socket::Unix(ours), remote, local, login_slot, home: None, is_on_kept_file: false },
    ));
    theirs
}

fn over_tcp(clients: &Arc<Clients>) -> UnixStream {
    arrive(clients, Address::Tcp(TCP.parse().unwrap()))
}

/// What a client on a Unix socket, which stays open in a shutdown, is refused with.
async fn refused_on_unix(clients: &Arc<Clients>, pairs: &[(&str, &str)], password: &str) -> String {
    let mut peer = arrive(clients, Address::Unix { port: 6432, pid: 1, uid: 1 });
    say_hello(&mut peer, pairs).await;
    refusal(&mut peer, password).await
}

async fn say_hello(peer: &mut UnixStream, pairs: &[(&str, &str)]) {
    let mut out = Vec::new();
    startup::write_startup(&mut out, pairs.iter().copied());
    peer.write_all(&out).await.unwrap();
}

/// The next message; `None` at the end of the stream.
async fn message(peer: &mut UnixStream) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; HEADER_BYTES];
    peer.read_exact(&mut header).await.ok()?;
    let header = FrameHeader::read(&header, 1 << 20).unwrap().unwrap();
    let mut payload = vec![0; header.frame_bytes - HEADER_BYTES];
    peer.read_exact(&mut payload).await.ok()?;
    Some((header.tag, payload))
}

/// All messages up to ReadyForQuery or the end, passwords answered with `password`.
async fn conversation(peer: &mut UnixStream, password: &str) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::new();
    while let Some((tag, payload)) = message(peer).await {
        if tag == tags::server::AUTHENTICATION
            && authentication::request(&payload) == Ok(AuthRequest::CleartextPassword)
        {
            let mut out = Vec::new();
            authentication::write_password(&mut out, password.as_bytes());
            peer.write_all(&out).await.unwrap();
        }
        messages.push((tag, payload));
        if tag == tags::server::READY_FOR_QUERY {
            break;
        }
    }
    messages
}

/// The last words of a refused client: the error's text, and nothing behind it.
async fn refusal(peer: &mut UnixStream, password: &str) -> String {
    let messages = conversation(peer, password).await;
    let (tag, payload) = messages.last().expect("an answer");
    assert_eq!(char::from(*tag), 'E', "{messages:?}");
    let fields = ErrorFields::read(payload).unwrap();
    assert_eq!((fields.severity(), fields.sqlstate()), ("FATAL", sqlstate::PROTOCOL_VIOLATION));
    fields.message().into_owned()
}

async fn refused(clients: &Arc<Clients>, pairs: &[(&str, &str)], password: &str) -> String {
    let mut peer = over_tcp(clients);
    say_hello(&mut peer, pairs).await;
    refusal(&mut peer, password).await
}

#[tokio::test]
async fn a_client_is_welcomed_and_handed_to_the_emptiest_worker() {
    let (clients, _doors) = welcoming("d =", "auth_type = plain\nlogin_notify_message = hello", "u");
    for (first, second) in [(1, 0), (1, 1)] {
        let mut peer = over_tcp(&clients);
        say_hello(&mut peer, &[("user", "u"), ("database", "d"), ("TimeZone", "UTC")]).await;
        let messages = conversation(&mut peer, "pencil").await;
        let tags: String = messages.iter().map(|(tag, _)| char::from(*tag)).collect();
        assert_eq!(tags, "RRSSSSSSSKNZ");
        assert_eq!(backend::parameter_status(&messages[4].1), Ok(("TimeZone", "UTC")));
        assert_eq!(backend::ready_status(&messages[11].1), Ok(tags::transaction::IDLE));
        until(|| clients.plane.workers[1].client_count() == second).await;
        assert_eq!(clients.plane.workers[0].client_count(), first);
    }
    until(|| clients.logins.count() == 0).await;
    assert_eq!(
        (clients.plane.admissions.all(), clients.plane.admissions.of_user("u")),
        (2, 2),
        "held by the channels' guards"
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_only_to_who_has_proved_himself() {
    let (clients, _doors) = clients_of("d =\noff =", "auth_type = plain");
    let snapshot = clients.plane.policy.load().snapshot.clone();
    clients.plane.registry.database(&snapshot, "off").unwrap().set_disabled(true);
    for (database, password, text) in [
        ("missing", "wrong", "password authentication failed"),
        ("missing", "pencil", "no such database: missing"),
        ("off", "wrong", "password authentication failed"),
        ("off", "pencil", "database \"off\" is disabled"),
    ] {
        assert_eq!(refused(&clients, &[("user", "u"), ("database", database)], password).await, text);
    }
    let unknown = [("user", "unknown"), ("database", "d")];
    assert_eq!(refused(&clients, &unknown, "pencil").await, "password authentication failed");
    clients.plane.set_phase(Phase::WaitForClients);
    let user = [("user", "u"), ("database", "d")];
    assert_eq!(refused_on_unix(&clients, &user, "pencil").await, "pooler is shutting down");
    assert_eq!(clients.plane.admissions.all(), 0);
}

#[tokio::test]
async fn whoever_is_here_over_tcp_has_come_before_the_shutdown_and_is_let_in() {
    let (clients, _doors) = welcoming("d =", "auth_type = trust", "u");
    let mut peer = over_tcp(&clients);
    clients.plane.set_phase(Phase::WaitForClients);
    assert!(clients.are_on_their_way(), "it is waited for");
    say_hello(&mut peer, &[("user", "u"), ("database", "d")]).await;
    assert_eq!(conversation(&mut peer, "").await.last().unwrap().0, tags::server::READY_FOR_QUERY);
    until(|| !clients.are_on_their_way()).await;
    assert_eq!(clients.plane.admissions.all(), 1);
}

#[tokio::test]
async fn users_known_without_a_password_are_trusted_and_nothing_else() {
    let settings = "auth_type = trust\n[users]\nonly_here = pool_size=1";
    let (clients, _doors) = clients_of("d = user=forced", settings);
    clients.plane.set_phase(Phase::WaitForClients);
    for user in ["u", "forced"] {
        assert_eq!(
            refused_on_unix(&clients, &[("user", user), ("database", "d")], "").await,
            "pooler is shutting down"
        );
    }
    for unknown in ["unknown", "only_here"] {
        let unknown = [("user", unknown), ("database", "d")];
        assert_eq!(refused(&clients, &unknown, "").await, "\"trust\" authentication failed");
    }
}

#[tokio::test]
async fn the_console_is_no_auth_dbname() {
    let settings = format!("auth_type = md5\nauth_user = u\n{CONSOLE}\n");
    let (clients, _doors) = clients_of("d = auth_dbname=pgbouncer\n* = auth_dbname=pgbouncer", &settings);
    for database in ["d", "another", "pgbouncer"] {
        let unknown = [("user", "unknown"), ("database", database)];
        assert_eq!(refused(&clients, &unknown, "").await, "bouncer config error", "{database}");
    }
}

#[tokio::test]
async fn with_any_everybody_is_the_databases_user() {
    let (clients, _doors) = welcoming("d = user=forced\nfree =", "auth_type = any", "forced");
    let mut peer = over_tcp(&clients);
    say_hello(&mut peer, &[("user", "somebody"), ("database", "d")]).await;
    assert_eq!(conversation(&mut peer, "").await.last().unwrap().0, tags::server::READY_FOR_QUERY);
    assert_eq!(clients.plane.admissions.of_user("forced"), 1);
    assert_eq!(refused(&clients, &[("user", "u"), ("database", "free")], "").await, "bouncer config error");
}

#[tokio::test]
async fn who_has_not_proven_himself_takes_no_clients_place() {
    let (clients, _doors) = welcoming("d =\ne =", "auth_type = plain\nmax_client_conn = 1", "u");
    let mut client = over_tcp(&clients);
    say_hello(&mut client, &[("user", "u"), ("database", "d")]).await;
    assert_eq!(message(&mut client).await.unwrap().0, tags::server::AUTHENTICATION);
    assert_eq!((clients.plane.admissions.all(), clients.unauthenticated.count()), (0, 1));
    let mut client = over_tcp(&clients);
    say_hello(&mut client, &[("user", "u"), ("database", "d")]).await;
    assert_eq!(conversation(&mut client, "pencil").await.last().unwrap().0, tags::server::READY_FOR_QUERY);
    assert_eq!((clients.plane.admissions.all(), clients.unauthenticated.count()), (1, 1));
    let second = [("user", "v"), ("database", "e")];
    assert_eq!(refused(&clients, &second, "wrong").await, "password authentication failed");
    assert_eq!(refused(&clients, &second, "pen").await, "no more connections allowed (max_client_conn)");
}

#[tokio::test]
async fn who_leaves_while_he_waits_for_a_server_gives_his_place_back_at_once() {
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    let user = [("user", "u"), ("database", "d")];
    let mut here = Vec::new();
    for _ in 0..3 {
        let mut peer = over_tcp(&clients);
        say_hello(&mut peer, &user).await;
        here.push(peer);
    }
    until(|| clients.logins.rows().iter().filter(|row| row.is_waiting).count() == 3).await;
    assert_eq!((clients.plane.admissions.all(), clients.unauthenticated.count()), (3, 0));
    here.pop();
    until(|| clients.plane.admissions.all() == 2).await;
    here[0].write_all(b"X\0\0\0\x04").await.unwrap();
    until(|| clients.plane.admissions.all() == 1).await;
    here[1].write_all(&[b'Q'; 3 * limits::SENT_AHEAD_BYTES_MAX]).await.unwrap();
    let entry = clients.plane.pool_entry("d", "u").unwrap();
    until(|| entry.client_count() == 1).await;
    let mut cut_short = here.pop().unwrap();
    entry.welcome.refuse(Fault::ServerShuttingDown);
    assert!(!refusal_text(&mut cut_short).await.is_empty(), "what was sent ahead is passed over");
    until(|| clients.plane.admissions.all() == 0).await;
    assert_eq!(clients.unauthenticated.count(), 1, "it has its last words, and does not close");
    drop(cut_short);
    until(|| clients.unauthenticated.count() == 0).await;
}

/// The last words' text, whatever their SQLSTATE.
async fn refusal_text(peer: &mut UnixStream) -> String {
    let (_, payload) = message(peer).await.expect("an answer");
    ErrorFields::read(&payload).unwrap().message().into_owned()
}

#[tokio::test]
async fn who_is_late_makes_room_for_others() {
    let (clients, _doors) = clients_of("d =", "auth_type = plain");
    let mut late = over_tcp(&clients);
    say_hello(&mut late, &[("user", "u"), ("database", "d")]).await;
    assert_eq!(message(&mut late).await.unwrap().0, tags::server::AUTHENTICATION);
    let remote = Address::Tcp(TCP.parse().unwrap());
    let _next = clients.unauthenticated.admit(&remote, || 1).await;
    assert!(message(&mut late).await.is_none(), "closed without a word");
    assert_eq!((clients.unauthenticated.cut_off(), clients.unauthenticated.count()), (1, 1));
}

#[tokio::test]
async fn the_console_asks_who_you_are() {
    let (clients, mut doors) =
        clients_of("d =", &format!("auth_type = plain\nmax_client_conn = 0\n{CONSOLE}"));
    clients.plane.set_phase(Phase::WaitForClients);
    for (user, rights) in [("admin", Rights::Admin), ("stats", Rights::Show)] {
        let mut peer = over_tcp(&clients);
        say_hello(&mut peer, &[("user", user), ("database", "pgbouncer")]).await;
        assert_eq!(message(&mut peer).await.unwrap().0, tags::server::AUTHENTICATION);
        peer.write_all(b"p\0\0\0\x06x\0query").await.unwrap();
        let mut login = doors.console.recv().await.unwrap();
        assert_eq!((login.rights, &*login.identity.user), (rights, user));
        assert_eq!(message(&mut peer).await, Some((tags::server::AUTHENTICATION, vec![0; 4])));
        let mut unread = [0; 5];
        login.stream.read_exact(&mut unread).await.unwrap();
        assert_eq!(&unread, b"query");
    }
    assert_eq!(refused(&clients, &[("user", "u"), ("database", "pgbouncer")], "pencil").await, "not allowed");
}

#[tokio::test]
async fn the_console_knows_its_own_account() {
    let (clients, mut doors) = clients_of("d =", "auth_type = scram-sha-256");
    let uid = rustix::process::getuid().as_raw();
    let mut own = arrive(&clients, Address::Unix { port: 6432, pid: 1, uid });
    say_hello(&mut own, &[("user", "pgbouncer")]).await;
    assert_eq!(doors.console.recv().await.unwrap().rights, Rights::Admin);
    assert_eq!(message(&mut own).await, Some((tags::server::AUTHENTICATION, vec![0; 4])));
    let other_account = Address::Unix { port: 6432, pid: 1, uid: uid + 1 };
    for remote in [other_account, Address::Tcp(TCP.parse().unwrap())] {
        let mut other = arrive(&clients, remote);
        say_hello(&mut other, &[("user", "pgbouncer")]).await;
        let (_, request) = message(&mut other).await.unwrap();
        assert!(matches!(authentication::request(&request), Ok(AuthRequest::Sasl(_))), "must prove itself");
    }
}

#[tokio::test]
async fn with_any_the_console_shows_itself_to_everybody() {
    let (clients, mut doors) = clients_of("d =", &format!("auth_type = any\n{CONSOLE}"));
    for (user, rights) in [("admin", Rights::Admin), ("somebody", Rights::Show)] {
        let mut peer = over_tcp(&clients);
        say_hello(&mut peer, &[("user", user), ("database", "pgbouncer")]).await;
        assert_eq!(doors.console.recv().await.unwrap().rights, rights);
    }
}

#[tokio::test]
async fn logins_that_take_too_long_are_ended() {
    let (clients, _doors) = clients_of("d =", "auth_type = trust\nclient_login_timeout = 0.05");
    let mut silent = over_tcp(&clients);
    assert_eq!(refusal(&mut silent, "").await, "client_login_timeout");
    let user = [("user", "u"), ("database", "d")];
    assert_eq!(refused(&clients, &user, "").await, "client_login_timeout (server down)");
    let (clients, _doors) = clients_of("d =", "auth_type = trust\nquery_wait_timeout = 0.05");
    assert_eq!(refused(&clients, &user, "").await, "query_wait_timeout");
    let (clients, _doors) = clients_of("d =", "auth_type = trust\nquery_timeout = 0.05");
    assert_eq!(refused(&clients, &user, "").await, "query_timeout");
    assert_eq!((clients.plane.admissions.all(), clients.logins.count()), (0, 0));
}

#[tokio::test]
async fn a_servers_refusal_reaches_who_waits() {
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    let mut peer = over_tcp(&clients);
    say_hello(&mut peer, &[("user", "u"), ("database", "d")]).await;
    until(|| clients.logins.rows().iter().any(|row| row.is_waiting)).await;
    let entry = clients.plane.pool_entry("d", "u").unwrap();
    until(|| entry.welcome.oldest_waiter().is_some()).await;
    entry.welcome.refuse(Fault::Relayed {
        sqlstate: sqlstate::INVALID_PASSWORD.to_owned(),
        text: "no way".to_owned(),
    });
    let (_, payload) = message(&mut peer).await.unwrap();
    let fields = ErrorFields::read(&payload).unwrap();
    assert_eq!((fields.sqlstate(), &*fields.message()), (sqlstate::INVALID_PASSWORD, "no way"));
}

#[tokio::test]
async fn newer_protocols_are_negotiated_before_anything_else() {
    let (clients, _doors) = clients_of("d =", "auth_type = plain");
    let mut peer = over_tcp(&clients);
    say_hello(&mut peer, &[("user", "u"), ("_pq_.shiny", "1")]).await;
    let (tag, payload) = message(&mut peer).await.unwrap();
    assert_eq!(
        (tag, &payload[..]),
        (tags::server::NEGOTIATE_PROTOCOL_VERSION, &b"\0\x03\0\0\0\0\0\x01_pq_.shiny\0"[..])
    );
    assert_eq!(message(&mut peer).await.unwrap().0, tags::server::AUTHENTICATION);
}

#[tokio::test]
async fn what_is_not_to_be_had_is_said_plainly() {
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    let extra = [("user", "u"), ("work_mem", "1MB")];
    assert_eq!(refused(&clients, &extra, "").await, "unsupported startup parameter: work_mem");
}

#[tokio::test]
async fn cancel_requests_are_never_answered() {
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    for secret in [&b"abcd"[..], &[7; 256]] {
        let mut peer = over_tcp(&clients);
        let mut out = Vec::new();
        startup::write_cancel_request(&mut out, 7, secret);
        peer.write_all(&out).await.unwrap();
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_log_says_what_scripts_look_for() {
    let (lines, _guard) = Lines::listen();
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    refused(&clients, &[("user", "unknown"), ("database", "d")], "").await;
    let lines = lines.0.lock().unwrap().clone();
    let common = format!(" side=\"C\" id=1 db=\"d\" user=\"unknown\" peer={TCP}");
    let expected = [
        ("INFO", "message=login attempt: db=d user=unknown tls=no replication=no"),
        ("INFO", "message=no such user: unknown"),
        ("INFO", "message=closing because: \"trust\" authentication failed (age=0s)"),
        ("WARN", "message=pooler error: \"trust\" authentication failed"),
        ("INFO", "message=login failed: db=d user=unknown"),
    ];
    for (level, text) in expected {
        let found = lines.iter().find(|line| line.starts_with(level) && line.contains(text));
        let found = found.unwrap_or_else(|| panic!("{level} {text} is not in {lines:#?}"));
        assert!(found.contains(&common), "{found}");
    }
}

#[tokio::test]
async fn the_log_hears_nothing_of_probes_and_no_more_of_floods_than_it_should() {
    let (lines, _guard) = Lines::listen();
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    drop(over_tcp(&clients));
    until(|| clients.logins.count() == 0).await;
    assert!(lines.0.lock().unwrap().is_empty(), "{lines:?}");
    let began = clients.plane.now();
    while clients.unauthenticated.may_log() {}
    lines.0.lock().unwrap().clear();
    let each_us = 1_000_000 / limits::LOG_UNAUTHENTICATED_PER_SECOND;
    let mut refusals = 0;
    while refusals < 200 {
        refused(&clients, &[("user", "unknown"), ("database", "d")], "").await;
        refusals += 1;
        let attempts = |line: &&String| line.contains("message=login attempt");
        let heard = lines.0.lock().unwrap().iter().filter(attempts).count() as u64;
        let earned = clients.plane.now().since(began).0 / each_us;
        assert!(heard <= earned, "{heard} of {refusals}, {earned} were earned: {lines:#?}");
        if refusals > earned {
            return; // where one takes longer than a line is earned in, nothing is left out
        }
    }
}

#[tokio::test]
async fn the_log_is_told_how_many_of_those_that_it_had_no_room_for_were_refused() {
    let (lines, _guard) = Lines::listen();
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    let is_told = |line: &String| line.contains("have been refused") && !line.contains("; 0 that were");
    while !lines.0.lock().unwrap().iter().any(is_told) {
        while clients.unauthenticated.may_log() {} // nobody finds room, but for one in a while
        refused(&clients, &[("user", "unknown"), ("database", "d")], "").await;
    }
}

mod anew;
mod elsewhere;
mod order;
mod panics;
