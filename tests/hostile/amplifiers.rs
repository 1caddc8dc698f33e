//! Servers that have much made of little: what one of them says is told to many clients, or kept for
//! them, and those do not read.
//!
//! Each has its own allowance, far below what it says times its clients.

use crate::common::raw::{query, startup_message};
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};
use crate::servers::{error, notice, row, status, welcome, welcome_with};
use crate::wire::{Wire, listen};
use crate::witness::{Held, beside, only_ended};
use pgweir::base::limits;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Text of a message that is as long as a server's may be at its login.
const LONG: usize = 1_000_000;

/// Most that a server says to one client.
const WORDS_MAX: usize = 8 << 20;

/// The most that a client is told where a server refuses a login with a long text, all its messages together.
const TOLD_MAX: usize = 4_096;

/// Databases of the server, one for each round of a long run: of another one nobody remembers a refusal.
const ROUNDS: usize = 50;

/// When nothing more can come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Each client is told something.
    Told,
    /// As before; the first server closes when all the others wait.
    ToldWaiting,
    /// No server can say more.
    Said,
}

struct Amplifier {
    what: &'static str,
    clients: usize,
    pool_size: usize,
    until: Until,
    /// Why its clients are ended.
    ends: &'static [&'static str],
    /// What is said to a startup; where that is no welcome, the server closes then. The
    /// number counts connections.
    login: fn(usize) -> Vec<u8>,
    /// What is said to a query, again and again until nobody takes more; nothing: the
    /// server closes, when it may.
    answer: fn() -> Vec<u8>,
}

/// What is under way between a server and the test.
#[derive(Default)]
struct Stage {
    stop: AtomicBool,
    connections: AtomicUsize,
    /// Of those, who could say no more, or has said all.
    said: AtomicUsize,
    /// Whoever has no answer may close.
    may_close: AtomicBool,
}

impl Stage {
    /// Another round: another first connection.
    fn begin(&self) {
        self.connections.store(0, Ordering::Relaxed);
        self.said.store(0, Ordering::Relaxed);
        self.may_close.store(false, Ordering::Relaxed);
    }

    fn until(&self, flag: &AtomicBool) {
        while !flag.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What comes next; nothing at the end.
fn read(stream: &mut TcpStream, stage: &Stage) -> usize {
    loop {
        match stream.read(&mut [0; 4096]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !stage.stop.load(Ordering::Relaxed) => {}
            other => return other.unwrap_or(0),
        }
    }
}

fn speak(mut stream: TcpStream, amplifier: &Amplifier, stage: &Stage) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    if read(&mut stream, stage) == 0 {
        return Ok(());
    }
    let words = (amplifier.login)(stage.connections.fetch_add(1, Ordering::Relaxed));
    stream.write_all(&words)?;
    if !words.ends_with(b"Z\0\0\0\x05I") || read(&mut stream, stage) == 0 {
        return Ok(());
    }
    let words = (amplifier.answer)();
    if words.is_empty() {
        stage.until(&stage.may_close);
        return Ok(());
    }
    for _ in 0..WORDS_MAX.div_ceil(words.len()) {
        if stream.write_all(&words).is_err() {
            break;
        }
    }
    stage.said.fetch_add(1, Ordering::Relaxed);
    stage.until(&stage.stop);
    Ok(())
}

/// A client that reads nothing. Its question goes ahead of its welcome.
fn come(pooler: &Pooler, amplifier: &Amplifier, database: &str) -> Wire {
    let mut wire = Wire::connect(pooler.port);
    let startup = startup_message(196_608, &[("user", "app"), ("database", database)]);
    let asked = if amplifier.until == Until::Told { Vec::new() } else { query("select 1") };
    wire.send(&[startup, asked].concat());
    wire
}

/// Waits until nothing more can come of it.
fn settle(pooler: &Pooler, amplifier: &Amplifier, stage: &Stage, deaf: &[Wire]) {
    if amplifier.until == Until::ToldWaiting {
        wait_until("all wait but the first", || {
            let waiting = |row: &std::collections::BTreeMap<String, String>| {
                row["database"].starts_with("evil") && row["cl_waiting"] == (deaf.len() - 1).to_string()
            };
            pooler.ask("show pools").records().iter().any(waiting)
        });
        stage.may_close.store(true, Ordering::Relaxed);
    }
    match amplifier.until {
        Until::Told => wait_until("each is told something", || deaf.iter().all(Wire::has_words)),
        Until::ToldWaiting => wait_until("nobody is left", || {
            let is_evil =
                |row: &std::collections::BTreeMap<String, String>| row["database"].starts_with("evil");
            !pooler.ask("show clients").records().iter().any(is_evil)
        }),
        Until::Said => {
            wait_until("no server can say more", || stage.said.load(Ordering::Relaxed) == deaf.len())
        }
    }
}

/// Has its clients come, who read nothing, and holds memory to `held`. Returns them, to be
/// asked what they were told.
fn amplify(amplifier: &Amplifier, held: Held) -> (Pooler, Vec<Wire>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let server = format!("host=127.0.0.1 port={port} dbname=app pool_size={}", amplifier.pool_size);
    let mut setup = PoolerSetup::new(postgres())
        .set("workers", 2)
        .set("max_client_conn", 2 * amplifier.clients)
        .set("max_login_conn", 2 * amplifier.clients)
        .database("quiet", "dbname=app pool_size=2")
        .set("log_connections", 0);
    for round in 0..ROUNDS {
        setup = setup.database_at(&format!("evil{round}"), &server);
    }
    let mut pooler = setup.start();
    let (stage, mut rounds) = (Stage::default(), (0..ROUNDS).cycle());
    let deaf = std::thread::scope(|scope| {
        scope.spawn(|| {
            listen(&listener, &stage.stop, |stream| drop(speak(stream, amplifier, &stage)));
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let deaf = beside(amplifier.what, &mut pooler, held, |pooler| {
                stage.begin();
                let database = format!("evil{}", rounds.next().expect("they go round"));
                let come = |_| come(pooler, amplifier, &database);
                let deaf: Vec<Wire> = (0..amplifier.clients).map(come).collect();
                settle(pooler, amplifier, &stage, &deaf);
                deaf
            });
            only_ended(&pooler, amplifier.ends);
            deaf
        }));
        stage.stop.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    (pooler, deaf)
}

/// What is allowed where everybody is told a few words.
fn a_few_words(clients: usize) -> Held {
    Held { unauthenticated: clients, servers: 3, ..Held::default() }
}

/// What is allowed where each client does not take what its server says: a read buffer's worth at each end.
fn a_buffer_each(clients: usize) -> Held {
    Held { bytes: clients * 2 * limits::READ_BUFFER_BYTES, servers: 2, ..Held::default() }
}

/// Each was told a few words, among them why.
fn are_told_in_short(deaf: &mut [Wire]) {
    let mut told = Vec::new();
    for wire in deaf {
        let words = wire.read_until(b"", Duration::from_secs(1));
        assert!(words.len() <= TOLD_MAX, "{} bytes, {TOLD_MAX} are right", words.len());
        told.push(words);
    }
    let refused = told.iter().filter(|words| words.windows(5).any(|part| part == b"28000")).count();
    assert!(refused >= told.len() - 1, "{refused} of {} were told why", told.len());
}

#[test]
fn a_long_refusal_is_told_to_everybody_in_short() {
    let refusal = Amplifier {
        what: "a long refusal",
        clients: 400,
        pool_size: 1,
        until: Until::Told,
        ends: &["xxxx"],
        login: |_| error("FATAL", "28000", &"x".repeat(LONG)),
        answer: Vec::new,
    };
    let (_pooler, mut deaf) = amplify(&refusal, a_few_words(refusal.clients));
    are_told_in_short(&mut deaf);
}

#[test]
fn a_long_refusal_is_told_to_those_who_wait_in_short() {
    let refusal = Amplifier {
        what: "a long refusal, as others wait",
        clients: 400,
        pool_size: 1,
        until: Until::ToldWaiting,
        ends: &["xxxx", "server conn crashed"],
        login: |number| if number == 0 { welcome() } else { error("FATAL", "28000", &"x".repeat(LONG)) },
        answer: Vec::new,
    };
    let (_pooler, mut deaf) = amplify(&refusal, a_few_words(refusal.clients));
    are_told_in_short(&mut deaf);
}

#[test]
fn a_long_welcome_is_kept_once() {
    let long = Amplifier {
        what: "a long welcome",
        clients: 400,
        pool_size: 1,
        until: Until::Told,
        ends: &[],
        login: |_| {
            let statuses: Vec<_> =
                (0..60).map(|number| status(&number.to_string(), &"x".repeat(1_000))).collect();
            welcome_with(&statuses.concat())
        },
        answer: Vec::new,
    };
    amplify(&long, a_few_words(long.clients));
}

/// Makes what a server says.
type Script = fn() -> Vec<u8>;

#[test]
fn what_clients_do_not_read_is_not_read_of_their_servers() {
    let scripts: [(&str, Script); 3] = [
        ("rows unread", || row(60_000)),
        ("long rows unread", || row(LONG)),
        ("long notices unread", || notice(&"x".repeat(LONG))),
    ];
    for (what, answer) in scripts {
        let login = |_| welcome();
        let unread =
            Amplifier { what, clients: 40, pool_size: 40, until: Until::Said, ends: &[], login, answer };
        amplify(&unread, a_buffer_each(unread.clients));
    }
}

#[test]
fn parameters_are_kept_within_their_bound() {
    let parameters = Amplifier {
        what: "long parameters",
        clients: 40,
        pool_size: 40,
        until: Until::Said,
        ends: &[],
        login: |_| welcome(),
        // A client and its server both remember the last one.
        answer: || status("application_name", &"x".repeat(60_000)),
    };
    let mut held = a_buffer_each(parameters.clients);
    held.bytes += parameters.clients * 2 * limits::PARAMETERS_BYTES_MAX;
    amplify(&parameters, held);
}
