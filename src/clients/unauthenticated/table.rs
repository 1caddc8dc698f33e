//! Who may come in, and who has to go: the decisions about clients that have not proven who they are.
//!
//! No clock of its own, no socket, no waiting: the callers say what time it is, and carry out what
//! is decided. So the simulation runs the same table. A member counts from `enter` to `leave`,
//! and nobody counts twice.

use crate::base::{Address, Micros, Network};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Since when a client has been waited for; shared with its login, which writes it without the table's lock.
#[derive(Debug)]
pub struct Waited(AtomicU64);

impl Waited {
    /// For its first message.
    pub fn since(now: Micros) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now.0)))
    }

    /// It has done a step: from now on it is waited for anew.
    pub fn step(&self, now: Micros) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    /// It waits for us, until its next step.
    pub fn pause(&self) {
        self.0.store(Micros::NEVER.0, Ordering::Relaxed);
    }

    /// Since when it is waited for.
    #[cfg(test)]
    pub(super) fn waited_since(&self) -> Option<Micros> {
        self.late_since(Micros::NEVER, Micros(0))
    }

    /// Since when, if that is `grace` or longer.
    fn late_since(&self, now: Micros, grace: Micros) -> Option<Micros> {
        let since = Micros(self.0.load(Ordering::Relaxed));
        (since != Micros::NEVER && now.since(since) >= grace).then_some(since)
    }
}

/// All clients that have not proven who they are; each has a `W`, by which it can be told to go.
#[derive(Debug)]
pub struct UnauthenticatedTable<W> {
    /// How long a member may be waited for while others want its place.
    grace: Micros,
    next: u64,
    members: BTreeMap<u64, Member<W>>,
    networks: HashMap<Network, usize>,
    cut_off: u64,
}

#[derive(Debug)]
struct Member<W> {
    network: Network,
    waited: Arc<Waited>,
    /// It has been told to go, and has not answered.
    is_told: bool,
    word: W,
}

impl<W> UnauthenticatedTable<W> {
    /// Nobody here yet.
    pub fn new(grace: Micros) -> Self {
        Self { grace, next: 0, members: BTreeMap::new(), networks: HashMap::new(), cut_off: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// How many had to go since the start.
    pub fn cut_off(&self) -> u64 {
        self.cut_off
    }

    /// Adds one, if there are fewer than `limit`; the number by which it is known from here on.
    pub fn enter_below(
        &mut self,
        limit: usize,
        remote: &Address,
        waited: &Arc<Waited>,
        word: W,
    ) -> Option<u64> {
        (self.count() < limit).then(|| self.enter(remote, waited, word))
    }

    /// Adds one, whatever the limit.
    pub fn enter(&mut self, remote: &Address, waited: &Arc<Waited>, word: W) -> u64 {
        let (number, network) = (self.next, remote.network());
        self.next += 1;
        *self.networks.entry(network).or_default() += 1;
        self.members.insert(number, Member { network, waited: Arc::clone(waited), is_told: false, word });
        number
    }

    /// Somebody wants in: one that is late is to be told to go, if there is one that has not been told yet.
    /// Of the network with the most members, the one that is silent longest.
    pub fn tell_one(&mut self, now: Micros) -> Option<&W> {
        let (grace, networks) = (self.grace, &self.networks);
        let of_network = |member: &Member<W>| networks.get(&member.network).copied().unwrap_or_default();
        let untold = self.members.values_mut().filter(|member| !member.is_told);
        let late = untold.filter_map(|member| Some((member.waited.late_since(now, grace)?, member)));
        let (_, member) = late.max_by_key(|(since, member)| (of_network(member), Reverse(*since)))?;
        member.is_told = true;
        Some(&member.word)
    }

    /// What the member `number` does about having been told: whether it still has to go. It may have moved
    /// on since, or be waiting for us now; then it stays, and may be told again. Who has left does not
    /// count, and stays in any case.
    pub fn has_to_go(&mut self, number: u64, now: Micros) -> bool {
        let Some(member) = self.members.get_mut(&number) else { return false };
        let has_to = member.waited.late_since(now, self.grace).is_some();
        member.is_told = has_to;
        self.cut_off += u64::from(has_to);
        has_to
    }

    /// It has proven who it is, or is gone: it does not count any more. Whether it did.
    pub fn leave(&mut self, number: u64) -> bool {
        let Some(member) = self.members.remove(&number) else { return false };
        if let Some(count) = self.networks.get_mut(&member.network) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&member.network);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Micros = Micros(1_000);

    struct Room(UnauthenticatedTable<&'static str>, BTreeMap<&'static str, (u64, Arc<Waited>)>);

    impl Room {
        fn new() -> Self {
            Self(UnauthenticatedTable::new(GRACE), BTreeMap::new())
        }

        fn enter(&mut self, name: &'static str, address: &str, at: u64) {
            let (remote, waited) = (from(address), Waited::since(Micros(at)));
            let number = self.0.enter(&remote, &waited, name);
            self.1.insert(name, (number, waited));
        }

        fn told(&mut self, at: u64) -> Option<&'static str> {
            self.0.tell_one(Micros(at)).copied()
        }

        fn goes(&mut self, name: &str, at: u64) -> bool {
            self.0.has_to_go(self.1[name].0, Micros(at))
        }

        fn leaves(&mut self, name: &str) -> bool {
            self.0.leave(self.1[name].0)
        }
    }

    fn from(address: &str) -> Address {
        Address::Tcp(format!("{address}:1").parse().unwrap())
    }

    #[test]
    fn of_the_busiest_network_the_one_that_is_silent_longest_has_to_go() {
        let mut room = Room::new();
        room.enter("alone", "10.0.0.1", 0);
        room.enter("one", "[2001:db8::1]", 300);
        room.enter("other", "[2001:db8::2:1]", 200);
        assert_eq!(room.told(999), None, "nobody is late");
        assert_eq!(room.told(1_300), Some("other"));
        assert!(room.goes("other", 1_300) && room.leaves("other"));
        assert_eq!(room.told(1_300), Some("alone"), "each network has one left");
        assert_eq!((room.told(1_300), room.told(1_300)), (Some("one"), None), "nobody is told twice");
        assert_eq!((room.0.count(), room.0.cut_off()), (2, 1));
    }

    #[test]
    fn who_moves_on_or_waits_for_us_stays() {
        let mut room = Room::new();
        room.enter("she", "10.0.0.1", 0);
        room.1["she"].1.pause();
        assert_eq!(room.told(5_000), None, "it waits for us");
        room.1["she"].1.step(Micros(5_000));
        assert_eq!((room.told(5_999), room.told(6_000)), (None, Some("she")));
        room.1["she"].1.step(Micros(6_000));
        assert!(!room.goes("she", 6_001), "it has moved on");
        assert_eq!(room.told(7_000), Some("she"), "it may be told again");
        assert!(room.leaves("she") && !room.goes("she", 9_000), "it has proven who it is");
        assert_eq!((room.leaves("she"), room.0.count(), room.0.cut_off()), (false, 0, 0));
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let mut table = UnauthenticatedTable::new(GRACE);
        let (waited, remote) = (Waited::since(Micros(0)), from("10.0.0.1"));
        let mut enter = || table.enter_below(2, &remote, &waited, ());
        assert_eq!([enter(), enter(), enter()], [Some(0), Some(1), None]);
    }
}
