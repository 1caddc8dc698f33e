//! One worker as the world sees it: the program's own `worker::Worker` with its driver and its
//! `Core`, over simulated sockets.
//!
//! Decides nothing and keeps no byte: it lends the wires to a round of the worker, and
//! passes on what comes of it.

use super::ground::Ground;
use super::kernel::{Net, SimKernel, SimRing, SimSocket};
use super::listener::Listener;
use super::plane::Eviction;
use super::tls::Far;
use pgweir::base::{Micros, PoolId, WorkerId};
use pgweir::core::{
    Answer, Bounds, CancelFate, ClientLogin, Command, Core, MovedServer, Note, Scope, ServerLogin,
    ServerState, ServerUnderWay, StatementRegistry,
};
use pgweir::io::{Burst, Channel, Epoll};
use pgweir::wire::{FrameHeader, TrackedNames};
use pgweir::worker::{Begin, Environment, Mail, ReplicationPair, Worker};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// What reaches a worker from outside.
#[derive(Debug)]
pub enum SimMail {
    Client(u64, ClientLogin),
    Server(u64, usize, ServerLogin),
    /// A replication client and its server, of that pool.
    Replication(usize, Box<(u64, ClientLogin, u64, ServerLogin)>),
    Moved(Box<Moving>),
    Nudge(PoolId, WorkerId),
    /// Close an idle server for somebody who starves.
    Evict(Eviction),
    CancelOver(u64, CancelFate),
    /// A server was handed over to it: when this is read, it has served whom it could.
    HandedOver(PoolId, ServerUnderWay),
    Command(Command),
}

/// A server between two workers.
pub struct Moving(Channel<SimSocket>, MovedServer);

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}", self.0.fd.wire)
    }
}

/// What a letter was answered.
#[derive(Debug)]
pub enum Reply {
    Evicted(Eviction, bool),
    HandedOver(PoolId),
    /// A client's cancel: whether there was anything to cancel.
    Cancelled(u64, bool),
}

/// Places of servers that are free again: pool and socket. Guards tell it when they are let go.
pub type Returned = Arc<Mutex<Vec<(usize, u64)>>>;

struct Place {
    returned: Returned,
    what: (usize, u64),
}

impl Drop for Place {
    fn drop(&mut self) {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).push(self.what);
    }
}

/// What a worker has and does outside of its loop.
#[derive(Default)]
struct Outside {
    now: Micros,
    inbox: Vec<Mail<SimSocket>>,
    sent: Vec<(usize, SimMail)>,
    notes: Vec<Note>,
}

struct SimEnvironment(Rc<RefCell<Outside>>);

impl Environment for SimEnvironment {
    type Socket = SimSocket;

    fn now(&self) -> Micros {
        self.0.borrow().now
    }

    fn take(&mut self) -> Vec<Mail<SimSocket>> {
        std::mem::take(&mut self.0.borrow_mut().inbox)
    }

    fn close(&mut self) {
        panic!("nobody stops a worker");
    }

    fn begin(&mut self, _: Begin) {
        panic!("logins are values here");
    }

    fn wake(&mut self, _: u32) {
        panic!("nobody has begun a task");
    }

    fn run_tasks(&mut self) -> bool {
        false
    }

    fn has_tasks(&self) -> bool {
        false
    }

    fn send(&mut self, to: WorkerId, mail: Mail<SimSocket>) {
        let letter = match mail {
            Mail::Moved(parts) => SimMail::Moved(Box::new(Moving(parts.0, parts.1))),
            Mail::Nudge { pool, by } => SimMail::Nudge(pool, by),
            _ => panic!("workers send each other servers and nudges"),
        };
        self.0.borrow_mut().sent.push((usize::from(to.0), letter));
    }

    fn note(&mut self, note: Note) {
        self.0.borrow_mut().notes.push(note);
    }

    fn clients_gone(&mut self, _: u32) {}

    fn driver_faults(&mut self, count: u64) {
        assert_eq!(count, 0, "the driver was mistaken about a connection");
    }
}

/// One worker.
pub struct Driver {
    worker: Worker<Listener, SimKernel, SimEnvironment>,
    at: usize,
    net: Net,
    outside: Rc<RefCell<Outside>>,
    replies: Arc<Mutex<Vec<Reply>>>,
    returned: Returned,
}

impl Driver {
    pub fn new(
        at: usize,
        names: TrackedNames,
        registry: Arc<StatementRegistry>,
        ground: &Ground,
        bounds: Bounds,
        returned: &Returned,
    ) -> Self {
        let id = WorkerId(at as u16);
        let net = Rc::clone(&ground.net);
        let outside = Rc::new(RefCell::new(Outside { now: ground.micros(), ..Outside::default() }));
        let burst = ground.cuts.has_ring.then(|| Burst::over(SimRing(Rc::clone(&net))));
        let driver = Epoll::over(SimKernel { worker: at, net: Rc::clone(&net) }, burst);
        let mut core = Core::new(id, names, Arc::clone(&registry));
        core.set_bounds(bounds);
        let machine = Listener::new(at, core, registry, bounds, Rc::clone(&net));
        let worker = Worker::new(id, machine, driver, SimEnvironment(Rc::clone(&outside)));
        Self { worker, at, net, outside, replies: Arc::default(), returned: Arc::clone(returned) }
    }

    /// Connections held, those that are being seen off included.
    pub fn connections(&self) -> usize {
        self.worker.driver().connections()
    }

    /// Clients and servers.
    pub fn counts(&mut self) -> (usize, usize) {
        self.worker.machine().core.counts()
    }

    /// When the worker looks at everything the next time.
    pub fn next_pass(&self) -> u64 {
        self.worker.next_pass().0
    }

    /// Puts a letter into the mailbox, for the next round.
    pub fn put(&mut self, letter: SimMail, ground: &mut Ground) {
        let guard = |what| Box::new(Place { returned: Arc::clone(&self.returned), what });
        let mut channel = |wire: u64, guard| {
            let fd = SimSocket::new(wire, &self.net);
            let tls = ground.wires[wire as usize].tls.as_mut().and_then(Far::take_near);
            Channel { fd, tls, unread: Vec::new(), unsent: Vec::new(), guard }
        };
        let replies = Arc::clone(&self.replies);
        let tell = move |reply| replies.lock().unwrap_or_else(PoisonError::into_inner).push(reply);
        let is_found = |answer| matches!(answer, Answer::Found(true));
        let mail = match letter {
            SimMail::Client(socket, login) => Mail::Client(Box::new((channel(socket, Box::new(())), login))),
            SimMail::Server(socket, pool, login) => {
                Mail::Server(Box::new((channel(socket, guard((pool, socket))), login)))
            }
            SimMail::Replication(pool, pair) => {
                let (client, login, server, server_login) = *pair;
                Mail::Replication(Box::new(ReplicationPair {
                    client: (channel(client, Box::new(())), login),
                    server: (channel(server, guard((pool, server))), server_login),
                }))
            }
            SimMail::Moved(moving) => {
                let Moving(channel, state) = *moving;
                self.worker.machine().expect(channel.fd.wire);
                Mail::Moved(Box::new((channel, state)))
            }
            SimMail::Nudge(pool, by) => Mail::Nudge { pool, by },
            SimMail::CancelOver(server, fate) => Mail::CancelOver(server, fate),
            SimMail::HandedOver(pool, under_way) => {
                let reply = move |_| {
                    drop(under_way);
                    tell(Reply::HandedOver(pool));
                };
                Mail::Command(Command::Sweep(Scope::Pool(pool)), Box::new(reply))
            }
            SimMail::Evict(eviction) => {
                let command = Command::EvictIdle(eviction.scope.clone());
                let reply = move |answer| tell(Reply::Evicted(eviction, is_found(answer)));
                Mail::Command(command, Box::new(reply))
            }
            SimMail::Command(Command::Cancel(asker, _)) => {
                let reply = move |answer| tell(Reply::Cancelled(asker, is_found(answer)));
                Mail::Command(Command::Cancel(asker, 0), Box::new(reply))
            }
            SimMail::Command(command) => Mail::Command(command, Box::new(drop)),
        };
        self.outside.borrow_mut().inbox.push(mail);
    }

    /// One round of the worker's loop; what its letters were answered.
    pub fn round(&mut self, ground: &mut Ground) -> Vec<Reply> {
        let is_woken = {
            let mut outside = self.outside.borrow_mut();
            outside.now = ground.micros();
            !outside.inbox.is_empty()
        };
        {
            let mut shared = self.net.borrow_mut();
            std::mem::swap(&mut shared.wires, &mut ground.wires);
            shared.now = ground.now;
            shared.is_woken = is_woken;
            shared.round.begin();
        }
        let round = self.worker.round();
        assert!(round.is_ok_and(|flow| flow.is_continue()), "a worker goes on");
        self.take_back(ground);
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *replies)
    }

    /// Passes on what has come of a round.
    fn take_back(&mut self, ground: &mut Ground) {
        let touched = {
            let mut shared = self.net.borrow_mut();
            std::mem::swap(&mut shared.wires, &mut ground.wires);
            ground.begun.append(&mut shared.begun);
            ground.bereaved.append(&mut shared.bereaved);
            std::mem::take(&mut shared.touched)
        };
        touched.into_iter().for_each(|socket| ground.wake_remote(socket));
        ground.returned.append(&mut self.returned.lock().unwrap_or_else(PoisonError::into_inner));
        let mut outside = self.outside.borrow_mut();
        let (sent, notes) = (std::mem::take(&mut outside.sent), std::mem::take(&mut outside.notes));
        drop(outside);
        sent.into_iter().for_each(|(to, letter)| ground.post(to, letter));
        ground.notes.extend(notes.into_iter().map(|note| (self.at, note)));
        if self.worker.driver().is_busy() || ground.wires.has_edges(self.at) {
            ground.wake_worker(self.at);
        }
    }

    /// A question that changes nothing.
    pub fn ask(&mut self, command: Command, ground: &Ground) -> Answer {
        self.worker.machine().ask(command, ground.micros())
    }

    /// Whether it has something to do without an event: letters, or connections that were put off.
    pub fn has_more(&self) -> bool {
        !self.outside.borrow().inbox.is_empty() || self.worker.driver().is_busy()
    }

    /// Whether a server is free and read from, with nothing kept of it or for it.
    pub fn is_idle_server(&mut self, socket: u64, ground: &Ground) -> bool {
        let wire = &ground.wires[socket as usize];
        let is_said = wire.tls.as_ref().is_none_or(|tls| tls.said.is_empty());
        let is_still =
            is_said && wire.held == 0 && wire.owed.is_empty() && !wire.is_paused && !wire.is_closed;
        let Answer::Servers(rows) = self.ask(Command::Servers, ground) else { panic!("rows are asked for") };
        let row = rows.iter().find(|row| row.identity.socket_id == socket);
        is_still && row.is_some_and(|row| matches!(row.state, ServerState::Idle | ServerState::Used))
    }
}

/// Frames in short, for the log.
pub fn frames_text(bytes: &[u8]) -> String {
    let (mut text, mut rest) = (String::new(), bytes);
    while let Ok(Some(header)) = FrameHeader::read(rest, u32::MAX) {
        let end = header.frame_bytes.min(rest.len());
        let payload =
            String::from_utf8_lossy(&rest[5..end.min(60)]).replace(|letter: char| letter < ' ', "~");
        text.push_str(&format!("{}[{payload}] ", char::from(header.tag)));
        rest = &rest[end..];
    }
    text
}
