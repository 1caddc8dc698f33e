//! The door: clients before they have proven who they are, and those who never do. Who comes in and who has
//! to go is decided by `clients::UnauthenticatedTable`, the program's own; chance and virtual time stand in
//! for sockets, listening loops and logins.
//!
//! Asserted beside it, from what the guests themselves know: never more inside than the limit; nobody has to
//! go but one that was waited for longer than the grace, and of those the right one; a free place stays empty
//! no longer than a loop looks again; whoever moves on in time comes through.

use super::ear;
use super::ground::{Event, Ground};
use super::plan::Plan;
use super::rng::Rng;
use super::world::World;
use pgweir::base::{Address, Micros};
use pgweir::clients::{UnauthenticatedTable, Waited};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

/// Far more than any guest's steps take, as a multiple of the grace.
const PATIENCE_GRACES: u64 = 12;

pub const CUT_OFF: &str = "a login has to go, and one that waits comes in";
pub const MOVED_ON: &str = "a login that is told to go has moved on";

pub struct Door {
    rng: Rng,
    table: UnauthenticatedTable<usize>,
    limit: usize,
    grace_us: u64,
    /// Between two looks of a loop.
    poll_us: u64,
    origins: u64,
    guests: Vec<Guest>,
    /// Not accepted yet.
    queue: VecDeque<usize>,
    loops: Vec<Loop>,
    /// Since when a loop has had somebody, and there is room.
    idle_since: Option<u64>,
    cut_off: u64,
}

/// What accepts at one listening socket.
#[derive(Clone, Copy, Debug, Default)]
struct Loop {
    /// Whom it has accepted and found no room for.
    guest: Option<usize>,
    /// How often it has begun to wait.
    polls: u64,
}

/// One that comes.
struct Guest {
    /// A client of this run, which will be served; others only take a place.
    is_client: bool,
    origin: u64,
    steps: VecDeque<Step>,
    waited: Arc<Waited>,
    /// Since when it has been waited for, as it knows itself; `None` while it waits for the pooler.
    silent_since: Option<u64>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    /// Inside, as the table's member of that number.
    Inside {
        number: u64,
        is_told: bool,
    },
    Gone,
}

/// What a guest does next, after so many microseconds.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Its message is complete.
    Says(u64),
    /// The pooler lets it wait (auth_query, PBKDF2).
    WaitsForUs(u64),
    /// It is through: has proven who it is, or goes.
    Leaves(u64),
}

impl Door {
    /// Some worlds have one.
    pub fn draw(mut rng: Rng, plan: &Plan) -> Option<Self> {
        (plan.faults && rng.percent(30)).then(|| {
            let grace_us = *rng.pick(&[2_000, 10_000, 40_000]);
            Self {
                table: UnauthenticatedTable::new(Micros(grace_us)),
                limit: rng.range(1, 5) as usize,
                grace_us,
                poll_us: grace_us / 20,
                origins: rng.range(1, 4),
                guests: Vec::new(),
                queue: VecDeque::new(),
                loops: vec![Loop::default(); rng.range(1, 2) as usize],
                idle_since: None,
                cut_off: 0,
                rng,
            }
        })
    }

    /// Nobody is before it or in it.
    pub fn is_empty(&self) -> bool {
        self.guests.iter().all(|guest| guest.place == Place::Gone)
    }

    /// A new guest, at the end of the queue.
    fn queue(&mut self, is_client: bool, ground: &mut Ground) {
        let steps = if is_client { self.quick() } else { self.any() };
        let index = self.guests.len();
        let origin = self.rng.below(self.origins);
        let waited = Waited::since(Micros(0));
        self.guests.push(Guest {
            is_client,
            origin,
            steps,
            waited,
            silent_since: None,
            place: Place::Outside,
        });
        self.queue.push_back(index);
        ground.log(|| format!("guest {index} comes: client {is_client}, {:?}", self.guests[index].steps));
        for number in 0..self.loops.len() {
            ground.after(0, Event::DoorLoop(number, None));
        }
    }

    /// Moves on in time, whatever the pooler needs.
    fn quick(&mut self) -> VecDeque<Step> {
        let mut steps = VecDeque::new();
        for _ in 0..self.rng.range(1, 4) {
            steps.push_back(Step::Says(self.rng.below(self.grace_us)));
            if self.rng.percent(30) {
                steps.push_back(Step::WaitsForUs(self.rng.below(4 * self.grace_us)));
            }
        }
        steps.push_back(Step::Leaves(0));
        steps
    }

    /// Quick, silent for ever, late again and again, or always just in time until its patience
    /// ends; or it goes by itself.
    fn any(&mut self) -> VecDeque<Step> {
        let patience = PATIENCE_GRACES * self.grace_us;
        match self.rng.below(5) {
            0 => self.quick(),
            1 => VecDeque::from([Step::Leaves(patience)]),
            2 => {
                let mut late = || Step::Says(self.rng.range(self.grace_us, 2 * self.grace_us));
                VecDeque::from([late(), late(), late(), Step::Leaves(patience)])
            }
            3 => (0..PATIENCE_GRACES)
                .map(|_| Step::Says(self.grace_us - 1))
                .chain([Step::Leaves(self.grace_us)])
                .collect(),
            _ => VecDeque::from([Step::Leaves(self.rng.below(2 * self.grace_us))]),
        }
    }

    /// A listening loop looks whether whom it has can come in; it takes the next from the queue
    /// first, if it has nobody.
    fn look(&mut self, number: usize, poll: Option<u64>, ground: &mut Ground) {
        if poll.is_some_and(|poll| poll != self.loops[number].polls) {
            return; // it has looked meanwhile
        }
        let Some(index) = self.loops[number].guest.or_else(|| self.queue.pop_front()) else { return };
        let guest = &mut self.guests[index];
        let (now, remote) = (Micros(ground.now), remote(guest.origin));
        let waited = Waited::since(now);
        match self.table.enter_below(self.limit, &remote, &waited, index) {
            Some(member) => {
                self.loops[number].guest = None;
                ground.log(|| format!("guest {index} is let in"));
                (guest.waited, guest.silent_since) = (waited, Some(ground.now));
                guest.place = Place::Inside { number: member, is_told: false };
                self.goes_on(index, ground);
                ground.after(0, Event::DoorLoop(number, None));
            }
            None => {
                let polls = self.loops[number].polls + 1;
                self.loops[number] = Loop { guest: Some(index), polls };
                self.makes_room(ground);
                ground.after(self.poll_us, Event::DoorLoop(number, Some(polls)));
            }
        }
    }

    fn makes_room(&mut self, ground: &mut Ground) {
        let right = self.right_one(ground.now);
        let told = self.table.tell_one(Micros(ground.now)).copied();
        let Some(index) = told else {
            assert_eq!(right, None, "somebody is late, and nobody is told");
            return;
        };
        let rank = |index: usize| self.rank(index, ground.now);
        assert_eq!(
            rank(index),
            right.and_then(rank),
            "guest {index} is told to go, which is not the right one"
        );
        if let Place::Inside { is_told, .. } = &mut self.guests[index].place {
            *is_told = true;
        }
        ground.log(|| format!("guest {index} is told to go"));
        ground.after(self.rng.below(self.grace_us / 2), Event::DoorWord(index));
    }

    /// How much it is this one that has to go; `None`: it has not to.
    fn rank(&self, index: usize, now: u64) -> Option<(usize, Reverse<u64>)> {
        let guest = &self.guests[index];
        let Place::Inside { is_told: false, .. } = guest.place else { return None };
        let silent_since = guest.silent_since.filter(|since| now - since >= self.grace_us)?;
        let is_kin =
            |other: &&Guest| other.origin == guest.origin && matches!(other.place, Place::Inside { .. });
        Some((self.guests.iter().filter(is_kin).count(), Reverse(silent_since)))
    }

    fn right_one(&self, now: u64) -> Option<usize> {
        let late = (0..self.guests.len()).filter(|index| self.rank(*index, now).is_some());
        late.max_by_key(|index| self.rank(*index, now))
    }

    /// A login hears that it has to go.
    fn word(&mut self, index: usize, ground: &mut Ground) {
        let guest = &mut self.guests[index];
        let Place::Inside { number, .. } = guest.place else {
            return; // it has left meanwhile
        };
        let is_late = guest.silent_since.is_some_and(|since| ground.now - since >= self.grace_us);
        assert_eq!(self.table.has_to_go(number, Micros(ground.now)), is_late, "guest {index} stays or goes");
        if is_late {
            assert!(!guest.is_client, "guest {index} has moved on in time, and is cut off");
            self.cut_off += 1;
            ear::hear(CUT_OFF);
            self.leaves(index, ground);
        } else {
            ear::hear(MOVED_ON);
            guest.place = Place::Inside { number, is_told: false };
        }
    }

    fn goes_on(&mut self, index: usize, ground: &mut Ground) {
        let steps = &mut self.guests[index].steps;
        let (Step::Says(us) | Step::WaitsForUs(us) | Step::Leaves(us)) =
            *steps.front().expect("the last step is to leave");
        ground.after(us, Event::DoorStep(index));
    }

    /// A guest does its step; whether it is a client that is through.
    fn step(&mut self, index: usize, ground: &mut Ground) -> bool {
        let now = ground.now;
        let guest = &mut self.guests[index];
        if guest.place == Place::Gone {
            return false; // it was cut off
        }
        match guest.steps.pop_front().expect("it had one to do") {
            Step::Leaves(_) => {
                self.leaves(index, ground);
                return self.guests[index].is_client;
            }
            Step::Says(_) | Step::WaitsForUs(_) => {
                guest.waited.step(Micros(now));
                guest.silent_since = Some(now);
            }
        }
        if let Some(Step::WaitsForUs(_)) = guest.steps.front() {
            guest.waited.pause();
            guest.silent_since = None;
        }
        self.goes_on(index, ground);
        false
    }

    fn leaves(&mut self, index: usize, ground: &mut Ground) {
        let Place::Inside { number, .. } = self.guests[index].place else {
            panic!("guest {index} is inside")
        };
        self.guests[index].place = Place::Gone;
        assert!(self.table.leave(number) && !self.table.leave(number), "guest {index} counts once");
        ground.log(|| format!("guest {index} leaves"));
        for number in 0..self.loops.len() {
            ground.after(0, Event::DoorLoop(number, None));
        }
    }

    fn check(&mut self, now: u64) {
        let inside = self.guests.iter().filter(|guest| matches!(guest.place, Place::Inside { .. })).count();
        assert_eq!(self.table.count(), inside, "who is inside counts");
        assert!(inside <= self.limit, "{inside} are inside, where {} may be", self.limit);
        assert_eq!(self.table.cut_off(), self.cut_off, "who has to go is counted");
        let waits = inside < self.limit && self.loops.iter().any(|one| one.guest.is_some());
        let since = *self.idle_since.get_or_insert(now);
        if !waits {
            self.idle_since = None;
        }
        assert!(!waits || now - since <= self.poll_us, "a place is free, and nobody comes in");
    }
}

fn remote(origin: u64) -> Address {
    Address::Tcp(([10, 0, 0, origin as u8], 1).into())
}

impl World {
    /// Clients come to the door, where there is one.
    pub fn client_comes_to_the_door(&mut self) {
        match &mut self.door {
            Some(door) => door.queue(true, &mut self.ground),
            None => self.client_comes(),
        }
    }

    /// Unauthenticated clients come until the calm, alone and in crowds.
    pub fn unauthenticated_come(&mut self) {
        let Some(door) = self.door.as_mut().filter(|_| !self.is_calm) else { return };
        let herd = if door.rng.percent(10) { door.rng.range(1, 8) } else { 1 };
        for _ in 0..herd {
            door.queue(false, &mut self.ground);
        }
        self.ground.after(door.rng.below(3 * door.grace_us), Event::UnauthenticatedCome);
    }

    pub fn at_the_door(&mut self, event: &Event) {
        let Some(door) = &mut self.door else { return };
        let ground = &mut self.ground;
        let is_through = match *event {
            Event::DoorLoop(number, poll) => {
                door.look(number, poll, ground);
                false
            }
            Event::DoorWord(index) => {
                door.word(index, ground);
                false
            }
            Event::DoorStep(index) => door.step(index, ground),
            _ => false,
        };
        door.check(ground.now);
        if is_through {
            self.client_comes();
        }
    }
}
