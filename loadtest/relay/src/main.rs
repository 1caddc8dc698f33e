//! Bare relays, to measure poolers against: they pool transactions as a pooler does, with as many clients, as
//! many servers and the same bytes, and do nothing else. One relay, four kinds of I/O:
//!
//! `epoll`: readiness, a system call for each read and write. `epoll-burst`: the small writes of a turn in
//! one io_uring call, as pgweir does. `io-uring`: multishot receives into provided buffers, one call a turn.
//! `tokio-uring`: that runtime.
//!
//! `relay KIND --listen PORT --postgres PORT --user NAME --database NAME --servers
//! N`, all on 127.0.0.1, trust everywhere. Never for use: it knows no errors, no parameters, no cancel
//! requests, and whoever stops reading stops everybody.

mod arrivals;
mod by_epoll;
mod by_ring;
mod by_tokio;
mod login;
mod pairing;
mod ring;

use arrivals::{Door, arrivals};
use lexopt::prelude::*;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

const USAGE: &str = "usage: relay epoll|epoll-burst|io-uring|tokio-uring --listen PORT --postgres PORT \
    --user NAME --database NAME --servers N";

#[derive(Clone, Copy)]
enum Kind {
    Epoll,
    EpollBurst,
    IoUring,
    TokioUring,
}

struct Arguments {
    kind: Kind,
    listen: u16,
    postgres: u16,
    user: String,
    database: String,
    servers: usize,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match relay(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    let (mut kind, mut listen, mut postgres, mut servers) = (None, None, None, None);
    let (mut user, mut database) = (None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) if kind.is_none() => {
                kind = Some(match name.string()?.as_str() {
                    "epoll" => Kind::Epoll,
                    "epoll-burst" => Kind::EpollBurst,
                    "io-uring" => Kind::IoUring,
                    "tokio-uring" => Kind::TokioUring,
                    other => return Err(format!("no kind of I/O: {other}").into()),
                });
            }
            Long("listen") => listen = Some(parser.value()?.parse()?),
            Long("postgres") => postgres = Some(parser.value()?.parse()?),
            Long("servers") => servers = Some(parser.value()?.parse()?),
            Long("user") => user = Some(parser.value()?.string()?),
            Long("database") => database = Some(parser.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    match (kind, listen, postgres, user, database, servers) {
        (Some(kind), Some(listen), Some(postgres), Some(user), Some(database), Some(servers @ 1..)) => {
            Ok(Arguments { kind, listen, postgres, user, database, servers })
        }
        _ => Err("something is missing".into()),
    }
}

fn relay(arguments: &Arguments) -> io::Result<()> {
    let Arguments { kind, listen, postgres, user, database, servers } = arguments;
    let logins = (0..*servers).map(|_| login::to_server(*postgres, user, database));
    let (servers, mut welcomes): (Vec<_>, Vec<_>) =
        logins.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
    let welcome = welcomes.swap_remove(0);
    let listener = TcpListener::bind(("127.0.0.1", *listen))?;
    match kind {
        Kind::Epoll => {
            let relay = by_epoll::Relay::new(servers, by_epoll::Plain)?;
            relay.run(&welcomed(listener, welcome)?)
        }
        Kind::EpollBurst => {
            let relay = by_epoll::Relay::new(servers, ring::Burst::new()?)?;
            relay.run(&welcomed(listener, welcome)?)
        }
        Kind::IoUring => by_ring::Relay::new(servers)?.run(&welcomed(listener, welcome)?),
        Kind::TokioUring => {
            let (door, arrivals) = tokio::sync::mpsc::unbounded_channel();
            welcome_on_a_thread(listener, welcome, move |stream| {
                let _ = door.send(stream); // fails where the relay has ended, and the process with it
            });
            by_tokio::run(servers, arrivals)
        }
    }
}

fn welcomed(listener: TcpListener, welcome: Vec<u8>) -> io::Result<arrivals::Arrivals> {
    let (door, arrivals): (Door, _) = arrivals()?;
    welcome_on_a_thread(listener, welcome, move |stream| door.enter(stream));
    Ok(arrivals)
}

fn welcome_on_a_thread(
    listener: TcpListener,
    welcome: Vec<u8>,
    hand_over: impl FnMut(TcpStream) + Send + 'static,
) {
    thread::spawn(move || login::welcome_all(&listener, &welcome, hand_over));
}
