//! An evil PostgreSQL: in each of [`SCRIPTS`] it says at login, or to the first query, what no server should.

use crate::common::raw::frame;
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};
use crate::states::log_in;
use crate::wire::{self, Dice, Wire, listen, seed};
use crate::witness::{Held, beside, closed, peer_port};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When it goes astray.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// It has read the startup.
    Login,
    /// It has let the login pass and has read something.
    Query,
    /// As before, and a request to cancel that has come.
    Cancel,
    /// That request comes: its connection is what goes astray.
    Request,
}

/// What follows its words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It closes.
    Close,
    /// It says nothing more, and reads nothing.
    Hang,
    /// It says the same again and again, up to 64 MiB.
    Repeat,
    /// It says the rest one byte at a time.
    Drip,
}

type Script = (&'static str, When, fn() -> Vec<u8>, Then);

fn length(tag: u8, length: u32) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes()].concat()
}

pub fn error(severity: &str, code: &str, text: &str) -> Vec<u8> {
    frame(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0").as_bytes())
}

fn auth(kind: u32, more: &[u8]) -> Vec<u8> {
    frame(b'R', &[&kind.to_be_bytes()[..], more].concat())
}

fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}

pub fn row(bytes: usize) -> Vec<u8> {
    let length = u32::try_from(bytes).expect("short").to_be_bytes();
    frame(b'D', &[&[0, 1][..], &length, &vec![b'x'; bytes]].concat())
}

pub fn status(name: &str, value: &str) -> Vec<u8> {
    frame(b'S', format!("{name}\0{value}\0").as_bytes())
}

pub fn notice(text: &str) -> Vec<u8> {
    frame(b'N', format!("SNOTICE\0VNOTICE\0C00000\0M{text}\0\0").as_bytes())
}

pub fn welcome() -> Vec<u8> {
    welcome_with(&[])
}

/// With more parameters than those that every server reports.
pub fn welcome_with(more: &[u8]) -> Vec<u8> {
    let parameters =
        [("server_version", "15.0"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "on")];
    let statuses = parameters.iter().flat_map(|(name, value)| status(name, value)).collect();
    [auth(0, &[]), statuses, more.to_vec(), frame(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]), ready(b'I')].concat()
}

use Then::{Close, Drip, Hang, Repeat};
use When::{Cancel, Login, Query, Request};

/// How a CancelRequest begins.
const CANCEL_REQUEST: [u8; 8] = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];

const SCRIPTS: &[Script] = &[
    ("login-silent", Login, Vec::new, Hang),
    ("login-closed", Login, Vec::new, Close),
    ("login-noise", Login, || b"\xff\xfe\xfd\xfc\xfb\xfa".to_vec(), Close),
    ("login-http", Login, || b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Close),
    ("login-half-header", Login, || vec![b'R', 0, 0], Hang),
    ("login-length-0", Login, || length(b'R', 0), Hang),
    ("login-length-3", Login, || length(b'R', 3), Hang),
    ("login-length-2g", Login, || length(b'R', 0x7fff_ffff), Hang),
    ("login-length-4g", Login, || length(b'E', 0xffff_ffff), Repeat),
    ("login-auth-empty", Login, || frame(b'R', &[]), Close),
    ("login-auth-unknown", Login, || auth(99, &[]), Hang),
    ("login-kerberos", Login, || auth(2, &[]), Hang),
    ("login-gss", Login, || auth(7, &[]), Hang),
    ("login-md5-short", Login, || auth(5, &[1]), Hang),
    ("login-md5", Login, || auth(5, &[1, 2, 3, 4]), Hang),
    ("login-clear", Login, || auth(3, &[]), Hang),
    ("login-sasl-none", Login, || auth(10, &[0]), Hang),
    ("login-sasl-unknown", Login, || auth(10, b"SCRAM-SHA-999\0\0"), Hang),
    ("login-sasl-endless", Login, || auth(10, &[b'x'; 4000]), Hang),
    ("login-sasl-hangs", Login, || auth(10, b"SCRAM-SHA-256\0\0"), Hang),
    ("login-sasl-continue-first", Login, || auth(11, b"r=x,s=eA==,i=4096"), Hang),
    ("login-sasl-final-first", Login, || auth(12, b"v=eA=="), Hang),
    ("login-auth-twice", Login, || [auth(0, &[]), auth(0, &[])].concat(), Hang),
    ("login-no-ready", Login, || auth(0, &[]), Hang),
    ("login-ready-first", Login, || ready(b'I'), Hang),
    ("login-ready-in-tx", Login, || [auth(0, &[]), ready(b'T')].concat(), Close),
    ("login-ready-nonsense", Login, || [auth(0, &[]), ready(b'?')].concat(), Close),
    ("login-row", Login, || row(10), Hang),
    ("login-refused", Login, || error("FATAL", "28000", "not you"), Close),
    ("login-error-noise", Login, || frame(b'E', b"S"), Close),
    ("login-error-lines", Login, || error("FATAL", "57P03", "one\ntwo\u{1}"), Close),
    ("login-error-huge", Login, || error("FATAL", "28000", &"x".repeat(100_000)), Close),
    ("login-notices", Login, || frame(b'N', b"SNOTICE\0C00000\0Magain\0\0"), Repeat),
    ("login-parameters", Login, || [auth(0, &[]), status("name", "value")].concat(), Repeat),
    ("login-parameter-open", Login, || [auth(0, &[]), frame(b'S', b"no end")].concat(), Hang),
    ("login-key-short", Login, || [auth(0, &[]), frame(b'K', &[1])].concat(), Hang),
    ("login-key-long", Login, || [auth(0, &[]), frame(b'K', &[7; 300])].concat(), Hang),
    ("login-drip", Login, welcome, Drip),
    ("query-silent", Query, Vec::new, Hang),
    ("query-closed", Query, Vec::new, Close),
    ("query-noise", Query, || b"\xff\xfe\xfd\xfc\xfb\xfa".to_vec(), Close),
    ("query-half-row", Query, || row(1000)[..500].to_vec(), Hang),
    ("query-half-row-closed", Query, || row(1000)[..500].to_vec(), Close),
    ("query-length-0", Query, || length(b'D', 0), Hang),
    ("query-length-2g", Query, || length(b'D', 0x7fff_ffff), Repeat),
    ("query-rows", Query, || row(60_000), Repeat),
    ("query-ready-twice", Query, || [ready(b'I'), ready(b'I')].concat(), Hang),
    ("query-ready-nonsense", Query, || ready(b'?'), Hang),
    ("query-ready-long", Query, || frame(b'Z', b"II"), Hang),
    ("query-auth", Query, || auth(0, &[]), Hang),
    ("query-key", Query, || frame(b'K', &[0; 8]), Hang),
    ("query-copy-both", Query, || frame(b'W', &[0, 0, 0]), Hang),
    ("query-copy-in", Query, || frame(b'G', &[0, 0, 0]), Hang),
    ("query-parse-complete", Query, || [frame(b'1', &[]), ready(b'I')].concat(), Hang),
    ("query-notifications", Query, || frame(b'A', b"\0\0\0\x09channel\0x\0"), Repeat),
    ("query-parameter-open", Query, || frame(b'S', b"no end"), Hang),
    ("query-parameter-huge", Query, || status("application_name", &"x".repeat(500_000)), Repeat),
    ("query-error-fatal", Query, || error("FATAL", "57P01", "going"), Close),
    ("query-error-noise", Query, || frame(b'E', b"S"), Hang),
    ("cancel-ignored", Cancel, Vec::new, Hang),
    ("cancel-closed", Cancel, Vec::new, Close),
    ("cancel-noise", Cancel, || b"\xff\xfe\xfd\xfc\xfb\xfa".to_vec(), Hang),
    ("cancel-half-row", Cancel, || row(1000)[..500].to_vec(), Hang),
    ("cancel-half-row-closed", Cancel, || row(1000)[..500].to_vec(), Close),
    ("cancel-rows", Cancel, || row(60_000), Repeat),
    ("cancel-error-without-end", Cancel, || error("ERROR", "57014", "canceling"), Hang),
    ("cancel-half-notification", Cancel, || frame(b'A', b"\0\0\0\x09channel\0x\0")[..9].to_vec(), Hang),
    ("cancel-ready-twice", Cancel, || [ready(b'I'), ready(b'I')].concat(), Hang),
    ("cancel-ready-in-tx", Cancel, || [error("ERROR", "57014", "canceling"), ready(b'T')].concat(), Hang),
    ("cancel-length-2g", Cancel, || length(b'E', 0x7fff_ffff), Repeat),
    ("cancel-request-hangs", Request, Vec::new, Hang),
    ("cancel-request-answered", Request, || error("FATAL", "57P03", "not now"), Hang),
    ("cancel-request-endless", Request, || row(60_000), Repeat),
];

/// Most that an endless script says.
const WORDS_MAX: usize = 64 << 20;

/// It may take so long to say them, on a machine that others load, too.
const SAID_MAX: Duration = Duration::from_secs(90);

/// One listener's part of the test.
struct Stage {
    script: &'static Script,
    listener: TcpListener,
    /// The test is over.
    stop: AtomicBool,
    /// A query has come.
    asked: AtomicBool,
    /// A request to cancel has come.
    canceled: AtomicBool,
    /// It has said its words, or nobody took them any more.
    said: AtomicBool,
    /// Where its words are cut.
    dice: Mutex<Dice>,
}

impl Stage {
    fn new(script: &'static Script, dice: Dice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let (stop, asked, canceled, said) = Default::default();
        Self { script, listener, stop, asked, canceled, said, dice: Mutex::new(dice) }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("it is bound").port()
    }

    /// Says it in parts of any length, so that the pooler has read up to any place of it.
    fn say(&self, stream: &mut TcpStream, words: &[u8]) -> std::io::Result<()> {
        let mut rest = words;
        while !rest.is_empty() {
            let count = 1 + self.dice.lock().expect("nobody panics with it").below(rest.len());
            let (part, behind) = rest.split_at(count);
            stream.write_all(part)?;
            rest = behind;
            std::thread::sleep(Duration::from_millis(1)); // most often it is read alone
        }
        Ok(())
    }

    /// Says the same until it was said often enough, however long somebody takes to read it.
    fn repeat(&self, stream: &mut TcpStream, words: &[u8]) -> std::io::Result<()> {
        let mut said = 0;
        while said < WORDS_MAX && !self.stop.load(Ordering::Relaxed) {
            match stream.write(&words[said % words.len()..]) {
                Ok(count) => said += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Lives as long as the test, or until the pooler hangs up.
fn misbehave(mut stream: TcpStream, stage: &Stage) -> std::io::Result<()> {
    let Stage { script: (_, when, words, then), stop, asked, canceled, .. } = stage;
    let mut chunk = [0; 4096];
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    let mut read = |stream: &mut TcpStream| loop {
        match stream.read(&mut chunk) {
            Ok(count) => return chunk[..count].to_vec(),
            Err(_) if stop.load(Ordering::Relaxed) => return Vec::new(),
            Err(_) => {}
        }
    };
    let first = read(&mut stream);
    let is_request = first.starts_with(&CANCEL_REQUEST);
    if is_request {
        canceled.store(true, Ordering::Relaxed);
    }
    if first.is_empty() || (is_request && *when != Request) {
        return Ok(());
    }
    if *when != Login && !is_request {
        stream.write_all(&welcome())?;
        if read(&mut stream).is_empty() {
            return Ok(());
        }
        asked.store(true, Ordering::Relaxed);
        let waits = || matches!(when, Cancel | Request) && !canceled.load(Ordering::Relaxed);
        while waits() && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if *when == Request {
            while !read(&mut stream).is_empty() {}
            return Ok(());
        }
    }
    let words = words();
    match then {
        Drip => {
            for byte in &words {
                stream.write_all(&[*byte])?;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Repeat => {
            let ended = stage.repeat(&mut stream, &words);
            stage.said.store(true, Ordering::Relaxed);
            ended?;
        }
        Close | Hang => stage.say(&mut stream, &words)?,
    }
    while *then != Close && !read(&mut stream).is_empty() {}
    Ok(())
}

/// One client of an evil server: it is answered or ended in time, whatever the server does. Returns how long
/// that took. Where the server says something without end, nothing of it is read until it can say no more.
fn suffer(port: u16, stage: &Stage) -> Duration {
    let mut began = Instant::now();
    let (name, when, _, then) = stage.script;
    let mut wire = Wire::connect(port);
    let key = log_in(&mut wire, "app", name);
    wire.send(&frame(b'Q', b"select 'sound'\0"));
    if matches!(when, Cancel | Request) {
        // One that came before would end the query while it waits for a server, which would never be asked;
        // on a machine that stands still for long, the query's own timeout may end it there.
        wait_until(&format!("{name} is asked"), || stage.asked.load(Ordering::Relaxed) || wire.has_words());
        wire.cancel(&key);
    }
    if *then == Repeat {
        while !stage.said.load(Ordering::Relaxed) {
            assert!(began.elapsed() < SAID_MAX, "{name} has not said all that it can");
            std::thread::sleep(Duration::from_millis(20));
        }
        began = Instant::now();
    }
    let got = wire.read_until(b"Z\0\0\0\x05", Duration::from_secs(12));
    assert!(!got.windows(5).any(|part| part == b"quiet"), "{name} got another's row");
    began.elapsed()
}

/// One client of each evil server, all at once.
fn suffer_all(port: u16, stages: &[Stage]) {
    for flag in stages.iter().flat_map(|stage| [&stage.asked, &stage.canceled, &stage.said]) {
        flag.store(false, Ordering::Relaxed);
    }
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            stages.iter().map(|stage| (stage, scope.spawn(move || suffer(port, stage)))).collect();
        for (stage, client) in clients {
            let (took, name) = (client.join().expect("told above"), stage.script.0);
            assert!(took < Duration::from_secs(14), "the client of {name} was left alone for {took:?}");
        }
    });
}

/// Has one client suffer from each of `scripts`, in a long run again and again, and holds memory to `held`.
fn play(what: &str, scripts: impl Iterator<Item = &'static Script>, held: Held) {
    let (seed, until) = (seed(), Instant::now() + wire::length(0));
    let stages: Vec<_> =
        scripts.enumerate().map(|(number, script)| Stage::new(script, Dice::new(seed, number))).collect();
    let mut setup = PoolerSetup::new(postgres())
        .set("workers", 2)
        .set("server_connect_timeout", 5)
        .set("server_login_retry", 1)
        .set("query_timeout", 10)
        .set("query_wait_timeout", 8)
        .set("client_login_timeout", 10)
        .database("quiet", "dbname=app pool_size=2");
    for stage in &stages {
        let server = format!("host=127.0.0.1 port={} dbname=app pool_size=1", stage.port());
        setup = setup.database_at(stage.script.0, &server);
    }
    let mut pooler = setup.start();
    std::thread::scope(|scope| {
        for stage in &stages {
            scope.spawn(|| listen(&stage.listener, &stage.stop, |stream| drop(misbehave(stream, stage))));
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            beside(what, &mut pooler, held, |pooler| {
                suffer_all(pooler.port, &stages);
                while Instant::now() < until {
                    suffer_all(pooler.port, &stages);
                }
            });
        }));
        stages.iter().for_each(|stage| stage.stop.store(true, Ordering::Relaxed));
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    wait_until("the log names every offender and says why it was ended", || {
        let log = pooler.log();
        let lines = closed(&log, " S-");
        stages.iter().all(|stage| {
            let (name, port) = (format!(" {}/", stage.script.0), stage.port());
            lines.iter().any(|line| line.contains(&name) && peer_port(line) == Some(port))
        })
    });
    none_of_the_quiet_was_ended(&pooler);
}

fn none_of_the_quiet_was_ended(pooler: &Pooler) {
    let log = pooler.log();
    let quiet = |line: &&str| line.contains(" quiet/") && !line.contains("client unexpected eof");
    let others: Vec<_> =
        ["C", "S"].into_iter().flat_map(|side| closed(&log, &format!(" {side}-"))).filter(quiet).collect();
    assert!(others.is_empty(), "others were ended: {others:#?}");
}

fn is_endless((.., then): &Script) -> bool {
    *then == Repeat
}

#[test]
fn an_evil_postgresql_hurts_its_own_clients_alone() {
    assert!(SCRIPTS.len() >= 50, "{} scripts", SCRIPTS.len());
    // All that they say is less than what is allowed anyway.
    let held = Held::default();
    let said: usize = SCRIPTS.iter().map(|(_, _, words, _)| words().len()).sum();
    assert!(said < held.most_bytes(), "{said} bytes");
    play("an evil PostgreSQL", SCRIPTS.iter().filter(|script| !is_endless(script)), held);
}

#[test]
fn a_postgresql_that_speaks_without_end_is_held_to_its_buffers() {
    let count = SCRIPTS.iter().filter(|script| is_endless(script)).count();
    let held = Held { clients: count, servers: count, ..Held::default() };
    // So that one of them whose words are kept is seen.
    assert!(held.most_bytes() < WORDS_MAX * 3 / 4, "{} bytes could be held", held.most_bytes());
    play("a PostgreSQL without end", SCRIPTS.iter().filter(|script| is_endless(script)), held);
}
