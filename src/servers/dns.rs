//! Looking up servers' hosts: the system's resolver behind a cache.
//!
//! One look-up per name at a time, whoever else wants it waits for it; answers are kept for `dns_max_ttl`,
//! failures for `dns_nxdomain_ttl`; the addresses of a name take turns. Source: PgBouncer, doc/config.md
//! (`dns_max_ttl`, `dns_nxdomain_ttl`), doc/usage.md (SHOW DNS_HOSTS).

use crate::base::{Micros, limits};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of hosts and their addresses.
#[derive(Default)]
pub struct Dns {
    names: Mutex<BTreeMap<Arc<str>, Arc<Name>>>,
}

#[derive(Default)]
struct Name {
    /// Held while the name is looked up.
    flight: tokio::sync::Mutex<()>,
    answer: Mutex<Option<Answer>>,
    /// What was found last, whatever has become of later look-ups.
    found: Mutex<Option<Arc<[IpAddr]>>>,
    turn: AtomicUsize,
}

/// What was found.
#[derive(Clone)]
struct Answer {
    addresses: Arc<[IpAddr]>,
    /// Why there is none, in the system's words.
    why: Option<Arc<str>>,
    until: Micros,
}

/// What is known of a host's addresses.
#[derive(Debug)]
pub struct Found {
    /// They, beginning with the one whose turn it is; none where it cannot be looked up.
    pub addresses: Vec<IpAddr>,
    /// Why there is none, in the system's words.
    pub why: Option<Arc<str>>,
    /// It was looked up just now, and had been before: what is connected to another address is left behind.
    pub is_news: bool,
}

/// How long answers are kept.
#[derive(Clone, Copy, Debug)]
pub struct Ttl {
    /// `dns_max_ttl`.
    pub found: Micros,
    /// `dns_nxdomain_ttl`.
    pub not_found: Micros,
}

/// One row of SHOW DNS_HOSTS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRow {
    /// The name.
    pub hostname: String,
    /// Seconds for which it is still kept.
    pub ttl_s: u64,
    /// Its addresses, none where the look-up failed or is under way.
    pub addresses: Vec<IpAddr>,
}

impl Dns {
    /// The addresses of `host`. `now` is read again when the answer is there.
    ///
    /// # Cancel safety
    /// Dropping it leaves the look-up to others who wait for the same name.
    pub async fn look_up(&self, host: &str, ttl: Ttl, now: impl Fn() -> Micros) -> Found {
        let name = self.name(host, now());
        if let Some(answer) = name.fresh(now()) {
            return name.told(answer, false);
        }
        let _flight = name.flight.lock().await;
        if let Some(answer) = name.fresh(now()) {
            return name.told(answer, false);
        }
        let found = tokio::net::lookup_host((host, 0)).await;
        let found = found.map(|found| found.map(|address| address.ip()).collect());
        let had_some = name.found().is_some();
        let answer = name.learn(found.map_err(|error| error.to_string()), ttl, now());
        let is_news = had_some && answer.why.is_none();
        name.told(answer, is_news)
    }

    /// The addresses of `host` where `address` is none of them any more.
    pub fn left_behind(&self, host: &str, address: IpAddr) -> Option<Arc<[IpAddr]>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(host)?.found().filter(|addresses| !addresses.contains(&address))
    }

    fn name(&self, host: &str, now: Micros) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(host) {
            return Arc::clone(name);
        }
        if names.len() >= limits::DNS_NAMES_MAX {
            names.retain(|_, name| name.fresh(now).is_some());
        }
        let name = Arc::new(Name::default());
        if names.len() < limits::DNS_NAMES_MAX {
            names.insert(host.into(), Arc::clone(&name));
        }
        name
    }

    /// Names that are being looked up.
    pub fn in_flight(&self) -> usize {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.values().filter(|name| name.flight.try_lock().is_err()).count()
    }

    /// SHOW DNS_HOSTS, by name.
    pub fn rows(&self, now: Micros) -> Vec<DnsRow> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |(host, name): (&Arc<str>, &Arc<Name>)| {
            let answer = name.answer();
            DnsRow {
                hostname: host.to_string(),
                ttl_s: answer.as_ref().map_or(0, |answer| answer.until.since(now).as_secs()),
                addresses: answer.map(|answer| answer.addresses.to_vec()).unwrap_or_default(),
            }
        };
        names.iter().map(row).collect()
    }
}

impl Name {
    fn answer(&self) -> Option<Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn found(&self) -> Option<Arc<[IpAddr]>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self, now: Micros) -> Option<Answer> {
        self.answer().filter(|answer| now < answer.until)
    }

    fn learn(&self, found: Result<Vec<IpAddr>, String>, ttl: Ttl, now: Micros) -> Answer {
        let (mut found, why) = match found {
            Ok(found) if found.is_empty() => (found, Some("it has no address".into())),
            Ok(found) => (found, None),
            Err(why) => (Vec::new(), Some(why.into())),
        };
        let mut seen = std::collections::HashSet::new();
        found.retain(|address| seen.insert(*address));
        let kept = if why.is_some() { ttl.not_found } else { ttl.found };
        let answer = Answer { addresses: found.into(), why, until: now + kept };
        if answer.why.is_none() {
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&answer.addresses));
        }
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        answer
    }

    fn told(&self, answer: Answer, is_news: bool) -> Found {
        Found { addresses: self.next(&answer), why: answer.why, is_news }
    }

    fn next(&self, answer: &Answer) -> Vec<IpAddr> {
        let mut addresses = answer.addresses.to_vec();
        if !addresses.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            addresses.rotate_left(turn % answer.addresses.len());
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Ttl = Ttl { found: Micros::from_secs(15), not_found: Micros::from_secs(5) };

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn addresses_take_turns_until_their_time_is_over() {
        let dns = Dns::default();
        let name = dns.name("db", Micros(0));
        let answer = name.learn(Ok(vec![ip(1), ip(2), ip(1)]), TTL, Micros(0));
        let turns: Vec<_> = (0..3).map(|_| name.next(&answer)).collect();
        assert_eq!(turns, [[ip(1), ip(2)], [ip(2), ip(1)], [ip(1), ip(2)]]);
        assert!(name.fresh(Micros::from_secs(14)).is_some());
        assert!(name.fresh(Micros::from_secs(15)).is_none());
        let rows = dns.rows(Micros::from_secs(5));
        assert_eq!(rows, [DnsRow { hostname: "db".into(), ttl_s: 10, addresses: vec![ip(1), ip(2)] }]);
    }

    #[test]
    fn so_many_names_are_kept_and_those_go_that_are_out_of_date() {
        let dns = Dns::default();
        let count = || dns.names.lock().unwrap().len();
        for number in 0..limits::DNS_NAMES_MAX {
            dns.name(&format!("host{number}"), Micros(0)).learn(Ok(vec![ip(1)]), TTL, Micros(0));
        }
        dns.name("one-more", Micros(1));
        assert_eq!(count(), limits::DNS_NAMES_MAX, "all are fresh: it is looked up each time");
        dns.name("one-more", TTL.found);
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_failure_is_remembered_too() {
        let name = Name::default();
        let answer = name.learn(Err("not known".into()), TTL, Micros(0));
        assert_eq!((name.next(&answer), answer.why.as_deref()), (Vec::new(), Some("not known")));
        let empty = name.learn(Ok(Vec::new()), TTL, Micros(0));
        assert_eq!(empty.why.as_deref(), Some("it has no address"));
        assert!(name.fresh(Micros::from_secs(4)).is_some());
        assert!(name.fresh(Micros::from_secs(5)).is_none());
    }

    #[test]
    fn who_is_left_behind_is_known_although_a_look_up_has_failed_meanwhile() {
        let dns = Dns::default();
        let name = dns.name("db", Micros(0));
        assert!(dns.left_behind("db", ip(1)).is_none() && dns.left_behind("other", ip(1)).is_none());
        name.learn(Ok(vec![ip(1)]), TTL, Micros(0));
        name.learn(Err("not known".into()), TTL, Micros(1));
        assert!(dns.left_behind("db", ip(1)).is_none(), "a failure moves nobody");
        name.learn(Ok(vec![ip(2)]), TTL, Micros(2));
        assert_eq!(dns.left_behind("db", ip(1)).as_deref(), Some(&[ip(2)][..]));
    }

    #[tokio::test]
    async fn localhost_is_found_once_and_kept() {
        let dns = Dns::default();
        let first = dns.look_up("localhost", TTL, || Micros(0)).await;
        assert!(!first.is_news, "nobody can be connected to it yet");
        let first = first.addresses;
        assert!(!first.is_empty() && first.iter().all(IpAddr::is_loopback));
        assert_eq!(dns.rows(Micros(0)).len(), 1);
        assert!(!dns.look_up("localhost", TTL, || Micros(0)).await.is_news);
        let expired = dns.look_up("localhost", TTL, || Micros::from_secs(20)).await;
        assert_eq!((expired.addresses.len(), expired.is_news), (first.len(), true));
        assert_eq!(dns.rows(Micros::from_secs(20))[0].ttl_s, 15);
    }
}
