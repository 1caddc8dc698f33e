//! What a simulated client says: one batch of work at a time, made up from what its reference
//! session is in at that moment.

mod statements;

use super::backend::Backend;
use super::ground::Ground;
use super::rng::Rng;
use super::session::{Block, REPORTED};
use super::sql;
use pgweir::config::PoolMode;
use pgweir::wire::encode;
use pgweir::wire::tags::client as tag;
use std::collections::{BTreeMap, VecDeque};

/// One thing that a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    /// Goes on when everything asked so far is answered.
    Await,
    Think(u64),
    /// Asks for its query to be cancelled.
    Cancel,
    /// Says Terminate and goes.
    Terminate,
    /// Shuts its sending side and listens on.
    HalfClose,
    /// Is gone from one moment to the next.
    Vanish,
}

/// What a client knows of a name that it may give to statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    Free,
    Prepared(String),
    /// Used in a batch that failed: closed before it is used again, since nobody can tell what it stands for.
    /// (A pooler that shares statements remembers a name even if its Parse failed; PostgreSQL does not.)
    Unclear,
}

/// What a client may do in this run.
#[expect(clippy::struct_excessive_bools, reason = "separate facts, not states of one thing")]
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    pub mode: PoolMode,
    /// Named statements work as they would on a session of its own.
    pub named: bool,
    /// Bytes of what counts as large here.
    pub large_bytes: usize,
    /// Leaves without a word, sends nonsense, cancels.
    pub rude: bool,
    /// So many of a hundred of its packets are followed by Flushes, at any time.
    pub flushes: u64,
    pub think_us_max: u64,
    /// Any of its queries may be cancelled for taking too long.
    pub may_be_canceled: bool,
    /// It says for which request it works.
    pub sets_context: bool,
}

/// A client's own knowledge, from batch to batch.
#[derive(Clone, Debug)]
pub struct Knowledge {
    pub client: usize,
    pub serial: u32,
    pub names: BTreeMap<String, Name>,
    pub touched: Vec<String>,
    /// Named statements were used ahead of an error that may come. As with PgBouncer, they can meet a server
    /// on which a statement is not, or already is, prepared; the client gives up if they do.
    pub in_doubt: bool,
    /// Something that the pooler punishes was said: this is the fault to come.
    pub provoked: Option<&'static str>,
}

impl Knowledge {
    pub fn new(client: usize) -> Self {
        let names = ["s1", "s2", "s3", "s4"].map(|name| (name.to_owned(), Name::Free));
        Self { client, serial: 0, names: names.into(), touched: Vec::new(), in_doubt: false, provoked: None }
    }

    /// Brings the names up to date after a batch.
    pub fn learn(&mut self, reference: &Backend, failed: bool) {
        self.in_doubt = false;
        for name in std::mem::take(&mut self.touched) {
            let known = match reference.statement(&name) {
                _ if failed => Name::Unclear,
                Some(text) => Name::Prepared(text.clone()),
                None => Name::Free,
            };
            self.names.insert(name, known);
        }
    }
}

/// A batch in the making.
pub struct Script<'a> {
    rng: &'a mut Rng,
    manners: Manners,
    known: &'a mut Knowledge,
    steps: VecDeque<Step>,
    pending: Vec<u8>,
    /// Something of what is being written may fail.
    may_fail: bool,
    /// Within a transaction block.
    in_block: bool,
    /// A batch that may fail was written before the one at hand.
    is_ahead: bool,
    /// Names that must not be used any more before the answers are here: what they stand for depends on them.
    open_names: Vec<String>,
}

impl<'a> Script<'a> {
    /// The next batch of a client whose reference stands as `reference`.
    pub fn batch(
        ground: &'a mut Ground,
        manners: Manners,
        known: &'a mut Knowledge,
        reference: &Backend,
        cancels: u32,
    ) -> VecDeque<Step> {
        let mut script = Self {
            rng: &mut ground.rng,
            manners,
            known,
            steps: VecDeque::new(),
            pending: Vec::new(),
            may_fail: cancels > 0 || manners.may_be_canceled || reference.session.block == Block::Failed,
            in_block: reference.session.block != Block::None,
            is_ahead: false,
            open_names: Vec::new(),
        };
        script.clear_names();
        if reference.session.block == Block::None {
            script.work();
        } else {
            script.within_block();
        }
        script.send();
        script.steps.push_back(Step::Await);
        let think_us = script.rng.below(manners.think_us_max + 1);
        script.steps.push_back(Step::Think(think_us));
        script.steps
    }

    fn send(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.steps.push_back(Step::Send(std::mem::take(&mut self.pending)));
        if self.rng.percent(self.manners.flushes) {
            for _ in 0..self.rng.range(1, 8) {
                let think_us = self.rng.below(1_000);
                self.steps.push_back(Step::Think(think_us));
                let mut flush = Vec::new();
                let count = if self.rng.percent(20) { self.rng.range(1, 300) } else { 1 };
                (0..count).for_each(|_| encode::empty(&mut flush, tag::FLUSH));
                self.steps.push_back(Step::Send(flush));
            }
        }
    }

    fn wait(&mut self) {
        self.send();
        self.steps.push_back(Step::Await);
    }

    /// Closes the names of which nobody knows what they stand for.
    fn clear_names(&mut self) {
        let unclear = |(name, known): (&String, &Name)| (*known == Name::Unclear).then(|| name.clone());
        let unclear: Vec<_> = self.known.names.iter().filter_map(unclear).collect();
        if unclear.is_empty() {
            return;
        }
        for name in unclear {
            encode::describe_or_close(&mut self.pending, tag::CLOSE, b'S', name.as_bytes());
            self.known.touched.push(name.clone());
        }
        encode::empty(&mut self.pending, tag::SYNC);
        // Only its answers tell whether they are free now.
        self.known.names.values_mut().filter(|known| **known == Name::Unclear).for_each(|known| {
            *known = Name::Prepared(String::new());
        });
    }

    fn tag(&mut self) -> String {
        self.known.serial += 1;
        format!("c{}n{}", self.known.client, self.known.serial)
    }

    fn size(&mut self) -> usize {
        match self.rng.below(20) {
            0 => self.rng.below(self.manners.large_bytes as u64) as usize,
            1..8 => 0,
            _ => self.rng.below(60) as usize,
        }
    }

    /// A statement without its tag.
    fn body(&mut self) -> String {
        match self.rng.below(12) {
            0 => {
                self.may_fail = true;
                "fail".to_owned()
            }
            1 => "notice".to_owned(),
            2 => format!("sleep {}", self.rng.range(50, 4_000)),
            3 => format!("copyout {} {}", self.rng.below(5), self.size()),
            _ => format!("rows {} {}", self.rng.below(6), self.size()),
        }
    }

    /// What no server may hear as it is.
    fn context_body(&mut self) -> String {
        let value = self.tag();
        match self.rng.below(5) {
            0 => "reset pgweir.context".to_owned(),
            1 => format!("set local pgweir.context to '{value}'"),
            2 => format!("set \"pgweir\".context = E'{value}'"),
            _ => format!("set pgweir.context = 'route={value}'"),
        }
    }

    fn set_body(&mut self) -> String {
        if self.manners.sets_context && self.rng.percent(50) {
            return self.context_body();
        }
        let at = self.rng.below(REPORTED.len() as u64) as usize;
        let value = match REPORTED[at].0 {
            "TimeZone" => *self.rng.pick(&["utc", "CET", "Asia/Tokyo"]),
            "DateStyle" => *self.rng.pick(&["ISO", "German", "SQL, DMY"]),
            "client_encoding" => *self.rng.pick(&["UTF8", "LATIN1"]),
            "standard_conforming_strings" => *self.rng.pick(&["on", "off"]),
            "search_path" => *self.rng.pick(&["a, public", "\"b c\""]),
            "IntervalStyle" => *self.rng.pick(&["postgres", "iso_8601"]),
            _ => *self.rng.pick(&["app", "it's", r"back\slash", "other app"]),
        };
        sql::set_text(REPORTED[at].0, value)
    }

    fn statement(&mut self) -> String {
        let body = if self.rng.percent(15) { self.set_body() } else { self.body() };
        let tag = self.tag();
        format!("{body} /*{tag}*/")
    }

    fn control(&mut self, body: &str) -> String {
        let tag = self.tag();
        format!("{body} /*{tag}*/")
    }

    fn query(&mut self, text: &str) {
        encode::query(&mut self.pending, text);
    }

    /// One piece of work outside of a transaction.
    fn work(&mut self) {
        let rude = self.manners.rude;
        let blocks = self.manners.mode != PoolMode::Statement;
        match self.rng.below(26) {
            0..4 => {
                let text = self.statement();
                self.query(&text);
            }
            4 => {
                let count = self.rng.below(4);
                let text: Vec<_> = (0..count).map(|_| self.statement()).collect();
                self.query(&text.join("; "));
            }
            5..9 if blocks || rude && self.rng.percent(10) => self.block(),
            9..15 => self.pipeline(),
            15 | 16 => self.copy_in(),
            17 => {
                let text = self.set_body();
                let text = self.control(&text);
                self.query(&text);
            }
            18 => self.function_call(),
            19 => self.cancelled(),
            20 => encode::empty(&mut self.pending, tag::SYNC),
            21 => self.forget(),
            22 if rude => self.misbehave(),
            23 if rude => self.leave(),
            24 => {
                let blank = if self.rng.percent(50) { "" } else { " ; ;" };
                self.query(blank);
            }
            25 => {
                let text = format!("rows 2 {}", self.manners.large_bytes);
                let text = self.control(&text);
                self.query(&text);
            }
            _ => {
                let text = self.statement();
                self.query(&text);
            }
        }
    }

    /// A transaction: begun here, gone on with in later batches.
    fn block(&mut self) {
        let text = self.control("begin");
        if self.rng.percent(30) {
            self.extended(&text);
            encode::empty(&mut self.pending, tag::SYNC);
        } else if self.rng.percent(30) {
            let more = self.statement();
            self.query(&format!("{text};{more}"));
        } else {
            self.query(&text);
        }
    }

    fn within_block(&mut self) {
        match self.rng.below(10) {
            0..3 => {
                let text = self.statement();
                self.query(&text);
            }
            3..5 => self.pipeline(),
            5 => self.copy_in(),
            6 if self.manners.rude => self.leave(),
            6 => self.cancelled(),
            _ => {
                let end = if self.rng.percent(60) { "commit" } else { "rollback" };
                let text = self.control(end);
                self.query(&text);
            }
        }
    }

    fn function_call(&mut self) {
        let tag = self.tag();
        encode::frame(&mut self.pending, tag::FUNCTION_CALL, |out| {
            out.extend([0, 0, 0, 1, 0, 0, 0, 1]);
            out.extend((tag.len() as u32).to_be_bytes());
            out.extend_from_slice(tag.as_bytes());
            out.extend([0, 0]);
        });
    }

    /// COPY from the client: with or without waiting for the server to ask, failing on either side or not.
    fn copy_in(&mut self) {
        let fails_after = match self.rng.below(4) {
            0 => Some(self.rng.below(300) as usize),
            1 => Some(0),
            _ => None,
        };
        let body = fails_after.map_or("copyin".to_owned(), |bytes| format!("copyin {bytes}"));
        let text = self.control(&body);
        let extended = self.rng.percent(50);
        let early_sync = extended && self.rng.percent(50);
        if extended {
            let mut rest = text.as_bytes().to_vec();
            rest.extend([0, 0, 0]);
            encode::parse(&mut self.pending, b"", &rest);
            self.bind(b"", b"", &[]);
            encode::frame(&mut self.pending, tag::EXECUTE, |out| out.extend([0; 5]));
        } else {
            self.query(&text);
        }
        if early_sync {
            encode::empty(&mut self.pending, tag::SYNC);
        } else if extended && self.rng.percent(50) {
            encode::empty(&mut self.pending, tag::FLUSH);
            self.wait();
        } else if !extended && self.rng.percent(50) {
            self.wait();
        }
        for _ in 0..self.rng.below(5) {
            let size = self.size();
            self.copy_line(size);
            if extended && self.rng.percent(5) {
                encode::empty(&mut self.pending, tag::SYNC);
            }
            if self.rng.percent(20) {
                self.send();
                let think_us = self.rng.below(self.manners.think_us_max + 1);
                self.steps.push_back(Step::Think(think_us));
            }
        }
        if let Some(bytes) = fails_after.filter(|_| self.rng.percent(40)) {
            // It fails at the latest here, and this client does not say that it has nothing more to send.
            self.copy_line(bytes);
        } else if self.rng.percent(80) {
            encode::empty(&mut self.pending, tag::COPY_DONE);
        } else {
            encode::frame(&mut self.pending, tag::COPY_FAIL, |out| encode::cstr(out, b"had enough"));
        }
        if extended {
            encode::empty(&mut self.pending, tag::SYNC);
        }
    }

    fn copy_line(&mut self, size: usize) {
        let line = format!("{} {}", self.tag(), "d".repeat(size));
        encode::frame(&mut self.pending, tag::COPY_DATA, |out| out.extend_from_slice(line.as_bytes()));
    }

    /// A query that takes its time, and a cancel that may come before, in or after it.
    fn cancelled(&mut self) {
        let us = self.rng.range(100, 30_000);
        let text = self.control(&format!("sleep {us}"));
        if self.rng.percent(50) {
            self.query(&text);
        } else {
            self.extended(&text);
            encode::empty(&mut self.pending, tag::SYNC);
        }
        if self.manners.rude {
            self.send();
            let think_us = self.rng.below(us);
            self.steps.push_back(Step::Think(think_us));
            let cancels = if self.rng.percent(40) { self.rng.range(2, 9) } else { 1 };
            (0..cancels).for_each(|_| self.steps.push_back(Step::Cancel));
        }
    }

    /// Forgets all statements, or more.
    fn forget(&mut self) {
        let all: Vec<_> = self.known.names.keys().cloned().collect();
        self.known.touched.extend(all);
        let body = *self.rng.pick(&["deallocate all", "discard all"]);
        let text = self.control(body);
        self.wait();
        self.query(&text);
    }

    /// What a pooler that shares statements does not forgive.
    fn misbehave(&mut self) {
        let shared = self.manners.named && self.manners.mode != PoolMode::Session;
        let is_prepared = |known: &Name| matches!(known, Name::Prepared(text) if !text.is_empty());
        let prepared = self.known.names.iter().find(|(_, known)| is_prepared(known));
        let prepared = prepared.map(|(name, _)| name.clone());
        match prepared {
            Some(name) if shared && self.rng.percent(50) => {
                encode::parse(&mut self.pending, name.as_bytes(), b"rows 1 1 /*c0n0*/\0\0\0");
                encode::empty(&mut self.pending, tag::SYNC);
                self.known.provoked = Some("prepared statement name is already in use");
            }
            _ => {
                encode::empty(&mut self.pending, b'p');
                self.known.provoked = Some("unknown pkt");
            }
        }
    }

    /// Leaves with something unfinished.
    fn leave(&mut self) {
        for _ in 0..self.rng.below(3) {
            let text = self.statement();
            if self.rng.percent(50) { self.query(&text) } else { self.extended(&text) }
        }
        let is_cut = self.rng.percent(50);
        if is_cut {
            let cut = self.rng.below(self.pending.len() as u64 + 1) as usize;
            self.pending.truncate(cut);
        }
        // Nothing of a message that is cut may be made up for.
        self.manners.flushes *= u64::from(!is_cut);
        self.send();
        if self.rng.percent(50) {
            let think_us = self.rng.below(3_000);
            self.steps.push_back(Step::Think(think_us));
        }
        let ways = [Step::HalfClose, Step::Vanish, Step::Terminate];
        let how = self.rng.pick(if is_cut { &ways[..2] } else { &ways });
        self.steps.push_back(how.clone());
    }
}
