//! What whole runs have found in the driver and between workers, each as a few lines: whole workers over
//! simulated sockets, their peers played by hand. That each byte written is one that is owed there, the
//! sockets look after themselves.

use super::cases::{complete, empties, frame, query, ready, rules};
use super::driver::{Driver, Returned, SimMail};
use super::ear;
use super::ground::{Cuts, Ground};
use super::kernel::Habits;
use super::wire::Remote;
use super::work::AT_THE_BOUND;
use super::world::{client_login, defaults, nowhere, param_set, server_identity};
use pgweir::base::{PoolId, limits};
use pgweir::config::{ClientRules, PoolMode, PoolRules};
use pgweir::core::{
    Answer, Bounds, CancelFate, CancelKey, Command, DatabaseShare, Gate, PoolShare, ServerLogin, ServerState,
    StatementRegistry,
};
use pgweir::io::{DISCARDS_PER_TURN, READS_PER_TURN};
use pgweir::wire::TrackedNames;
use pgweir::wire::tags::{client as ask, server as answer};
use std::sync::Arc;

/// Two workers and one pool.
struct Stage {
    ground: Ground,
    drivers: Vec<Driver>,
    share: Arc<PoolShare>,
    names: TrackedNames,
    tls: u64,
}

impl Stage {
    /// `room`: so many bytes fit into a socket.
    fn new(room: u64, has_ring: bool, tls: u64) -> Self {
        let cuts = Cuts {
            read_bytes_max: 60_000,
            wire_bytes: (room, room),
            delay_us_max: 0,
            nap_us_max: 0,
            has_ring,
            habits: Habits::default(),
        };
        let ground = Ground::new(1, cuts, 2, false);
        let names = TrackedNames::new(["search_path", "IntervalStyle"]);
        let registry = Arc::new(StatementRegistry::default());
        let returned = Returned::default();
        let driver =
            |at| Driver::new(at, names.clone(), Arc::clone(&registry), &ground, Bounds::default(), &returned);
        let drivers = (0..2).map(driver).collect();
        let database = DatabaseShare::new("db".into(), Arc::new(Gate::default()));
        let rules = PoolRules {
            mode: PoolMode::Transaction,
            max_prepared_statements: 0,
            round_robin: false,
            ..rules()
        };
        let share = PoolShare::new(PoolId(0), Arc::new(database), "user".into(), Arc::new(rules), 2);
        Self { ground, drivers, share: Arc::new(share), names, tls }
    }

    fn client(&mut self, worker: usize) -> u64 {
        let socket = self.ground.new_wire(self.tls, true);
        self.ground.wires[socket as usize].remote = Remote::Client(0);
        let params = param_set(&self.names, &defaults());
        let login = client_login(socket, ["db", "user"], &self.share, params, ClientRules::default());
        self.put(worker, SimMail::Client(socket, login));
        socket
    }

    fn server(&mut self, worker: usize) -> u64 {
        let socket = self.ground.new_wire(self.tls, false);
        self.ground.wires[socket as usize].remote = Remote::Server(0);
        let key = CancelKey { pid: 1, secret: [0; 8].into() };
        let identity = server_identity(socket, ["db", "user"], nowhere(), key);
        let login = ServerLogin {
            identity,
            pool: Arc::clone(&self.share),
            params: param_set(&self.names, &defaults()),
            generation: self.share.generation(),
            connected_at: self.ground.micros(),
            authorization: None,
        };
        self.put(worker, SimMail::Server(socket, 0, login));
        socket
    }

    fn put(&mut self, worker: usize, letter: SimMail) {
        self.drivers[worker].put(letter, &mut self.ground);
        self.round(worker);
    }

    /// One round of a worker, without what it sends to others.
    fn round(&mut self, worker: usize) {
        self.drivers[worker].round(&mut self.ground);
    }

    /// Letters between workers, then rounds until nothing is left to do. Returns how many servers have moved.
    fn settle(&mut self) -> usize {
        let mut moves = 0;
        for _ in 0..8 {
            for worker in 0..2 {
                while let Some(letter) = self.ground.mail[worker].pop_front() {
                    moves += usize::from(matches!(letter, SimMail::Moved(_)));
                    self.drivers[worker].put(letter, &mut self.ground);
                }
                self.round(worker);
            }
        }
        moves
    }

    /// Bytes arrive from the other end.
    fn says(&mut self, socket: u64, bytes: &[u8]) {
        let wire = &mut self.ground.wires[socket as usize];
        assert_eq!(wire.say(bytes, false), bytes.len(), "there is room");
        wire.up.arrive(usize::MAX);
        self.ground.wires.edge(socket);
    }

    /// The other end reads what there is.
    fn hears(&mut self, socket: u64) -> Vec<u8> {
        let bytes = self.ground.wires[socket as usize].hear(usize::MAX);
        self.ground.wires.edge(socket);
        bytes
    }

    /// Reads, with rounds in between, until nothing more comes.
    fn hears_all(&mut self, socket: u64) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..200 {
            all.extend(self.hears(socket));
            self.settle();
        }
        all
    }

    fn states(&mut self) -> Vec<ServerState> {
        let mut states = Vec::new();
        for driver in &mut self.drivers {
            let Answer::Servers(rows) = driver.ask(Command::Servers, &self.ground) else {
                panic!("rows are asked for")
            };
            states.extend(rows.iter().map(|row| row.state));
        }
        states
    }
}

fn answer_of(bytes: usize) -> Vec<u8> {
    [frame(answer::DATA_ROW, &vec![7; bytes]), complete("SELECT 1"), ready(b'I')].concat()
}

/// The orders in which three sockets may be seen.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// A client says Flush as its query is answered, another one's large answer comes in the same round, and the
/// server goes to a third, who waits elsewhere.
#[test]
fn a_server_that_moves_with_pieces_waiting_leaves_everybody_his_own() {
    let mut moves = 0;
    for (at, bytes) in [10, 1_200, 3_000, 30_000].into_iter().enumerate() {
        for (order, tls) in ORDERS.into_iter().flat_map(|order| [(order, 0), (order, 100)]) {
            let mut stage = Stage::new(100_000, at % 2 == 0, tls);
            let [first, victim] = [(), ()].map(|()| (stage.client(0), stage.server(0)));
            // The one that came last is lent first.
            let (client, other) = (first.0, victim.0);
            let (server, others) = (victim.1, first.1);
            stage.says(client, &query("select 1"));
            stage.round(0);
            stage.says(other, &query("select 2"));
            stage.round(0);
            let waiting = stage.client(1);
            stage.says(waiting, &query("select 3"));
            stage.round(1);
            assert_eq!(stage.hears(server), query("select 1"));
            assert_eq!(stage.hears(others), query("select 2"));
            let large = frame(answer::DATA_ROW, &vec![b'S'; 20_000]);
            for event in order {
                match event {
                    0 => stage.says(client, &empties(&[ask::FLUSH; 3])),
                    1 => stage.says(server, &answer_of(bytes)),
                    _ => stage.says(others, &large),
                }
            }
            stage.round(0);
            let moved = stage.settle();
            moves += moved;
            assert_eq!(stage.hears_all(client), answer_of(bytes), "{bytes} {order:?}");
            assert_eq!(stage.hears_all(other), large, "{bytes} {order:?}");
            if moved > 0 {
                let heard = stage.hears_all(server);
                assert!(heard.ends_with(&query("select 3")), "{bytes} {order:?}");
            }
        }
    }
    assert!(moves > 10, "{moves}: the case is not met");
}

/// What its socket has not taken goes with it, and stays in front of what its next client says.
#[test]
fn a_server_moves_while_its_socket_is_full() {
    for (has_ring, tls) in [(true, 0), (false, 0), (true, 100), (false, 100)] {
        // Room for twelve of them, in a record of their own under TLS, and not for twice as many.
        let mut stage = Stage::new(if tls == 0 { 64 } else { 100 }, has_ring, tls);
        let (client, server) = (stage.client(0), stage.server(0));
        stage.says(client, &query("select 1"));
        stage.settle();
        assert_eq!(stage.hears_all(server), query("select 1"));
        let flushes = empties(&[ask::FLUSH; 12]);
        stage.says(client, &flushes);
        stage.round(0);
        let waiting = stage.client(1);
        stage.says(waiting, &query("select 3"));
        stage.round(1);
        stage.says(client, &flushes);
        stage.says(server, &[complete("SELECT 1"), ready(b'I')].concat());
        stage.round(0);
        assert_eq!(stage.settle(), 1, "it moves with what its socket has no room for");
        let heard = stage.hears_all(server);
        let is_expected = heard.starts_with(&flushes.repeat(2)) && heard.ends_with(&query("select 3"));
        assert!(is_expected, "{}", heard.escape_ascii());
        assert_eq!(stage.hears_all(client), [complete("SELECT 1"), ready(b'I')].concat());
        stage.says(server, &answer_of(10));
        stage.settle();
        assert_eq!(stage.hears_all(waiting), answer_of(10));
    }
}

/// A session that listens, is cancelled, and is notified in two parts while the cancel is under way.
#[test]
fn a_server_that_is_canceled_and_notified_serves_on() {
    let note = frame(answer::NOTIFICATION_RESPONSE, b"\0\0\0\x07channel\0payload\0");
    for cut in 0..=note.len() {
        for fate in [CancelFate::Taken, CancelFate::NeverSent] {
            let mut stage = Stage::new(100_000, true, 0);
            let (client, server) = (stage.client(0), stage.server(0));
            stage.says(client, &query("listen channel"));
            stage.settle();
            stage.says(server, &[complete("LISTEN"), ready(b'I')].concat());
            stage.settle();
            stage.says(client, &query("select pg_sleep(20)"));
            stage.settle();
            stage.put(0, SimMail::Command(Command::Cancel(client, 0)));
            stage.says(server, &[&complete("SELECT 1"), &ready(b'I'), &note[..cut]].concat());
            stage.round(0);
            stage.put(0, SimMail::CancelOver(server, fate));
            stage.says(server, &[&note[cut..], &note].concat());
            stage.settle();
            assert_eq!(stage.states(), [ServerState::Idle], "cut at {cut}, {fate:?}");
            let next = stage.client(0);
            stage.says(next, &query("select 2"));
            stage.settle();
            stage.says(server, &answer_of(10));
            stage.settle();
            assert_eq!(stage.hears_all(next), answer_of(10), "cut at {cut}, {fate:?}");
        }
    }
}

/// A message of megabytes is there at once, and all the room that it takes: still others have their turn
/// between two parts.
#[test]
fn however_much_has_come_one_round_reads_so_much_of_it() {
    for tls in [0, 100] {
        let mut stage = Stage::new(4 << 20, true, tls);
        let (client, server) = (stage.client(0), stage.server(0));
        let large = query(&"x".repeat(3 << 20));
        stage.says(client, &large);
        let mut rounds = 0;
        while !stage.ground.wires[client as usize].up.is_empty() {
            let before = stage.ground.wires[client as usize].up.len();
            stage.round(0);
            let read = before - stage.ground.wires[client as usize].up.len();
            assert!((1..=READS_PER_TURN * limits::READ_BUFFER_BYTES).contains(&read), "{read} bytes");
            rounds += 1;
        }
        assert!(rounds > 8, "{rounds}: all at once");
        assert_eq!(stage.hears_all(server), large);
    }
}

/// What still comes of a client that was ended is read and dropped, and not all of it in one round either.
#[test]
fn however_much_comes_of_one_that_is_closed_one_round_reads_so_much_of_it() {
    let mut stage = Stage::new(8 << 20, true, 0);
    let client = stage.client(0);
    stage.put(0, SimMail::Command(Command::KillClient(client)));
    stage.says(client, &vec![b'x'; 6 << 20]);
    let mut rounds = 0;
    while !stage.ground.wires[client as usize].up.is_empty() {
        let before = stage.ground.wires[client as usize].up.len();
        stage.round(0);
        let read = before - stage.ground.wires[client as usize].up.len();
        assert!((1..=2 * DISCARDS_PER_TURN * limits::READ_BUFFER_BYTES).contains(&read), "{read} bytes");
        rounds += 1;
    }
    assert!(rounds > 2, "{rounds}: all at once");
    assert!(ear::heard().contains(AT_THE_BOUND[3]));
}
