//! Clients by their socket ids, which cancel requests and KILL_CLIENT name. About 10 bytes for each client:
//! it holds the clients' slots alone and asks the caller, who has them at hand, for the rest.
//!
//! Knows no client that has left: whoever removes a client removes it here first.

use crate::base::ClientId;
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// The slots of clients, found by socket id. `socket_of` in each call tells the socket id of
/// a slot that is held here.
#[derive(Debug, Default)]
pub(in crate::core) struct SocketIndex {
    slots: HashTable<ClientId>,
    hasher: RandomState,
}

impl SocketIndex {
    /// Adds a client; no other with this socket id is here.
    pub(super) fn insert(&mut self, socket_id: u64, id: ClientId, socket_of: impl Fn(ClientId) -> u64) {
        let Self { slots, hasher } = self;
        slots.insert_unique(hasher.hash_one(socket_id), id, |id| hasher.hash_one(socket_of(*id)));
    }

    /// Takes a client out, where it is here.
    pub(super) fn remove(&mut self, socket_id: u64, socket_of: impl Fn(ClientId) -> u64) {
        let hash = self.hasher.hash_one(socket_id);
        if let Ok(entry) = self.slots.find_entry(hash, |id| socket_of(*id) == socket_id) {
            entry.remove();
        }
    }

    /// The client with this socket id.
    pub(super) fn find(&self, socket_id: u64, socket_of: impl Fn(ClientId) -> u64) -> Option<ClientId> {
        self.slots.find(self.hasher.hash_one(socket_id), |id| socket_of(*id) == socket_id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_found_until_they_leave_also_where_slots_are_used_again() {
        let (mut index, mut sockets) = (SocketIndex::default(), Vec::new());
        for slot in 0..1_000u32 {
            sockets.push(7_000 + u64::from(slot));
            index.insert(sockets[slot as usize], ClientId(slot), |id| sockets[id.0 as usize]);
        }
        for slot in (0..1_000u32).step_by(3) {
            let (left, came) = (sockets[slot as usize], 9_000 + u64::from(slot));
            index.remove(left, |id| sockets[id.0 as usize]);
            assert_eq!(index.find(left, |id| sockets[id.0 as usize]), None);
            sockets[slot as usize] = came;
            index.insert(came, ClientId(slot), |id| sockets[id.0 as usize]);
        }
        for (slot, socket_id) in sockets.iter().enumerate() {
            assert_eq!(index.find(*socket_id, |id| sockets[id.0 as usize]), Some(ClientId(slot as u32)));
        }
        assert_eq!(index.slots.len(), 1_000);
    }
}
