//! Accepting clients: one task per listening socket, one per client.
//!
//! Never waits for a client. TCP is closed when a soft shutdown begins, Unix sockets stay open for the console; during
//! SUSPEND nobody is accepted. Source: PgBouncer, doc/usage.md (SHUTDOWN, SUSPEND, "Signals").

use super::client::{self, Arrival};
use super::listen::{Listeners, tcp_options};
use super::plane::{Phase, Plane};
use super::strangers::Stranger;
use super::stream::Socket;
use crate::base::{Address, Micros, limits};
use crate::io::options;
use crate::tasks;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Whether clients are accepted at present.
#[derive(Debug)]
pub struct Accepting {
    on: watch::Sender<bool>,
    /// The sockets are open and watched.
    begun: AtomicBool,
}

impl Default for Accepting {
    fn default() -> Self {
        Self { on: watch::Sender::new(true), begun: AtomicBool::new(false) }
    }
}

impl Accepting {
    /// SUSPEND stops it, RESUME goes on: the kernel queues clients meanwhile.
    pub fn set(&self, on: bool) {
        self.on.send_replace(on);
    }

    /// Whether it is suspended.
    pub fn is_suspended(&self) -> bool {
        !*self.on.borrow()
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// What `accept` brings while clients are accepted; whoever comes meanwhile stays with the kernel.
    ///
    /// # Cancel safety
    /// That of what `accept` begins; it is dropped when accepting stops.
    async fn while_on<T, F: Future<Output = T>>(&self, accept: impl Fn() -> F) -> T {
        let mut on = self.on.subscribe();
        loop {
            // it fails only when the sender is gone, and that is `self`
            let _ = on.wait_for(|on| *on).await;
            tokio::select! {
                biased;
                _ = on.wait_for(|on| !*on) => {}
                accepted = accept() => return accepted,
            }
        }
    }
}

/// The tasks that accept; dropping it ends them, and so does the end of the runtime.
#[derive(Debug)]
pub struct Acceptors(JoinSet<()>);

impl Acceptors {
    /// Begins to accept on every one of `listeners`. To be called on the runtime.
    ///
    /// # Errors
    /// The system's, where a socket cannot be watched.
    pub fn start(plane: &Arc<Plane>, listeners: Listeners) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        for listener in listeners.tcp {
            let listener = TcpListener::from_std(listener)?;
            let (plane, listener) = (plane.clone(), Arc::new(listener));
            let accept = move || accept_tcp(plane.clone(), listener.clone());
            tasks.spawn(tasks::keep("an accept loop", accept));
        }
        for socket in listeners.unix {
            let listener = UnixListener::from_std(socket.listener)?;
            let (plane, listener, file) = (plane.clone(), Arc::new(listener), socket.file);
            let accept = move || {
                let _file = &file; // removed with the task
                accept_unix(plane.clone(), listener.clone())
            };
            tasks.spawn(tasks::keep("an accept loop", accept));
        }
        plane.accepting.begun.store(true, Ordering::Release);
        Ok(Self(tasks))
    }

    /// Stops accepting everywhere; returns when every socket is closed and its file removed.
    ///
    /// # Cancel safety
    /// The sockets are closed all the same.
    pub async fn close(mut self) {
        self.0.shutdown().await;
    }
}

async fn accept_tcp(plane: Arc<Plane>, listener: Arc<TcpListener>) {
    let mut phase = plane.watch_phase();
    let mut shortage = Shortage::default();
    loop {
        let accept = async {
            let (stream, remote) = next(&plane, &mut shortage, || listener.accept()).await?;
            let welcomed = welcome_tcp(&plane, stream, Address::Tcp(canonical(remote))).await;
            Some(welcomed)
        };
        let welcomed = tokio::select! {
            welcomed = accept => welcomed,
            // an error means that the plane is gone
            _ = phase.wait_for(|phase| *phase != Phase::Running) => return,
        };
        if let Some(Err(error)) = welcomed {
            tracing::debug!("client gone while being accepted: {error}");
        }
    }
}

/// Waits for room for one more login: meanwhile the kernel queues those who come.
async fn welcome_tcp(plane: &Arc<Plane>, stream: TcpStream, remote: Address) -> io::Result<()> {
    options::tune(stream.as_fd(), &tcp_options(&plane.policy.load().snapshot.settings))?;
    let local = Address::Tcp(canonical(stream.local_addr()?));
    let stranger = plane.admit_stranger(&remote).await;
    let arrival = Arrival { remote, local, socket: Socket::Tcp(stream), stranger };
    tasks::spawn("client login", arrival.remote.clone(), client::serve(plane.clone(), arrival));
    Ok(())
}

impl Plane {
    async fn admit_stranger(&self, remote: &Address) -> Stranger {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let of_files = files.map_or(usize::MAX, |files| (files / limits::LOGIN_FILES_PART) as usize);
        let limit = || match self.policy.load().snapshot.settings.max_login_conn {
            0 => of_files,
            most => of_files.min(most as usize),
        };
        self.strangers.admit(remote, limit).await
    }
}

/// An IPv4 client of a socket for both families (systemd's may be one) is shown as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

async fn accept_unix(plane: Arc<Plane>, listener: Arc<UnixListener>) {
    let mut shortage = Shortage::default();
    loop {
        if let Some((stream, _)) = next(&plane, &mut shortage, || listener.accept()).await
            && let Err(error) = welcome_unix(&plane, stream).await
        {
            tracing::debug!("client gone while being accepted: {error}");
        }
    }
}

async fn welcome_unix(plane: &Arc<Plane>, stream: UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let port = plane.policy.load().snapshot.settings.listen_port;
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
    let remote = Address::Unix { port, pid, uid: peer.uid() };
    let local = Address::Unix { port, pid: std::process::id(), uid: rustix::process::getuid().as_raw() };
    let stranger = plane.admit_stranger(&remote).await;
    let arrival = Arrival { socket: Socket::Unix(stream), remote, local, stranger };
    tasks::spawn("client login", arrival.remote.clone(), client::serve(plane.clone(), arrival));
    Ok(())
}

/// The next connection, `None` where that failed: with a pause where only time can help.
async fn next<T, F: Future<Output = io::Result<T>>>(
    plane: &Plane,
    shortage: &mut Shortage,
    accept: impl Fn() -> F,
) -> Option<T> {
    match plane.accepting.while_on(accept).await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            if is_shortage(&error) {
                if shortage.is_to_be_told(plane.now()) {
                    tracing::error!("accept() failed: {error}");
                }
                plane.strangers.make_room();
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_BACKOFF_MS)).await;
            }
            None
        }
    }
}

/// When the log was last told that connections cannot be accepted.
#[derive(Debug, Default)]
struct Shortage {
    told_at: Option<Micros>,
}

impl Shortage {
    /// Not each time that it is tried again.
    fn is_to_be_told(&mut self, now: Micros) -> bool {
        let pause = Micros::from_millis(limits::ACCEPT_COMPLAINT_MS);
        let is_due = self.told_at.is_none_or(|then| now.since(then) >= pause);
        if is_due {
            self.told_at = Some(now);
        }
        is_due
    }
}

/// Whether the system has run out of something, as opposed to one client that went away.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const SHORTAGES: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| SHORTAGES.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shortages_are_waited_out() {
        assert!(is_shortage(&rustix::io::Errno::MFILE.into()));
        assert!(!is_shortage(&rustix::io::Errno::CONNABORTED.into()));
    }

    #[test]
    fn the_log_hears_of_a_shortage_now_and_then() {
        let mut shortage = Shortage::default();
        let tell = |at: u64| shortage.is_to_be_told(Micros::from_millis(at));
        let told: Vec<_> = (0..150).map(|tries| tries * limits::ACCEPT_BACKOFF_MS).map(tell).collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 3, "in 15 seconds");
    }

    #[test]
    fn mapped_addresses_are_shown_as_ipv4() {
        let mapped = canonical("[::ffff:10.0.0.1]:7".parse().unwrap());
        assert_eq!(mapped.to_string(), "10.0.0.1:7");
    }

    #[tokio::test]
    async fn suspending_holds_who_comes_then_and_resuming_lets_go() {
        let (client, clients) = async_channel();
        let accepting = Arc::new(Accepting::default());
        let accept = {
            let accepting = accepting.clone();
            move || {
                let (accepting, clients) = (accepting.clone(), clients.clone());
                tokio::spawn(async move {
                    accepting.while_on(|| async { clients.lock().await.recv().await }).await
                })
            }
        };
        client.send(1).unwrap();
        assert_eq!(accept().await.unwrap(), Some(1));
        let waiting = accept();
        tokio::task::yield_now().await; // it waits in accept() already
        accepting.set(false);
        client.send(2).unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
        }
        accepting.set(true);
        assert_eq!(waiting.await.unwrap(), Some(2));
    }

    type Clients = Arc<tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<u32>>>;

    fn async_channel() -> (tokio::sync::mpsc::UnboundedSender<u32>, Clients) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (sender, Arc::new(tokio::sync::Mutex::new(receiver)))
    }
}
