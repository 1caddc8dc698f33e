//! What whole runs have found once, each as a few lines: one `Core` without a network,
//! its peers played by hand.

mod checks;

use super::driver::frames_text;
use super::identities::proven;
use super::session::REPORTED;
use crate::world::{client_login, nowhere, server_identity};
use pgweir::base::{Address, ClientId, Micros, Peer, PoolId, Proof, ServerId, WorkerId};
use pgweir::config::{ClientRules, PoolMode, PoolRules, SessionState};
use pgweir::core::{
    Answer, Authorization, CancelKey, ClientLogin, Command, Core, DatabaseShare, Farewell, Gate, MovedServer,
    Net, Note, PoolShare, ServerLogin, StatementRegistry,
};
use pgweir::wire::encode::{self, Severity};
use pgweir::wire::tags::{client as ask, server as answer};
use pgweir::wire::{ParamSet, TrackedNames};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

pub const CLIENT: Peer = Peer::Client(ClientId(0));
pub const SERVER: Peer = Peer::Server(ServerId(0));

/// What the core asked for, in its order.
#[derive(Default)]
pub struct Notebook {
    input: Vec<u8>,
    pub sent: BTreeMap<Peer, Vec<u8>>,
    pub notes: Vec<Note>,
    pub acts: Vec<String>,
    pub moved: Option<MovedServer>,
    /// Whose bytes lie with the driver.
    unread: BTreeSet<Peer>,
}

impl Net for Notebook {
    fn forward(&mut self, to: Peer, range: Range<usize>) {
        let bytes = self.input[range].to_vec();
        self.send(to, &bytes);
    }

    fn send(&mut self, to: Peer, bytes: &[u8]) {
        self.sent.entry(to).or_default().extend(bytes);
    }

    fn pause(&mut self, peer: Peer) {
        self.acts.push(format!("pause {peer:?}"));
    }

    fn resume(&mut self, peer: Peer) {
        self.acts.push(format!("resume {peer:?}"));
    }

    fn close(&mut self, peer: Peer, farewell: Farewell) {
        self.acts.push(format!("close {peer:?} {farewell:?}"));
    }

    fn move_server(&mut self, server: Peer, to: WorkerId, state: MovedServer) {
        self.acts.push(format!("move {server:?} to {}", to.0));
        self.moved = Some(state);
    }

    fn has_unread(&self, peer: Peer) -> bool {
        self.unread.contains(&peer)
    }

    fn notify(&mut self, note: Note) {
        self.notes.push(note);
    }
}

/// One worker with one pool.
pub struct Bench {
    pub core: Core,
    pub net: Notebook,
    pub share: Arc<PoolShare>,
    pub now: Micros,
    /// What the next server has.
    pub authorization: Option<Authorization>,
    /// Where the next server is.
    pub remote: Address,
    /// What the next client has proven.
    pub proof: Proof,
    /// What the next server reports.
    pub params: ParamSet,
    kept: BTreeMap<Peer, Vec<u8>>,
}

impl Bench {
    /// A client and an idle server.
    pub fn new(mode: PoolMode, max_prepared_statements: u32) -> Self {
        Self::with(mode, max_prepared_statements, None)
    }

    /// A client and an idle server with that authorization.
    pub fn with(mode: PoolMode, max_prepared_statements: u32, authorization: Option<Authorization>) -> Self {
        let database = DatabaseShare::new("db".into(), Arc::new(Gate::default()));
        let rules = PoolRules { mode, max_prepared_statements, ..rules() };
        let share = PoolShare::new(PoolId(0), Arc::new(database), "user".into(), Arc::new(rules), 2);
        let core = Core::new(WorkerId(0), names(), Arc::new(StatementRegistry::default()));
        let mut bench = Self {
            core,
            net: Notebook::default(),
            share: Arc::new(share),
            now: Micros(2),
            authorization,
            remote: nowhere(),
            proof: Proof::by("trust"),
            params: params(),
            kept: BTreeMap::new(),
        };
        bench.client();
        bench.server();
        bench
    }

    pub fn client(&mut self) -> Peer {
        self.client_with(params())
    }

    /// A client whose session has an `application_name` of its own.
    pub fn client_named(&mut self, name: &str) -> Peer {
        let at = names().position("application_name").expect("it is always tracked");
        self.client_with(params().with(at, name))
    }

    pub fn client_with(&mut self, params: ParamSet) -> Peer {
        let id = self.core.reserve_client();
        let login = self.login_with(id, params);
        self.core.client_joined(id, login, Micros(1), &mut self.net);
        Peer::Client(id)
    }

    /// The login of the client that comes under that id.
    pub fn client_login(&self, id: ClientId) -> ClientLogin {
        self.login_with(id, params())
    }

    fn login_with(&self, id: ClientId, params: ParamSet) -> ClientLogin {
        let socket = 1 + u64::from(id.0);
        let login = client_login(socket, ["db", "user"], &self.share, params, ClientRules::default());
        proven(login, self.proof.clone())
    }

    pub fn server(&mut self) -> Peer {
        self.server_at(Micros(1))
    }

    /// A server that has said more behind its login: [`Bench::says`] hands that in.
    pub fn server_with(&mut self, unread: &[u8]) -> Peer {
        let id = self.core.reserve_server();
        self.keep(Peer::Server(id), unread);
        self.server()
    }

    /// A server of another worker has come, of which so much is unread.
    pub fn moved_in(&mut self, moved: MovedServer, unread: &[u8]) -> Peer {
        let id = self.core.reserve_server();
        self.keep(Peer::Server(id), unread);
        self.core.server_moved_in(id, moved, self.now, &mut self.net);
        Peer::Server(id)
    }

    fn keep(&mut self, peer: Peer, unread: &[u8]) {
        self.kept.insert(peer, unread.to_vec());
        self.net.unread.insert(peer);
    }

    /// A server whose login began at the start and is over at that time.
    pub fn server_at(&mut self, now: Micros) -> Peer {
        let id = self.core.reserve_server();
        let login = self.server_login(id);
        self.core.server_joined(id, login, now, &mut self.net);
        Peer::Server(id)
    }

    /// The login of the server that comes under that id.
    pub fn server_login(&self, id: ServerId) -> ServerLogin {
        let socket = 100 + u64::from(id.0);
        let key = CancelKey { pid: 1, secret: [0; 4].into() };
        let identity = server_identity(socket, ["db", "user"], self.remote.clone(), key);
        ServerLogin {
            identity,
            pool: Arc::clone(&self.share),
            params: self.params.clone(),
            generation: self.share.generation(),
            connected_at: Micros(0),
            authorization: self.authorization,
        }
    }

    /// `peer` sends `bytes`; how many bytes the core leaves to be handed in again.
    pub fn says(&mut self, peer: Peer, bytes: &[u8]) -> usize {
        let mut input = self.kept.remove(&peer).unwrap_or_default();
        input.extend_from_slice(bytes);
        self.net.input = input.clone();
        self.net.unread.remove(&peer);
        let consumed = self.core.received(peer, &input, self.now, &mut self.net);
        self.kept.insert(peer, input[consumed..].to_vec());
        input.len() - consumed
    }

    /// What was sent to `peer` since the last look.
    pub fn sent(&mut self, peer: Peer) -> String {
        frames_text(&self.net.sent.remove(&peer).unwrap_or_default()).trim_end().to_owned()
    }

    /// What else was asked for since the last look.
    pub fn acts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.net.acts)
    }

    pub fn command(&mut self, command: Command) -> Answer {
        self.core.command(command, self.now, &mut self.net)
    }

    pub fn janitor(&mut self) {
        self.core.janitor(self.now, &mut self.net);
    }
}

fn names() -> TrackedNames {
    TrackedNames::new([])
}

pub fn params() -> ParamSet {
    let names = names();
    let add = |set: ParamSet, (name, value): &(&str, &str)| match names.position(name) {
        Some(at) => set.with(at, *value),
        None => set,
    };
    REPORTED.iter().fold(names.empty_set(), add)
}

pub fn rules() -> PoolRules {
    let mut rules = super::plan::rules(&mut super::rng::Rng::new(0), PoolMode::Transaction, false);
    rules.server_check_query = None;
    rules.server_lifetime = Micros::from_secs(3600);
    rules.reset_always = false;
    rules.session_state = SessionState::Follow;
    rules
}

pub fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::query(&mut out, text);
    out
}

pub fn empties(tags: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    tags.iter().for_each(|tag| encode::empty(&mut out, *tag));
    out
}

pub fn ready(status: u8) -> Vec<u8> {
    let mut out = Vec::new();
    encode::ready_for_query(&mut out, status);
    out
}

pub fn complete(command: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::command_complete(&mut out, command);
    out
}

pub fn notice() -> Vec<u8> {
    frame(answer::NOTICE_RESPONSE, b"unasked")
}

pub fn error() -> Vec<u8> {
    let mut out = Vec::new();
    encode::error(&mut out, Severity::Error, "22012", "failed");
    out
}

pub fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::frame(&mut out, tag, |out| out.extend(payload));
    out
}

pub fn parse(name: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::parse(&mut out, name.as_bytes(), format!("{text}\0\0\0").as_bytes());
    out
}

pub fn bind(name: &str) -> Vec<u8> {
    frame(ask::BIND, format!("\0{name}\0\0\0\0\0\0\0").as_bytes())
}

pub fn execute() -> Vec<u8> {
    frame(ask::EXECUTE, &[0; 5])
}

#[test]
fn an_error_is_not_put_into_a_row() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    let row = frame(answer::DATA_ROW, &[7; 100]);
    bench.says(SERVER, &row[..50]);
    bench.command(Command::KillClient(1));
    assert_eq!(bench.net.sent[&CLIENT], row[..50], "half a row, and nothing of ours behind it");
    assert_eq!(bench.acts()[0], "close Client(ClientId(0)) Close");
}

#[test]
fn an_error_of_a_lost_server_is_not_put_into_a_row() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    let row = frame(answer::DATA_ROW, &[7; 100]);
    bench.says(SERVER, &row[..50]);
    bench.core.closed(SERVER, Micros(3), &mut bench.net);
    assert_eq!(bench.net.sent[&CLIENT], row[..50], "half a row, and nothing of ours behind it");
}

#[test]
fn an_answer_of_ours_is_not_put_into_a_row_description() {
    let mut bench = Bench::new(PoolMode::Transaction, 10);
    let mut batch = parse("", "select 1");
    batch.extend(bind(""));
    batch.extend(frame(ask::DESCRIBE, b"P\0"));
    batch.extend(frame(ask::CLOSE, b"Snamed\0"));
    batch.extend(empties(&[ask::SYNC]));
    bench.says(CLIENT, &batch);
    let mut answers = empties(&[answer::PARSE_COMPLETE, answer::BIND_COMPLETE]);
    let cut = answers.len() + 8;
    answers.extend(frame(answer::ROW_DESCRIPTION, b"abcdefghij"));
    bench.says(SERVER, &answers[..cut]);
    bench.says(SERVER, &answers[cut..]);
    assert_eq!(bench.sent(CLIENT), "1[] 2[] T[abcdefghij] 3[]");
}

#[test]
fn what_follows_the_boundary_goes_with_the_server() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    bench.share.set_waiting_since(WorkerId(1), Micros(0));
    let mut answers = complete("SELECT 1");
    answers.extend(ready(b'I'));
    answers.extend(&notice()[..4]);
    assert_eq!(bench.says(SERVER, &answers), 4, "they are the next worker's to read");
    assert_eq!(bench.acts().last().map(String::as_str), Some("move Server(ServerId(0)) to 1"));
}

#[test]
fn half_a_message_of_refused_copy_data_keeps_the_link() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let mut eager = query("copy t from stdin");
    let data = frame(ask::COPY_DATA, &[b'd'; 40]);
    eager.extend(&data[..20]);
    bench.says(CLIENT, &eager);
    bench.sent(SERVER);
    let other = bench.client();
    let mut answers = error();
    answers.extend(ready(b'I'));
    bench.says(SERVER, &answers);
    bench.says(other, &query("select 2"));
    assert_eq!(bench.sent(SERVER), "", "the server still waits for the data's rest");
    bench.says(CLIENT, &data[20..]);
    bench.net.sent.remove(&SERVER);
    assert!(bench.acts().contains(&format!("resume {other:?}")), "now it can be lent on");
}

#[test]
fn nothing_is_said_to_a_server_behind_half_a_message() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("begin"));
    let mut answers = complete("BEGIN");
    answers.extend(ready(b'T'));
    bench.says(SERVER, &answers);
    bench.says(CLIENT, &query("delete from t where id = 12")[..25]);
    bench.core.closed(CLIENT, Micros(3), &mut bench.net);
    assert_eq!(bench.acts().last().map(String::as_str), Some("close Server(ServerId(0)) Close"));
}

#[test]
fn a_client_that_leaves_an_unfinished_batch_takes_its_server_along() {
    let mut bench = Bench::new(PoolMode::Session, 0);
    let mut batch = parse("", "insert into t values (1)");
    batch.extend(bind(""));
    batch.extend(execute());
    bench.says(CLIENT, &batch);
    let mut answers = empties(&[answer::PARSE_COMPLETE, answer::BIND_COMPLETE]);
    answers.extend(complete("INSERT 0 1"));
    bench.says(SERVER, &answers);
    bench.sent(SERVER);
    bench.says(CLIENT, &empties(&[ask::TERMINATE]));
    assert_eq!(bench.sent(SERVER), "", "another's query would commit the insert");
    assert_eq!(bench.acts().last().map(String::as_str), Some("close Server(ServerId(0)) Terminate"));
}

#[test]
fn a_server_leaves_a_suspended_worker_unpaused() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.command(Command::Suspend);
    bench.core.nudged(PoolId(0), WorkerId(1), Micros(3), &mut bench.net);
    let moved = bench.net.moved.take().expect("the idle server goes where it is wanted");
    assert!(bench.share.is_moving());
    let share = Arc::clone(&bench.share);
    let mut there = Bench::new(PoolMode::Transaction, 0);
    there.command(Command::Suspend);
    there.acts();
    let id = there.core.reserve_server();
    there.core.server_moved_in(id, moved, Micros(4), &mut there.net);
    assert_eq!(there.acts(), [format!("pause {:?}", Peer::Server(id))]);
    assert!(!share.is_moving(), "it has arrived");
}

#[test]
fn a_server_does_not_leave_in_the_call_that_sends_to_it() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &empties(&[ask::FLUSH]));
    bench.says(CLIENT, &[]);
    bench.acts();
    bench.share.set_waiting_since(WorkerId(1), Micros(0));
    bench.says(CLIENT, &empties(&[ask::FLUSH, ask::TERMINATE]));
    assert_eq!(bench.acts(), ["close Client(ClientId(0)) Close"]);
    bench.core.nudged(PoolId(0), WorkerId(1), Micros(3), &mut bench.net);
    assert_eq!(bench.acts(), ["move Server(ServerId(0)) to 1"]);
}
