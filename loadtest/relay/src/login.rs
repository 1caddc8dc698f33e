//! Logins on both sides, once per connection and blocking: a server is logged in to by trust, a client is
//! told what the first server has said. Never on the thread that relays.
//!
//! Source: PostgreSQL documentation, "Message Flow", Start-up.

use crate::pairing::Tail;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const VERSION_3: u32 = 196_608;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// A client may take so long to log in; those behind it wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// A startup message is no longer, as in PostgreSQL.
const STARTUP_BYTES_MAX: u32 = 10_000;

/// Logs in to PostgreSQL; what it says up to its first ReadyForQuery is the welcome.
pub fn to_server(port: u16, user: &str, database: &str) -> io::Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let parameters = format!("user\0{user}\0database\0{database}\0\0");
    let length = 8 + u32::try_from(parameters.len()).map_err(io::Error::other)?;
    let startup = [&length.to_be_bytes()[..], &VERSION_3.to_be_bytes(), parameters.as_bytes()].concat();
    stream.write_all(&startup)?;
    let (mut welcome, mut tail, mut space) = (Vec::new(), Tail::default(), [0; 4096]);
    loop {
        let count = stream.read(&mut space)?;
        welcome.extend_from_slice(&space[..count]);
        if count == 0 || !welcome.starts_with(&[b'R', 0, 0, 0, 8, 0, 0, 0, 0][..welcome.len().min(9)]) {
            let said = String::from_utf8_lossy(&welcome).replace('\0', " ");
            return Err(io::Error::other(format!("no login by trust: {said}")));
        }
        if tail.is_idle_after(&space[..count]) {
            return Ok((stream, welcome));
        }
    }
}

/// Welcomes whoever comes, one after the other, and hands each over.
pub fn welcome_all(listener: &TcpListener, welcome: &[u8], mut hand_over: impl FnMut(TcpStream)) {
    for stream in listener.incoming() {
        let greeted = stream.and_then(|stream| greet(stream, welcome));
        match greeted {
            Ok(stream) => hand_over(stream),
            Err(error) => eprintln!("a client was not let in: {error}"),
        }
    }
}

fn greet(mut stream: TcpStream, welcome: &[u8]) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    loop {
        let (length, code) = (read_u32(&mut stream)?, read_u32(&mut stream)?);
        match code {
            SSL_REQUEST | GSS_REQUEST => stream.write_all(b"N")?,
            VERSION_3 if (8..=STARTUP_BYTES_MAX).contains(&length) => {
                stream.read_exact(&mut vec![0; length as usize - 8])?;
                stream.write_all(welcome)?;
                stream.set_read_timeout(None)?;
                return Ok(stream);
            }
            _ => return Err(io::Error::other("not a startup message of protocol 3.0")),
        }
    }
}

fn read_u32(stream: &mut TcpStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
