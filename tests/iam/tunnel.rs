//! A proxy that knows CONNECT alone: it notes whither, and leads everything to one port of this machine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

/// Starts one for as long as the process lives; each host and port that is asked for becomes a line of
/// `notes`. `None`: it leads nowhere, and hangs up. Returns its address as HTTPS_PROXY has it.
pub fn start(leads_to: Option<u16>, notes: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let notes = notes.clone();
            std::thread::spawn(move || serve(stream, leads_to, notes));
        }
    });
    format!("http://{address}")
}

fn serve(mut client: TcpStream, leads_to: Option<u16>, notes: PathBuf) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let asked = head.lines().next()?.strip_prefix("CONNECT ")?.split(' ').next()?;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(notes).ok()?;
    writeln!(file, "{asked}").ok()?;
    let mut server = TcpStream::connect(("127.0.0.1", leads_to?)).ok()?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let (mut from_server, mut to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let back = std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
    let _ = std::io::copy(&mut client, &mut server);
    let _ = back.join();
    Some(())
}
