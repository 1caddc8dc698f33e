//! Workers with their real core, between socket pairs that play clients and servers.

use super::{Mail, Task, WorkerConfig, WorkerHandle, spawn};
use crate::base::{Micros, WorkerId};
use crate::config::{ClientRules, IoBackend, Snapshot};
use crate::core::{
    Answer, ClientIdentity, ClientLogin, Command, DatabaseShare, Gate, Note, PoolShare, ServerIdentity,
    ServerLogin, StatementRegistry,
};
use crate::io::{Channel, Clock, Guard, Interest, Watch};
use crate::wire::{ParamMask, TrackedNames, encode, tags};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Tells of its end.
struct Told(std::sync::mpsc::Sender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[test]
fn tasks_go_on_when_their_socket_is_ready_or_they_are_woken_and_end_with_their_worker() {
    let plant = Plant::new(1);
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let (tell, told) = channel();
    let (wake, woken) = tokio::sync::oneshot::channel::<()>();
    let task = move |mut watch: Watch| {
        Box::pin(async move {
            let told = Told(tell);
            let bytes = std::future::poll_fn(|_| match (&near).read(&mut [0; 8]) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    watch.wait_for(Interest::Bytes, near.as_fd()).unwrap();
                    told.0.send("waits").unwrap();
                    std::task::Poll::Pending
                }
                other => std::task::Poll::Ready(other.unwrap()),
            })
            .await;
            assert_eq!(bytes, 1);
            told.0.send("has read").unwrap();
            woken.await.unwrap();
            told.0.send("is woken").unwrap();
            std::future::pending::<()>().await;
        }) as Task
    };
    plant.workers[0].send(Mail::Task(Box::new(task)));
    assert_eq!(told.recv().unwrap(), "waits");
    far.write_all(b"x").unwrap();
    assert_eq!(told.recv().unwrap(), "has read");
    wake.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), "is woken");
    plant.workers[0].send(Mail::Stop);
    assert_eq!(told.recv().unwrap(), "dropped");
}

/// Running workers and one pool, in transaction mode.
struct Plant {
    workers: Box<[WorkerHandle]>,
    threads: Vec<JoinHandle<()>>,
    notes: Receiver<(WorkerId, Note)>,
    pool: Arc<PoolShare>,
    names: TrackedNames,
    clock: Clock,
    ids: std::cell::Cell<u64>,
}

impl Plant {
    fn new(count: u16) -> Self {
        let workers: Box<[_]> = (0..count).map(|_| WorkerHandle::new().unwrap()).collect();
        let (tell, notes) = channel();
        let (names, clock) = (TrackedNames::new([]), Clock::new());
        let statements = Arc::new(StatementRegistry::default());
        let threads = (0..count)
            .map(|id| {
                let tell = tell.clone();
                spawn(WorkerConfig {
                    id: WorkerId(id),
                    names: names.clone(),
                    statements: Arc::clone(&statements),
                    clock,
                    notes: Arc::new(move |from, note| drop(tell.send((from, note)))),
                    workers: workers.clone(),
                    io_backend: IoBackend::Auto,
                })
                .unwrap()
            })
            .collect();
        let text = "[databases]\ndb =\n[pgbouncer]\npool_mode = transaction\nserver_check_delay = 600\n";
        let snapshot = Snapshot::load_with("x.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap();
        let rules = Arc::new(snapshot.pool_rules(&snapshot.database("db").unwrap(), "app"));
        let database = Arc::new(DatabaseShare::new("db".into(), Arc::new(Gate::default())));
        let pool = PoolShare::new(crate::base::PoolId(1), database, "app".into(), rules, count.into());
        Self { workers, threads, notes, pool: Arc::new(pool), names, clock, ids: 0.into() }
    }

    fn socket(&self) -> (Channel, UnixStream, u64) {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        self.ids.set(self.ids.get() + 1);
        (
            Channel {
                fd: near.into(),
                tls: None,
                unread: Vec::new(),
                unsent: Vec::new(),
                guard: Box::new(()),
            },
            far,
            self.ids.get(),
        )
    }

    /// A client of the pool on a worker; its far end.
    fn client(&self, worker: usize) -> UnixStream {
        self.client_with(worker, ClientRules::default())
    }

    fn client_with(&self, worker: usize, rules: ClientRules) -> UnixStream {
        self.client_guarded(worker, rules, Box::new(()))
    }

    fn client_guarded(&self, worker: usize, rules: ClientRules, guard: Guard) -> UnixStream {
        let (mut channel, far, socket_id) = self.socket();
        channel.guard = guard;
        let identity = ClientIdentity::for_tests(socket_id);
        let login = ClientLogin {
            identity: Arc::new(identity),
            pool: Arc::clone(&self.pool),
            params: self.names.empty_set(),
            asked: ParamMask::default(),
            rules,
            shown_name: None,
            context: None,
            login_time: Micros(0),
            welcome: Box::default(),
        };
        self.workers[worker].send(Mail::Client(Box::new((channel, login))));
        far
    }

    /// An idle server of the pool on a worker; its far end.
    fn server(&self, worker: usize) -> UnixStream {
        let (channel, far, socket_id) = self.socket();
        let login = ServerLogin {
            identity: Arc::new(ServerIdentity::for_tests(socket_id)),
            pool: Arc::clone(&self.pool),
            params: self.names.empty_set(),
            generation: self.pool.generation(),
            connected_at: self.clock.now(),
            authorization: None,
        };
        self.workers[worker].send(Mail::Server(Box::new((channel, login))));
        far
    }

    fn counts(&self, worker: usize) -> (usize, usize) {
        let rows = |command| {
            let (reply, answer) = channel();
            self.workers[worker]
                .send(Mail::Command(command, Box::new(move |answer| drop(reply.send(answer)))));
            answer.recv_timeout(Duration::from_secs(30)).unwrap()
        };
        let (Answer::Clients(clients), Answer::Servers(servers)) =
            (rows(Command::Clients), rows(Command::Servers))
        else {
            panic!("the answers are those of other questions");
        };
        (clients.len(), servers.len())
    }

    fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let limit = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < limit, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(self) {
        self.workers.iter().for_each(|worker| worker.send(Mail::Stop));
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

fn query(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::query(&mut out, sql);
    out
}

fn answer(command: &str, status: u8) -> Vec<u8> {
    let mut out = Vec::new();
    encode::command_complete(&mut out, command);
    encode::ready_for_query(&mut out, status);
    out
}

#[track_caller]
fn expect(from: &mut UnixStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    from.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

#[test]
fn a_query_goes_to_the_server_and_its_answer_comes_back() {
    let plant = Plant::new(1);
    let (mut server, mut client) = (plant.server(0), plant.client(0));
    for round in 0..3 {
        let (question, reply) =
            (query(&format!("select {round}")), answer("SELECT 1", tags::transaction::IDLE));
        client.write_all(&question).unwrap();
        expect(&mut server, &question);
        server.write_all(&reply).unwrap();
        expect(&mut client, &reply);
    }
    plant.stop();
}

#[test]
fn a_client_without_a_server_makes_its_worker_ask_for_one() {
    let plant = Plant::new(2);
    let mut client = plant.client(1);
    client.write_all(&query("select 1")).unwrap();
    let (from, note) = plant.notes.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(matches!((from, note), (WorkerId(1), Note::NeedServer(pool)) if pool == plant.pool.id));
    let mut server = plant.server(1);
    expect(&mut server, &query("select 1"));
    plant.stop();
}

#[test]
fn an_idle_server_comes_over_to_the_worker_where_a_client_waits() {
    let plant = Plant::new(2);
    let mut server = plant.server(0);
    plant.wait_for("the server is idle", || plant.pool.idle_elsewhere(WorkerId(1)).is_some());
    let mut client = plant.client(1);
    client.write_all(&query("select 1")).unwrap();
    expect(&mut server, &query("select 1"));
    assert_eq!((plant.counts(0), plant.counts(1)), ((0, 0), (1, 1)));
    server.write_all(&answer("SELECT 1", tags::transaction::IDLE)).unwrap();
    expect(&mut client, &answer("SELECT 1", tags::transaction::IDLE));
    plant.stop();
}

#[test]
fn a_server_moves_with_the_bytes_that_were_not_consumed() {
    let plant = Plant::new(2);
    let (mut server, mut first) = (plant.server(0), plant.client(0));
    first.write_all(&query("select 1")).unwrap();
    expect(&mut server, &query("select 1"));
    let mut second = plant.client(1);
    second.write_all(&query("select 2")).unwrap();
    plant.wait_for("the second waits", || plant.pool.oldest_waiter_elsewhere(WorkerId(0)).is_some());
    // The end of the first answer and, in the same bytes, the beginning of something
    // that the server says unasked.
    let mut unasked = Vec::new();
    encode::parameter_status(&mut unasked, "in_hot_standby", "off");
    let (front, back) = unasked.split_at(7);
    server.write_all(&[&answer("SELECT 1", tags::transaction::IDLE)[..], front].concat()).unwrap();
    expect(&mut first, &answer("SELECT 1", tags::transaction::IDLE));
    expect(&mut server, &query("select 2"));
    server.write_all(&[back, &answer("SELECT 1", tags::transaction::IDLE)[..]].concat()).unwrap();
    expect(&mut second, &[&unasked[..], &answer("SELECT 1", tags::transaction::IDLE)].concat());
    plant.stop();
}

#[test]
fn clients_are_counted_from_the_letter_to_the_end() {
    let plant = Plant::new(1);
    let clients = [plant.client(0), plant.client(0), plant.client(0)];
    assert_eq!(plant.workers[0].client_count(), 3, "on their way, too");
    assert_eq!(plant.counts(0).0, 3);
    drop(clients);
    plant.wait_for("all are gone", || plant.workers[0].client_count() == 0);
    plant.stop();
}

#[test]
fn a_waiting_client_is_timed_out_by_the_janitor() {
    let plant = Plant::new(1);
    let mut client =
        plant.client_with(0, ClientRules { query_wait_timeout: Micros(1), ..ClientRules::default() });
    client.write_all(&query("select 1")).unwrap();
    let mut words = Vec::new();
    client.read_to_end(&mut words).unwrap();
    assert!(String::from_utf8_lossy(&words).contains("query_wait_timeout"), "{words:?}");
    plant.stop();
}

/// A letter that the answer to another sends is read in the same round.
#[test]
fn a_barrier_is_answered_when_the_notes_of_what_came_before_it_are_out() {
    let plant = Plant::new(1);
    let (mut server, mut client) = (plant.server(0), plant.client(0));
    client.write_all(&query("select 1")).unwrap();
    expect(&mut server, &query("select 1"));
    let (tell, told) = channel();
    let (go_on, wait) = channel::<()>();
    let worker = plant.workers[0].clone();
    let barrier = move |_| {
        tell.send(()).unwrap();
        let _ = wait.recv_timeout(Duration::from_secs(30));
    };
    let cancel = move |found| {
        assert!(matches!(found, Answer::Found(true)));
        worker.send(Mail::Command(Command::Barrier, Box::new(barrier)));
    };
    let socket_id = plant.ids.get();
    plant.workers[0].send(Mail::Command(Command::Cancel(socket_id, 7), Box::new(cancel)));
    told.recv_timeout(Duration::from_secs(30)).unwrap();
    let notes: Vec<_> = plant.notes.try_iter().collect();
    go_on.send(()).unwrap();
    assert!(
        matches!(notes.last(), Some((_, Note::SendCancel { request: 7, .. }))),
        "the request is not on its way: {notes:?}"
    );
    plant.stop();
}

/// What a client sends in the answer to a letter comes by its socket behind that.
#[test]
fn a_barrier_is_answered_when_the_notes_of_what_came_by_sockets_are_out() {
    let plant = Plant::new(1);
    let mut client = plant.client(0);
    assert_eq!(plant.counts(0), (1, 0));
    assert_eq!(plant.notes.try_iter().count(), 0);
    let (tell, told) = channel();
    let (go_on, wait) = channel::<()>();
    let worker = plant.workers[0].clone();
    let barrier = move |_| {
        tell.send(()).unwrap();
        let _ = wait.recv_timeout(Duration::from_secs(30));
    };
    let ask = move |_| {
        client.write_all(&query("select 1")).unwrap();
        worker.send(Mail::Command(Command::Barrier, Box::new(barrier)));
        std::mem::forget(client);
    };
    plant.workers[0].send(Mail::Command(Command::Stats(0), Box::new(ask)));
    told.recv_timeout(Duration::from_secs(30)).unwrap();
    let notes: Vec<_> = plant.notes.try_iter().collect();
    go_on.send(()).unwrap();
    assert!(notes.iter().any(|(_, note)| matches!(note, Note::NeedServer(_))), "nobody knows: {notes:?}");
    plant.stop();
}

/// A barrier that the answer to a letter sends is read in the same round.
#[test]
fn who_has_left_before_a_barrier_is_counted_no_more_behind_it() {
    let plant = Plant::new(1);
    let counted = Arc::new(());
    let mut client = plant.client_guarded(0, ClientRules::default(), Box::new(Arc::clone(&counted)));
    assert_eq!(plant.counts(0), (1, 0));
    let worker = plant.workers[0].clone();
    let (tell, told) = channel();
    let leave = move |_| {
        client.write_all(b"X\0\0\0\x04").unwrap();
        let count = move |_| tell.send(Arc::strong_count(&counted)).unwrap();
        worker.send(Mail::Command(Command::Barrier, Box::new(count)));
    };
    plant.workers[0].send(Mail::Command(Command::Stats(0), Box::new(leave)));
    assert_eq!(told.recv_timeout(Duration::from_secs(30)).unwrap(), 1);
    plant.stop();
}

/// A question that the answer to another sends is read in the same round.
#[test]
fn who_has_left_before_a_question_is_not_in_the_answer() {
    let plant = Plant::new(1);
    let (server, mut client) = (plant.server(0), plant.client(0));
    assert_eq!(plant.counts(0), (1, 1));
    let worker = plant.workers[0].clone();
    let (tell, told) = channel();
    let leave = move |_| {
        client.write_all(b"X\0\0\0\x04").unwrap();
        drop((client, server));
        for question in [Command::Clients, Command::Servers, Command::Pools] {
            let tell = tell.clone();
            worker.send(Mail::Command(question, Box::new(move |answer| drop(tell.send(answer)))));
        }
    };
    plant.workers[0].send(Mail::Command(Command::Barrier, Box::new(leave)));
    let next = || told.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(matches!(next(), Answer::Clients(rows) if rows.is_empty()));
    assert!(matches!(next(), Answer::Servers(rows) if rows.is_empty()));
    assert!(
        matches!(next(), Answer::Pools(rows) if rows.iter().all(|(_, row)| row.cl_idle + row.sv_idle == 0))
    );
    plant.stop();
}

#[test]
fn stopping_closes_everything_and_drops_letters() {
    let plant = Plant::new(1);
    let (mut server, mut client) = (plant.server(0), plant.client(0));
    plant.counts(0);
    let handle = plant.workers[0].clone();
    plant.stop();
    for far in [&mut server, &mut client] {
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
    let (reply, answer) = channel::<Answer>();
    handle.send(Mail::Command(Command::Clients, Box::new(move |answer| drop(reply.send(answer)))));
    assert!(answer.recv().is_err(), "nobody answers any more");
}
