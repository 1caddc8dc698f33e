//! Replication clients of a simulated world: each waits at its login for a server of its own, is handed over
//! with it, and keeps it to its end. What the login plane does for them is done here as
//! `servers/attempt/replication.rs` does it; that nobody else speaks to such a server, the server asserts.

use super::cases::{Bench, CLIENT, SERVER, complete, frame, query, ready};
use super::driver::SimMail;
use super::ear;
use super::ground::Event;
use super::reloads::Login;
use super::session::BOGUS_ZONE;
use super::world::{World, client_login, defaults};
use pgweir::base::{Micros, PoolId, limits};
use pgweir::config::PoolMode;
use pgweir::core::{Authorization, Command, Scope, Stance, Use};
use pgweir::wire::tags::{client as ask, server as answer};
use std::sync::Arc;

pub const OWN_SERVER: &str = "a replication client gets a server of its own";
pub const MADE_ROOM: &str = "a server is evicted for a replication client of its pool";

/// Why the pooler may end a replication client, beside what holds for all.
pub const CLOSED_AT_ONCE: [&str; 2] = ["database configuration changed", "host has moved"];

/// One that waits, and the values that it asks its session for.
#[derive(Clone, Debug)]
pub struct Replica {
    pub client: usize,
    since: Micros,
    socket: u64,
    pub values: Vec<String>,
}

/// Those of a pool.
#[derive(Debug, Default)]
pub struct Replicas {
    /// For whom no login is under way, the longest waiting one first.
    waiting: Vec<Replica>,
    /// Logins under way.
    pub logins: u32,
    /// After a failure that may pass: when the next one may begin.
    pub not_before: Micros,
}

/// Values that a login to a server takes, of so many bytes at the most: who asks for others never gets there.
pub fn accept(values: &mut Vec<String>, bytes_max: usize) {
    let is_scarce = bytes_max < limits::PARAMETERS_BYTES_MAX;
    if is_scarce || values.iter().any(|value| value == BOGUS_ZONE) {
        *values = defaults();
    }
}

impl World {
    /// A replication client has proven who it is.
    pub fn replica_logs_in(&mut self, at: usize, client: usize, values: Vec<String>) {
        let socket = self.clients[client].socket;
        let since = self.ground.micros();
        self.pools[at].replicas.waiting.push(Replica { client, since, socket, values });
        self.ground.after(0, Event::Consider(at, true));
    }

    /// Since when those wait who have not gone away, and for whom no login is under way.
    pub fn waiting_replicas(&self, at: usize) -> Vec<Micros> {
        let waiting = self.pools[at].replicas.waiting.iter();
        waiting.filter(|replica| self.stands_there(replica.socket)).map(|replica| replica.since).collect()
    }

    /// Takes out the one for whom a login begins.
    pub fn next_replica(&mut self, at: usize) -> Option<Replica> {
        let mut waiting = std::mem::take(&mut self.pools[at].replicas.waiting);
        waiting.retain(|replica| self.stands_there(replica.socket));
        let next = (!waiting.is_empty()).then(|| waiting.remove(0));
        let replicas = &mut self.pools[at].replicas;
        replicas.waiting = waiting;
        replicas.logins += u32::from(next.is_some());
        next
    }

    pub fn turn_away_replicas(&mut self, at: usize) {
        for replica in std::mem::take(&mut self.pools[at].replicas.waiting) {
            self.turn_away(replica.socket);
        }
    }

    fn put_back(&mut self, at: usize, replica: Replica) {
        let waiting = &mut self.pools[at].replicas.waiting;
        let place = waiting.partition_point(|other| other.since <= replica.since);
        waiting.insert(place, replica);
    }

    /// A login for one of them is over.
    pub fn replica_login_over(&mut self, login: Login, replica: Replica) {
        let at = login.pool;
        let share = Arc::clone(&self.pools[at].share);
        self.pools[at].replicas.logins -= 1;
        let is_obsolete = login.generation != share.generation() || share.database.is_paused();
        let is_refused = login.secret != self.pools[at].taken;
        let fails = self.plan.logins_fail && !self.is_calm && self.ground.rng.percent(30);
        if share.is_removed() {
            self.turn_away(replica.socket);
        } else if !self.stands_there(replica.socket) {
            // Its client has left: the server is ended in order.
        } else if is_obsolete && (is_refused || self.ground.rng.percent(80)) {
            self.put_back(at, replica);
        } else if is_refused && login.secret == self.pools[at].secret {
            self.turn_away(replica.socket);
        } else if is_refused || fails {
            let retry = Micros(self.ground.rng.range(1_000, 100_000));
            self.ledger.replication_postponed(&share, &login.opening, retry);
            if !is_obsolete {
                let replicas = &mut self.pools[at].replicas;
                replicas.not_before = replicas.not_before.max(Micros(login.began) + retry);
            }
            self.put_back(at, replica);
        } else {
            return self.hand_over_replica(&login, &replica);
        }
        self.login_ends(at, Use::LoggingIn(login.opening));
    }

    fn hand_over_replica(&mut self, login: &Login, replica: &Replica) {
        let at = login.pool;
        let share = Arc::clone(&self.pools[at].share);
        self.ledger.logged_in(&share, &login.opening, &self.endpoint(at));
        self.pools[at].replicas.not_before = Micros(0);
        ear::hear(OWN_SERVER);
        let (socket, server) = self.new_server(login, Some(replica));
        let plan = &self.plan.pools[at];
        let names = [&*plan.database, &*plan.user];
        let params = server.params.clone();
        let client = client_login(replica.socket, names, &share, params, self.plan.client_rules);
        let client = self.with_identity(client);
        let worker = self.ground.rng.below(self.drivers.len() as u64) as usize;
        let pair = Box::new((replica.socket, client, socket, server));
        self.ground.post(worker, SimMail::Replication(at, pair));
        self.tell_where_it_is(worker, login);
        self.ground.after(0, Event::Consider(at, false));
    }

    /// The launcher has just looked at a pool: no replication client waits there for whom a server could be
    /// opened and is not.
    pub fn check_replica_supply(&self, at: usize) {
        let pool = &self.pools[at];
        let is_held = pool.share.is_removed()
            || pool.share.database.is_paused()
            || self.ground.micros() < pool.replicas.not_before;
        let others_wait = pool.share.outlook().waiting_since.is_some() || !pool.arrivals.is_empty();
        if is_held || others_wait || pool.replicas.logins > 0 || self.waiting_replicas(at).is_empty() {
            return;
        }
        let has_room = self.has_own_room(at) && self.has_shared_room(at);
        assert!(!has_room, "a replication client of pool {at} starves");
    }
}

impl Bench {
    fn replica(&mut self) -> (pgweir::base::Peer, pgweir::base::Peer) {
        use pgweir::base::Peer;
        let (client, server) = (self.core.reserve_client(), self.core.reserve_server());
        let (login, server_login) = (self.client_login(client), self.server_login(server));
        self.core.replication_joined((client, login), (server, server_login), self.now, &mut self.net);
        (Peer::Client(client), Peer::Server(server))
    }
}

#[test]
fn a_replication_client_keeps_its_server_and_nobody_else_gets_it() {
    let mut bench = Bench::new(PoolMode::Transaction, 5);
    let (client, server) = bench.replica();
    for _ in 0..2 {
        bench.says(client, &query("select 1"));
        assert_eq!(bench.sent(server), "Q[select 1~]");
        let mut answers = complete("SELECT 1");
        answers.extend(ready(b'I'));
        bench.says(server, &answers);
        assert_eq!(bench.sent(client), "C[SELECT 1~] Z[I]");
    }
    bench.says(client, &frame(ask::PARSE, b"name\0select 2\0\0\0"));
    assert!(bench.sent(server).contains("name~select 2"), "statements keep their names");
    let other = bench.client();
    bench.says(CLIENT, &query("select 3"));
    bench.says(other, &query("select 4"));
    assert!(bench.sent(SERVER).contains("select 3"));
    assert_eq!(bench.sent(server), "", "the client behind waits");
    bench.core.closed(client, bench.now, &mut bench.net);
    let closed = format!("close {server:?} Terminate");
    assert!(bench.acts().contains(&closed));
    assert_eq!(bench.sent(server), "", "no reset, nobody else");
}

#[test]
fn a_stream_goes_both_ways_until_both_have_ended_it() {
    let mut bench = Bench::new(PoolMode::Statement, 0);
    let (client, server) = bench.replica();
    bench.says(client, &query("START_REPLICATION"));
    bench.says(server, &frame(answer::COPY_BOTH_RESPONSE, &[0, 0, 0]));
    bench.sent(client);
    bench.sent(server);
    for word in [b"wal one", b"wal two"] {
        let data = frame(answer::COPY_DATA, word);
        bench.says(server, &data[..7]);
        bench.says(client, &frame(ask::COPY_DATA, b"reply"));
        assert_eq!(bench.sent(server), "d[reply]", "a reply does not wait for a message's end");
        bench.says(server, &data[7..]);
        assert!(bench.sent(client).starts_with("d[wal "));
    }
    bench.says(client, &frame(ask::COPY_DONE, b""));
    assert_eq!(bench.sent(server), "c[]");
    let mut end = frame(answer::COPY_DONE, b"");
    end.extend(complete("START_STREAMING"));
    end.extend(ready(b'I'));
    bench.says(server, &end);
    assert_eq!(bench.sent(client), "c[] C[START_STREAMING~] Z[I]");
    bench.says(client, &query("IDENTIFY_SYSTEM"));
    assert_eq!(bench.sent(server), "Q[IDENTIFY_SYSTEM~]", "the session goes on");
}

#[test]
fn an_outdated_server_is_closed_under_its_client_and_a_denied_one_is_not() {
    let authorization = Authorization { soft_at: Micros(50), hard_at: Micros(100) };
    let mut bench = Bench::with(PoolMode::Transaction, 0, Some(authorization));
    let (client, server) = bench.replica();
    let closed = format!("close {server:?} Terminate");
    bench.share.set_stance(Stance::CloseNow);
    bench.now = Micros(200);
    bench.janitor();
    assert!(!bench.acts().contains(&closed), "a session is its client's");
    bench.share.bump_generation();
    bench.command(Command::Sweep(Scope::Pool(PoolId(0))));
    assert!(bench.acts().contains(&closed));
    assert!(bench.sent(client).contains("database configuration changed"));
    assert_eq!(bench.core.counts().0, 1, "the other client stays");
}

#[test]
fn one_on_its_way_into_a_pool_that_is_removed_meanwhile_takes_its_server_along() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.share.set_removed();
    bench.command(Command::Kill(Scope::Pool(PoolId(0))));
    bench.acts();
    let (client, server) = bench.replica();
    assert!(bench.sent(client).contains("database removed"));
    let closed = format!("close {server:?} Terminate");
    assert!(bench.acts().contains(&closed));
    assert_eq!(bench.core.counts(), (0, 0));
}
