//! What the login plane knows of the process: the policy in force, the pools, the workers, and the counts that limits need.
//!
//! One value, made by `boot`, shared by reference: there is no global.

use crate::base::Micros;
use crate::config::PoolRules;
use crate::core::{Answer, Command, Gate, PoolShare};
use crate::wire::{Fault, ParamSet, TrackedNames};
use crate::worker::WorkerHandle;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The configuration in force, with all that was made from its files. Replaced whole by a reload.
pub struct Policy {
    // snapshot: Arc<config::Snapshot>, users: Arc<auth::UserList>, client_tls: …, server_tls: …
}

/// What a pool's first successful server login taught: what its clients are welcomed with.
pub struct Welcome {
    /// Every ParameterStatus as the server reported it, in its order.
    pub reported: Vec<(String, String)>,
    /// The tracked ones.
    pub params: ParamSet,
}

/// The login plane's view of the process.
pub struct Plane {
    /// The policy in force.
    pub policy: ArcSwap<Policy>,
    /// PAUSE of everything.
    pub gate: Arc<Gate>,
    /// The data workers.
    pub workers: Box<[WorkerHandle]>,
    /// Tracked parameter names.
    pub names: TrackedNames,
    socket_ids: AtomicU64,
}

impl Plane {
    /// The next socket id of SHOW, counted from 1.
    pub fn next_socket_id(&self) -> u64 {
        self.socket_ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }

    /// Now, on the process's monotonic clock: the same that the workers use.
    pub fn now(&self) -> Micros {
        todo!()
    }

    /// The pool of (database entry, pool user), made if it is new; `None` where there is no such database, not even `*`.
    pub fn pool(&self, database: &str, user: &str) -> Option<Arc<PoolShare>> {
        let _ = (database, user);
        todo!()
    }

    /// Every pool there is, ordered by (database, user).
    pub fn pools(&self) -> Vec<Arc<PoolShare>> {
        todo!()
    }

    /// What to welcome clients of `pool` with; waits for the pool's first server login, which it asks for.
    ///
    /// # Errors
    /// `Fault::Relayed` with the server's own refusal; `Fault::ServerShuttingDown`.
    /// # Cancel safety
    /// Dropping it only withdraws the request; the caller's login timeout bounds it.
    pub async fn welcome(&self, pool: &Arc<PoolShare>) -> Result<Arc<Welcome>, Fault> {
        let _ = pool;
        todo!()
    }

    /// Asks every worker and waits for all answers, in the order of the workers.
    pub async fn ask_all(&self, command: impl Fn() -> Command) -> Vec<Answer> {
        let _ = command();
        todo!()
    }

    /// Replaces the rules of a pool, here and on every worker.
    pub fn set_rules(&self, pool: &PoolShare, rules: Arc<PoolRules>) {
        let _ = (pool, rules);
        todo!()
    }
}
