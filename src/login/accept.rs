//! Accepting clients: one task per listening socket, one per client, on threads that give way to the workers.
//!
//! A client logs in on one thread, and mostly on that of its listening socket's loop, so that it wakes no other; who come many
//! at once are spread over all. Never waits for a client. TCP is closed when a soft shutdown begins, Unix sockets stay open
//! for the console; during SUSPEND nobody is accepted. Source: PgBouncer, doc/usage.md (SHUTDOWN, SUSPEND, "Signals").

use super::bell::Bell;
use super::client::{self, Arrival};
use super::listen::{Listeners, tcp_options};
use super::plane::{Phase, Plane};
use super::strangers::Stranger;
use super::stream::Socket;
use crate::base::{Address, Micros, limits};
use crate::io::{Accepted, Door, Listening, options};
use crate::tasks::{self, Threads};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::UnixStream;
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

/// The tasks that accept, and the threads that they and the logins run on; dropping it ends them.
#[derive(Debug)]
pub struct Acceptors {
    tasks: JoinSet<()>,
    _threads: Arc<Threads>,
}

impl Acceptors {
    /// Begins to accept on every one of `listeners`.
    ///
    /// # Errors
    /// The system's, where a socket cannot be watched or a thread not be started.
    pub fn start(plane: &Arc<Plane>, listeners: Listeners) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = cores.min(limits::LOGIN_THREADS_MAX);
        let threads = Arc::new(Threads::start("client", count, limits::LOGIN_NICE)?);
        let bells: Arc<[_]> = (0..count).map(|_| Arc::new(Bell::default())).collect();
        let mut tasks = JoinSet::new();
        for (number, bell) in bells.iter().enumerate() {
            let (bell, plane) = (Arc::clone(bell), Arc::clone(plane));
            let ring = move || Arc::clone(&bell).keep_ringing(Arc::clone(&plane));
            tasks.spawn_on(tasks::keep("a bell", ring), threads.handle(number));
        }
        let tcp = listeners.tcp.into_iter().map(|listener| (Listening::Tcp(listener), None));
        let unix = listeners.unix.into_iter().map(|socket| (Listening::Unix(socket.listener), socket.file));
        for (number, (listening, file)) in tcp.chain(unix).enumerate() {
            let home = number % count;
            let on_loop = threads.handle(home).clone();
            let on_thread = on_loop.enter();
            let door = Arc::new(Door::watch(listening)?);
            drop(on_thread);
            let (plane, threads, bells) = (Arc::clone(plane), Arc::clone(&threads), Arc::clone(&bells));
            let hall = Hall { plane, threads, bells, home };
            let accept = move || {
                let _file = &file; // removed with the task
                accept(hall.clone(), Arc::clone(&door))
            };
            tasks.spawn_on(tasks::keep("an accept loop", accept), &on_loop);
        }
        plane.accepting.begun.store(true, Ordering::Release);
        Ok(Self { tasks, _threads: threads })
    }

    /// Stops accepting everywhere; returns when every socket is closed and its file removed.
    ///
    /// # Cancel safety
    /// The sockets are closed all the same.
    pub async fn close(&mut self) {
        self.tasks.shutdown().await;
    }
}

async fn accept(hall: Hall, door: Arc<Door>) {
    let mut phase = hall.plane.watch_phase();
    let mut shortage = Shortage::default();
    loop {
        tokio::select! {
            () = hall.round(&door, &mut shortage) => {}
            // an error means that the plane is gone
            _ = phase.wait_for(|phase| door.is_tcp() && *phase != Phase::Running) => return,
        }
    }
}

/// What an accept loop leads to: the threads that clients log in on.
#[derive(Clone)]
struct Hall {
    plane: Arc<Plane>,
    threads: Arc<Threads>,
    /// One for each thread.
    bells: Arc<[Arc<Bell>]>,
    /// The thread of the loop itself.
    home: usize,
}

/// A client on its way to its thread.
struct Guest {
    accepted: Accepted,
    stranger: Stranger,
}

impl Hall {
    /// Waits for clients and takes those who are there: so many for each thread, the loop's own first.
    async fn round(&self, door: &Door, shortage: &mut Shortage) {
        let mut next = Some(self.plane.accepting.while_on(|| door.accept()).await);
        for step in 0..self.threads.count() {
            let number = (self.home + step) % self.threads.count();
            let mut guests = Vec::new();
            while guests.len() < limits::ACCEPTS_PER_THREAD {
                let accepted = match next.take() {
                    Some(accepted) => accepted,
                    None if self.plane.accepting.is_suspended() => return self.receive(number, guests),
                    None => door.accept_now(),
                };
                match accepted {
                    Ok(accepted) => guests = self.admit(number, guests, accepted).await,
                    Err(error) => {
                        self.receive(number, guests);
                        return self.trouble(&error, shortage).await;
                    }
                }
            }
            self.receive(number, guests);
        }
        tokio::task::yield_now().await; // to those of this thread
    }

    /// Adds one more to `guests`. Where there is no room it waits until there is; meanwhile the kernel queues those who come, and
    /// those who are in already go on.
    async fn admit(&self, number: usize, mut guests: Vec<Guest>, accepted: Accepted) -> Vec<Guest> {
        let plane = &self.plane;
        let remote = match &accepted {
            Accepted::Tcp(_, remote) => Address::Tcp(canonical(*remote)),
            Accepted::Unix(_) => Address::Unix { port: 0, pid: 0, uid: 0 },
        };
        let stranger = match plane.strangers.enter_below(plane.strangers_max(), &remote) {
            Some(stranger) => stranger,
            None => {
                self.receive(number, std::mem::take(&mut guests));
                plane.strangers.admit(&remote, || plane.strangers_max()).await
            }
        };
        guests.push(Guest { accepted, stranger });
        guests
    }

    /// Begins the logins of `guests` on the thread of that number.
    fn receive(&self, number: usize, guests: Vec<Guest>) {
        if guests.is_empty() {
            return; // it is not woken for nobody
        }
        let (plane, bell) = (Arc::clone(&self.plane), Arc::clone(&self.bells[number]));
        let begin = move || {
            for guest in guests {
                if let Err(error) = begin(&plane, guest, &bell) {
                    tracing::debug!("client gone while being accepted: {error}");
                }
            }
        };
        if number == self.home { begin() } else { self.threads.call(number, "accepting", begin) }
    }

    /// Nobody could be accepted: a pause, where only time can help.
    async fn trouble(&self, error: &io::Error, shortage: &mut Shortage) {
        if is_shortage(error) {
            if shortage.is_to_be_told(self.plane.now()) {
                tracing::error!("accept() failed: {error}");
            }
            self.plane.strangers.make_room();
            tokio::time::sleep(Duration::from_millis(limits::ACCEPT_BACKOFF_MS)).await;
        }
    }
}

impl Plane {
    /// How many clients may be logging in.
    fn strangers_max(&self) -> usize {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let of_files = files.map_or(usize::MAX, |files| (files / limits::LOGIN_FILES_PART) as usize);
        match self.policy.load().snapshot.settings.max_login_conn {
            0 => of_files,
            most => of_files.min(most as usize),
        }
    }
}

/// An IPv4 client of a socket for both families (systemd's may be one) is shown as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Begins a client's login, on the thread that this is called on.
fn begin(plane: &Arc<Plane>, guest: Guest, bell: &Arc<Bell>) -> io::Result<()> {
    let policy = plane.policy.load();
    let settings = &policy.snapshot.settings;
    let (socket, remote, local) = match guest.accepted {
        Accepted::Tcp(socket, remote) => {
            options::tune(socket.as_fd(), &tcp_options(settings))?;
            let stream = TcpStream::from(socket);
            let local = Address::Tcp(canonical(stream.local_addr()?));
            (Socket::Fresh(Some(stream)), Address::Tcp(canonical(remote)), local)
        }
        Accepted::Unix(socket) => {
            let stream = UnixStream::from_std(socket.into())?;
            let (peer, port) = (stream.peer_cred()?, settings.listen_port);
            let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
            let uid = rustix::process::getuid().as_raw();
            let local = Address::Unix { port, pid: std::process::id(), uid };
            (Socket::Unix(stream), Address::Unix { port, pid, uid: peer.uid() }, local)
        }
    };
    let bell = Some(Arc::clone(bell));
    let arrival = Arrival { remote, local, socket, stranger: guest.stranger, bell };
    tasks::spawn("client login", arrival.remote.clone(), client::serve(Arc::clone(plane), arrival));
    Ok(())
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
