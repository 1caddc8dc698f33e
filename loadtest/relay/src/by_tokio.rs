//! tokio-uring: a task for each client, which reads, waits for a server, writes, and reads again.

use crate::pairing::{Tail, is_farewell};
use std::cell::RefCell;
use std::io;
use std::net::TcpStream as StdStream;
use std::pin::pin;
use std::rc::Rc;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::TcpStream;

const READ_BYTES: usize = 16 * 1024;
/// As many as the other relay over a ring has.
const ENTRIES: u32 = 1024;

/// The servers at rest. Who has a permit finds one.
struct Servers {
    permits: Semaphore,
    /// With the buffer for its answers.
    free: RefCell<Vec<(TcpStream, Vec<u8>)>>,
}

/// Relays for ever to `servers`, which are logged in and at rest.
pub fn run(servers: Vec<StdStream>, mut arrivals: UnboundedReceiver<StdStream>) -> io::Result<()> {
    tokio_uring::builder().entries(ENTRIES).start(async {
        let permits = Semaphore::new(servers.len());
        let free = servers.into_iter().map(|one| (TcpStream::from_std(one), Vec::with_capacity(READ_BYTES)));
        let servers = Rc::new(Servers { permits, free: RefCell::new(free.collect()) });
        while let Some(stream) = arrivals.recv().await {
            let servers = servers.clone();
            tokio_uring::spawn(async move {
                // A client that has gone is no fault; a server that has cannot be had back.
                let _ = serve(&TcpStream::from_std(stream), &servers).await;
            });
        }
        Ok(())
    })
}

/// One client, from its first request to its end.
async fn serve(client: &TcpStream, servers: &Servers) -> io::Result<()> {
    let mut hearing = pin!(client.read(Vec::with_capacity(READ_BYTES)));
    loop {
        let (count, request) = hearing.as_mut().await;
        let count = count?;
        if count == 0 || is_farewell(&request[..count]) {
            return Ok(());
        }
        let _permit = servers.permits.acquire().await.map_err(io::Error::other)?;
        let (server, mut answer) = servers.free.borrow_mut().pop().expect("as many as permits");
        let (sent, request) = server.write_all(request.slice(..count)).await;
        sent?;
        hearing.set(client.read(request.into_inner()));

        let (mut tail, mut is_gone) = (Tail::default(), false);
        answer = {
            let mut listening = pin!(server.read(answer));
            loop {
                tokio::select! {
                    biased;
                    (count, bytes) = listening.as_mut() => {
                        let count = count?;
                        let is_idle = tail.is_idle_after(&bytes[..count]);
                        let (sent, bytes) = client.write_all(bytes.slice(..count)).await;
                        is_gone |= sent.is_err();
                        let answer = bytes.into_inner();
                        if is_idle {
                            break answer;
                        }
                        if count == 0 {
                            return Err(io::Error::other("a server has ended"));
                        }
                        listening.set(server.read(answer));
                    }
                    // More of the request, or of the transaction.
                    (count, request) = hearing.as_mut(), if !is_gone => {
                        let count = count.unwrap_or(0);
                        is_gone = count == 0 || is_farewell(&request[..count]);
                        if !is_gone {
                            let (sent, request) = server.write_all(request.slice(..count)).await;
                            sent?;
                            hearing.set(client.read(request.into_inner()));
                        }
                    }
                }
            }
        };
        servers.free.borrow_mut().push((server, answer));
        if is_gone {
            return Ok(());
        }
    }
}
