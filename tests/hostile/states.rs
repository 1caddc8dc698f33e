//! The states that a client can be in as it begins to misbehave, each as a way to get there.

use crate::common::raw::{
    self, SSL_REQUEST, bind, close, describe, execute, frame, parse, query, startup_message, sync,
};
use crate::wire::Wire;
use std::time::Duration;

/// Where the client is to be brought.
#[derive(Clone, Copy)]
pub enum Door {
    /// Nothing has been sent.
    Fresh,
    /// Logged in to a database.
    In(&'static str),
    /// Before a pooler that asks for SCRAM.
    Guarded,
    /// At the console.
    Console,
}

/// A name, where it begins, and what brings it there.
pub type State = (&'static str, Door, fn(&mut Wire));

fn start(user: &str, database: &str) -> Vec<u8> {
    startup_message(196_608, &[("user", user), ("database", database)])
}

/// Returns the cancel key; nothing, where it is not let in.
pub fn log_in(wire: &mut Wire, user: &str, database: &str) -> Vec<u8> {
    let welcome = wire.send(&start(user, database)).read_until(b"Z\0\0\0\x05", Duration::from_secs(3));
    let key = welcome.windows(5).position(|part| part == b"K\0\0\0\x0c");
    key.and_then(|at| welcome.get(at + 5..at + 13)).map(<[u8]>::to_vec).unwrap_or_default()
}

fn batch(wire: &mut Wire, frames: &[Vec<u8>]) {
    wire.send(&frames.concat());
}

fn named() -> Vec<u8> {
    parse("hostile", "select $1::text")
}

fn flush() -> Vec<u8> {
    frame(b'H', &[])
}

fn copy_in(wire: &mut Wire) {
    wire.send(&query("create temp table if not exists sink (t text)")).ready();
    wire.send(&query("copy sink from stdin")).read_until(b"G\0\0\0", Duration::from_secs(3));
}

/// Logs in and sends `frames`, then has what they ask for cancelled, and does not wait for that.
fn canceled(wire: &mut Wire, database: &str, frames: &[Vec<u8>]) {
    let key = log_in(wire, "app", database);
    batch(wire, frames);
    wire.cancel(&key);
}

fn sleep() -> Vec<u8> {
    query("select pg_sleep(0.2)")
}

use Door::{Console, Fresh, Guarded, In};

pub const STATES: &[State] = &[
    ("nothing sent", Fresh, |_| {}),
    ("half a length", Fresh, |wire| {
        wire.send(&[0, 0]);
    }),
    ("a length alone", Fresh, |wire| {
        wire.send(&[0, 0, 0, 40]);
    }),
    ("an absurd length", Fresh, |wire| {
        wire.send(&[0x7f, 0xff, 0xff, 0xff]);
    }),
    ("half a startup", Fresh, |wire| {
        wire.send(&start("app", "evil")[..20]);
    }),
    ("TLS asked, not read", Fresh, |wire| {
        wire.send(&SSL_REQUEST);
    }),
    ("TLS refused", Fresh, |wire| {
        wire.send(&SSL_REQUEST).read_until(b"N", Duration::from_secs(3));
    }),
    ("TLS asked twice", Fresh, |wire| {
        wire.send(&SSL_REQUEST).send(&SSL_REQUEST);
    }),
    ("a TLS hello", Fresh, |wire| {
        wire.send(&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]);
    }),
    ("GSS asked", Fresh, |wire| {
        wire.send(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x30]);
    }),
    ("half a cancel", Fresh, |wire| {
        wire.send(&raw::cancel_request(&[0; 8])[..10]);
    }),
    ("a cancel of nobody", Fresh, |wire| {
        wire.send(&raw::cancel_request(&[7; 8]));
    }),
    ("no database", Fresh, |wire| {
        wire.send(&start("app", ""));
    }),
    ("an unknown database", Fresh, |wire| {
        wire.send(&start("app", "nowhere"));
    }),
    ("an unknown user", Fresh, |wire| {
        wire.send(&start("nobody", "evil"));
    }),
    ("an old protocol", Fresh, |wire| {
        wire.send(&startup_message(131_072, &[]));
    }),
    ("a new protocol", Fresh, |wire| {
        wire.send(&startup_message(196_999, &[("user", "app")]));
    }),
    ("a parameter without end", Fresh, |wire| {
        wire.send(&[0, 0, 0, 12, 0, 3, 0, 0, b'u', b's', b'e', b'r']);
    }),
    ("logged in, nothing read", Fresh, |wire| {
        wire.send(&start("app", "evil"));
    }),
    ("SCRAM offered", Guarded, |wire| {
        wire.send(&start("app", "evil")).read_until(b"SHA", Duration::from_secs(3));
    }),
    ("SCRAM begun", Guarded, |wire| {
        wire.send(&start("app", "evil")).read_until(b"SHA", Duration::from_secs(3));
        let first = b"n,,n=,r=0123456789abcdef";
        wire.send(&frame(b'p', &[&b"SCRAM-SHA-256\0\0\0\0\x18"[..], first].concat()));
    }),
    ("SCRAM with half a message", Guarded, |wire| {
        wire.send(&start("app", "evil")).read_until(b"SHA", Duration::from_secs(3));
        wire.send(&[b'p', 0, 0, 0, 50, b'S']);
    }),
    ("SCRAM of nobody", Guarded, |wire| {
        wire.send(&start("nobody", "evil")).send(&frame(b'p', b"x\0"));
    }),
    ("idle", In("evil"), |_| {}),
    ("half a header", In("evil"), |wire| {
        wire.send(&[b'Q', 0, 0]);
    }),
    ("half a query", In("evil"), |wire| {
        wire.send(&query("select 1")[..9]);
    }),
    ("a query running", In("evil"), |wire| {
        wire.send(&query("select pg_sleep(0.1)"));
    }),
    ("a large answer unread", In("evil"), |wire| {
        wire.send(&query("select repeat('x', 4000000)"));
    }),
    ("in a transaction", In("evil"), |wire| {
        wire.send(&query("begin")).ready();
    }),
    ("in a failed transaction", In("evil"), |wire| {
        wire.send(&query("begin; select 1/0")).ready();
    }),
    ("a cursor open", In("evil"), |wire| {
        wire.send(&query("begin; declare c cursor for select generate_series(1, 1000)")).ready();
    }),
    ("in COPY in", In("evil"), copy_in),
    ("half a CopyData", In("evil"), |wire| {
        copy_in(wire);
        wire.send(&frame(b'd', &[b'x'; 100])[..50]);
    }),
    ("COPY failed by the client", In("evil"), |wire| {
        copy_in(wire);
        wire.send(&frame(b'f', b"no\0"));
    }),
    ("in COPY out", In("evil"), |wire| {
        wire.send(&query("copy (select repeat('y', 1000) from generate_series(1, 2000)) to stdout"));
    }),
    ("a Parse alone", In("evil"), |wire| batch(wire, &[named()])),
    ("a Bind without Sync", In("evil"), |wire| batch(wire, &[named(), bind("hostile", &["v"])])),
    ("an Execute without Sync", In("evil"), |wire| {
        batch(wire, &[named(), bind("hostile", &["v"]), execute()])
    }),
    ("a Flush", In("evil"), |wire| batch(wire, &[named(), describe("hostile"), flush()])),
    ("a pipeline", In("evil"), |wire| {
        let one = [named(), bind("hostile", &["v"]), execute(), close("hostile"), sync()].concat();
        batch(wire, &vec![one; 30]);
    }),
    ("skipping to Sync", In("evil"), |wire| batch(wire, &[bind("not there", &[]), execute(), flush()])),
    ("a statement kept", In("evil"), |wire| {
        batch(wire, &[named(), sync()]);
        wire.ready();
    }),
    ("a portal suspended", In("evil"), |wire| {
        let some = frame(b'E', &[0, 0, 0, 0, 3]);
        batch(wire, &[parse("", "select generate_series(1, 99)"), bind("", &[]), some, flush()]);
    }),
    ("listening", In("evil"), |wire| {
        wire.send(&query("listen hostile; notify hostile, 'evil'")).ready();
    }),
    ("parameters changed", In("evil"), |wire| {
        wire.send(&query("set timezone = 'Asia/Tokyo'")).ready();
    }),
    ("all discarded", In("evil"), |wire| {
        wire.send(&query("discard all"));
    }),
    ("a function call", In("evil"), |wire| {
        wire.send(&frame(b'F', &[0, 0, 4, 210, 0, 0, 0, 0, 0, 0]));
    }),
    ("half a Terminate", In("evil"), |wire| {
        wire.send(b"X\0\0");
    }),
    ("terminated", In("evil"), |wire| {
        wire.send(&frame(b'X', &[]));
    }),
    ("waiting for a server", In("full"), |wire| {
        wire.send(&query("select 1"));
    }),
    ("waiting with a pipeline", In("full"), |wire| {
        batch(wire, &[named(), bind("hostile", &["v"]), execute(), sync()])
    }),
    ("being cancelled", Fresh, |wire| canceled(wire, "evil", &[sleep()])),
    ("being cancelled, half a query behind", Fresh, |wire| {
        canceled(wire, "evil", &[sleep(), query("select 1")[..9].to_vec()])
    }),
    ("being cancelled in a batch", Fresh, |wire| {
        canceled(wire, "evil", &[parse("", "select pg_sleep(0.2)"), bind("", &[]), execute(), flush()])
    }),
    ("being cancelled in COPY in", Fresh, |wire| {
        let sink = query("create temp table if not exists sink (t text); copy sink from stdin");
        canceled(wire, "evil", &[sink, frame(b'd', b"one\n")])
    }),
    ("being cancelled while waiting", Fresh, |wire| canceled(wire, "full", &[sleep()])),
    ("cancelled, and being told", Fresh, |wire| {
        canceled(wire, "evil", &[sleep()]);
        wire.read_until(b"57014", Duration::from_secs(1));
    }),
    ("at the console", Console, |_| {}),
    ("half a SHOW", Console, |wire| {
        wire.send(&query("show pools")[..8]);
    }),
    ("a SHOW unread", Console, |wire| {
        wire.send(&query("show config"));
    }),
];
