//! Places: the ledger behind its lock, and the value that stands for one place taken.
//!
//! A place travels with its connection (as `io::Channel::guard` once it is logged in) and is given back
//! by being dropped, which its owner does when the socket has truly ended. So no path through the
//! program can lose or double one. The lock is held for a few additions, when a connection opens or
//! closes; never across an await.

use super::launcher_channel::LauncherSender;
use crate::base::{Micros, PoolId};
use crate::core::{Ledger, Opening, PoolShare, Scope, Shortfall, Use};
use crate::tasks;
use std::sync::{Arc, Mutex, MutexGuard};

/// The ledger, shared.
pub struct Places {
    ledger: Mutex<Ledger>,
    launcher: LauncherSender,
}

impl Places {
    /// No place taken; `launcher` learns of each that comes back.
    pub fn new(launcher: LauncherSender) -> Arc<Self> {
        Arc::new(Self { ledger: Mutex::default(), launcher })
    }

    /// Has something decided about the ledger as a whole.
    pub fn decide<T>(&self, decide: impl FnOnce(&mut Ledger) -> T) -> T {
        decide(&mut self.ledger())
    }

    /// The place of a server to be opened, where the ledger has just given one
    /// ([`crate::core::Verdict::Launch`]).
    pub fn given(self: &Arc<Self>, pool: &Arc<PoolShare>, opening: Opening) -> Place {
        self.place(pool, Use::LoggingIn(opening))
    }

    /// A place for a server that a client's own token opens, if there is one to spare.
    pub fn take_spare(self: &Arc<Self>, pool: &Arc<PoolShare>, now: Micros) -> Option<Place> {
        let opening = self.ledger().take_spare(pool, now)?;
        Some(self.given(pool, opening))
    }

    /// A place for a cancel request's connection, if there is one.
    pub fn take_cancel(self: &Arc<Self>, pool: &Arc<PoolShare>) -> Option<Place> {
        self.ledger().take_cancel(pool).then(|| self.place(pool, Use::Cancel))
    }

    fn place(self: &Arc<Self>, pool: &Arc<PoolShare>, used_for: Use) -> Place {
        Place { pool: Arc::clone(pool), used_for, places: Arc::clone(self) }
    }

    /// When a server of `pool` that logs in by IAM is to be replaced: see [`Ledger::plan_renewal`].
    pub fn plan_renewal(
        &self,
        pool: &Arc<PoolShare>,
        times: (Micros, Micros),
        max_age: Micros,
        per_kilosecond: u32,
    ) -> Micros {
        self.ledger().plan_renewal(pool, times, max_age, per_kilosecond)
    }

    /// Whether servers of a pool can be replaced as fast as they age; `None` where they do not.
    pub fn keeps_up(&self, pool: PoolId) -> Option<bool> {
        self.ledger().keeps_up(pool)
    }

    /// How many pools' servers cannot.
    pub fn late_pools(&self) -> usize {
        self.ledger().late_pools()
    }

    /// What keeps them from it.
    pub fn shortfall(&self, pool: PoolId) -> Option<Shortfall> {
        self.ledger().shortfall(pool)
    }

    /// The next login of this pool need not wait for `server_login_retry`.
    pub fn forget_failure(&self, pool: &Arc<PoolShare>) {
        self.ledger().forget_failure(pool);
    }

    /// Pools whose wants may be met now that a place of `pool` is back.
    pub fn revived_by(&self, pool: &PoolShare) -> Vec<Arc<PoolShare>> {
        self.ledger().revived_by(pool)
    }

    /// Forgets a pool without servers. Returns whether it had none.
    pub fn forget(&self, pool: &PoolShare) -> bool {
        self.ledger().forget(pool)
    }

    /// Servers of a pool: (logging in, live).
    pub fn pool_servers(&self, pool: PoolId) -> (u32, u32) {
        self.ledger().pool_servers(pool)
    }

    /// Connections of a pool that carry cancel requests.
    pub fn pool_cancels(&self, pool: PoolId) -> u32 {
        self.ledger().pool_cancels(pool)
    }

    /// Servers in a scope whose cap pools share, logging in or live.
    pub fn servers_in(&self, scope: &Scope) -> u32 {
        self.ledger().servers_in(scope)
    }

    /// Servers of all pools, logging in or live: zero ends a PAUSE and WAIT_FOR_SERVERS.
    pub fn all_servers(&self) -> u32 {
        self.ledger().all_servers()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Counts that a panic has left half-way would be more servers than a cap allows, for ever.
        self.ledger.lock().unwrap_or_else(|_| tasks::abort("the ledger has panicked"))
    }
}

/// One place of a pool; given back by being dropped.
pub struct Place {
    pool: Arc<PoolShare>,
    used_for: Use,
    places: Arc<Places>,
}

impl Place {
    /// Whether a login to one of `endpoints` counts where this place was taken: a reload may have moved its
    /// entry since.
    pub fn is_for(&self, endpoints: &[Arc<str>]) -> bool {
        self.opening().is_for(endpoints)
    }

    /// The login in this place has succeeded, at that endpoint: it is a live server's from now on.
    #[must_use]
    pub fn into_live(mut self, endpoint: &Arc<str>) -> Self {
        self.places.ledger().logged_in(&self.pool, self.opening(), endpoint);
        let at = Arc::clone(endpoint);
        self.used_for =
            if self.opening().want().is_replication() { Use::Replication(at) } else { Use::Live(at) };
        self
    }

    /// The login in this place, for a replication client, has failed for a reason that may pass.
    pub fn replication_postponed(&self, retry: Micros) {
        self.places.ledger().replication_postponed(&self.pool, self.opening(), retry);
    }

    fn opening(&self) -> &Opening {
        match &self.used_for {
            Use::LoggingIn(opening) => opening,
            Use::Failed(_) | Use::Live(_) | Use::Replication(_) | Use::Cancel => {
                unreachable!("only a login ends as one")
            }
        }
    }

    /// The login in this place has failed. The place stays taken until its socket has ended. Returns whether
    /// that is the answer to those who wait: see [`Ledger::login_failed`].
    #[must_use]
    pub fn login_failed(&mut self, reason: String, retry: Micros) -> bool {
        let is_answer = self.places.ledger().login_failed(&self.pool, self.opening(), reason, retry);
        self.used_for = Use::Failed(self.opening().clone());
        is_answer
    }

    /// The login in this place has failed for a reason that may pass: as [`Place::login_failed`],
    /// but clients go on waiting.
    pub fn login_postponed(&mut self, retry: Micros) {
        self.places.ledger().login_postponed(&self.pool, self.opening(), retry);
        self.used_for = Use::Failed(self.opening().clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.ledger().returned(&self.pool, &self.used_for);
        self.places.launcher.place_returned(Arc::clone(&self.pool));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::launcher_channel;
    use crate::control::tests::share;
    use crate::core::{Verdict, Want};

    fn consider(places: &Arc<Places>, pool: &Arc<PoolShare>, now: Micros) -> Result<Place, Verdict> {
        match places.decide(|ledger| ledger.consider(pool, Want::Waiter { since: Micros(0) }, now)) {
            Verdict::Launch(opening) => Ok(places.given(pool, opening)),
            verdict => Err(verdict),
        }
    }

    #[test]
    fn a_place_is_held_from_launch_to_drop() {
        let (sender, mut inbox) = launcher_channel::channel();
        let places = Places::new(sender);
        let pool = share("db", "user");
        let Ok(place) = consider(&places, &pool, Micros(1)) else { panic!("no place") };
        assert_eq!(places.pool_servers(pool.id), (1, 0));
        let place = place.into_live(&"host:5432".into());
        assert_eq!((places.pool_servers(pool.id), pool.live_count()), ((0, 1), 1));
        assert!(!places.forget(&pool));
        drop(place);
        assert_eq!(places.all_servers(), 0);
        assert!(inbox.has_news(), "the launcher must learn that a place is free");
        assert!(places.forget(&pool));
    }

    #[test]
    fn a_login_that_fails_gives_its_place_back_and_waits() {
        let (sender, _inbox) = launcher_channel::channel();
        let places = Places::new(sender);
        let pool = share("db", "user");
        let Ok(mut place) = consider(&places, &pool, Micros(1)) else { panic!("no place") };
        assert!(place.login_failed("connect failed".into(), Micros(10)), "who waits is told");
        drop(place);
        assert_eq!(places.all_servers(), 0);
        assert!(matches!(consider(&places, &pool, Micros(2)), Err(Verdict::Later(Micros(11)))));
        places.forget_failure(&pool);
        assert!(consider(&places, &pool, Micros(2)).is_ok());
    }
}
