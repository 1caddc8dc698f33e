//! What one transaction costs in the core alone: no socket, no kernel. Defends the claim that the data
//! path's own work is small against the kernel's (PgBouncer's user-space part is some 2 to 3 us a
//! transaction; the budget here is 0.3 us).
//!
//! `transaction`: a simple query in, its answer out, check-out and check-in included. `prepared`: Bind,
//! Execute, Sync under a shared statement's name. `contended`: one server, 64 clients waiting in turn.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use pgweir::base::{Address, ClientId, Micros, Peer, PoolId, ServerId, WorkerId};
use pgweir::config::{ClientRules, OnDenied, OnExpired, PoolMode, PoolRules, SessionState, TimeoutAction};
use pgweir::core::{
    CancelKey, ClientIdentity, ClientLogin, Core, DatabaseShare, Farewell, Gate, MovedServer, Net, Note,
    PoolShare, ServerIdentity, ServerLogin, StatementRegistry,
};
use pgweir::wire::{ParamMask, TrackedNames, encode};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Counts bytes and remembers who may speak again; moves nothing.
#[derive(Default)]
struct Sink {
    bytes: usize,
    resumed: VecDeque<Peer>,
}

impl Net for Sink {
    fn forward(&mut self, _to: Peer, range: Range<usize>) {
        self.bytes += range.len();
    }
    fn send(&mut self, _to: Peer, bytes: &[u8]) {
        self.bytes += bytes.len();
    }
    fn pause(&mut self, _peer: Peer) {}
    fn resume(&mut self, peer: Peer) {
        self.resumed.push_back(peer);
    }
    fn close(&mut self, _peer: Peer, _farewell: Farewell) {}
    fn move_server(&mut self, _server: Peer, _to: WorkerId, _state: MovedServer) {}
    fn has_unread(&self, _peer: Peer) -> bool {
        false
    }
    fn notify(&mut self, _note: Note) {}
}

fn rules() -> PoolRules {
    PoolRules {
        mode: PoolMode::Transaction,
        session_state: SessionState::Pgbouncer,
        pool_size: 20,
        min_pool_size: 0,
        reserve_pool_size: 0,
        reserve_pool_timeout: Micros(0),
        max_db_connections: 0,
        max_user_connections: 0,
        server_lifetime: Micros::from_secs(3600),
        server_idle_timeout: Micros::from_secs(600),
        server_login_concurrency: 16,
        endpoint: "host:5432".into(),
        endpoints: ["host:5432".into()].into(),
        instance_caps: [].into(),
        server_check_delay: Micros::from_secs(30),
        server_check_query: None,
        server_reset_query: "DISCARD ALL".into(),
        reset_always: false,
        round_robin: false,
        fast_close: false,
        query_timeout: Micros(0),
        idle_transaction_timeout: Micros(0),
        transaction_timeout: Micros(0),
        max_prepared_statements: 200,
        max_packet_bytes: u32::MAX >> 1,
        disable_pqexec: false,
        query_wait_notify: Micros(0),
        cancel_wait_timeout: Micros(0),
        suspend_timeout: Micros(0),
        log_disconnections: false,
        log_pooler_errors: false,
        log_connections: false,
        timeout_action: TimeoutAction::Close,
        on_expired: OnExpired::Drain,
        expiry_grace: Micros(0),
        on_denied: OnDenied::Drain,
        drain_timeout: Micros(0),
        context_keys: None,
    }
}

/// A core with one pool, `servers` servers and `clients` clients.
fn core(clients: u64, servers: u64, sink: &mut Sink) -> Core {
    let names = TrackedNames::new([]);
    let mut core = Core::new(WorkerId(0), names.clone(), Arc::new(StatementRegistry::default()));
    let database = Arc::new(DatabaseShare::new("db".into(), Arc::new(Gate::default())));
    let pool = Arc::new(PoolShare::new(PoolId(0), database, "user".into(), Arc::new(rules()), 1));
    let address = Address::Unix { port: 5432, pid: 0, uid: 0 };
    for socket_id in 0..servers {
        let identity = ServerIdentity {
            socket_id,
            database: "db".into(),
            user: "user".into(),
            login_user: "user".into(),
            remote: address.clone(),
            local: address.clone(),
            host: "host".into(),
            endpoint: "host:5432".into(),
            tls: String::new(),
            connected_at_epoch_s: 0,
            replication: pgweir::wire::startup::Replication::No,
            cancel_key: CancelKey { pid: 1, secret: Box::new([0; 4]) },
            credential: None,
        };
        let login = ServerLogin {
            identity: Arc::new(identity),
            pool: Arc::clone(&pool),
            params: names.empty_set(),
            generation: 0,
            connected_at: Micros(0),
            authorization: None,
        };
        let id = core.reserve_server();
        core.server_joined(id, login, Micros(1), sink);
    }
    for socket_id in 0..clients {
        let identity = ClientIdentity {
            socket_id,
            database: "db".into(),
            user: "user".into(),
            proof: pgweir::base::Proof::by("trust"),
            remote: address.clone(),
            local: address.clone(),
            tls: String::new(),
            connected_at_epoch_s: 0,
            replication: pgweir::wire::startup::Replication::No,
            internal: false,
        };
        let login = ClientLogin {
            identity: Arc::new(identity),
            pool: Arc::clone(&pool),
            params: names.empty_set(),
            asked: ParamMask::default(),
            rules: ClientRules::default(),
            shown_name: None,
            context: None,
            login_time: Micros(0),
            welcome: Box::default(),
        };
        let id = core.reserve_client();
        core.client_joined(id, login, Micros(1), sink);
    }
    core
}

fn simple_answer() -> Vec<u8> {
    let mut answer = Vec::new();
    encode::frame(&mut answer, b'T', |out| out.extend_from_slice(&[0; 28]));
    encode::frame(&mut answer, b'D', |out| out.extend_from_slice(&[0, 1, 0, 0, 0, 1, b'1']));
    encode::command_complete(&mut answer, "SELECT 1");
    encode::ready_for_query(&mut answer, b'I');
    answer
}

fn transaction(c: &mut Criterion) {
    let mut sink = Sink::default();
    let mut core = core(1, 1, &mut sink);
    let mut query = Vec::new();
    encode::query(&mut query, "select 1");
    let answer = simple_answer();
    let (client, server) = (Peer::Client(ClientId(0)), Peer::Server(ServerId(0)));
    c.bench_function("transaction", |b| {
        b.iter(|| {
            assert_eq!(core.received(client, &query, Micros(2), &mut sink), query.len());
            assert_eq!(core.received(server, &answer, Micros(3), &mut sink), answer.len());
        });
    });
}

fn prepared(c: &mut Criterion) {
    let mut sink = Sink::default();
    let mut core = core(1, 1, &mut sink);
    let (client, server) = (Peer::Client(ClientId(0)), Peer::Server(ServerId(0)));
    let mut parse = Vec::new();
    encode::parse(&mut parse, b"P0_1", b"select $1\0\0\x01\0\0\0\x17");
    encode::empty(&mut parse, b'S');
    let mut parsed = vec![b'1', 0, 0, 0, 4];
    encode::ready_for_query(&mut parsed, b'I');
    core.received(client, &parse, Micros(2), &mut sink);
    core.received(server, &parsed, Micros(2), &mut sink);
    let mut query = Vec::new();
    encode::frame(&mut query, b'B', |out| out.extend_from_slice(b"\0P0_1\0\0\0\0\x01\0\0\0\x011\0\0"));
    encode::frame(&mut query, b'D', |out| out.extend_from_slice(b"P\0"));
    encode::frame(&mut query, b'E', |out| out.extend_from_slice(&[0; 5]));
    encode::empty(&mut query, b'S');
    let mut answer = vec![b'2', 0, 0, 0, 4];
    answer.extend_from_slice(&simple_answer());
    c.bench_function("prepared", |b| {
        b.iter(|| {
            assert_eq!(core.received(client, &query, Micros(2), &mut sink), query.len());
            assert_eq!(core.received(server, &answer, Micros(3), &mut sink), answer.len());
        });
    });
}

fn contended(c: &mut Criterion) {
    let mut sink = Sink::default();
    let mut core = core(64, 1, &mut sink);
    let mut query = Vec::new();
    encode::query(&mut query, "select 1");
    let answer = simple_answer();
    let server = Peer::Server(ServerId(0));
    for client in 0..64 {
        core.received(Peer::Client(ClientId(client)), &query, Micros(2), &mut sink);
    }
    let mut at = 0;
    c.bench_function("contended", |b| {
        b.iter(|| {
            core.received(server, &answer, Micros(3), &mut sink);
            while let Some(peer) = sink.resumed.pop_front() {
                core.received(peer, &query, Micros(4), &mut sink);
            }
            // The client just served asks again, and waits.
            core.received(Peer::Client(ClientId(at)), &query, Micros(4), &mut sink);
            at = (at + 1) % 64;
        });
    });
}

criterion_group!(benches, transaction, prepared, contended);
criterion_main!(benches);
