//! One worker: a whole `Core` over the simulated network. The second implementation of `core::Net`.
//!
//! Holds to what `core/net.rs` promises the core: calls take effect in order; unconsumed bytes are kept and handed in again in
//! front of new ones; `resume` hands in what is kept even if nothing new came; a paused peer is not read, but a paused client
//! that is gone is reported; what a peer does not take at once is kept for it and reported as `blocked`, then `drained`; a
//! closed server is waited for until its end of stream, and only then is its place given back.

use super::ground::{Event, Ground};
use super::launcher::Eviction;
use pgweir::base::{Peer, PoolId, WorkerId, limits};
use pgweir::core::{
    Answer, Bounds, ClientLogin, Command, Core, Farewell, MovedServer, Net, Note, ServerLogin, ServerState,
    StatementRegistry,
};
use pgweir::wire::encode;
use pgweir::wire::tags::client::{QUERY, TERMINATE};
use pgweir::wire::{FrameHeader, TrackedNames};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What reaches a worker from outside.
#[derive(Debug)]
pub enum Letter {
    Client(u64, ClientLogin),
    Server(u64, usize, ServerLogin),
    Moved(Box<(Conn, MovedServer)>),
    Nudge(PoolId, WorkerId),
    /// Close an idle server for somebody who starves.
    Evict(Eviction),
    CancelSent(u64),
    Command(Command),
}

/// What the core has asked for during one call.
#[derive(Debug)]
enum Call {
    Forward(Peer, Range<usize>),
    Send(Peer, Vec<u8>),
    Pause(Peer),
    Resume(Peer),
    Close(Peer, Farewell),
    Move(Peer, WorkerId, Box<MovedServer>),
    Notify(Note),
}

/// Takes down the core's calls, to be done in order when it returns.
#[derive(Debug, Default)]
pub struct Calls(Vec<Call>);

impl Net for Calls {
    fn forward(&mut self, to: Peer, range: Range<usize>) {
        self.0.push(Call::Forward(to, range));
    }

    fn send(&mut self, to: Peer, bytes: &[u8]) {
        self.0.push(Call::Send(to, bytes.to_vec()));
    }

    fn pause(&mut self, peer: Peer) {
        self.0.push(Call::Pause(peer));
    }

    fn resume(&mut self, peer: Peer) {
        self.0.push(Call::Resume(peer));
    }

    fn close(&mut self, peer: Peer, farewell: Farewell) {
        self.0.push(Call::Close(peer, farewell));
    }

    fn move_server(&mut self, server: Peer, to: WorkerId, state: MovedServer) {
        self.0.push(Call::Move(server, to, Box::new(state)));
    }

    fn notify(&mut self, note: Note) {
        self.0.push(Call::Notify(note));
    }
}

/// The pooler's end of one connection.
#[derive(Debug)]
pub struct Conn {
    socket: u64,
    /// `None` once the core has closed it.
    peer: Option<Peer>,
    /// The pool of a server, whose place it holds.
    place: Option<usize>,
    kept: Vec<u8>,
    unsent: Vec<u8>,
    paused: bool,
    offer: bool,
    blocked: bool,
}

/// One worker.
#[derive(Debug)]
pub struct Driver {
    pub core: Core,
    worker: usize,
    calls: Calls,
    conns: BTreeMap<u64, Conn>,
    sockets: BTreeMap<Peer, u64>,
    /// Servers that their present client has said something to, and that client.
    links: BTreeMap<u64, u64>,
    /// Whose bytes the core looks at.
    at_hand: u64,
}

impl Driver {
    pub fn new(worker: usize, names: TrackedNames, registry: Arc<StatementRegistry>, bounds: Bounds) -> Self {
        let mut core = Core::new(WorkerId(worker as u16), names, registry);
        core.set_bounds(bounds);
        Self {
            core,
            worker,
            calls: Calls::default(),
            conns: BTreeMap::new(),
            sockets: BTreeMap::new(),
            links: BTreeMap::new(),
            at_hand: 0,
        }
    }

    /// Connections held, those that are being seen off included.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    pub fn deliver(&mut self, letter: Letter, ground: &mut Ground) -> Option<Answer> {
        let now = ground.micros();
        let mut answer = None;
        match letter {
            Letter::Client(socket, login) => {
                let id = self.core.reserve_client();
                self.adopt(Conn::new(socket, Peer::Client(id), None), ground);
                self.core.client_joined(id, login, now, &mut self.calls);
            }
            Letter::Server(socket, pool, login) => {
                let id = self.core.reserve_server();
                self.adopt(Conn::new(socket, Peer::Server(id), Some(pool)), ground);
                self.core.server_joined(id, login, now, &mut self.calls);
            }
            Letter::Moved(moved) => {
                let (mut conn, state) = *moved;
                let id = self.core.reserve_server();
                conn.peer = Some(Peer::Server(id));
                conn.offer = true;
                self.adopt(conn, ground);
                self.core.server_moved_in(id, state, now, &mut self.calls);
            }
            Letter::Nudge(pool, by) => self.core.nudged(pool, by, now, &mut self.calls),
            Letter::CancelSent(server) => self.core.cancel_sent(server, now, &mut self.calls),
            Letter::Evict(Eviction { scope, .. }) => {
                answer = Some(self.core.command(Command::EvictIdle(scope), now, &mut self.calls));
            }
            Letter::Command(command) => answer = Some(self.core.command(command, now, &mut self.calls)),
        }
        self.settle(&[], ground);
        answer
    }

    pub fn janitor(&mut self, ground: &mut Ground) {
        self.core.janitor(ground.micros(), &mut self.calls);
        self.settle(&[], ground);
    }

    /// A question that changes nothing.
    pub fn ask(&mut self, command: Command, ground: &Ground) -> Answer {
        let answer = self.core.command(command, ground.micros(), &mut self.calls);
        assert!(self.calls.0.is_empty(), "a question does nothing");
        answer
    }

    /// Whether a server is free and read from, with nothing kept of it or for it.
    pub fn is_idle_server(&mut self, socket: u64, ground: &Ground) -> bool {
        let Some(conn) = self.conns.get(&socket) else { return false };
        let is_still = conn.kept.is_empty() && conn.unsent.is_empty() && !conn.paused && conn.peer.is_some();
        let Answer::Servers(rows) = self.ask(Command::Servers, ground) else { panic!("rows are asked for") };
        let row = rows.iter().find(|row| row.identity.socket_id == socket);
        is_still && row.is_some_and(|row| matches!(row.state, ServerState::Idle | ServerState::Used))
    }

    fn adopt(&mut self, conn: Conn, ground: &mut Ground) {
        let Some(peer) = conn.peer else { panic!("only live connections are adopted") };
        let socket = conn.socket;
        ground.wires[socket as usize].worker = Some(self.worker);
        ground.wake_pooler(socket);
        assert!(self.sockets.insert(peer, socket).is_none(), "{peer:?} is taken");
        self.conns.insert(socket, conn);
    }

    /// Does what there is to do for one connection.
    pub fn turn(&mut self, socket: u64, ground: &mut Ground) {
        self.flush(socket, ground);
        let Some(conn) = self.conns.get_mut(&socket) else { return };
        let Some(peer) = conn.peer else { return self.see_off(socket, ground) };
        let wire = &mut ground.wires[socket as usize];
        if conn.paused {
            let farewell = [TERMINATE, 0, 0, 0, 4];
            let gone = wire.up.is_ended() || (wire.up.shut && wire.up.bytes() == farewell);
            if matches!(peer, Peer::Client(_)) && (gone || wire.is_reset) {
                self.closed(socket, peer, ground);
            }
            return;
        }
        if wire.is_reset || (wire.up.is_ended() && !conn.offer) {
            return self.closed(socket, peer, ground);
        }
        // What is kept is offered by itself: a connection that asks to be called again would read on for ever otherwise.
        let fresh = if std::mem::take(&mut conn.offer) && (!conn.kept.is_empty() || ground.rng.percent(50)) {
            Vec::new()
        } else {
            let room = limits::READ_BUFFER_BYTES - conn.kept.len().min(limits::READ_BUFFER_BYTES / 2);
            let bytes_max = (ground.rng.range(1, ground.cuts.read_bytes_max as u64) as usize).min(room);
            let was_full = wire.up.is_full();
            let fresh = wire.up.read(bytes_max);
            if was_full {
                ground.wake_remote(socket);
            }
            fresh
        };
        let wire = &ground.wires[socket as usize];
        if !wire.up.is_empty() || wire.up.shut {
            ground.wake_pooler(socket);
        }
        let mut input = std::mem::take(&mut conn.kept);
        input.extend_from_slice(&fresh);
        if !input.is_empty() {
            self.hand_in(socket, peer, &input, ground);
        }
    }

    fn hand_in(&mut self, socket: u64, peer: Peer, input: &[u8], ground: &mut Ground) {
        self.at_hand = socket;
        let consumed = self.core.received(peer, input, ground.micros(), &mut self.calls);
        assert!(consumed <= input.len(), "more consumed than there is");
        let worker = self.worker;
        ground.log(|| {
            let tag = char::from(*input.first().unwrap_or(&0));
            format!(
                "worker {worker} got {} bytes of {peer:?} ({socket}, {tag:?}), took {consumed}",
                input.len()
            )
        });
        if let Some(conn) = self.conns.get_mut(&socket) {
            conn.kept = input[consumed..].to_vec();
            assert!(
                conn.kept.len() <= limits::READ_BUFFER_BYTES,
                "{} bytes are kept of {peer:?}",
                conn.kept.len()
            );
        }
        self.settle(input, ground);
    }

    /// Does what the core has asked for, and tells it who does not take its bytes.
    fn settle(&mut self, input: &[u8], ground: &mut Ground) {
        let mut input = input;
        while !self.calls.0.is_empty() {
            let mut touched = Vec::new();
            for call in std::mem::take(&mut self.calls.0) {
                self.call(call, input, &mut touched, ground);
            }
            input = &[];
            for socket in touched {
                let Some(conn) = self.conns.get_mut(&socket) else { continue };
                let Some(peer) = conn.peer else { continue };
                if !conn.unsent.is_empty() && !std::mem::replace(&mut conn.blocked, true) {
                    self.core.blocked(peer, &mut self.calls);
                }
            }
        }
        self.forget_links(ground);
    }

    fn call(&mut self, call: Call, input: &[u8], touched: &mut Vec<u64>, ground: &mut Ground) {
        ground.log(|| match &call {
            Call::Send(peer, bytes) => {
                format!("worker {}   Send({peer:?}) {}", self.worker, frames_text(bytes))
            }
            call => format!("worker {}   {call:.80?}", self.worker),
        });
        self.witness_begin(&call, ground);
        match call {
            Call::Forward(to, range) => touched.extend(self.write(to, &input[range], ground)),
            Call::Send(to, bytes) => touched.extend(self.write(to, &bytes, ground)),
            Call::Pause(peer) => {
                if let Some(conn) = self.find(peer) {
                    assert!(!conn.paused, "{peer:?} is paused twice");
                    conn.paused = true;
                    let socket = conn.socket;
                    ground.wake_pooler(socket);
                }
            }
            Call::Resume(peer) => {
                if let Some(conn) = self.find(peer) {
                    assert!(conn.paused, "{peer:?} is resumed, but was not paused");
                    conn.paused = false;
                    conn.offer = true;
                    let socket = conn.socket;
                    ground.wake_pooler(socket);
                }
            }
            Call::Close(peer, farewell) => self.close(peer, farewell, ground),
            Call::Move(server, to, state) => {
                let Some(socket) = self.sockets.remove(&server) else { panic!("an unknown server is moved") };
                let Some(mut conn) = self.conns.remove(&socket) else { panic!("{server:?} is not here") };
                assert!(conn.unsent.is_empty(), "{server:?} moves with something unsent");
                conn.paused = false;
                ground.wires[socket as usize].worker = None;
                ground.log(|| format!("{socket} moves to worker {}", to.0));
                ground.post(usize::from(to.0), Letter::Moved(Box::new((conn, *state))));
            }
            Call::Notify(note) => ground.notes.push((self.worker, note)),
        }
    }

    /// Takes down that a client's transaction begins on a server. Simple queries that the pooler makes are its own.
    fn witness_begin(&mut self, call: &Call, ground: &mut Ground) {
        let (Call::Forward(to @ Peer::Server(_), _) | Call::Send(to @ Peer::Server(_), _)) = call else {
            return;
        };
        if matches!(call, Call::Send(_, bytes) if bytes[0] == QUERY) {
            return;
        }
        let Some(server) = self.sockets.get(to).copied() else { return };
        if self.links.insert(server, self.at_hand) != Some(self.at_hand) {
            ground.begun.push(server);
        }
    }

    /// Links that have ended are no links.
    fn forget_links(&mut self, ground: &Ground) {
        if self.links.is_empty() {
            return;
        }
        let Answer::Servers(rows) = self.ask(Command::Servers, ground) else { panic!("rows are asked for") };
        let linked = rows.iter().filter_map(|row| Some((row.identity.socket_id, row.link?)));
        let linked: BTreeMap<_, _> = linked.collect();
        self.links.retain(|server, client| linked.get(server) == Some(client));
    }

    fn find(&mut self, peer: Peer) -> Option<&mut Conn> {
        self.conns.get_mut(self.sockets.get(&peer)?)
    }

    fn write(&mut self, to: Peer, bytes: &[u8], ground: &mut Ground) -> Option<u64> {
        let conn = self.find(to)?;
        conn.unsent.extend_from_slice(bytes);
        let bound = 2 * limits::READ_BUFFER_BYTES;
        let unsent = conn.unsent.len() - bytes.len();
        assert!(unsent <= bound, "{unsent} bytes are unsent to {to:?}");
        let socket = conn.socket;
        self.push_out(socket, ground);
        Some(socket)
    }

    /// Writes what the wire takes.
    fn push_out(&mut self, socket: u64, ground: &mut Ground) {
        let Some(conn) = self.conns.get_mut(&socket) else { return };
        let wire = &mut ground.wires[socket as usize];
        if wire.is_reset && !conn.unsent.is_empty() {
            conn.unsent.clear();
            return ground.wake_pooler(socket);
        }
        let written = wire.down.write(&conn.unsent);
        conn.unsent.drain(..written);
        if written > 0 {
            ground.wake_remote(socket);
        }
    }

    fn flush(&mut self, socket: u64, ground: &mut Ground) {
        self.push_out(socket, ground);
        let Some(conn) = self.conns.get_mut(&socket) else { return };
        if conn.blocked && conn.unsent.is_empty() {
            conn.blocked = false;
            if let Some(peer) = conn.peer {
                self.core.drained(peer, &mut self.calls);
                self.settle(&[], ground);
            }
        }
    }

    fn close(&mut self, peer: Peer, farewell: Farewell, ground: &mut Ground) {
        let Some(socket) = self.sockets.remove(&peer) else { return };
        let Some(conn) = self.conns.get_mut(&socket) else { return };
        conn.peer = None;
        conn.kept.clear();
        ground.log(|| format!("the core closes {socket} ({peer:?}): {farewell:?}"));
        let bound_ms = match farewell {
            Farewell::Cut => return self.drop_conn(socket, ground),
            Farewell::Close if matches!(peer, Peer::Client(_)) => limits::CLIENT_LINGER_MS,
            Farewell::Close => limits::SERVER_LINGER_MS,
            Farewell::Terminate => {
                encode::empty(&mut conn.unsent, TERMINATE);
                limits::SERVER_LINGER_MS
            }
        };
        ground.after(bound_ms * 1_000, Event::LingerOver(socket));
        self.push_out(socket, ground);
        ground.wake_pooler(socket);
    }

    /// A connection that the core has closed: flushed, then shut, then waited for.
    fn see_off(&mut self, socket: u64, ground: &mut Ground) {
        let Some(conn) = self.conns.get(&socket) else { return };
        let wire = &mut ground.wires[socket as usize];
        let was_full = wire.up.is_full();
        wire.up.read(usize::MAX);
        let flushed = conn.unsent.is_empty();
        let ended = wire.is_reset || (flushed && (conn.place.is_none() || wire.up.shut));
        if flushed {
            wire.down.shut = true;
            ground.wake_remote(socket);
        }
        if ended {
            self.drop_conn(socket, ground);
        } else if was_full {
            ground.wake_remote(socket);
        }
    }

    pub fn linger_over(&mut self, socket: u64, ground: &mut Ground) {
        if self.conns.get(&socket).is_some_and(|conn| conn.peer.is_none()) {
            ground.log(|| format!("{socket} is not waited for any longer"));
            self.drop_conn(socket, ground);
        }
    }

    fn drop_conn(&mut self, socket: u64, ground: &mut Ground) {
        let Some(conn) = self.conns.remove(&socket) else { return };
        ground.wires[socket as usize].drop_pooler_end();
        ground.wake_remote(socket);
        ground.returned.extend(conn.place.map(|pool| (pool, socket)));
    }

    /// The peer is gone.
    fn closed(&mut self, socket: u64, peer: Peer, ground: &mut Ground) {
        if let Peer::Server(_) = peer {
            let Answer::Servers(rows) = self.ask(Command::Servers, ground) else {
                panic!("rows are asked for")
            };
            let row = rows.iter().find(|row| row.identity.socket_id == socket);
            let link = row.and_then(|row| row.link);
            ground.bereaved.extend(link.map(|client| (client, socket)));
        }
        self.sockets.remove(&peer);
        self.drop_conn(socket, ground);
        self.core.closed(peer, ground.micros(), &mut self.calls);
        self.settle(&[], ground);
    }
}

impl Conn {
    fn new(socket: u64, peer: Peer, place: Option<usize>) -> Self {
        Self {
            socket,
            peer: Some(peer),
            place,
            kept: Vec::new(),
            unsent: Vec::new(),
            paused: false,
            offer: false,
            blocked: false,
        }
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
