//! Places: the ledger behind its lock, and the value that stands for one place taken.
//!
//! A place travels with its connection (as `io::Channel::guard` once it is logged in) and is given back by being dropped,
//! which its owner does when the socket has truly ended. So no path through the program can lose or double one.
//! The lock is held for a few additions, when a connection opens or closes; never across an await.

use super::launch::LauncherDoor;
use crate::base::{Micros, PoolId};
use crate::core::{Ledger, PoolShare, Scope, Use, Verdict, Want};
use crate::tasks;
use std::sync::{Arc, Mutex, MutexGuard};

/// The ledger, shared.
pub struct Places {
    ledger: Mutex<Ledger>,
    launcher: LauncherDoor,
}

impl Places {
    /// No place taken; `launcher` learns of each that comes back.
    pub fn new(launcher: LauncherDoor) -> Arc<Self> {
        Arc::new(Self { ledger: Mutex::default(), launcher })
    }

    /// Asks the ledger for a server of `pool`: the place where the verdict is to launch, else the verdict.
    ///
    /// # Errors
    /// Every verdict but `Launch`.
    pub fn consider(
        self: &Arc<Self>,
        pool: &Arc<PoolShare>,
        want: Want,
        now: Micros,
    ) -> Result<Launch, Verdict> {
        match self.ledger().consider(pool, want, now) {
            Verdict::Launch { from_reserve } => {
                Ok(Launch { place: self.place(pool, Use::LoggingIn), from_reserve })
            }
            verdict => Err(verdict),
        }
    }

    /// A place for a cancel request's connection, if there is one.
    pub fn take_cancel(self: &Arc<Self>, pool: &Arc<PoolShare>) -> Option<Place> {
        self.ledger().take_cancel(pool).then(|| self.place(pool, Use::Cancel))
    }

    fn place(self: &Arc<Self>, pool: &Arc<PoolShare>, used_for: Use) -> Place {
        Place { pool: Arc::clone(pool), used_for, places: Arc::clone(self) }
    }

    /// No worker had an idle server in `scope`.
    pub fn nothing_to_evict(&self, scope: &Scope) {
        self.ledger().nothing_to_evict(scope);
    }

    /// The next login of this pool need not wait for `server_login_retry`.
    pub fn forget_failure(&self, pool: &Arc<PoolShare>) {
        self.ledger().forget_failure(pool);
    }

    /// Whether `pool` is below every cap; the reserve aside.
    pub fn has_room(&self, pool: &Arc<PoolShare>) -> bool {
        self.ledger().has_room(pool)
    }

    /// Whether a server of `pool` was retired at a cap and can be replaced now.
    pub fn owes_replacement(&self, pool: &Arc<PoolShare>) -> bool {
        self.ledger().owes_replacement(pool)
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

    /// Servers of a database entry, logging in or live.
    pub fn database_servers(&self, database: &str) -> u32 {
        self.ledger().database_servers(database)
    }

    /// Servers of a pool user, logging in or live.
    pub fn user_servers(&self, user: &str) -> u32 {
        self.ledger().user_servers(user)
    }

    /// Servers of all pools, logging in or live: zero ends a PAUSE and WAIT_FOR_SERVERS.
    pub fn all_servers(&self) -> u32 {
        self.ledger().all_servers()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // counts that a panic has left half-way would be more servers than a cap allows, for ever
        self.ledger.lock().unwrap_or_else(|_| tasks::abort("the ledger has panicked"))
    }
}

/// A place to open a server in.
pub struct Launch {
    /// It.
    pub place: Place,
    /// It is one of `reserve_pool_size`.
    pub from_reserve: bool,
}

/// One place of a pool; given back by being dropped.
pub struct Place {
    pool: Arc<PoolShare>,
    used_for: Use,
    places: Arc<Places>,
}

impl Place {
    /// The login in this place has succeeded: it is a live server's from now on.
    #[must_use]
    pub fn into_live(mut self) -> Self {
        assert!(self.used_for == Use::LoggingIn, "only a login becomes a live server");
        self.places.ledger().logged_in(&self.pool);
        self.used_for = Use::Live;
        self
    }

    /// The login in this place has failed. The place stays taken until its socket has ended.
    pub fn login_failed(&self, reason: String, retry: Micros) {
        self.places.ledger().login_failed(&self.pool, reason, retry);
    }

    /// The login in this place has failed for a reason that may pass: as [`Place::login_failed`], but clients go on waiting.
    pub fn login_postponed(&self, retry: Micros) {
        self.places.ledger().login_postponed(&self.pool, retry);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.ledger().returned(&self.pool, self.used_for);
        self.places.launcher.place_returned(Arc::clone(&self.pool));
    }
}

#[cfg(test)]
mod tests {
    use super::super::launch;
    use super::super::registry::tests::share;
    use super::*;

    const WANT: Want = Want::Waiter { since: Micros(0) };

    #[test]
    fn a_place_is_held_from_launch_to_drop() {
        let (door, mut inbox) = launch::door();
        let places = Places::new(door);
        let pool = share("db", "user");
        let launched = places.consider(&pool, WANT, Micros(1)).map(|launch| launch.place);
        let Ok(place) = launched else { panic!("no place") };
        assert_eq!(places.pool_servers(pool.id), (1, 0));
        let place = place.into_live();
        assert_eq!((places.pool_servers(pool.id), pool.live_count()), ((0, 1), 1));
        assert!(!places.forget(&pool));
        drop(place);
        assert_eq!(places.all_servers(), 0);
        assert!(inbox.has_news(), "the launcher must learn that a place is free");
        assert!(places.forget(&pool));
    }

    #[test]
    fn a_login_that_fails_gives_its_place_back_and_waits() {
        let (door, _inbox) = launch::door();
        let places = Places::new(door);
        let pool = share("db", "user");
        let Ok(launch) = places.consider(&pool, WANT, Micros(1)) else { panic!("no place") };
        launch.place.login_failed("connect failed".into(), Micros(10));
        drop(launch);
        assert_eq!(places.all_servers(), 0);
        assert!(matches!(places.consider(&pool, WANT, Micros(2)), Err(Verdict::Later(Micros(11)))));
        places.forget_failure(&pool);
        assert!(places.consider(&pool, WANT, Micros(2)).is_ok());
    }
}
