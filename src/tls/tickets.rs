//! The keys that seal clients' TLS sessions into tickets, so that a client which comes again
//! need not shake hands anew.
//!
//! A ticket holds the session itself, sealed: nothing is kept here for a client. The newest key seals, it and
//! the one before it open; what is older is forgotten, also where nobody has come meanwhile. Keys are random,
//! in memory alone, and of one
//! [`super::client::Acceptor`]: what it was made from has its own. Never says who may have a ticket.
//! Source: RFC 5077 §4 and §5.5 (TLS 1.2), RFC 8446 §4.6.1 and §8 (no early data is taken, so
//! nothing can be replayed).

use crate::base::{Micros, limits};
use crate::io::Clock;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// For so long one key seals; it opens for as long again.
const PERIOD: Micros = Micros::from_secs(limits::TLS_TICKET_KEY_S as u64);

/// The keys of one acceptor.
pub(super) struct TicketKeys {
    clock: Clock,
    keys: RwLock<Keys>,
}

/// `None`: there is none yet, or no randomness to make it of.
#[derive(Clone, Default)]
struct Keys {
    newest: Option<Key>,
    before: Option<Key>,
}

#[derive(Clone)]
struct Key {
    made_at: Micros,
    sealer: Arc<dyn ProducesTickets>,
}

impl TicketKeys {
    /// None made yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, keys: RwLock::default() }
    }

    fn seal_at(&self, now: Micros, session: &[u8]) -> Option<Vec<u8>> {
        self.keys_at(now).newest?.sealer.encrypt(session)
    }

    fn open_at(&self, now: Micros, ticket: &[u8]) -> Option<Vec<u8>> {
        let Keys { newest, before } = self.keys_at(now);
        [newest, before].into_iter().flatten().find_map(|key| key.sealer.decrypt(ticket))
    }

    /// The keys that are good at `now`; makes and forgets what there is to make and to forget.
    fn keys_at(&self, now: Micros) -> Keys {
        let known = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.are_good_at(now) {
            return known;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.renew(now);
        keys.clone()
    }
}

impl Keys {
    fn are_good_at(&self, now: Micros) -> bool {
        let is_younger = |key: &Key, age: Micros| now.since(key.made_at) < age;
        self.newest.as_ref().is_some_and(|key| is_younger(key, PERIOD))
            && self.before.as_ref().is_none_or(|key| is_younger(key, PERIOD + PERIOD))
    }

    fn renew(&mut self, now: Micros) {
        if self.newest.as_ref().is_none_or(|key| now.since(key.made_at) >= PERIOD) {
            // A sealer of the library turns its own keys, too, but only after hours.
            let sealer = Ticketer::new().ok();
            let newest = sealer.map(|sealer| Key { made_at: now, sealer });
            self.before = std::mem::replace(&mut self.newest, newest);
        }
        self.before.take_if(|key| now.since(key.made_at) >= PERIOD + PERIOD);
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    /// What clients are told: so long every ticket is good, whenever its key was made.
    fn lifetime(&self) -> u32 {
        limits::TLS_TICKET_KEY_S
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal_at(self.clock.now(), plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open_at(self.clock.now(), cipher)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &[u8] = b"a session";

    #[test]
    fn a_ticket_is_good_for_a_period_and_never_longer_than_two() {
        let keys = TicketKeys::new(Clock::new());
        let begun = Micros::from_secs(5);
        let sealed = |at| keys.seal_at(at, SESSION).expect("sealed");
        let early = sealed(begun);
        let late = sealed(begun + PERIOD - Micros(1));
        let next = sealed(begun + PERIOD);
        for (after, opened) in [(PERIOD + PERIOD - Micros(1), Some(SESSION)), (PERIOD + PERIOD, None)] {
            for ticket in [&early, &late] {
                assert_eq!(keys.open_at(begun + after, ticket).as_deref(), opened, "{after:?}");
            }
        }
        assert!(keys.open_at(begun + PERIOD + PERIOD, &next).is_some(), "of a younger key");
    }

    #[test]
    fn a_key_that_nobody_has_used_for_long_opens_nothing() {
        let keys = TicketKeys::new(Clock::new());
        let ticket = keys.seal_at(Micros(0), SESSION).expect("sealed");
        assert_eq!(keys.open_at(PERIOD + PERIOD, &ticket), None, "although none was made meanwhile");
        let known = keys.keys.read().unwrap().clone();
        assert!(known.before.is_none() && known.newest.is_some());
    }

    #[test]
    fn a_ticket_that_was_changed_or_is_of_others_opens_nothing() {
        let (keys, others) = (TicketKeys::new(Clock::new()), TicketKeys::new(Clock::new()));
        let ticket = keys.encrypt(SESSION).expect("sealed");
        assert_eq!(keys.decrypt(&ticket).as_deref(), Some(SESSION));
        assert!(others.encrypt(SESSION).is_some() && others.decrypt(&ticket).is_none());
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(keys.decrypt(&changed), None, "byte {at}");
            assert_eq!(keys.decrypt(&ticket[..at]), None, "its first {at} bytes");
        }
    }
}
