//! A PostgreSQL backend without sockets or clock: bytes of messages in, frames out.
//!
//! It is used twice: as the heart of every simulated server, and as each client's own reference: what a
//! session of its own would have answered to exactly the bytes that it sent. Every answer with rows shows
//! the session's parameters and the statement's text as digests, so that a session that is not the client's
//! own is seen in the first row. Source: PostgreSQL documentation, "Message Flow" (simple, extended,
//! pipelining, COPY, function call).

mod copy;
mod extended;

use super::rng::{HASH_START, hash};
use super::session::{Block, Session};
use super::sql::{self, Sql, Statement};
pub use copy::Begun;
use pgweir::wire::FrameHeader;
use pgweir::wire::encode::{self, Severity};
use pgweir::wire::tags::{client as ask, server as answer};
use std::collections::{BTreeMap, VecDeque};

/// The words with which PostgreSQL and the pooler answer a cancelled query.
pub const CANCELED: (&str, &str) = ("57014", "canceling statement due to user request");

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Something was done; look again.
    Done,
    /// Nothing to do before more bytes come.
    Idle,
    /// A statement takes so many microseconds; [`Backend::wake`] ends it, [`Backend::cancel`] breaks it off.
    Sleeping(u64),
}

/// What the backend takes at present.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// Messages.
    Ready,
    /// Nothing but a Sync, after an error in the extended protocol.
    Skip,
    /// COPY data.
    Copy { fail_after: usize, seen: usize },
    /// Nothing: a statement runs.
    Sleep { us: u64 },
    /// Nothing ever: Terminate came.
    Ended,
}

/// A portal: a statement that is being executed.
#[derive(Clone, Debug)]
struct Portal {
    text: String,
    params: Vec<String>,
    rows_sent: usize,
}

/// One backend.
#[derive(Clone, Debug)]
pub struct Backend {
    pub session: Session,
    /// Frames to be sent, oldest first.
    pub out: VecDeque<Vec<u8>>,
    /// Tags of the statements that were run since somebody looked; empty ones are the pooler's own.
    pub seen: Vec<String>,
    /// Messages of the extended protocol have come since the last Sync.
    pub in_batch: bool,
    /// What has begun a transaction since somebody looked.
    pub begun: Option<Begun>,
    input: Vec<u8>,
    taken: usize,
    heard_bytes: u64,
    /// Where the COMMIT ends behind which, until ReadyForQuery, another transaction begins.
    ended_at: Option<u64>,
    /// A COPY has failed that had a Sync amid its data: how often it is answered is known to nobody.
    has_lost_count: bool,
    copy_had_sync: bool,
    mode: Mode,
    /// The rest of a simple query; `None` outside of one.
    query: Option<VecDeque<String>>,
    statements: BTreeMap<Vec<u8>, String>,
    portals: BTreeMap<Vec<u8>, Portal>,
}

/// How running a statement went.
enum Ran {
    Complete(String),
    Suspended,
    /// It goes on later, or its end was told already.
    Pending,
}

type Failure = (&'static str, String);

impl Backend {
    pub fn new(session: Session) -> Self {
        Self {
            session,
            out: VecDeque::new(),
            seen: Vec::new(),
            in_batch: false,
            begun: None,
            input: Vec::new(),
            taken: 0,
            heard_bytes: 0,
            ended_at: None,
            has_lost_count: false,
            copy_had_sync: false,
            mode: Mode::Ready,
            query: None,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Outside of a transaction, of a batch, of a query and of a COPY.
    pub fn is_at_rest(&self) -> bool {
        self.session.block == Block::None && !self.is_busy()
    }

    /// Within a batch, a query or a COPY.
    pub fn is_busy(&self) -> bool {
        self.in_batch || self.query.is_some() || self.mode != Mode::Ready
    }

    pub fn is_ended(&self) -> bool {
        self.mode == Mode::Ended
    }

    pub fn is_copying_in(&self) -> bool {
        matches!(self.mode, Mode::Copy { .. })
    }

    pub fn sleeping(&self) -> Option<u64> {
        if let Mode::Sleep { us } = self.mode { Some(us) } else { None }
    }

    /// A simple query is being worked on.
    pub fn is_in_query(&self) -> bool {
        self.query.is_some()
    }

    pub fn statement(&self, name: &str) -> Option<&String> {
        self.statements.get(name.as_bytes())
    }

    /// The tag of the next message, where it has come whole.
    pub fn next_tag(&self) -> Option<u8> {
        let rest = &self.input[self.taken..];
        let header = FrameHeader::read(rest, u32::MAX).expect("a header as PostgreSQL takes it")?;
        (rest.len() >= header.frame_bytes).then_some(header.tag)
    }

    /// Bytes that came and were not looked at.
    pub fn unread(&self) -> &[u8] {
        &self.input[self.taken..]
    }

    /// Something can be done now.
    pub fn has_work(&self) -> bool {
        match self.mode {
            Mode::Sleep { .. } | Mode::Ended => false,
            Mode::Ready if self.is_in_query() => true,
            _ => self.next_tag().is_some(),
        }
    }

    /// Does the next thing.
    pub fn step(&mut self) -> Work {
        match self.mode {
            Mode::Sleep { us } => return Work::Sleeping(us),
            Mode::Ended => return Work::Idle,
            Mode::Ready | Mode::Skip | Mode::Copy { .. } => {}
        }
        let copies = self.is_copying_in();
        if let Some(query) = self.query.as_mut().filter(|_| !copies) {
            match query.pop_front() {
                Some(text) => self.run_simple(&text),
                None => {
                    self.query = None;
                    self.ready();
                }
            }
            return Work::Done;
        }
        let Some((tag, payload)) = self.next_message() else { return Work::Idle };
        match self.mode {
            Mode::Skip => self.skip(tag),
            Mode::Copy { fail_after, seen } => self.copy_message(tag, &payload, fail_after, seen),
            _ => self.message(tag, &payload),
        }
        Work::Done
    }

    fn next_message(&mut self) -> Option<(u8, Vec<u8>)> {
        let tag = self.next_tag()?;
        let rest = &self.input[self.taken..];
        let frame_bytes = FrameHeader::read(rest, u32::MAX).ok()??.frame_bytes;
        let payload = rest[5..frame_bytes].to_vec();
        self.taken += frame_bytes;
        self.heard_bytes += frame_bytes as u64;
        Some((tag, payload))
    }

    /// The statement that sleeps has finished.
    pub fn wake(&mut self) {
        assert!(matches!(self.mode, Mode::Sleep { .. }), "nothing sleeps");
        self.mode = Mode::Ready;
        self.push(|out| encode::command_complete(out, "SELECT 1"));
    }

    /// The statement that sleeps is cancelled.
    pub fn cancel(&mut self) {
        assert!(matches!(self.mode, Mode::Sleep { .. }), "nothing sleeps");
        self.mode = Mode::Ready;
        self.fail(CANCELED.0, CANCELED.1);
    }

    /// The next message is answered as cancelled, whatever it is: so the pooler answers
    /// for a client that waits.
    pub fn cancel_next(&mut self, text: &str) {
        let Some((tag, _)) = self.next_message() else { panic!("a cancel came where nothing was asked") };
        let code = CANCELED.0;
        match tag {
            ask::QUERY => {
                self.query = Some(VecDeque::new());
                self.fail(code, text);
            }
            ask::SYNC | ask::FUNCTION_CALL => {
                self.push(|out| encode::error(out, Severity::Error, code, text));
                self.session.abort();
                self.ready();
            }
            _ => self.fail(code, text),
        }
    }

    /// The administrator ends the backend.
    pub fn die(&mut self, text: &str) {
        self.push(|out| encode::error(out, Severity::Fatal, "57P01", text));
        self.mode = Mode::Ended;
    }

    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut frame = Vec::new();
        write(&mut frame);
        self.out.push_back(frame);
    }

    fn empty(&mut self, tag: u8) {
        self.push(|out| encode::empty(out, tag));
    }

    fn ready(&mut self) {
        (self.in_batch, self.ended_at) = (false, None);
        self.session.commit_implicit();
        if self.session.block == Block::None {
            self.portals.clear();
        }
        self.report();
        let status = self.session.status();
        self.push(|out| encode::ready_for_query(out, status));
    }

    fn report(&mut self) {
        for (name, value) in self.session.take_changes() {
            self.push(|out| encode::parameter_status(out, &name, &value));
        }
    }

    /// A statement or message fails: the transaction with it, and the rest of the query or batch.
    fn fail(&mut self, code: &str, text: &str) {
        self.push(|out| encode::error(out, Severity::Error, code, text));
        self.session.abort();
        self.portals.clear();
        match &mut self.query {
            Some(query) => {
                query.clear();
                self.mode = Mode::Ready;
            }
            None => {
                self.in_batch = true;
                self.mode = Mode::Skip;
            }
        }
    }

    fn skip(&mut self, tag: u8) {
        match tag {
            ask::SYNC => {
                self.mode = Mode::Ready;
                self.ready();
            }
            ask::TERMINATE => self.mode = Mode::Ended,
            _ => {}
        }
    }

    fn message(&mut self, tag: u8, payload: &[u8]) {
        self.look_for_begin(tag);
        match tag {
            ask::QUERY => {
                let text = text_of(payload);
                let parts = sql::split(&text);
                if parts.is_empty() {
                    self.empty(answer::EMPTY_QUERY_RESPONSE);
                }
                self.query = Some(parts.into());
                return;
            }
            ask::FUNCTION_CALL => return self.function_call(payload),
            ask::SYNC => return self.ready(),
            ask::TERMINATE => {
                self.mode = Mode::Ended;
                return;
            }
            // Ignored: the rest of a COPY that has failed.
            ask::COPY_DATA | ask::COPY_DONE | ask::COPY_FAIL => return,
            ask::FLUSH => return,
            _ => {}
        }
        self.in_batch = true;
        let result = match tag {
            ask::PARSE => self.parse(payload),
            ask::BIND => self.bind(payload),
            ask::DESCRIBE => self.describe(payload),
            ask::EXECUTE => self.execute(payload),
            ask::CLOSE => {
                let name = cstr_at(payload, 1);
                if payload[0] == b'S' {
                    drop(self.statements.remove(name))
                } else {
                    drop(self.portals.remove(name))
                }
                self.empty(answer::CLOSE_COMPLETE);
                Ok(())
            }
            other => panic!("a server was sent a message {:?}", char::from(other)),
        };
        if let Err((code, text)) = result {
            self.fail(code, &text);
        }
    }

    fn run_simple(&mut self, text: &str) {
        let result = read(text, &[]).and_then(|statement| {
            if let Sql::Rows { .. } = statement.sql {
                self.session.check_block(&statement.sql)?;
                self.row_description();
            }
            self.run(&statement, text, 0, 0)
        });
        match result {
            Ok(Ran::Complete(command)) => self.push(|out| encode::command_complete(out, &command)),
            Ok(Ran::Suspended | Ran::Pending) => {}
            Err((code, text)) => self.fail(code, &text),
        }
    }

    fn run(&mut self, statement: &Statement, text: &str, skip: usize, limit: usize) -> Result<Ran, Failure> {
        self.see(statement);
        self.session.check_block(&statement.sql)?;
        self.session.begin_implicit();
        let tag = &statement.tag;
        let command = match &statement.sql {
            Sql::Rows { count, bytes } => return Ok(self.rows(tag, text, (*count, *bytes), skip, limit)),
            Sql::Empty => {
                self.empty(answer::EMPTY_QUERY_RESPONSE);
                return Ok(Ran::Pending);
            }
            Sql::Fail => return Err(("22012", format!("failed as told {tag}"))),
            Sql::Notice => {
                let text = format!("notice {tag}");
                self.push(|out| encode::notice(out, Severity::Notice, "00000", &text, None));
                "DROP TABLE"
            }
            Sql::Sleep { us } => {
                self.mode = Mode::Sleep { us: *us };
                return Ok(Ran::Pending);
            }
            Sql::CopyIn { fail_after: 0 } => return Err(("42P01", format!("no such table {tag}"))),
            Sql::CopyIn { fail_after } => {
                self.mode = Mode::Copy { fail_after: *fail_after, seen: 0 };
                self.copy_had_sync = false;
                self.push(|out| encode::frame(out, answer::COPY_IN_RESPONSE, |out| out.extend([0, 0, 0])));
                return Ok(Ran::Pending);
            }
            Sql::CopyOut { count, bytes } => {
                self.push(|out| encode::frame(out, answer::COPY_OUT_RESPONSE, |out| out.extend([0, 0, 0])));
                for row in 0..*count {
                    let line = self.line(tag, text, row, *bytes);
                    self.push(|out| encode::frame(out, answer::COPY_DATA, |out| out.extend(line)));
                }
                self.empty(answer::COPY_DONE);
                "COPY"
            }
            Sql::DiscardAll | Sql::DeallocateAll => {
                self.statements.clear();
                self.portals.clear();
                self.session.control(&statement.sql)?
            }
            other => self.session.control(other)?,
        };
        if self.session.reports_at_once {
            self.report();
        }
        if command == "COMMIT" {
            self.ended_at = Some(self.heard_bytes);
        }
        Ok(Ran::Complete(command.to_owned()))
    }

    /// In place of a context its server is told nothing, and not whose that was.
    fn see(&mut self, statement: &Statement) {
        let is_in_place = statement.tag.is_empty() && matches!(statement.sql, Sql::SetContext { .. });
        if !is_in_place {
            self.seen.push(statement.tag.clone());
        }
    }

    fn rows(&mut self, tag: &str, text: &str, size: (usize, usize), skip: usize, limit: usize) -> Ran {
        let (count, bytes) = size;
        let until = if limit == 0 { count } else { count.min(skip + limit) };
        for row in skip..until {
            let line = self.line(tag, text, row, bytes);
            self.push(|out| {
                encode::frame(out, answer::DATA_ROW, |out| {
                    out.extend([0, 1]);
                    out.extend((line.len() as u32).to_be_bytes());
                    out.extend(line);
                });
            });
        }
        if limit > 0 && until == skip + limit {
            Ran::Suspended
        } else {
            Ran::Complete(format!("SELECT {count}"))
        }
    }

    /// What every row shows: whose it is, the session's parameters, the statement's text, its
    /// own number, and padding.
    fn line(&self, tag: &str, text: &str, row: usize, bytes: usize) -> Vec<u8> {
        let text_digest = hash(HASH_START, text.as_bytes()) as u32;
        let mut line = format!("{tag} {:08x} {text_digest:08x} {row} ", self.session.digest()).into_bytes();
        line.resize(line.len() + bytes, b'a' + (row % 26) as u8);
        line
    }
}

fn read(text: &str, params: &[String]) -> Result<Statement, Failure> {
    if text.trim().is_empty() {
        return Ok(Statement { sql: Sql::Empty, tag: String::new() });
    }
    sql::parse(text, params).ok_or_else(|| ("42601", format!("syntax error at {text:?}")))
}

fn no_portal() -> Failure {
    ("34000", "portal does not exist".to_owned())
}

fn cstr_at(payload: &[u8], at: usize) -> &[u8] {
    let rest = &payload[at..];
    &rest[..rest.iter().position(|byte| *byte == 0).expect("a terminated string")]
}

fn text_of(payload: &[u8]) -> String {
    String::from_utf8(cstr_at(payload, 0).to_vec()).expect("text is UTF-8")
}

fn int_at(payload: &[u8], at: usize) -> usize {
    u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes")) as usize
}
