//! A worker's machine that is listened to: a whole `Core`, and beside it a book of what it
//! has asked the driver for.
//!
//! What is asked for is done by the real driver; the book is what the simulated sockets compare the driver's
//! writes with, and holds that a client is given the bytes of no server but the one that it is linked to.

use super::check::{MOVED_FULL, MOVED_GATHERED, MOVED_TLS};
use super::driver::frames_text;
use super::ear;
use super::kernel::{Net as World, OWED_BYTES_MAX};
use super::tls::RECORD_BYTES_MAX;
use super::work::{Calls, OWED_PER_FRAME, PREPARED_MAX};
use pgweir::base::{Micros, Peer, WorkerId, limits};
use pgweir::core::{
    Answer, Bounds, Command, Core, Farewell, MovedServer, Net, Note, ServerLoad, StatementRegistry,
};
use pgweir::io::Machine;
use pgweir::wire::encode;
use pgweir::wire::tags::client::{QUERY, TERMINATE};
use pgweir::worker::{WorkerEvent, WorkerMachine};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Takes nothing: for questions.
pub struct Silence;

impl Net for Silence {
    fn forward(&mut self, _: Peer, _: Range<usize>) {
        panic!("a question does nothing");
    }

    fn send(&mut self, _: Peer, _: &[u8]) {
        panic!("a question does nothing");
    }

    fn pause(&mut self, _: Peer) {
        panic!("a question does nothing");
    }

    fn resume(&mut self, _: Peer) {
        panic!("a question does nothing");
    }

    fn close(&mut self, _: Peer, _: Farewell) {
        panic!("a question does nothing");
    }

    fn move_server(&mut self, _: Peer, _: WorkerId, _: MovedServer) {
        panic!("a question does nothing");
    }

    fn has_unread(&self, _: Peer) -> bool {
        panic!("a question does nothing");
    }

    fn notify(&mut self, _: Note) {
        panic!("a question does nothing");
    }
}

/// A core that is listened to.
pub struct Listener {
    pub core: Core,
    book: Book,
}

/// What is known of its connections.
struct Book {
    worker: usize,
    world: World,
    sockets: BTreeMap<Peer, u64>,
    /// Wires of servers that are coming from other workers.
    coming: VecDeque<u64>,
    /// Servers that their present client has said something to, and that client.
    links: BTreeMap<u64, u64>,
    /// Clients that are to end, and since when.
    marked: BTreeMap<u64, Micros>,
    /// Whose bytes the core looks at.
    at_hand: u64,
    /// Clients that were given some of them.
    fed: BTreeSet<u64>,
    /// What one call comes to.
    calls: Calls,
    registry: Arc<StatementRegistry>,
    bounds: Bounds,
}

/// The driver's `Net`, listened to while the core looks at `input`.
struct Spy<'a, N> {
    net: &'a mut N,
    book: &'a mut Book,
    input: &'a [u8],
}

impl Listener {
    pub fn new(
        worker: usize,
        core: Core,
        registry: Arc<StatementRegistry>,
        bounds: Bounds,
        world: World,
    ) -> Self {
        let book = Book {
            worker,
            world,
            sockets: BTreeMap::new(),
            coming: VecDeque::new(),
            links: BTreeMap::new(),
            marked: BTreeMap::new(),
            at_hand: 0,
            fed: BTreeSet::new(),
            calls: Calls::new(bounds),
            registry,
            bounds,
        };
        Self { core, book }
    }

    /// A server is about to come from another worker.
    pub fn expect(&mut self, wire: u64) {
        self.book.coming.push_back(wire);
    }

    /// A question that changes nothing.
    pub fn ask(&mut self, command: Command, now: Micros) -> Answer {
        self.core.command(command, now, &mut Silence)
    }

    /// The links that there are: server's socket and client's.
    fn linked(&mut self) -> BTreeMap<u64, u64> {
        let now = Micros(self.book.world.borrow().now);
        let Answer::Servers(rows) = self.ask(Command::Servers, now) else { panic!("rows are asked for") };
        rows.iter().filter_map(|row| Some((row.identity.socket_id, row.link?))).collect()
    }

    /// Takes down who is to end now; none of them may have begun a transaction since.
    fn look_at_marks(&mut self, now: Micros) {
        let Answer::Clients(rows) = self.ask(Command::Clients, now) else { panic!("rows are asked for") };
        for row in rows.iter().filter(|row| row.ending.is_some()) {
            let client = row.identity.socket_id;
            let since = *self.book.marked.entry(client).or_insert(now);
            let is_later = row.transaction_at.is_some_and(|began| began > since);
            assert!(!is_later, "client {client} is to end since {since:?}, but {row:?}");
        }
    }

    /// What the server makes the core hold that the client on this socket is linked to.
    fn server_of(&self, client: u64) -> Option<ServerLoad> {
        self.core.server_loads().find(|load| load.client == Some(client))
    }

    /// Calls the core, and then forgets links that have ended.
    fn listen<N: Net, R>(
        &mut self,
        net: &mut N,
        input: &[u8],
        call: impl FnOnce(&mut Core, &mut Spy<'_, N>) -> R,
    ) -> R {
        let result = call(&mut self.core, &mut Spy { net, book: &mut self.book, input });
        self.book.check_loads(&self.core);
        if !self.book.links.is_empty() {
            let linked = self.linked();
            self.book.links.retain(|server, client| linked.get(server) == Some(client));
        }
        result
    }
}

impl Book {
    /// No peer makes the core hold more than its bounds say, nor all of them together more than there may be.
    fn check_loads(&self, core: &Core) {
        let bounds = self.bounds;
        let owed_max =
            bounds.expected_max + OWED_PER_FRAME * (1 + bounds.frames_per_call as usize) + PREPARED_MAX;
        for load in core.server_loads() {
            assert!(load.parameter_bytes <= bounds.parameter_bytes, "{load:?}");
            assert!(load.answers_owed <= owed_max, "{load:?}");
            assert!(load.statements <= PREPARED_MAX, "{load:?}");
        }
        for load in core.client_loads() {
            assert!(load.parameter_bytes <= limits::PARAMETERS_BYTES_MAX, "{load:?}");
            assert!(load.statement_bytes <= bounds.client_statement_bytes, "{load:?}");
        }
        let (bytes, bytes_max) = (self.registry.bytes(), self.registry.bytes_max());
        assert!(bytes <= bytes_max, "statements take {bytes} bytes and may take {bytes_max}");
    }

    fn join(&mut self, peer: Peer, socket: u64) {
        assert!(self.sockets.insert(peer, socket).is_none(), "{peer:?} is taken");
    }

    /// So much is to be sent.
    fn owe(&mut self, to: Peer, bytes: &[u8]) {
        let Some(socket) = self.sockets.get(&to).copied() else { return };
        let shared = &mut *self.world.borrow_mut();
        let wire = &mut shared.wires[socket as usize];
        let unsent = wire.unsent();
        assert!(unsent <= OWED_BYTES_MAX, "{unsent} bytes are unsent to {to:?}");
        wire.owe(bytes);
        wire.owed_bytes += bytes.len() as u64;
    }

    /// Takes down from where on a server is sent what its client says that is to end. What the pooler says
    /// comes when that has been answered.
    fn witness_late(&mut self, to: Peer, made: Option<&[u8]>) {
        let (Peer::Server(_), Some(server)) = (to, self.sockets.get(&to)) else { return };
        let wire = &mut self.world.borrow_mut().wires[*server as usize];
        let is_own = made.is_some_and(|bytes| bytes[0] == QUERY);
        if is_own || self.at_hand != *server {
            let is_late = !is_own && self.marked.contains_key(&self.at_hand);
            wire.late_from = is_late.then(|| wire.late_from.unwrap_or(wire.owed_bytes));
        }
    }

    /// Takes down that a client's transaction begins on a server. Simple queries that the
    /// pooler makes are its own.
    fn witness_begin(&mut self, to: Peer, made: Option<&[u8]>) {
        if !matches!(to, Peer::Server(_)) || made.is_some_and(|bytes| bytes[0] == QUERY) {
            return;
        }
        let Some(server) = self.sockets.get(&to).copied() else { return };
        if self.links.insert(server, self.at_hand) != Some(self.at_hand) {
            let client = self.at_hand;
            assert!(!self.marked.contains_key(&client), "client {client} begins although it is to end");
            let shared = &mut *self.world.borrow_mut();
            let is_speaking = !shared.wires[server as usize].up.is_empty();
            shared.begun.push((server, is_speaking));
        }
    }

    fn set_paused(&mut self, peer: Peer, paused: bool) {
        let Some(socket) = self.sockets.get(&peer) else { return };
        let wire = &mut self.world.borrow_mut().wires[*socket as usize];
        let was = std::mem::replace(&mut wire.is_paused, paused);
        assert!(was != paused, "{peer:?} is paused or resumed twice");
    }

    fn log(&self, line: impl FnOnce() -> String) {
        self.world.borrow().log(|| format!("worker {}   {}", self.worker, line()));
    }
}

impl<N: Net> Net for Spy<'_, N> {
    fn forward(&mut self, to: Peer, range: Range<usize>) {
        self.book.log(|| format!("forward({to:?}, {range:?})"));
        if let (Peer::Client(_), Some(client)) = (to, self.book.sockets.get(&to)) {
            self.book.fed.insert(*client);
        }
        self.book.witness_begin(to, None);
        self.book.witness_late(to, None);
        self.book.owe(to, &self.input[range.clone()]);
        self.net.forward(to, range);
    }

    fn send(&mut self, to: Peer, bytes: &[u8]) {
        self.book.log(|| format!("send({to:?}) {}", frames_text(bytes)));
        if bytes.is_empty() {
            return self.net.send(to, bytes);
        }
        self.book.witness_begin(to, Some(bytes));
        self.book.witness_late(to, Some(bytes));
        self.book.owe(to, bytes);
        self.book.calls.makes(to, bytes.len());
        self.net.send(to, bytes);
    }

    fn pause(&mut self, peer: Peer) {
        self.book.log(|| format!("pause({peer:?})"));
        self.book.set_paused(peer, true);
        self.net.pause(peer);
    }

    fn resume(&mut self, peer: Peer) {
        self.book.log(|| format!("resume({peer:?})"));
        self.book.set_paused(peer, false);
        self.net.resume(peer);
    }

    fn close(&mut self, peer: Peer, farewell: Farewell) {
        self.book.log(|| format!("close({peer:?}, {farewell:?})"));
        if let Some(socket) = self.book.sockets.get(&peer).copied() {
            if farewell == Farewell::Terminate {
                let mut goodbye = Vec::new();
                encode::empty(&mut goodbye, TERMINATE);
                self.book.owe(peer, &goodbye);
            }
            let shared = &mut *self.book.world.borrow_mut();
            let wire = &mut shared.wires[socket as usize];
            (wire.is_closed, wire.held, wire.closed_at) = (true, 0, Some(shared.now));
        }
        self.book.sockets.remove(&peer);
        self.net.close(peer, farewell);
    }

    fn move_server(&mut self, server: Peer, to: WorkerId, state: MovedServer) {
        self.book.log(|| format!("move({server:?}) to worker {}", to.0));
        let Some(socket) = self.book.sockets.remove(&server) else { panic!("an unknown server is moved") };
        {
            let wire = &mut self.book.world.borrow_mut().wires[socket as usize];
            wire.is_paused = false;
            if wire.tls.is_some() {
                ear::hear(MOVED_TLS);
            } else if !wire.owed.is_empty() {
                ear::hear(if wire.down.room() < wire.owed.len() { MOVED_FULL } else { MOVED_GATHERED });
            }
        }
        self.net.move_server(server, to, state);
    }

    fn has_unread(&self, peer: Peer) -> bool {
        self.net.has_unread(peer)
    }

    fn notify(&mut self, note: Note) {
        self.book.log(|| format!("notify({note:.60?})"));
        self.net.notify(note);
    }
}

impl Machine for Listener {
    fn received(&mut self, peer: Peer, input: &[u8], now: Micros, net: &mut impl Net) -> usize {
        let Some(socket) = self.book.sockets.get(&peer).copied() else {
            panic!("{peer:?} is heard, but not there")
        };
        self.book.at_hand = socket;
        self.book.calls.begin();
        self.book.world.borrow_mut().round.calls(socket);
        let before = matches!(peer, Peer::Server(_)).then(|| self.linked().get(&socket).copied());
        let server_before = self.server_of(socket);
        self.book.log(|| format!("got {} bytes of {peer:?} ({socket})", input.len()));
        let consumed = self.listen(net, input, |core, net| core.received(peer, input, now, net));
        assert!(consumed <= input.len(), "more consumed than there is");
        let is_open = self.book.sockets.contains_key(&peer);
        // What comes of one that is closed is passed over.
        if matches!(peer, Peer::Client(_)) && is_open {
            let frames = self.book.calls.end(socket, input.len(), &input[..consumed]);
            let server_after = self.server_of(socket);
            self.book.calls.check_owed(server_before, server_after, frames, input.len());
        }
        let fed = std::mem::take(&mut self.book.fed);
        if let Some(before) = before.filter(|_| !fed.is_empty()) {
            let after = self.linked().get(&socket).copied();
            let is_linked = |client: &u64| [before, after].contains(&Some(*client));
            assert!(
                fed.iter().all(is_linked),
                "{fed:?} got bytes of server {socket}, linked to {before:?}, then {after:?}"
            );
        }
        self.book.log(|| format!("  took {consumed} of {peer:?}"));
        let wire = &mut self.book.world.borrow_mut().wires[socket as usize];
        if !wire.is_closed {
            if let Some(tls) = &mut wire.tls {
                wire.held = tls.consume(input, consumed);
            } else {
                assert!(input.len() <= wire.held, "{peer:?} is heard to say more than it has said");
                wire.held -= consumed;
            }
            let held_max = limits::READ_BUFFER_BYTES + if wire.tls.is_some() { RECORD_BYTES_MAX } else { 0 };
            assert!(wire.held <= held_max, "{} bytes are kept of {peer:?}", wire.held);
        }
        consumed
    }

    fn closed(&mut self, peer: Peer, now: Micros, net: &mut impl Net) {
        self.book.log(|| format!("{peer:?} is gone"));
        let Some(socket) = self.book.sockets.get(&peer).copied() else {
            panic!("{peer:?} is gone, but was not there")
        };
        if let Peer::Server(_) = peer {
            let client = self.linked().get(&socket).copied();
            let bereaved = client.map(|client| (client, socket));
            self.book.world.borrow_mut().bereaved.extend(bereaved);
        }
        self.book.sockets.remove(&peer);
        self.listen(net, &[], |core, net| core.closed(peer, now, net));
    }

    fn blocked(&mut self, peer: Peer, net: &mut impl Net) {
        self.book.log(|| format!("{peer:?} is blocked"));
        self.listen(net, &[], |core, net| core.blocked(peer, net));
    }

    fn drained(&mut self, peer: Peer, net: &mut impl Net) {
        self.book.log(|| format!("{peer:?} is drained"));
        self.listen(net, &[], |core, net| core.drained(peer, net));
    }
}

impl WorkerMachine for Listener {
    fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    fn handle(&mut self, event: WorkerEvent, now: Micros, net: &mut impl Net) {
        match &event {
            WorkerEvent::Client(id, login) => self.book.join(Peer::Client(*id), login.identity.socket_id),
            WorkerEvent::Server(id, login) => self.book.join(Peer::Server(*id), login.identity.socket_id),
            WorkerEvent::Replication((client, login), (server, server_login)) => {
                self.book.join(Peer::Client(*client), login.identity.socket_id);
                self.book.join(Peer::Server(*server), server_login.identity.socket_id);
            }
            WorkerEvent::Moved(id, _) => {
                let Some(socket) = self.book.coming.pop_front() else {
                    panic!("a server comes from nowhere")
                };
                self.book.join(Peer::Server(*id), socket);
            }
            WorkerEvent::Nudge(..) | WorkerEvent::CancelOver(..) | WorkerEvent::Pass => {}
        }
        self.book.log(|| format!("handles {event:.60?}"));
        let may_mark =
            matches!(event, WorkerEvent::Pass | WorkerEvent::Client(..) | WorkerEvent::Replication(..));
        self.listen(net, &[], |core, net| core.handle(event, now, net));
        if may_mark {
            self.look_at_marks(now);
        }
    }

    fn command(&mut self, command: Command, now: Micros, net: &mut impl Net) -> Answer {
        let may_mark = matches!(command, Command::Judge(..));
        let answer = self.listen(net, &[], |core, net| core.command(command, now, net));
        if may_mark {
            self.look_at_marks(now);
        }
        answer
    }
}
