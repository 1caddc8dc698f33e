//! Plays the steps of a session before one pooler, and notes what its clients see.

use super::peer::{Pace, Peer, State};
use super::steps::{Secret, Step, Until};
use super::world::{Reference, Side, World, mask};
use crate::common::raw::{Raw, cancel_request, frame};
use crate::common::{Pooler, postgres, wait_until};
use std::collections::BTreeMap;
use std::time::Duration;

/// A frame that a client saw, or what became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub step: usize,
    pub who: usize,
    pub text: String,
}

/// For most sessions.
pub const BRISK: Pace = Pace { silence: Duration::from_secs(3), quiet: Duration::from_millis(150) };

/// For those that seem to differ: a machine that is busy with other things must not be the reason.
pub const PATIENT: Pace = Pace { silence: Duration::from_secs(15), quiet: Duration::from_secs(2) };

/// A session: where it is played, and its steps.
#[derive(Clone, Debug)]
pub struct Session {
    pub world: World,
    pub steps: Vec<Step>,
}

impl Session {
    /// What both sides answer.
    pub fn play(&self, reference: &Reference, database: &str, pace: Pace) -> [Vec<Line>; 2] {
        [Side::Theirs(reference), Side::Ours(reference)].map(|side| {
            let pooler = self.world.start(side, postgres(), database);
            let mut stage = Stage {
                world: &self.world,
                pooler: &pooler,
                database,
                pace,
                peers: BTreeMap::new(),
                lines: Vec::new(),
            };
            for (number, step) in self.steps.iter().enumerate() {
                stage.step(number, step);
            }
            stage.end(self.steps.len());
            stage.lines
        })
    }
}

struct Stage<'a> {
    world: &'a World,
    pooler: &'a Pooler,
    database: &'a str,
    pace: Pace,
    peers: BTreeMap<usize, Seat>,
    lines: Vec<Line>,
}

struct Seat {
    peer: Peer,
    is_console: bool,
    /// Whether it has sent anything behind its login.
    has_asked: bool,
}

impl Stage<'_> {
    fn step(&mut self, number: usize, step: &Step) {
        match step {
            Step::Connect { who, first, secret, until } => {
                let user = user_of(first);
                self.connect(*who, step.is_for_the_console(), &user, secret);
                self.exchange(number, *who, first, *until);
            }
            Step::Send { who, .. } if self.would_wait(*who, step) => {
                self.note(number, *who, ["(not sent: no server is free)".into()]);
            }
            Step::Send { who, bytes, until } => {
                self.peers.entry(*who).and_modify(|seat| seat.has_asked = true);
                self.exchange(number, *who, bytes, *until);
            }
            Step::Await { who, until } => self.exchange(number, *who, &[], *until),
            Step::Leave { who, words } => self.leave(number, *who, words),
            Step::Cancel { who } => self.cancel(number, *who),
            Step::Running { count } => self.wait_for_running(*count),
            Step::Waiting { count } => self.wait_for_waiting(*count),
        }
    }

    fn connect(&mut self, who: usize, is_console: bool, user: &str, secret: &Secret) {
        let peer = Peer::connect(self.pooler.port, user, secret.clone(), mask(self.pooler, is_console));
        self.peers.insert(who, Seat { peer, is_console, has_asked: false });
    }

    fn exchange(&mut self, number: usize, who: usize, bytes: &[u8], until: Until) {
        let Some(seat) = self.peers.get_mut(&who) else { return };
        if !bytes.is_empty() {
            seat.peer.send(bytes);
        }
        let lines = seat.peer.read(until, self.pace);
        self.note(number, who, lines);
    }

    fn note(&mut self, step: usize, who: usize, lines: impl IntoIterator<Item = String>) {
        self.lines.extend(lines.into_iter().map(|text| Line { step, who, text }));
    }

    /// Whether the client would wait for a server that others have, and the session would stand still.
    fn would_wait(&self, who: usize, step: &Step) -> bool {
        let waits_by_intent = matches!(step, Step::Send { until: Until::Nothing, .. });
        let Some(seat) = self.peers.get(&who) else { return false };
        let others = self.peers.values().filter(|other| self.has_server(other)).count();
        !waits_by_intent && !seat.is_console && !self.has_server(seat) && others >= self.world.pool_size
    }

    fn has_server(&self, seat: &Seat) -> bool {
        match seat.peer.state {
            _ if seat.is_console => false,
            State::LoggingIn | State::Ended => false,
            State::Ready(b'I') => seat.has_asked && self.world.mode == "session",
            State::Ready(_) | State::Busy => true,
        }
    }

    fn leave(&mut self, number: usize, who: usize, words: &[u8]) {
        let Some(mut seat) = self.peers.remove(&who) else { return };
        seat.peer.send(words);
        if words.first() == Some(&b'X') {
            let lines = seat.peer.read(Until::End, self.pace);
            self.note(number, who, lines);
        }
    }

    fn cancel(&mut self, number: usize, who: usize) {
        let Some(seat) = self.peers.get(&who) else { return };
        let request = cancel_request(&seat.peer.key);
        let mut peer = Peer::connect(self.pooler.port, "", Secret::None, mask(self.pooler, false));
        peer.send(&request);
        let lines = peer.read(Until::End, self.pace);
        self.note(number, who, lines);
    }

    fn wait_for_running(&self, count: usize) {
        let sql = format!(
            "select count(*) from pg_stat_activity where datname = '{}' and state = 'active'",
            self.database
        );
        let mut raw = Raw::log_in(postgres().port, "postgres", "postgres");
        wait_until("queries run", || raw.simple(&sql).value() == count.to_string());
    }

    fn wait_for_waiting(&self, count: usize) {
        let mut console = self.pooler.console();
        wait_until("clients wait", || {
            let rows = console.simple("show pools").records();
            let waiting = |row: &BTreeMap<String, String>| row["cl_waiting"].parse().unwrap_or(0);
            rows.iter().map(waiting).sum::<usize>() == count
        });
    }

    /// Everybody says good-bye, and what was still to be said to them is noted.
    fn end(&mut self, number: usize) {
        let clients: Vec<usize> = self.peers.keys().copied().collect();
        for who in clients {
            self.leave(number, who, &frame(b'X', &[]));
        }
    }
}

/// The name in a StartupMessage, for proofs by md5.
fn user_of(first: &[u8]) -> String {
    let mut words = first.get(8..).unwrap_or_default().split(|byte| *byte == 0);
    let user = words.find(|word| *word == b"user").and_then(|_| words.next());
    String::from_utf8_lossy(user.unwrap_or_default()).into_owned()
}
