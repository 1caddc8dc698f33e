//! What operators are told of an issuer: how its keys stand, how logins by its tokens ended.

use super::Issuers;
use crate::base::Micros;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One issuer, as SHOW ISSUERS and the metrics tell it. Never holds a key or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerReport {
    /// The entry's name.
    pub name: Arc<str>,
    /// What tokens say in `iss`.
    pub issuer: Arc<str>,
    /// How many keys there are.
    pub keys: usize,
    /// When they were fetched last, in seconds since the epoch, and how long that is ago; `None`: never.
    pub fetched: Option<(u64, Micros)>,
    /// How long until the next fetch.
    pub next_in: Micros,
    /// Why the last fetch brought no keys.
    pub last_error: Option<String>,
    /// Logins by its tokens that were accepted, and refused.
    pub logins: [u64; 2],
    /// Fetches that brought keys, and that did not.
    pub fetches: [u64; 2],
}

impl Issuers {
    /// All of them.
    pub(crate) fn report(&self) -> Vec<IssuerReport> {
        let now = self.clock.now();
        let all = self.all.load();
        let of = |(name, issuer): (&Arc<str>, &super::Issuer)| {
            let memory = issuer.keeper.memory();
            let logins = [&issuer.logins.accepted, &issuer.logins.refused];
            IssuerReport {
                name: Arc::clone(name),
                issuer: issuer.keeper.issuer(),
                keys: memory.keys.as_ref().map_or(0, |keys| keys.len()),
                fetched: memory.fetched_at.map(|at| (memory.fetched_at_epoch_s, now.since(at))),
                next_in: memory.next_at.since(now),
                last_error: memory.failure.as_ref().map(ToString::to_string),
                logins: logins.map(|count| count.load(Ordering::Relaxed)),
                fetches: issuer.keeper.fetches(),
            }
        };
        all.iter().map(of).collect()
    }
}
