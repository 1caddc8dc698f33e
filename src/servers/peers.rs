//! The pools of peers: how many cancel requests are on their way to each, and who waits.
//!
//! Made for those of `[peers]` that something is forwarded to, and gone with their entries. Source:
//! PgBouncer, doc/usage.md (SHOW PEER_POOLS), doc/config.md (`pool_size` of "Section `[peers]`").

use crate::config::Snapshot;
use crate::control::FairSemaphore;
use crate::stats::PeerLevels;
use dashmap::DashMap;

/// The pools of peers, each from its first request on.
#[derive(Default)]
pub struct Peers(DashMap<u16, FairSemaphore>);

impl Peers {
    /// Bytes of one.
    pub const POOL_BYTES: usize = size_of::<FairSemaphore>();

    /// Every pool there is, ordered by id.
    pub fn pools(&self) -> Vec<PeerLevels> {
        let view = |peer_id: u16, (active, waiting): (usize, usize)| PeerLevels {
            peer_id,
            active: active as u64,
            waiting: waiting as u64,
        };
        let mut pools: Vec<_> = self.0.iter().map(|pool| view(*pool.key(), pool.counts())).collect();
        pools.sort_by_key(|pool| pool.peer_id);
        pools
    }

    /// Brings them to what a reload says.
    pub(super) fn adopt(&self, snapshot: &Snapshot) {
        self.0.retain(|id, pool| {
            let size = size_of_pool(snapshot, *id);
            size.inspect(|size| pool.resize(*size)).is_some()
        });
    }

    /// The pool of a peer; `None`: `[peers]` does not have it.
    pub(super) fn pool(&self, snapshot: &Snapshot, id: u16) -> Option<FairSemaphore> {
        let size = size_of_pool(snapshot, id)?;
        let pool = self.0.entry(id).or_insert_with(|| FairSemaphore::new(size, usize::MAX)).clone();
        Some(pool)
    }
}

fn size_of_pool(snapshot: &Snapshot, id: u16) -> Option<usize> {
    let size = snapshot.peer_pool_size(id)?;
    Some(if size == 0 { usize::MAX } else { size as usize })
}
