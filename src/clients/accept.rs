//! Accepting clients: on each worker one task per listening socket, and one per client that logs in.
//!
//! A client is accepted, logs in and stays on one worker, so that none of it costs a word to another
//! thread; but who wants TLS leaves for a thread that gives way to the workers (`loop_place.rs`), since
//! handshakes cost a hundred times what a query does. A round takes so many clients and no more, so that
//! queries wait for a few at most. Never waits for a client. TCP is closed when a soft shutdown begins,
//! Unix sockets stay open for the console; during SUSPEND nobody is accepted. Source: PgBouncer,
//! doc/usage.md (SHUTDOWN, SUSPEND, "Signals").

use super::client;
use super::client::Arrival;
use super::clients::Clients;
use super::listen::{Listeners, SocketFile};
use super::loop_place::{Handshakes, LoopPlace, exit};
use super::stream::{Fresh, Socket};
use super::unauthenticated::LoginSlot;
use crate::base::{Address, WorkerId, limits};
use crate::control::{Phase, Plane, tcp_options};
use crate::io::{Accepted, Door, Listening, PeerProcess, Watch, descriptors, options};
use crate::tasks;
use crate::worker::{Mail, Task};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The tasks that accept, and the threads for logins that leave their workers; dropping it ends both.
#[derive(Debug)]
pub(crate) struct Acceptors {
    closing: watch::Sender<bool>,
    /// Nothing comes: it ends with the last task that accepts.
    loops: mpsc::Receiver<Infallible>,
    files: Vec<SocketFile>,
    _flushers: JoinSet<()>,
    handshakes: Arc<Handshakes>,
}

impl Acceptors {
    /// Begins to accept on every one of `listeners`, on every worker.
    ///
    /// # Errors
    /// The system's, where a thread cannot be started or a socket not be tuned.
    pub(crate) fn start(clients: &Arc<Clients>, listeners: Listeners) -> io::Result<Self> {
        let plane = &clients.plane;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = cores.min(limits::LOGIN_THREADS_MAX);
        let handshakes = Arc::new(Handshakes::start("client", count, limits::LOGIN_NICE)?);
        let flushers = handshakes.flushers(plane);
        let (closing, _) = watch::channel(false);
        let (is_here, loops) = mpsc::channel(1);
        let (unix, files): (Vec<_>, Vec<_>) =
            listeners.unix.into_iter().map(|socket| (Listening::Unix(socket.listener), socket.file)).unzip();
        let keepalive = plane.policy.load().snapshot.settings.tcp_keepalive;
        for listener in &listeners.tcp {
            options::tune_listener(listener.as_fd(), keepalive)?;
        }
        let all: Vec<_> = listeners.tcp.into_iter().map(Listening::Tcp).chain(unix).map(Arc::new).collect();
        for (number, worker) in plane.workers.iter().enumerate() {
            let context = Arc::new(AcceptContext {
                clients: Arc::clone(clients),
                handshakes: Arc::clone(&handshakes),
                worker: WorkerId(number as u16),
                keepalive,
                is_inherited: listeners.is_inherited,
            });
            for listening in &all {
                let (context, listening, is_here) =
                    (Arc::clone(&context), Arc::clone(listening), is_here.clone());
                let closing = closing.subscribe();
                if matches!(*listening, Listening::Tcp(_)) {
                    clients.accepting.begin_tcp();
                }
                let begin = move |watch| {
                    Box::pin(keep_accepting(context, Door::new(listening, watch), closing, is_here)) as Task
                };
                worker.send(Mail::Task(Box::new(begin)));
            }
        }
        clients.accepting.begin();
        Ok(Self {
            closing,
            loops,
            files: files.into_iter().flatten().collect(),
            _flushers: flushers,
            handshakes,
        })
    }

    /// Stops accepting everywhere; returns when every socket is closed and its file removed.
    ///
    /// # Cancel safety
    /// The sockets are closed all the same.
    pub(crate) async fn close(&mut self) {
        self.closing.send_replace(true);
        let _ = self.loops.recv().await; // there is nothing that could come
        self.files.clear();
    }
}

impl Drop for Acceptors {
    /// Logins on those threads lean on the runtime of all others, which ends behind this.
    fn drop(&mut self) {
        self.handshakes.stop();
    }
}

async fn keep_accepting(
    context: Arc<AcceptContext>,
    door: Door,
    closing: watch::Receiver<bool>,
    is_here: mpsc::Sender<Infallible>,
) {
    let door = Arc::new(door);
    let is_tcp = door.is_tcp();
    tasks::keep("an accept loop", || accept(Arc::clone(&context), Arc::clone(&door), closing.clone())).await;
    drop(door);
    if is_tcp {
        context.clients.accepting.end_tcp();
    }
    drop(is_here); // not before the socket is closed
}

async fn accept(context: Arc<AcceptContext>, door: Arc<Door>, mut closing: watch::Receiver<bool>) {
    let mut phase = context.clients.plane.watch_phase();
    // Errors mean that plane or acceptors are gone.
    let is_shut = async {
        let _ = phase.wait_for(|phase| door.is_tcp() && *phase != Phase::Running).await;
    };
    let is_closed = async {
        let _ = closing.wait_for(|closing| *closing).await;
    };
    tokio::select! {
        () = context.rounds(&door) => {}
        () = is_shut => context.last_round(&door).await,
        () = is_closed => {}
    }
}

/// What a worker's accept loops lead to: logins on the worker, and the threads that they may leave it for.
struct AcceptContext {
    clients: Arc<Clients>,
    handshakes: Arc<Handshakes>,
    worker: WorkerId,
    /// The listening sockets have SO_KEEPALIVE.
    keepalive: bool,
    /// They are the service manager's.
    is_inherited: bool,
}

impl AcceptContext {
    /// Takes those whom the kernel has let in already, and would cut off with the socket; of a flood as many
    /// as come within a login's grace. With a socket of the service manager's they are the next process's.
    async fn last_round(self: &Arc<Self>, door: &Door) {
        if self.is_inherited {
            return;
        }
        let limit = self.clients.unauthenticated_max();
        let take = async {
            loop {
                for _ in 0..limits::ACCEPTS_PER_ROUND {
                    match door.accept_now().and_then(leave_the_last) {
                        Ok(accepted) => self.receive(accepted, door, limit).await,
                        Err(error) if is_of_one_client(&error) => {}
                        Err(_) => return,
                    }
                }
                tokio::task::yield_now().await; // to queries, and to the end of its time
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(limits::LOGIN_GRACE_MS), take).await;
    }

    async fn rounds(self: &Arc<Self>, door: &Door) {
        loop {
            self.round(door).await;
        }
    }

    /// Waits for clients and takes those who are there, up to a bound.
    async fn round(self: &Arc<Self>, door: &Door) {
        let mut next = Some(self.clients.accepting.while_on(|| door.accept()).await);
        let limit = self.clients.unauthenticated_max();
        for _ in 0..limits::ACCEPTS_PER_ROUND {
            let accepted = match next.take() {
                Some(accepted) => accepted,
                None if self.clients.accepting.is_suspended() => return,
                None => door.accept_now(),
            };
            let accepted = accepted.and_then(leave_the_last);
            match accepted {
                Ok(accepted) => self.receive(accepted, door, limit).await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return, // that was all
                Err(error) => return self.trouble(&error).await,
            }
        }
        tokio::task::yield_now().await; // to queries
    }

    /// Begins the login of one more. Where there is no room it waits until there is; meanwhile the
    /// kernel queues those who come.
    async fn receive(self: &Arc<Self>, accepted: Accepted, door: &Door, limit: usize) {
        let clients = &self.clients;
        let remote = match &accepted {
            Accepted::Tcp(_, remote) => Address::Tcp(canonical(*remote)),
            Accepted::Unix(_) => Address::Unix { port: 0, pid: 0, uid: 0 },
        };
        let login_slot = match clients.unauthenticated.enter_below(limit, &remote) {
            Some(login_slot) => login_slot,
            None => {
                let login_slot =
                    clients.unauthenticated.admit(&remote, || clients.unauthenticated_max()).await;
                let waits_for_us = login_slot.pace().waits_for_us();
                clients.accepting.until_on().await; // it has waited, and may have been suspended meanwhile
                drop(waits_for_us);
                login_slot
            }
        };
        let (context, way) = (Arc::clone(self), Way { local: door.local(), keepalive: self.keepalive });
        let begin = move |watch| context.log_in(accepted, way, login_slot, watch);
        clients.plane.worker(self.worker).send(Mail::Task(Box::new(begin)));
    }

    /// A client's login, which begins on this worker.
    fn log_in(self: Arc<Self>, accepted: Accepted, way: Way, login_slot: LoginSlot, watch: Watch) -> Task {
        let (exit, leaving) = exit(&self.handshakes);
        match arrival(&self.clients.plane, accepted, &way, login_slot, LoopPlace { watch, exit }, self.worker)
        {
            Ok(arrival) => {
                let remote = arrival.remote.clone();
                // Boxed, as `tasks::spawn` does.
                let login = Box::pin(client::serve(Arc::clone(&self.clients), arrival));
                let login = Box::pin(async move {
                    let _ = tasks::guarded("client login", remote, login).await; // its panic is logged
                });
                Box::pin(leaving.guest(login))
            }
            Err(error) => {
                tracing::debug!("client gone while being accepted: {error}");
                Box::pin(std::future::ready(()))
            }
        }
    }

    /// Nobody could be accepted: a pause, unless it is that client's affair alone. The worker's queries
    /// have their turn in any case.
    async fn trouble(&self, error: &io::Error) {
        if is_of_one_client(error) {
            return tokio::task::yield_now().await;
        }
        if self.clients.shortage.is_to_be_told(self.clients.plane.now()) {
            tracing::error!("accept() failed: {error}");
        }
        self.clients.unauthenticated.make_room();
        tokio::time::sleep(Duration::from_millis(limits::ACCEPT_BACKOFF_MS)).await;
    }
}

impl Clients {
    /// Tells the log, once a minute, that clients are refused for want of descriptors.
    pub(super) fn tell_of_refusals(&self) {
        if self.shortage.is_to_be_told(self.plane.now()) {
            tracing::error!(
                "clients are refused: the last open files are kept for servers, the console and the page of \
                 metrics"
            );
        }
    }

    /// How many clients may be logging in.
    fn unauthenticated_max(&self) -> usize {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let of_files = files.map_or(usize::MAX, |files| (files / limits::LOGIN_FILES_PART) as usize);
        match self.plane.policy.load().snapshot.settings.max_login_conn {
            0 => of_files,
            most => of_files.min(most as usize),
        }
    }
}

/// A client that would have one of the last descriptors goes at once: the page of metrics and files need
/// them.
fn leave_the_last(accepted: Accepted) -> io::Result<Accepted> {
    descriptors::may_be_a_newcomers(accepted.socket())?;
    Ok(accepted)
}

/// An IPv4 client of a socket for both families (systemd's may be one) is shown as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What all who come in by a listening socket have of it.
struct Way {
    /// Our end, where it is the same for all.
    local: Option<SocketAddr>,
    /// It has SO_KEEPALIVE, and so have they.
    keepalive: bool,
}

/// A client as it comes in.
fn arrival(
    plane: &Plane,
    accepted: Accepted,
    way: &Way,
    login_slot: LoginSlot,
    loop_place: LoopPlace,
    home: WorkerId,
) -> io::Result<Arrival> {
    let policy = plane.policy.load();
    let settings = &policy.snapshot.settings;
    let is_on_kept_file = descriptors::is_kept_from_clients(accepted.socket());
    let (fresh, remote, local) = match accepted {
        Accepted::Tcp(socket, remote) => {
            options::tune_accepted(socket.as_fd(), &tcp_options(settings), way.keepalive)?;
            let local = way.local.map_or_else(|| local_address(&socket), Ok)?;
            let remote = Address::Tcp(canonical(remote));
            (Fresh::new(socket, true, loop_place), remote, Address::Tcp(canonical(local)))
        }
        Accepted::Unix(socket) => {
            // Who cannot be known is served all the same: as nobody, who has no rights by an account.
            let peer = PeerProcess::of(&socket).unwrap_or(PeerProcess::UNKNOWN);
            let own = PeerProcess { pid: std::process::id(), uid: rustix::process::getuid().as_raw() };
            let address = |PeerProcess { pid, uid }| Address::Unix { port: settings.listen_port, pid, uid };
            (Fresh::new(socket, false, loop_place), address(peer), address(own))
        }
    };
    let socket = Socket::Fresh(Some(fresh));
    Ok(Arrival { socket, remote, local, login_slot, home: Some(home), is_on_kept_file })
}

fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let local = rustix::net::getsockname(socket)?;
    SocketAddr::try_from(local).map_err(|_| io::ErrorKind::AddrNotAvailable.into())
}

/// Whether the next client may do better: this one went away, or its network is in trouble. What is left is
/// the system's, which has run out of something (descriptors, memory, epoll's watches), or the socket's, and
/// may last. Source: accept(2), "Error handling".
fn is_of_one_client(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const OF_ONE: [Errno; 10] = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
    ];
    Errno::from_io_error(error).is_none_or(|errno| OF_ONE.contains(&errno))
}

#[cfg(test)]
mod tests;
