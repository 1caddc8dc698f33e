//! Cross-talk: a hundred clients over several databases and users, on few servers that move between workers,
//! who listen, notify, flush, cancel and disconnect anywhere. Every byte of an answer carries its database,
//! user and client, so one foreign byte is found.

use crate::common::raw::{Frame, bind, cancel_request, execute, frame, parse, query, startup_message, sync};
use crate::common::{Pooler, PoolerSetup, postgres};
use crate::wire::{Dice, Wire, length, seed};
use crate::witness::{Held, beside, only_ended};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 120;
const DATABASES: [&str; 4] = ["red", "green", "blue", "grey"];
const USERS: [&str; 2] = ["app", "other"];

/// What all clients count.
#[derive(Debug, Default)]
struct Counts {
    answers: AtomicUsize,
    notifications: AtomicUsize,
    logins: AtomicUsize,
}

struct Client<'a> {
    port: u16,
    number: usize,
    database: &'static str,
    user: &'static str,
    dice: Dice,
    counts: &'a Counts,
    wire: Wire,
    key: Vec<u8>,
    rest: Vec<u8>,
}

impl<'a> Client<'a> {
    fn new(port: u16, number: usize, seed: u64, counts: &'a Counts) -> Self {
        let (database, user) = (DATABASES[number % 4], USERS[number / 4 % 2]);
        let (dice, wire) = (Dice::new(seed, number), Wire::connect(port));
        let mut client =
            Self { port, number, database, user, dice, counts, wire, key: Vec::new(), rest: Vec::new() };
        client.log_in();
        client
    }

    fn log_in(&mut self) {
        self.wire = Wire::connect(self.port);
        self.rest.clear();
        self.wire.send(&startup_message(196_608, &[("user", self.user), ("database", self.database)]));
        self.counts.logins.fetch_add(1, Ordering::Relaxed);
        let frames = self.answer();
        self.key =
            frames.iter().find(|frame| frame.tag == b'K').map(|frame| frame.body.clone()).unwrap_or_default();
    }

    /// What this client's answer of that step is: no other client's answer is the same.
    fn tag(&self, step: usize) -> String {
        format!("<{}/{}/{}/{step}>", self.database, self.user, self.number)
    }

    /// A statement whose answer is the tag over and over; database and user are PostgreSQL's own words.
    fn question(&mut self, tag: &str) -> (String, String) {
        let times = [1, 10, 300, 3000][self.dice.below(4)];
        let tail = tag.splitn(3, '/').nth(2).expect("two slashes before it").to_owned();
        let sql = format!(
            "select repeat('<' || substr(current_database(), 6) || '/' || current_user || '/{tail}', {times})"
        );
        (sql, tag.repeat(times))
    }

    /// The frames up to ReadyForQuery or the end.
    fn answer(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            while let Some(frame) = self.next_frame() {
                let is_end = frame.tag == b'Z';
                frames.push(frame);
                if is_end {
                    return frames;
                }
            }
            assert!(Instant::now() < deadline, "{} waits in vain: {frames:?}", self.tag(0));
            let got = self.wire.read_some();
            if got.is_empty() {
                return frames;
            }
            self.rest.extend_from_slice(&got);
        }
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let head = self.rest.get(..5)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        assert!((4..1 << 24).contains(&length), "{}: no frame: {head:?}", self.tag(0));
        let body = self.rest.get(5..=length)?.to_vec();
        let tag = head[0];
        self.rest.drain(..=length);
        Some(Frame { tag, body })
    }

    /// Every row is the expected one, every notification one of the same database.
    fn hold(&self, frames: &[Frame], expected: &str) -> bool {
        for frame in frames {
            match frame.tag {
                b'D' => {
                    let length =
                        u32::from_be_bytes([frame.body[2], frame.body[3], frame.body[4], frame.body[5]])
                            as usize;
                    let row = String::from_utf8_lossy(&frame.body[6..6 + length]);
                    let at = row.bytes().zip(expected.bytes()).position(|(a, b)| a != b);
                    assert!(row == expected, "foreign bytes at {at:?}: {expected:.60} got {row:.200}");
                    self.counts.answers.fetch_add(1, Ordering::Relaxed);
                }
                b'A' => {
                    let text = String::from_utf8_lossy(&frame.body[4..]);
                    let mine = format!("talk\0from {}\0", self.database);
                    assert!(text == mine, "a foreign notification: {text:?} to {}", self.tag(0));
                    self.counts.notifications.fetch_add(1, Ordering::Relaxed);
                }
                b'E' => assert!(frame.message().contains("57014"), "{}: {}", self.tag(0), frame.message()),
                _ => {}
            }
        }
        frames.last().is_some_and(|frame| frame.tag == b'Z')
    }

    fn step(&mut self, step: usize) {
        let tag = self.tag(step);
        let (sql, expected) = self.question(&tag);
        let extended = [parse("", &sql), bind("", &[]), execute()].concat();
        let flush = frame(b'H', &[]);
        let bytes = match self.dice.below(13) {
            0 | 1 => query(&sql),
            2 => [extended, sync()].concat(),
            3 => [extended, flush, sync()].concat(),
            4 => query(&format!("listen talk; {sql}")),
            5 => query(&format!("notify talk, 'from {}'; {sql}", self.database)),
            6 => return self.cancel(&sql, &expected),
            7 => return self.leave(&query(&sql)),
            8 => return self.leave(&[extended, flush, sync()].concat()),
            9 => query(&format!("begin; {sql}; commit")),
            _ => return self.flush_late(&sql, &expected),
        };
        let cut = self.dice.below(bytes.len());
        if self.dice.below(4) == 0 {
            self.wire.send(&bytes[..cut]);
            std::thread::sleep(Duration::from_millis(1));
            self.wire.send(&bytes[cut..]);
        } else {
            self.wire.send(&bytes);
        }
        self.expect(&expected);
    }

    fn expect(&mut self, expected: &str) {
        let frames = self.answer();
        let last = frames.last().map(Frame::message);
        assert!(self.hold(&frames, expected), "{expected:.40} was ended: {last:?}");
    }

    /// Leaves in the middle of a message or of its answer, and comes back.
    fn leave(&mut self, bytes: &[u8]) {
        let cut = 1 + self.dice.below(bytes.len());
        self.wire.send(&bytes[..cut]);
        let patience = Duration::from_millis(self.dice.below(5) as u64);
        self.wire.read_until(b"", patience);
        self.log_in();
    }

    /// Flushes that meet the answer on its way, as the server is wanted elsewhere.
    fn flush_late(&mut self, sql: &str, expected: &str) {
        self.wire.send(&query(&format!("{sql}, pg_sleep(0.0005)")));
        for _ in 0..self.dice.below(40) {
            self.wire.send(&frame(b'H', &[]));
            std::thread::sleep(Duration::from_micros(self.dice.below(100) as u64));
        }
        self.expect(expected);
    }

    /// The first result may be the sleep's, or the cancel came too late or too early.
    fn cancel(&mut self, sql: &str, expected: &str) {
        self.wire.send(&query(&format!("select pg_sleep(0.01); {sql}")));
        Wire::connect(self.port).send(&cancel_request(&self.key));
        let mut frames = self.answer();
        frames.retain(|frame| frame.tag != b'D' || frame.body.len() > 6);
        assert!(self.hold(&frames, expected), "a cancel ends a query only");
    }

    fn run(mut self, until: Instant) {
        for step in 1.. {
            self.step(step);
            if Instant::now() >= until {
                return;
            }
        }
    }
}

fn load(pooler: &Pooler, seed: u64, counts: &Counts) {
    let until = Instant::now() + length(8);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let port = pooler.port;
                let thread = std::thread::Builder::new().stack_size(512 << 10);
                let run = move || Client::new(port, number, seed, counts).run(until);
                thread.spawn_scoped(scope, run).expect("a thread for each client")
            })
            .collect();
        // Joined first and judged afterwards.
        let ended: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        let failed = ended.iter().filter(|end| end.is_err()).count();
        assert_eq!(failed, 0, "clients with foreign bytes or without an answer, see above; {counts:?}");
    });
}

#[test]
fn nobody_gets_a_byte_of_another() {
    let mut setup = PoolerSetup::new(postgres())
        .set("workers", 2)
        .set("log_connections", 0)
        .database("quiet", "dbname=app pool_size=2");
    for (database, size) in DATABASES.into_iter().zip([1, 1, 2, 5]) {
        postgres().psql("postgres", &format!("create database talk_{database} owner app"));
        setup = setup.database(database, &format!("dbname=talk_{database} pool_size={size}"));
    }
    let (mut pooler, seed, counts) = (setup.start(), seed(), Counts::default());
    // Each may have a connection that it has just left, and one that carries its cancel request.
    let held = Held {
        unauthenticated: CLIENTS,
        clients: 2 * CLIENTS + 1,
        servers: 2 * (1 + 1 + 2 + 5) + 2,
        ..Held::default()
    };
    beside("cross-talk", &mut pooler, held, |pooler| load(pooler, seed, &counts));
    only_ended(&pooler, &[]);
    println!("{counts:?}, 0 foreign bytes");
    assert!(counts.answers.into_inner() > CLIENTS && counts.notifications.into_inner() > 0, "all was tried");
}
