//! What a pool's servers that grow old are worth, and how many of them are to go.

use super::PoolShare;
use crate::base::Micros;
use crate::base::sync::{AtomicU32, Ordering};
use crate::core::pool::stance::Stance;

impl PoolShare {
    /// A server is kept beyond its hard age.
    pub(in crate::core) fn note_overstay(&self) {
        self.overstay.store(true, Ordering::Release);
    }

    /// Whether a server was seen to be kept beyond its hard age since [`PoolShare::take_overstay`]; workers
    /// look at those that are free at each pass.
    pub fn has_overstay(&self) -> bool {
        self.overstay.load(Ordering::Acquire)
    }

    /// The same, and forgets it.
    pub fn take_overstay(&self) -> bool {
        self.overstay.swap(false, Ordering::AcqRel)
    }

    /// What becomes of servers as their authorizations grow old.
    pub fn stance(&self) -> Stance {
        Stance::ALL[usize::from(self.stance.load(Ordering::Acquire))]
    }

    /// Set by the login plane whenever what it knows of the pool user's logins has changed.
    pub fn set_stance(&self, stance: Stance) {
        self.stance.store(stance as u8, Ordering::Release);
    }

    /// How old an authorization of the pool's servers may grow, whatever it was when they were logged in to.
    pub fn max_age(&self) -> Micros {
        Micros(self.max_age.load(Ordering::Acquire))
    }

    /// Set by the login plane after a reload or SET; workers see it at their next pass.
    pub fn set_max_age(&self, age: Micros) {
        self.max_age.store(age.0, Ordering::Release);
    }

    /// Whether one server may be closed for its age: at most one per `spacing` over all workers
    /// (PgBouncer spreads lifetime closes `server_lifetime / pool_size` apart).
    pub fn may_close_for_age(&self, now: Micros, spacing: Micros) -> bool {
        self.lifetime_close.take(now, spacing)
    }

    /// Whether a replacement of a server past its soft age may be asked for: over all workers not within
    /// `gap` of the last one, however wide the gap was that the server of that one had time for.
    pub fn may_ask_for_renewal(&self, now: Micros, gap: Micros) -> bool {
        now.0 >= self.renewal_not_before.load(Ordering::Acquire) && self.renewal.take(now, gap)
    }

    /// Set by the ledger where nothing can be replaced now: asking is in vain until then, and
    /// then the next one may ask.
    pub fn postpone_renewal(&self, until: Micros) {
        self.renewal_not_before.store(until.0, Ordering::Release);
        self.renewal.forget();
    }

    /// One more server past its soft age is to be closed: its replacement has come, or can only come after.
    pub fn want_retirement(&self) {
        self.retirements.fetch_add(1, Ordering::AcqRel);
    }

    /// Servers past their soft age that are still to be closed.
    pub fn wanted_retirements(&self) -> u32 {
        self.retirements.load(Ordering::Acquire)
    }

    /// Whether a server past its soft age is still to be closed.
    pub fn is_retirement_wanted(&self) -> bool {
        self.wanted_retirements() > 0
    }

    /// Whether the caller is the one to close a server past its soft age.
    pub fn take_retirement(&self) -> bool {
        self.is_retirement_wanted() && take_one(&self.retirements)
    }

    /// A server has ended that was not retired: a renewal that is under way need not retire
    /// another one when it has come.
    pub fn note_departure(&self) {
        self.departed.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether one has ended by itself since the first of the renewals that are under way
    /// began; each counts once.
    pub(in crate::core) fn take_departed(&self) -> bool {
        take_one(&self.departed)
    }

    /// The first of the renewals that will be under way begins.
    pub(in crate::core) fn forget_departed(&self) {
        self.departed.store(0, Ordering::Release);
    }
}

/// Takes one off, if there is one.
fn take_one(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1)).is_ok()
}
