//! What everything in a run stands on: virtual time, the agenda, chance, the wires, and the log.
//!
//! Nothing here knows what a pooler, a server or a client is.

use super::driver::SimMail;
use super::kernel::{Habits, Net, Shared, Wires};
use super::rng::{HASH_START, Rng, hash};
use super::tls::Far;
use super::wire::Wire;
use pgweir::base::Micros;
use pgweir::core::Note;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// What a record adds to a message, and some of it for a key that is renewed.
const RECORD_OVERHEAD_BYTES: usize = 50;

/// Something that happens at its time.
#[derive(Debug)]
pub enum Event {
    /// Bytes arrive at the pooler's end of a wire, or room, or an end.
    Arrival(u64),
    /// A worker goes round its loop.
    WorkerTurn(usize),
    /// The other end.
    RemoteTurn(u64),
    /// A worker looks into its mailbox.
    Mail(usize),
    /// A worker's next pass is due.
    Janitor(usize),
    /// A client goes on with its script.
    ClientTurn(usize),
    /// A new client comes.
    ClientComes,
    /// Others come, who never will be clients.
    UnauthenticatedCome,
    /// A loop that accepts looks whether there is room: somebody has come or left, or its
    /// poll of that number is due.
    DoorLoop(usize, Option<u64>),
    /// A guest at the door goes on with its login.
    DoorStep(usize),
    /// It hears that it has to go.
    DoorWord(usize),
    /// The login of a server is over.
    LoginOver(super::reloads::Login),
    /// Look whether a pool needs a server; whether somebody has just asked for one.
    Consider(usize, bool),
    /// A pool has a server past its soft age.
    Renew(usize),
    /// A place was returned: perhaps it is a replacement's.
    Replace(usize),
    /// The launcher looks at all pools.
    LauncherPass,
    /// A statement that takes its time is over, if it still runs.
    StatementOver { server: u64, run: u64 },
    /// A cancel request waits for a connection.
    CancelWaits(CancelRequest),
    /// It reaches its server, or is lost on its way.
    CancelArrives(CancelRequest),
    /// It was given up, and takes effect after all.
    CancelTakesEffect(CancelRequest),
    /// Something from outside: an operator, a fault.
    Weather,
    /// Whom nobody may let in changes.
    Denials,
    /// Servers are notified.
    Notify,
    /// Entries that a reload had removed are there again: these pools' successors.
    EntryComes(Vec<usize>),
    /// An operator's pause, suspension or the like ends.
    Clear(super::weather::Spell),
    /// No new work, no new faults: from here on everything must drain.
    Calm,
}

/// A cancel request on its way.
#[derive(Clone, Copy, Debug)]
pub struct CancelRequest {
    /// The server's wire, and what proves that its key was brought.
    pub server: u64,
    pub secret: u64,
    /// The worker that is to learn of its end.
    pub worker: usize,
    /// The wire of the client that asked for it; 0 where the pooler itself ends a query.
    pub asker: u64,
}

/// Which way bytes are cut and delayed in this run.
#[derive(Clone, Debug)]
pub struct Cuts {
    /// Most bytes that arrive at once, either side.
    pub read_bytes_max: usize,
    /// Most bytes on their way in one direction.
    pub wire_bytes: (u64, u64),
    /// Longest delay of a turn, in microseconds.
    pub delay_us_max: u64,
    /// Longest time that a worker lets pass before it looks for events: the longer, the more it sees at once.
    pub nap_us_max: u64,
    /// Workers have a ring of writes.
    pub has_ring: bool,
    pub habits: Habits,
}

pub struct Ground {
    pub now: u64,
    pub rng: Rng,
    pub cuts: Cuts,
    /// Lent to the sockets while a worker runs.
    pub wires: Wires,
    pub net: Net,
    /// Letters to the workers, in the order of their sending.
    pub mail: Vec<VecDeque<SimMail>>,
    /// What the workers want the world to learn.
    pub notes: Vec<(usize, Note)>,
    /// Places of servers that are free again: pool and socket.
    pub returned: Vec<(usize, u64)>,
    /// (client's socket, server's socket): linked when the server's end was seen.
    pub bereaved: Vec<(u64, u64)>,
    /// Servers on which a client's transaction begins: the first bytes of a link go out to them;
    /// whether they were speaking.
    pub begun: Vec<(u64, bool)>,
    agenda: BTreeMap<(u64, u64), Event>,
    mailed_until: Vec<u64>,
    worker_due: Vec<bool>,
    seq: u64,
    hash: u64,
    logs: bool,
}

impl Ground {
    pub fn new(seed: u64, cuts: Cuts, workers: usize, logs: bool) -> Self {
        Self {
            now: 1_000_000,
            rng: Rng::new(seed),
            net: Shared::net(Rng::new(!seed), cuts.habits, logs),
            cuts,
            wires: Wires::new(workers),
            mail: (0..workers).map(|_| VecDeque::new()).collect(),
            notes: Vec::new(),
            returned: Vec::new(),
            bereaved: Vec::new(),
            begun: Vec::new(),
            agenda: BTreeMap::new(),
            mailed_until: vec![0; workers],
            worker_due: vec![false; workers],
            seq: 0,
            hash: HASH_START,
            logs,
        }
    }

    pub fn micros(&self) -> Micros {
        Micros(self.now)
    }

    pub fn at(&mut self, time: u64, event: Event) {
        self.seq += 1;
        self.agenda.insert((time.max(self.now), self.seq), event);
    }

    pub fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now + delay_us, event);
    }

    /// The next event; time moves on to it.
    pub fn next(&mut self) -> Option<Event> {
        let ((time, seq), event) = self.agenda.pop_first()?;
        self.now = time;
        self.hash = hash(hash(self.hash, &time.to_le_bytes()), &seq.to_le_bytes());
        if !matches!(
            event,
            Event::Arrival(_)
                | Event::WorkerTurn(_)
                | Event::RemoteTurn(_)
                | Event::Janitor(_)
                | Event::LauncherPass
                | Event::Mail(_)
        ) {
            self.log(|| format!("{event:?}"));
        }
        Some(event)
    }

    fn delay(&mut self) -> u64 {
        self.rng.below(self.cuts.delay_us_max + 1)
    }

    /// The pooler's end is to look at a wire, soon.
    pub fn wake_pooler(&mut self, socket: u64) {
        let wire = &mut self.wires[socket as usize];
        if !std::mem::replace(&mut wire.pooler_due, true) {
            let delay = self.delay();
            self.after(delay, Event::Arrival(socket));
        }
    }

    /// How many bytes go over a wire at once this time; of records, which are longer
    /// than what they say, more.
    pub fn cut(&mut self, socket: u64) -> usize {
        let more = if self.wires[socket as usize].tls.is_some() { RECORD_OVERHEAD_BYTES } else { 0 };
        self.rng.range(1, (self.cuts.read_bytes_max + more) as u64) as usize
    }

    /// Something of what is on its way to the pooler arrives.
    pub fn arrival(&mut self, socket: u64) {
        let bytes_max = self.cut(socket);
        let wire = &mut self.wires[socket as usize];
        wire.pooler_due = false;
        wire.up.arrive(bytes_max);
        let is_news = !wire.readiness().is_empty();
        if wire.up.is_under_way() {
            self.wake_pooler(socket);
        }
        if is_news && let Some(worker) = self.wires.edge(socket) {
            self.wake_worker(worker);
        }
    }

    /// A worker is to go round its loop, soon.
    pub fn wake_worker(&mut self, worker: usize) {
        if !std::mem::replace(&mut self.worker_due[worker], true) {
            let nap = self.rng.below(self.cuts.nap_us_max + 1);
            self.after(nap, Event::WorkerTurn(worker));
        }
    }

    /// A worker goes round its loop now.
    pub fn worker_wakes(&mut self, worker: usize) {
        self.worker_due[worker] = false;
    }

    /// The other end is to look at a wire, soon.
    pub fn wake_remote(&mut self, socket: u64) {
        let wire = &mut self.wires[socket as usize];
        if !std::mem::replace(&mut wire.remote_due, true) {
            let slowness = wire.slowness_us;
            let delay = self.delay();
            self.after(delay + slowness, Event::RemoteTurn(socket));
        }
    }

    /// Posts a letter; letters to one worker stay in order.
    pub fn post(&mut self, worker: usize, letter: SimMail) {
        let time = (self.now + self.rng.below(4 * self.cuts.delay_us_max + 1)).max(self.mailed_until[worker]);
        self.mailed_until[worker] = time;
        self.mail[worker].push_back(letter);
        self.at(time, Event::Mail(worker));
    }

    /// A new wire, under TLS in so many of a hundred cases; its number is the socket id.
    pub fn new_wire(&mut self, tls_percent: u64, is_client: bool) -> u64 {
        let (low, high) = self.cuts.wire_bytes;
        let rooms = [self.rng.range(low, high) as usize, self.rng.range(low, high) as usize];
        let mut wire = Wire::new(rooms);
        if tls_percent > 0 && self.rng.percent(tls_percent) {
            let (is_old_version, is_polite) = (self.rng.percent(30), self.rng.percent(60));
            wire.tls = Some(Far::new(is_client, is_old_version, is_polite));
        }
        self.wires.push(wire);
        self.wires.len() as u64 - 1
    }

    /// Makes bytes part of the log's hash.
    pub fn witness(&mut self, bytes: &[u8]) {
        self.hash = hash(self.hash, bytes);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn log(&mut self, line: impl FnOnce() -> String) {
        if self.logs {
            super::publish(format!("{:>12} {}", self.now, line()));
        }
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("now", &self.now).finish_non_exhaustive()
    }
}
