//! A simulated client: says what its script says, and checks every answer against its own reference session.
//!
//! The reference is fed with exactly the bytes that the client sends; what comes back through the pooler must
//! be, frame by frame, what the reference answers. Exceptions are named one by one below: messages that a
//! server sends unasked, the notice of queueing, a cancel that the client itself has asked for, and an end
//! that it has been given a cause for.

use super::backend::{Backend, CANCELED, Work};
use super::driver::frames_text;
use super::ear;
use super::ground::{Event, Ground};
use super::identities::{DENIED, EXPIRED, TOLD};
use super::plan::{CLIENT_STATEMENTS_FULL, PARAMETERS_TOO_LONG, STATEMENTS_FULL};
use super::script::{Knowledge, Manners, Script, Step};
use super::session::{BOGUS_ZONE, Session};
use pgweir::config::PoolMode;
use pgweir::wire::backend::{ErrorFields, parameter_status};
use pgweir::wire::tags::server as answer;
use pgweir::wire::{FrameHeader, encode};
use std::collections::VecDeque;

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Logged in.
    Talking,
    /// It has said or been told that this is the end, and listens.
    Leaving,
    /// Nothing is heard from it or said to it any more.
    Gone,
}

/// Why the pooler or the world may end this client, beside what holds for all.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "separate facts, not states of one thing")]
pub struct Causes {
    /// A server died while linked to it.
    pub bereaved: bool,
    /// An operator disconnected it.
    pub killed: bool,
    /// It replicates: its session has no boundary, and ends at once for who its client is.
    pub replicates: bool,
    /// Its session may be cut off where it is denied, whatever it is at.
    pub may_be_dropped: bool,
    /// Faults that any client may meet in this run: timeouts that are on, logins that fail, …
    pub common: Vec<&'static str>,
}

#[expect(clippy::struct_excessive_bools, reason = "separate facts, not states of one thing")]
pub struct SimClient {
    pub index: usize,
    pub socket: u64,
    pub pool: usize,
    pub stage: Stage,
    pub causes: Causes,
    /// Cancels asked for of which the outcome is not known yet.
    pub cancels: u32,
    /// How many of them are to be sent now.
    pub wants_cancels: u32,
    /// Batches of work before it leaves.
    pub batches: u32,
    pub is_due: bool,
    manners: Manners,
    known: Knowledge,
    reference: Backend,
    steps: VecDeque<Step>,
    unsent: Vec<u8>,
    inbox: Vec<u8>,
    is_waiting: bool,
    batch_failed: bool,
    status: u8,
    /// It has had a part of an answer, and not its ReadyForQuery.
    is_amid_answer: bool,
    has_bogus_zone: bool,
    /// It has been told that this is the end.
    is_told: bool,
    /// It got an error that it must expect and cannot go on from.
    gives_up: bool,
    /// The message that is being looked at, for reports.
    at_hand: String,
}

impl SimClient {
    pub fn new(
        index: usize,
        socket: u64,
        pool: usize,
        session: Session,
        manners: Manners,
        ground: &mut Ground,
    ) -> Self {
        Self {
            index,
            socket,
            pool,
            stage: Stage::Talking,
            causes: Causes::default(),
            cancels: 0,
            wants_cancels: 0,
            batches: ground.rng.range(1, 8) as u32,
            is_due: false,
            manners,
            known: Knowledge::new(index),
            has_bogus_zone: session.values().iter().any(|value| value.eq_ignore_ascii_case(BOGUS_ZONE)),
            reference: Backend::new(session),
            steps: VecDeque::new(),
            unsent: Vec::new(),
            inbox: Vec::new(),
            is_waiting: false,
            batch_failed: false,
            status: b'I',
            is_amid_answer: false,
            is_told: false,
            gives_up: false,
            at_hand: String::new(),
        }
    }

    /// Goes on with the script, as far as it goes without an answer.
    pub fn proceed(&mut self, calm: bool, ground: &mut Ground) {
        while self.stage == Stage::Talking && !self.is_waiting && !self.is_due {
            let Some(step) = self.steps.pop_front() else {
                self.next_batch(calm, ground);
                continue;
            };
            ground.log(|| format!("client {} {}", self.index, brief(&step)));
            match step {
                Step::Send(bytes) => {
                    self.reference.feed(&bytes);
                    self.unsent.extend(bytes);
                }
                Step::Await => self.is_waiting = !self.is_answered(),
                Step::Think(us) => {
                    self.is_due = true;
                    ground.after(us, Event::ClientTurn(self.index));
                }
                Step::Cancel => {
                    self.cancels += 1;
                    self.wants_cancels += 1;
                }
                Step::Terminate => {
                    self.unsent.extend([b'X', 0, 0, 0, 4]);
                    self.stage = Stage::Leaving;
                }
                Step::HalfClose => self.stage = Stage::Leaving,
                Step::Vanish => {
                    self.vanish(ground);
                }
            }
            self.flush(ground);
        }
    }

    fn next_batch(&mut self, calm: bool, ground: &mut Ground) {
        self.known.learn(&self.reference, self.batch_failed);
        self.batch_failed = false;
        let in_block = self.reference.session.status() != b'I';
        if calm && in_block {
            let mut query = Vec::new();
            encode::query(&mut query, &format!("rollback /*c{}n0*/", self.index));
            self.steps.push_back(Step::Send(query));
            self.steps.push_back(Step::Await);
            return;
        }
        if self.batches == 0 && !in_block || calm {
            self.steps.push_back(Step::Terminate);
            return;
        }
        self.batches = self.batches.saturating_sub(1);
        self.steps = Script::batch(ground, self.manners, &mut self.known, &self.reference, self.cancels);
    }

    pub fn is_here(&self) -> bool {
        self.stage == Stage::Talking
    }

    pub fn vanish(&mut self, ground: &mut Ground) {
        self.stage = Stage::Gone;
        ground.wires[self.socket as usize].reset();
        ground.wake_pooler(self.socket);
    }

    /// Writes what the wire takes.
    fn flush(&mut self, ground: &mut Ground) {
        let wire = &mut ground.wires[self.socket as usize];
        if wire.is_dropped {
            self.unsent.clear();
        }
        let renews_keys = wire.tls.is_some() && ground.rng.percent(3);
        let written = wire.say(&self.unsent, renews_keys);
        self.unsent.drain(..written);
        if self.stage == Stage::Leaving && self.unsent.is_empty() && !wire.up.shut {
            wire.say_end();
            ground.wake_pooler(self.socket);
        } else if written > 0 {
            ground.wake_pooler(self.socket);
        }
    }

    /// Reads, checks, goes on.
    pub fn turn(&mut self, calm: bool, ground: &mut Ground) {
        if self.stage == Stage::Gone {
            return;
        }
        let bytes_max = ground.cut(self.socket);
        let wire = &mut ground.wires[self.socket as usize];
        let was_full = wire.down.is_full();
        let bytes = wire.hear(bytes_max);
        let (has_more, is_over) = (!wire.down.is_empty() || wire.down.shut, wire.down.is_ended());
        if was_full && !wire.is_dropped {
            ground.wake_pooler(self.socket);
        }
        ground.witness(&bytes);
        self.inbox.extend(bytes);
        self.read_frames();
        if self.gives_up {
            return self.vanish(ground);
        }
        if is_over {
            let wire = &mut ground.wires[self.socket as usize];
            wire.say_end();
            wire.is_left = true;
            ground.wake_pooler(self.socket);
            self.over();
            return;
        }
        if has_more {
            ground.wake_remote(self.socket);
        }
        self.flush(ground);
        if self.is_waiting && self.is_answered() {
            self.is_waiting = false;
            self.proceed(calm, ground);
        }
    }

    fn read_frames(&mut self) {
        let mut at = 0;
        while let Some(header) = FrameHeader::read(&self.inbox[at..], u32::MAX).expect("a frame") {
            let Some(frame) = self.inbox.get(at..at + header.frame_bytes) else { break };
            let frame = frame.to_vec();
            at += frame.len();
            if !self.gives_up {
                self.frame(&frame);
            }
        }
        self.inbox.drain(..at);
    }

    /// The pooler has closed the connection.
    fn over(&mut self) {
        let excused = self.stage == Stage::Leaving || self.causes.bereaved || self.causes.killed;
        // In the middle of a message nothing can be said.
        let may_end = self.known.provoked.is_some() || !self.causes.common.is_empty();
        let excused = excused || (!self.inbox.is_empty() && may_end);
        assert!(excused, "client {} was dropped without a word", self.index);
        // An error may be the last word of a dying server.
        let unasked = [
            answer::NOTICE_RESPONSE,
            answer::NOTIFICATION_RESPONSE,
            answer::PARAMETER_STATUS,
            answer::ERROR_RESPONSE,
        ];
        let is_asked = self.inbox.len() >= 5 && !unasked.contains(&self.inbox[0]);
        if is_asked && self.cancels == 0 && !self.is_told {
            self.at_hand = "a piece of something".to_owned();
            let expected = self.expected(None);
            assert!(expected.starts_with(&self.inbox), "client {} got a piece of something else", self.index);
        }
        self.stage = Stage::Gone;
    }

    /// One message from the pooler.
    fn frame(&mut self, frame: &[u8]) {
        let (tag, payload) = (frame[0], &frame[5..]);
        match tag {
            answer::NOTIFICATION_RESPONSE => return,
            answer::PARAMETER_STATUS
                if parameter_status(payload).is_ok_and(|(name, _)| name == "in_hot_standby") =>
            {
                return;
            }
            answer::NOTICE_RESPONSE => {
                let fields = ErrorFields::read(payload).expect("a notice");
                let text = fields.message();
                let is_of_wait = ["No server connection available", "No room in the audit log"];
                if text == "unasked" || text == TOLD || is_of_wait.iter().any(|it| text.starts_with(it)) {
                    return;
                }
            }
            answer::ERROR_RESPONSE => {
                let fields = ErrorFields::read(payload).expect("an error");
                if fields.severity() == "FATAL" {
                    return self.fatal(&fields.message());
                }
                self.batch_failed = true;
                let in_doubt = self.known.in_doubt && fields.message().contains("PGBOUNCER_");
                if in_doubt && ["26000", "42P05"].contains(&fields.sqlstate()) {
                    self.gives_up = true;
                    return;
                }
            }
            answer::READY_FOR_QUERY => self.status = payload[0],
            _ => {}
        }
        self.is_amid_answer = match tag {
            answer::READY_FOR_QUERY => false,
            // Unasked, or the pooler's own answer without a server: nothing has run for it.
            answer::PARAMETER_STATUS | answer::CLOSE_COMPLETE => self.is_amid_answer,
            _ => true,
        };
        assert!(!self.is_told, "client {} was answered after it was told that it ends", self.index);
        let canceled = (tag == answer::ERROR_RESPONSE)
            .then(|| ErrorFields::read(payload).expect("an error"))
            .filter(|fields| fields.sqlstate() == CANCELED.0)
            .map(|fields| fields.message().into_owned());
        self.at_hand = String::from_utf8_lossy(&frame[..frame.len().min(120)]).into_owned();
        let expected = self.expected(canceled.as_deref());
        assert!(
            expected == frame,
            "client {} got\n  {}\nbut is owed\n  {}",
            self.index,
            String::from_utf8_lossy(&frame[..frame.len().min(200)]),
            String::from_utf8_lossy(&expected[..expected.len().min(200)]),
        );
    }

    /// The next frame that the reference answers.
    fn expected(&mut self, canceled: Option<&str>) -> Vec<u8> {
        loop {
            if let Some(frame) = self.reference.out.pop_front() {
                return frame;
            }
            let canceled = canceled.filter(|_| self.cancels > 0);
            if self.reference.sleeping().is_some() {
                if canceled.is_some() {
                    self.cancels -= 1;
                    self.reference.cancel();
                } else {
                    self.reference.wake();
                }
                continue;
            }
            let answered = !matches!(self.reference.next_tag(), None | Some(b'H' | b'd' | b'c' | b'f'));
            if let Some(text) = canceled
                && answered
                && !self.reference.is_in_query()
            {
                self.cancels -= 1;
                self.reference.cancel_next(text);
                continue;
            }
            let work = self.reference.step();
            assert!(work != Work::Idle, "client {} is owed nothing, but got {}", self.index, self.at_hand);
        }
    }

    /// Whether everything that was asked is answered, as far as it ever will be.
    fn is_answered(&mut self) -> bool {
        if !self.reference.out.is_empty() || self.known.provoked.is_some() {
            return false;
        }
        let mut ahead = self.reference.clone();
        while ahead.sleeping().is_none() && ahead.out.is_empty() {
            if ahead.step() == Work::Idle {
                assert_eq!(ahead.unread().len(), 0, "scripts send whole messages before they wait");
                self.reference = ahead;
                return true;
            }
        }
        false
    }

    /// The last message that it was owed, as far as it is shown.
    pub fn last_answer(&self) -> &str {
        &self.at_hand
    }

    /// The pooler or the server ends the connection.
    fn fatal(&mut self, text: &str) {
        if [EXPIRED, DENIED].contains(&text) {
            self.check_ended_for_identity(text, self.status != b'I' || self.is_amid_answer);
        }
        let known = match text {
            "server conn crashed?" => self.causes.bereaved,
            "admin forced disconnect" | "database removed" => self.causes.killed,
            "invalid server parameter" => self.has_bogus_zone,
            "transaction blocks not allowed in statement pooling mode" => {
                self.manners.mode == PoolMode::Statement && (self.status != b'I' || self.is_owed_a_block())
            }
            text if text.starts_with("terminating connection") => return,
            text => {
                self.known.provoked.is_some_and(|fault| fault == text)
                    || self.causes.common.iter().any(|common| text.starts_with(common))
            }
        };
        assert!(known, "client {} was ended without a cause: {text}", self.index);
        for what in [STATEMENTS_FULL, CLIENT_STATEMENTS_FULL, PARAMETERS_TOO_LONG] {
            if text.starts_with(what) {
                ear::hear(what);
            }
        }
        self.stage = Stage::Leaving;
        self.is_told = true;
    }

    /// Whether the next thing that it is owed says that it is in a transaction block now.
    fn is_owed_a_block(&mut self) -> bool {
        let frame = self.expected(None);
        frame[0] == answer::READY_FOR_QUERY && frame.last() != Some(&b'I')
    }

    /// What it is at, for reports.
    pub fn stands(&self) -> String {
        format!(
            "client {} of pool {} on wire {}: {:?}, waiting {}, due {}, {} unsent, {} owed, {} steps left",
            self.index,
            self.pool,
            self.socket,
            self.stage,
            self.is_waiting,
            self.is_due,
            self.unsent.len(),
            self.reference.unread().len(),
            self.steps.len()
        )
    }
}

fn brief(step: &Step) -> String {
    match step {
        Step::Send(bytes) => format!("sends {} bytes: {}", bytes.len(), frames_text(bytes)),
        step => format!("{step:?}"),
    }
}
