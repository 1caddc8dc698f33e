//! The clients of a pool that wait for a server, in the order in which they came.
//!
//! A place in the queue is a ticket that goes stale: whoever waits no more is passed over, and cleared away
//! before the queue grows. Never lends a server: that is `checkout.rs`.

use super::Got;
use super::pool::{PoolSlot, Waiter};
use crate::base::{ClientId, Peer};
use crate::core::conn::{Canceled, Leave, Reason, Stand};
use crate::core::net::Net;
use crate::core::note::Note;
use crate::core::worker_core::Core;
use crate::wire::Fault;

impl Core {
    /// Puts a client into the queue, or refuses it where waiting is in vain.
    pub(super) fn enqueue(&mut self, id: ClientId, net: &mut impl Net) -> Got {
        let now = self.now;
        let slot = self.clients[id].pool;
        if let Some(fault) = self.refusal(slot) {
            // Nobody waits, but somebody would: the next try may begin as soon as
            // `server_login_retry` is over.
            net.notify(Note::NeedServer(self.share(slot).id));
            self.disconnect(id, &Leave::Fault(fault), net);
            return Got::Gone;
        }
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let client = &mut self.clients[id];
        client.stand = Stand::Waiting { since: now, ticket, notified: false };
        client.hold.add(Reason::Waiting, Peer::Client(id), net);
        let pool = &mut self.pools[slot];
        pool.waiters.push_back(Waiter { client: id, ticket, since: now });
        pool.waiting += 1;
        self.trim_queue(slot);
        self.ask_for_server(slot, net);
        Got::Waits
    }

    /// Why a client that would have to wait is refused at once.
    pub(super) fn refusal(&self, slot: PoolSlot) -> Option<Fault> {
        if self.refusing {
            return Some(Fault::ServerShuttingDown);
        }
        let share = &self.pools[slot].share;
        if share.live_count() > 0 || share.database.is_paused() {
            return None;
        }
        share.refusal()
    }

    /// The client at the front of the queue; drops places that are stale.
    pub(super) fn next_waiter(&mut self, slot: PoolSlot) -> Option<Waiter> {
        loop {
            let waiter = *self.pools[slot].waiters.front()?;
            if self.is_waiting(&waiter) {
                return Some(waiter);
            }
            self.pools[slot].waiters.pop_front();
        }
    }

    /// Takes the client at the front out of the queue.
    pub(super) fn take_waiter(&mut self, slot: PoolSlot) -> Option<Waiter> {
        let waiter = self.next_waiter(slot)?;
        let pool = &mut self.pools[slot];
        pool.waiters.pop_front();
        pool.waiting -= 1;
        self.clients[waiter.client].stand = Stand::Idle;
        self.trim_queue(slot);
        Some(waiter)
    }

    /// Drops stale places at the front and tells the other workers since when the first one waits.
    pub(in crate::core) fn trim_queue(&mut self, slot: PoolSlot) {
        self.next_waiter(slot);
        if self.pools[slot].is_mostly_stale() {
            // Behind a client that waits for long, others may come and be cancelled without end.
            let mut waiters = std::mem::take(&mut self.pools[slot].waiters);
            waiters.retain(|waiter| self.is_waiting(waiter));
            self.pools[slot].waiters = waiters;
        }
        self.pools[slot].publish_waiting();
    }

    /// Whether a place in the queue still stands for a waiting client.
    pub(in crate::core) fn is_waiting(&self, waiter: &Waiter) -> bool {
        self.clients.find(waiter.client).is_some_and(
            |client| matches!(client.stand, Stand::Waiting { ticket, .. } if ticket == waiter.ticket),
        )
    }

    /// Takes a client out of the queue because its query was cancelled; it is answered, as `canceled` says,
    /// when its bytes are looked at.
    pub(in crate::core) fn cancel_waiting(&mut self, id: ClientId, canceled: Canceled, net: &mut impl Net) {
        let client = &mut self.clients[id];
        let slot = client.pool;
        client.stand = Stand::Idle;
        client.canceled = canceled;
        client.hold.lift(Reason::Waiting, Peer::Client(id), net);
        self.pools[slot].waiting -= 1;
        self.trim_queue(slot);
    }
}
