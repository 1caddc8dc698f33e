//! A role that was never let in, beside roles whose logins RDS throttles: whether it is denied, or throttled
//! like the others, shows only in how many of theirs pass. Budget and reactions in virtual time, around an
//! endpoint and pools that are a few lines each.

use super::*;
use crate::iam::budget::{Budget, Priority, Ticket};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How often whoever waits for what another login of its role hears looks again.
const LOOK: Micros = Micros::from_millis(50);

/// How long PostgreSQL takes from a login that is let in to ReadyForQuery.
const OPENING: Micros = Micros::from_millis(5);

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    /// Logins a second that pass.
    pub most: u64,
    /// Whether they pass evenly, or as many within any second.
    pub is_even: bool,
    pub roles: usize,
    /// Logins at a time that each role wants, without end.
    pub width: usize,
    pub login: Micros,
    /// How much later one hears that it is let in than that it is not: a session has to begin.
    pub opening: Micros,
    /// When the stranger comes, whose role was never let in.
    pub comes_at: Micros,
    pub is_denied: bool,
    pub seed: u64,
}

/// What became of the stranger.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    pub first_refused_at: Option<Micros>,
    pub called_denied_at: Option<Micros>,
    pub let_in_at: Option<Micros>,
    pub refusals: u32,
    /// Whether anybody else was called denied.
    pub is_crowd_denied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Turn,
    /// That slot looks whether its role may try.
    Wakes(usize),
    /// That slot's login, begun then, is over.
    Verdict(usize, Micros),
    /// That slot's session has begun.
    Opened(usize),
}

struct World {
    crowd: Crowd,
    now: Micros,
    events: BinaryHeap<Reverse<(Micros, usize, Happens)>>,
    planned: usize,
    dice: fastrand::Rng,
    budget: Budget,
    reactions: Reactions,
    /// The role of each slot; the last slot is the stranger's.
    slots: Vec<usize>,
    accepted_at: Vec<Option<Micros>>,
    /// Which slot of each role goes first, while it goes one at a time.
    leads: Vec<Option<usize>>,
    turns: HashMap<Ticket, usize>,
    passed: Vec<Micros>,
    fate: Fate,
}

impl World {
    fn new(crowd: Crowd) -> Self {
        let mut slots: Vec<usize> =
            (0..crowd.roles).flat_map(|role| std::iter::repeat_n(role, crowd.width)).collect();
        slots.push(crowd.roles);
        let mut world = Self {
            crowd,
            now: s(1),
            events: BinaryHeap::new(),
            planned: 0,
            dice: fastrand::Rng::with_seed(crowd.seed),
            budget: Budget::new(20, s(1)),
            reactions: Reactions::default(),
            accepted_at: vec![None; crowd.roles + 1],
            leads: vec![None; crowd.roles + 1],
            turns: HashMap::new(),
            passed: Vec::new(),
            fate: Fate::default(),
            slots,
        };
        for slot in 0..world.slots.len() {
            let at = if world.slots[slot] == crowd.roles { s(1) + crowd.comes_at } else { s(1) };
            world.plan(at, Happens::Wakes(slot));
        }
        world
    }

    fn plan(&mut self, at: Micros, what: Happens) {
        self.planned += 1;
        self.events.push(Reverse((at.max(self.now), self.planned, what)));
    }

    fn who(&self, slot: usize) -> Who {
        who(&format!("role{}", self.slots[slot]))
    }

    fn passes(&mut self) -> bool {
        let (now, most) = (self.now, self.crowd.most);
        self.passed.retain(|at| now.since(*at) < s(1));
        let passes = match self.crowd.is_even {
            true => self.passed.last().is_none_or(|at| now.since(*at).0 * most >= 1_000_000),
            false => self.passed.len() < most as usize,
        };
        if passes {
            self.passed.push(now);
        }
        passes
    }

    /// Asks for a turn, if the slot's role may try.
    fn wakes(&mut self, slot: usize) {
        if let Some(until) = self.held_back(slot) {
            return self.plan(until, Happens::Wakes(slot));
        }
        let ticket = self.budget.ask(Priority::Client, self.now);
        self.turns.insert(ticket, slot);
        self.gives_turns();
    }

    fn held_back(&mut self, slot: usize) -> Option<Micros> {
        let lead = &mut self.leads[self.slots[slot]];
        match self.reactions.admission(&who(&format!("role{}", self.slots[slot])), self.now) {
            Admission::Open => None,
            Admission::Closed(until) => Some(until),
            Admission::OneByOne if *lead.get_or_insert(slot) == slot => None,
            Admission::OneByOne => Some(self.now + LOOK),
        }
    }

    fn gives_turns(&mut self) {
        while let Some(turn) = self.budget.next(self.now) {
            let slot = self.turns.remove(&turn.ticket).expect("asked for");
            match self.held_back(slot) {
                Some(until) => self.plan(until, Happens::Wakes(slot)),
                None => {
                    let jitter = Micros(self.dice.u64(..2_000));
                    self.plan(self.now + self.crowd.login + jitter, Happens::Verdict(slot, self.now));
                }
            }
        }
        if let Some(at) = self.budget.next_at(self.now) {
            self.plan(at.max(self.now + Micros(1)), Happens::Turn);
        }
    }

    fn verdict(&mut self, slot: usize, begun_at: Micros) {
        let (role, name) = (self.slots[slot], self.who(slot));
        let is_stranger = role == self.crowd.roles;
        if self.passes() && !(is_stranger && self.crowd.is_denied) {
            return self.plan(self.now + self.crowd.opening, Happens::Opened(slot));
        }
        let let_in = match self.accepted_at[role] {
            None => LetIn::Never,
            Some(at) if self.now.since(at) < s(60) => LetIn::Lately,
            Some(_) => LetIn::Once,
        };
        let is_throttled = let_in == LetIn::Never && self.budget.is_throttled(self.now);
        let is_strained = self.budget.is_strained(begun_at, self.now) || is_throttled;
        let evidence = Evidence { is_strained, let_in, ..CALM };
        let jitter = self.dice.f64();
        let judged = self.reactions.failed(&name, &refused(), &evidence, begun_at, self.now, jitter).unwrap();
        if judged.class == Class::Throttled {
            self.budget.throttled(begun_at, self.now);
        }
        let is_denied = judged.class == Class::Denied;
        if is_stranger {
            self.fate.refusals += 1;
            self.fate.first_refused_at.get_or_insert(self.now);
            if is_denied && matches!(judged.step, Step::BackOff(_)) {
                self.fate.called_denied_at.get_or_insert(self.now);
            }
        }
        self.fate.is_crowd_denied |= is_denied && !is_stranger && matches!(judged.step, Step::BackOff(_));
        if let Step::BackOff(_) = judged.step {
            self.leads[role] = None;
        }
        self.leave_queue(role);
        self.plan(self.now, Happens::Wakes(slot));
    }

    fn opened(&mut self, slot: usize) {
        let (role, name) = (self.slots[slot], self.who(slot));
        self.reactions.accepted(&name, self.now);
        (self.accepted_at[role], self.leads[role]) = (Some(self.now), None);
        if role == self.crowd.roles {
            self.fate.let_in_at = Some(self.now);
        }
        self.plan(self.now, Happens::Wakes(slot));
    }

    /// Those of a role that is refused wait for one of them, and leave the queue.
    fn leave_queue(&mut self, role: usize) {
        let (gone, stay): (HashMap<_, _>, HashMap<_, _>) =
            self.turns.drain().partition(|(_, slot)| self.slots[*slot] == role);
        self.turns = stay;
        let mut gone: Vec<(Ticket, usize)> = gone.into_iter().collect();
        gone.sort_by_key(|(_, slot)| *slot);
        for (ticket, slot) in gone {
            self.budget.forget(ticket);
            self.plan(self.now, Happens::Wakes(slot));
        }
    }

    fn is_over(&self) -> bool {
        self.fate.let_in_at.or(self.fate.called_denied_at).is_some()
    }
}

/// Runs it until the stranger was let in or called denied, or for so long.
pub(super) fn fate(crowd: Crowd, most: Micros) -> Fate {
    let mut world = World::new(crowd);
    while let Some(Reverse((at, _, what))) = world.events.pop() {
        world.now = at;
        if world.is_over() || at > s(1) + crowd.comes_at + most {
            break;
        }
        match what {
            Happens::Turn => world.gives_turns(),
            Happens::Wakes(slot) => world.wakes(slot),
            Happens::Verdict(slot, begun_at) => world.verdict(slot, begun_at),
            Happens::Opened(slot) => world.opened(slot),
        }
    }
    world.fate
}

/// Crowds of these sizes (roles, logins of each), at servers that take 1 to 10 logins a second, with logins
/// that take so long. Nobody is denied, and the stranger comes at once.
fn crowds<const S: usize, const L: usize>(
    sizes: [(usize, usize); S],
    logins_ms: [u64; L],
) -> impl Iterator<Item = Crowd> {
    let all = sizes.into_iter().flat_map(|size| [1, 2, 5, 10].map(|most| (size, most)));
    let all = all.flat_map(move |(size, most)| logins_ms.map(|login_ms| (size, most, login_ms)));
    all.zip(0..).map(|(((roles, width), most, login_ms), seed)| Crowd {
        most,
        is_even: seed % 2 == 0,
        roles,
        width,
        login: Micros::from_millis(login_ms),
        opening: OPENING,
        comes_at: s(0),
        is_denied: false,
        seed,
    })
}

/// Crowds that want at least twice as many logins as pass.
fn throttled_crowds(comes_s: u64, is_denied: bool) -> impl Iterator<Item = Crowd> {
    let all = crowds([(1, 5), (1, 20), (5, 4), (20, 1), (40, 2)], [20, 300, 1000, 2000]);
    let wants_more =
        |crowd: &Crowd| (crowd.roles * crowd.width) as u64 * 1_000_000 >= 2 * crowd.most * crowd.login.0;
    all.filter(wants_more).map(move |crowd| {
        let comes_at = s(comes_s) + Micros::from_millis(37 * crowd.seed);
        Crowd { comes_at, is_denied, ..crowd }
    })
}

#[test]
fn one_that_is_throttled_like_the_others_is_not_called_denied() {
    for crowd in throttled_crowds(0, false).chain(throttled_crowds(60, false)) {
        let fate = fate(crowd, s(300));
        assert!(fate.let_in_at.is_some() && !fate.is_crowd_denied, "{crowd:?}: {fate:?}");
    }
}

#[test]
fn one_that_is_denied_among_throttled_ones_is_called_so_as_soon_as_it_has_had_its_turns() {
    for crowd in throttled_crowds(60, true).filter(|crowd| crowd.roles * crowd.width <= 20) {
        let fate = fate(crowd, s(300));
        let span = fate.called_denied_at.unwrap().since(fate.first_refused_at.unwrap());
        let bound = match crowd.most {
            1 => 80,
            2 => 55,
            _ => 20,
        };
        assert!(span < s(bound) && !fate.is_crowd_denied, "{span:?}, {crowd:?}: {fate:?}");
    }
}

/// A start where nothing is known yet: too few for the pace to be strained, too many for what passes.
#[test]
fn nobody_is_called_denied_where_a_few_begin_at_a_server_that_is_busy() {
    let sizes = [(2, 1), (2, 4), (3, 1), (3, 2), (5, 1), (5, 3), (8, 1), (16, 1)];
    for crowd in crowds(sizes, [20, 100, 300]) {
        let fate = fate(crowd, s(60));
        assert!(fate.let_in_at.is_some() && !fate.is_crowd_denied, "{crowd:?}: {fate:?}");
    }
}
