//! The simulated kernel: sockets over wires, edges as epoll gives them, a ring of writes. All that is
//! not `io` of the program.
//!
//! Exact where the driver counts on it: a short read means that the socket is empty; an edge comes once, with
//! new bytes, an end, or room that is watched for; adding and changing a watch looks at what is so already.
//! Free everywhere else: writes fall short, events come in parts. Every byte that is written is compared with
//! what the core has said is to be sent there.

use super::rng::Rng;
use super::wire::{Watch, Wire};
use super::work::Round;
use pgweir::base::limits;
use pgweir::io::{Kernel, Ring, Socket, WAKE, Write};
use rustix::event::Timespec;
use rustix::event::epoll::{Event, EventData, EventFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Most bytes that may be unsent to one peer: two read buffers, and the answers that
/// the core makes to one more.
pub const OWED_BYTES_MAX: usize = 3 * limits::READ_BUFFER_BYTES;

/// Most bytes read and not consumed of one peer, while they are being looked at.
const HELD_BYTES_MAX: usize = limits::READ_BUFFER_BYTES + limits::LAST_WORDS_BYTES;

/// All wires, by socket id, and those of each worker with an edge that it has not been told.
#[derive(Debug, Default)]
pub struct Wires {
    list: Vec<Wire>,
    ready: Vec<VecDeque<u64>>,
}

impl Wires {
    pub fn new(workers: usize) -> Self {
        Self { list: vec![Wire::default()], ready: vec![VecDeque::new(); workers] }
    }

    /// Something has happened at the pooler's end; the worker that will hear of it.
    pub fn edge(&mut self, socket: u64) -> Option<usize> {
        let wire = &mut self.list[socket as usize];
        let worker = wire.worker?;
        if !std::mem::replace(&mut wire.is_ready, true) {
            self.ready[worker].push_back(socket);
        }
        Some(worker)
    }

    /// As [`Wires::edge`], and before all others.
    pub fn edge_first(&mut self, socket: u64) {
        let wire = &mut self.list[socket as usize];
        let Some(worker) = wire.worker else { return };
        wire.is_ready = true;
        self.ready[worker].retain(|other| *other != socket);
        self.ready[worker].push_front(socket);
    }

    pub fn has_edges(&self, worker: usize) -> bool {
        !self.ready[worker].is_empty()
    }
}

impl Deref for Wires {
    type Target = Vec<Wire>;

    fn deref(&self) -> &Vec<Wire> {
        &self.list
    }
}

impl DerefMut for Wires {
    fn deref_mut(&mut self) -> &mut Vec<Wire> {
        &mut self.list
    }
}

/// How this kernel behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// So many of a hundred writes fall short although there is room.
    pub short_writes: u64,
    /// So many of a hundred waits tell of some events only.
    pub short_waits: u64,
}

/// What sockets, workers and machines share while a worker runs.
#[derive(Debug)]
pub struct Shared {
    pub wires: Wires,
    pub now: u64,
    pub rng: Rng,
    pub habits: Habits,
    pub logs: bool,
    /// Wires of which the other end has something to look at.
    pub touched: Vec<u64>,
    /// What the worker that runs has done in this round.
    pub round: Round,
    /// Somebody has put something into the mailbox of the worker that runs.
    pub is_woken: bool,
    /// Servers on which a client's transaction begins, and whether they had something more to say.
    pub begun: Vec<(u64, bool)>,
    /// (client's socket, server's socket): linked when the server's end was seen.
    pub bereaved: Vec<(u64, u64)>,
}

/// The world of one run, from inside of it.
pub type Net = Rc<RefCell<Shared>>;

impl Shared {
    pub fn net(rng: Rng, habits: Habits, logs: bool) -> Net {
        Rc::new(RefCell::new(Self {
            wires: Wires::default(),
            now: 0,
            rng,
            habits,
            logs,
            touched: Vec::new(),
            round: Round::default(),
            is_woken: false,
            begun: Vec::new(),
            bereaved: Vec::new(),
        }))
    }

    pub fn log(&self, line: impl FnOnce() -> String) {
        if self.logs {
            super::publish(format!("{:>12} {}", self.now, line()));
        }
    }

    fn recv(&mut self, socket: u64, space: &mut [u8]) -> Result<usize, Errno> {
        let wire = &mut self.wires[socket as usize];
        assert!(!wire.is_dropped, "wire {socket} is read after it was closed");
        if wire.is_reset {
            return Err(Errno::CONNRESET);
        }
        let was_full = wire.up.is_full();
        let bytes = wire.up.read(space.len());
        if bytes.is_empty() && !space.is_empty() {
            return if wire.up.end_has_arrived() { Ok(0) } else { Err(Errno::AGAIN) };
        }
        space[..bytes.len()].copy_from_slice(&bytes);
        self.round.reads(socket, wire, bytes.len());
        if !wire.is_closed && wire.tls.is_none() {
            wire.held += bytes.len();
            assert!(wire.held <= HELD_BYTES_MAX, "{} bytes are held of wire {socket}", wire.held);
        }
        if was_full {
            self.touched.push(socket);
        }
        Ok(bytes.len())
    }

    fn send<'a>(&mut self, socket: u64, parts: impl Iterator<Item = &'a [u8]>) -> Result<usize, Errno> {
        let is_short = self.rng.percent(self.habits.short_writes);
        let wire = &mut self.wires[socket as usize];
        assert!(!wire.is_dropped, "wire {socket} is written to after it was closed");
        if wire.is_reset || wire.is_left {
            return Err(wire.fail());
        }
        let mut room = wire.down.room();
        if is_short && room > 0 {
            room = self.rng.range(1, room as u64) as usize;
        }
        let mut written = 0;
        let is_plain = wire.tls.is_none();
        for part in parts {
            let taken = part.len().min(room - written);
            let is_owed = !is_plain
                || part.len() <= wire.owed.len() - written
                    && wire.owed.range(written..).zip(part).all(|(owed, byte)| owed == byte);
            assert!(
                is_owed,
                "foreign bytes for wire {socket} ({:?}): nobody has sent {:?}, but {:?}",
                wire.remote,
                String::from_utf8_lossy(&part[..part.len().min(80)]),
                String::from_utf8_lossy(
                    &wire.owed.iter().skip(written).take(80).copied().collect::<Vec<_>>()
                )
            );
            wire.down.write(&part[..taken]);
            written += taken;
            if taken < part.len() {
                break;
            }
        }
        if is_plain {
            wire.owed.drain(..written);
        }
        wire.down.arrive(usize::MAX);
        if written == 0 {
            return Err(Errno::AGAIN);
        }
        self.touched.push(socket);
        Ok(written)
    }
}

/// The pooler's end of a wire.
pub struct SimSocket {
    pub wire: u64,
    net: Net,
}

impl SimSocket {
    pub fn new(wire: u64, net: &Net) -> Self {
        Self { wire, net: Rc::clone(net) }
    }
}

impl Socket for SimSocket {
    type Raw = u64;

    fn recv(&self, space: &mut [u8]) -> Result<usize, Errno> {
        self.net.borrow_mut().recv(self.wire, space)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.net.borrow_mut().send(self.wire, parts.iter().map(|part| &part[..]))
    }

    fn shutdown_write(&self) {
        let shared = &mut *self.net.borrow_mut();
        let wire = &mut shared.wires[self.wire as usize];
        assert!(
            wire.tls.is_some() || wire.owed.is_empty() || wire.is_reset || wire.is_left,
            "wire {} is shut with {} bytes unsent",
            self.wire,
            wire.owed.len()
        );
        wire.down.shut = true;
        wire.is_shut_properly = true;
        shared.touched.push(self.wire);
    }

    fn raw(&self) -> u64 {
        self.wire
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        // Not there: the world is being taken down, or a check has failed.
        let Ok(mut shared) = self.net.try_borrow_mut() else { return };
        let shared = &mut *shared;
        if let Some(wire) = shared.wires.get_mut(self.wire as usize) {
            wire.drop_pooler_end();
            shared.touched.push(self.wire);
        }
    }
}

/// One worker's kernel.
pub struct SimKernel {
    pub worker: usize,
    pub net: Net,
}

impl SimKernel {
    fn watch(&self, socket: &SimSocket, data: u64, interest: EventFlags) {
        let shared = &mut *self.net.borrow_mut();
        let wire = &mut shared.wires[socket.wire as usize];
        wire.worker = Some(self.worker);
        wire.watch = Some(Watch { data, interest });
        if !wire.readiness().is_empty() {
            shared.wires.edge(socket.wire);
        }
    }
}

impl Kernel for SimKernel {
    type Socket = SimSocket;
    type Ring = SimRing;

    fn add(&self, socket: &SimSocket, data: u64, interest: EventFlags) -> io::Result<()> {
        assert!(
            self.net.borrow().wires[socket.wire as usize].watch.is_none(),
            "wire {} is watched twice",
            socket.wire
        );
        self.watch(socket, data, interest);
        Ok(())
    }

    fn modify(&self, socket: &SimSocket, data: u64, interest: EventFlags) -> io::Result<()> {
        assert!(
            self.net.borrow().wires[socket.wire as usize].watch.is_some(),
            "wire {} is not watched",
            socket.wire
        );
        self.watch(socket, data, interest);
        Ok(())
    }

    fn delete(&self, socket: &SimSocket) -> io::Result<()> {
        let shared = &mut *self.net.borrow_mut();
        let wire = &mut shared.wires[socket.wire as usize];
        (wire.watch, wire.worker) = (None, None);
        if std::mem::take(&mut wire.is_ready) {
            shared.wires.ready[self.worker].retain(|other| *other != socket.wire);
        }
        Ok(())
    }

    fn wait<'a>(&self, space: &'a mut [MaybeUninit<Event>], _: &Timespec) -> Result<&'a [Event], Errno> {
        let shared = &mut *self.net.borrow_mut();
        let Wires { list, ready } = &mut shared.wires;
        let ready = &mut ready[self.worker];
        let mut count = ready.len().min(space.len() - 1);
        if shared.rng.percent(shared.habits.short_waits) {
            count = count.min(1 + shared.rng.below(4) as usize);
        }
        let mut events = Vec::new();
        for socket in ready.drain(..count) {
            let wire = &mut list[socket as usize];
            wire.is_ready = false;
            let flags = wire.readiness();
            let Some(watch) = wire.watch.filter(|_| !flags.is_empty()) else { continue };
            events.push(Event { flags, data: EventData::new_u64(watch.data) });
        }
        if std::mem::take(&mut shared.is_woken) {
            let at = shared.rng.below(events.len() as u64 + 1) as usize;
            events.insert(at, Event { flags: EventFlags::IN, data: EventData::new_u64(WAKE) });
        }
        Ok(space[..events.len()].write_copy_of_slice(&events))
    }
}

/// Writes one after the other, in one call.
pub struct SimRing(pub Net);

impl Ring for SimRing {
    type Raw = u64;

    fn write_all(
        &mut self,
        writes: &[Write<u64>],
        bytes: &[u8],
        mut written: impl FnMut(usize, Result<usize, Errno>),
    ) {
        for (at, write) in writes.iter().enumerate() {
            let outcome = self.0.borrow_mut().send(write.to, std::iter::once(&bytes[write.range.clone()]));
            written(at, outcome);
        }
    }
}
