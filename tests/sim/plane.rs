//! The login plane as far as a run needs it: carries out what `core::Launcher`, the program's own, decides,
//! within the places that `core::Ledger` gives, and keeps what logins have come to in the program's
//! `control::LastFailure`; puts chance and virtual time in place of sockets, and keeps those who wait for a
//! pool's first server.

use super::client::Stage;
use super::driver::SimMail;
use super::ear;
use super::ground::Event;
use super::logins::{FAIL_TOGETHER, Luck};
use super::plan::PoolPlan;
use super::reloads::{LOGIN_RETRY, Login, ip};
use super::replication::{MADE_ROOM, Replica, Replicas};
use super::server::SimServer;
use super::session::Session;
use super::wire::Remote;
use super::world::{World, defaults, param_set, server_identity};
use pgweir::base::{Address, Micros, PoolId, WorkerId, limits};
use pgweir::config::PoolMode;
use pgweir::control::LastFailure;
use pgweir::core::{
    Action, Authorization, CancelKey, ClientLogin, Command, DatabaseShare, Demand, Event as Happens,
    Launcher, Opening, PoolShare, Scope, ServerLogin, ServerUnderWay, Stance, Use, Want,
};
use pgweir::wire::Fault;
use std::sync::Arc;

/// One pool.
pub struct SimPool {
    pub share: Arc<PoolShare>,
    /// Clients that were handed to a worker.
    pub logins: u64,
    /// Since when its stance is what it is, and which workers have looked at their servers since that or
    /// their greatest age changed.
    pub stance_since: u64,
    pub looked: Vec<bool>,
    /// What a login proves itself with, and what servers take.
    pub secret: u32,
    pub taken: u32,
    /// What a login sends was changed, and none has begun since: since when nothing stands against it.
    pub changed_at: Option<u64>,
    /// Clients that wait until the pool has had a server: since when, socket, login.
    pub arrivals: Vec<(Micros, u64, ClientLogin)>,
    pub replicas: Replicas,
    pub luck: Luck,
    /// What the last login came to, where it failed.
    pub last_failure: LastFailure<u32>,
    /// The generation whose server has taught what clients are welcomed with.
    welcome_of: Option<u32>,
    /// A later one, of which no server can be had for the time being.
    welcome_stands_in: Option<u32>,
}

impl SimPool {
    pub fn new(at: usize, database: Arc<DatabaseShare>, plan: &PoolPlan, workers: usize) -> Self {
        let rules = Arc::new(plan.rules.clone());
        let share = PoolShare::new(PoolId(at as u64), database, plan.user.as_str().into(), rules, workers);
        Self {
            share: Arc::new(share),
            logins: 0,
            stance_since: 0,
            looked: vec![false; workers],
            secret: 0,
            taken: 0,
            changed_at: None,
            arrivals: Vec::new(),
            replicas: Replicas::default(),
            luck: Luck::default(),
            last_failure: LastFailure::default(),
            welcome_of: None,
            welcome_stands_in: None,
        }
    }

    /// Whether it is known what clients are welcomed with.
    fn has_welcome(&self) -> bool {
        let generation = Some(self.share.generation());
        self.welcome_of == generation || self.welcome_stands_in == generation
    }
}

pub const UNANSWERED: &str = "a server ends by itself and has answered nothing";
pub const REFUSED: &str = "a client is told at once that the server has refused the last login";

/// An idle server is asked for, one worker after the other.
#[derive(Clone, Debug)]
pub struct Eviction {
    pub scope: Scope,
    /// The worker that is asked now.
    pub worker: usize,
}

impl World {
    /// Everything that a lost note would have told is found here.
    pub fn launcher_pass(&mut self) {
        for at in 0..self.pools.len() {
            self.launcher_hears(at, Happens::Pass);
            self.check_supply(at);
            self.check_replica_supply(at);
        }
        self.note_rest();
        self.ground.after(1_000 * limits::JANITOR_PERIOD_MS, Event::LauncherPass);
    }

    /// A pool as the login plane tells of it.
    fn demand(&self, at: usize) -> Demand {
        let clients = self.clients.iter().filter(|client| client.pool == at && client.is_here());
        Demand {
            share: Arc::clone(&self.pools[at].share),
            welcome_since: self.pools[at]
                .arrivals
                .iter()
                .find(|(_, socket, _)| self.stands_there(*socket))
                .map(|(since, ..)| *since),
            replication: self.waiting_replicas(at),
            clients: clients.count() as u32,
            is_forced: !self.is_calm && self.plan.pools[at].rules.min_pool_size > 1,
        }
    }

    /// Whether a client that waits for a welcome has not gone away.
    pub fn stands_there(&self, socket: u64) -> bool {
        !self.ground.wires[socket as usize].is_reset
    }

    /// Something about a pool; nothing where it is gone.
    pub fn launcher_hears(&mut self, at: usize, event: impl FnOnce(Demand) -> Happens) {
        if self.pools[at].share.is_removed() {
            return;
        }
        let event = event(self.demand(at));
        self.launcher_decides(event);
    }

    fn launcher_decides(&mut self, event: Happens) {
        self.note_held();
        let now = self.ground.micros();
        let actions = Launcher::new(self.drivers.len()).handle(event, &mut self.ledger, now);
        let opened = |action: &Action| match action {
            Action::Open { pool, .. } => Some(pool.id.0 as usize),
            _ => None,
        };
        self.to_open.extend(actions.iter().filter_map(opened));
        actions.into_iter().for_each(|action| self.carry_out(action));
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Open { pool, want, opening } => self.open(pool.id.0 as usize, want, opening),
            Action::Nudge { pool, idle_at, by } => {
                self.ground.post(usize::from(idle_at.0), SimMail::Nudge(pool, by));
            }
            Action::Evict { scope, worker } => {
                let worker = usize::from(worker.0);
                self.ground.log(|| format!("{scope:?} is full: is one idle at {worker}?"));
                self.ground.post(worker, SimMail::Evict(Eviction { scope, worker }));
            }
            Action::Retire(pool) => self.tell_all(&|| Command::Sweep(Scope::Pool(pool))),
            Action::MakeSure(pool) => self.make_sure(pool.0 as usize),
            Action::LookAgain(pool, after) => {
                self.ground.after(after.0, Event::Consider(pool.0 as usize, false));
            }
            Action::WelcomeAsBefore(pool) => {
                let at = pool.0 as usize;
                let pool = &mut self.pools[at];
                pool.welcome_stands_in = pool.welcome_of.map(|_| pool.share.generation());
                self.welcome(at);
            }
        }
    }

    fn open(&mut self, at: usize, want: Want, opening: Opening) {
        let heard = self.to_open.iter().position(|pool| *pool == at).expect("it was decided");
        self.to_open.remove(heard);
        let replica = if want.is_replication() { self.next_replica(at) } else { None };
        if want.is_replication() && replica.is_none() {
            return self.login_ends(at, Use::LoggingIn(opening)); // its client has left
        }
        let PoolPlan { login_us: (least, most), slow_from_us, .. } = self.plan.pools[at];
        let login_us = self.ground.rng.range(least, most);
        let login_us = if self.ground.now < slow_from_us { 100 } else { login_us };
        let (began, address) = (self.ground.now, self.dns.address(&self.plan.pools[at].database));
        let pool = &mut self.pools[at];
        if replica.is_none() {
            pool.changed_at = None;
        }
        let (generation, secret) = (pool.share.generation(), pool.secret);
        let failures = pool.luck.failures;
        self.check_opening(at, &opening, want);
        self.note_full(at);
        let login = Login { pool: at, want, opening, generation, began, address, secret, failures, replica };
        self.ground.after(login_us, Event::LoginOver(login));
    }

    /// A probe finds out whether logins work, now or later.
    fn make_sure(&mut self, at: usize) {
        if self.ground.rng.percent(70) {
            return self.launcher_hears(at, Happens::SureOfLogin);
        }
        let later = self.ground.micros() + Micros(self.ground.rng.range(1_000, 50_000));
        self.pools[at].share.postpone_renewal(later);
    }

    /// A server of the pool is past its soft age.
    pub fn past_soft_age(&mut self, at: usize) {
        self.launcher_hears(at, Happens::PastSoftAge);
    }

    /// A pool is looked at; `asked`: somebody has just asked for a server.
    pub fn look_at(&mut self, at: usize, asked: bool) {
        let event = if asked { Happens::Asked } else { Happens::Again };
        self.launcher_hears(at, event);
    }

    /// A worker has said whether it had an idle server to close.
    pub fn evicted(&mut self, eviction: Eviction, found: bool) {
        if found && matches!(eviction.scope, Scope::Pool(_)) {
            ear::hear(MADE_ROOM);
        }
        let worker = WorkerId(eviction.worker as u16);
        self.launcher_decides(Happens::EvictionTried { scope: eviction.scope, worker, found });
    }

    /// The launcher hears that a place of the pool was returned.
    pub fn place_free(&mut self, at: usize) {
        self.note_yielded(at);
        let revived = self.ledger.revived_by(&self.pools[at].share);
        let revived = revived.iter().filter(|share| !share.is_removed());
        let demands = revived.map(|share| self.demand(share.id.0 as usize)).collect();
        self.launcher_decides(Happens::PlaceFree(demands));
        if self.pools[at].share.is_removed() {
            self.ledger.forget(&self.pools[at].share);
        }
    }

    /// A client that has proved who it is waits until its pool has had a server, as long as it
    /// is of today's generation.
    pub fn client_logs_in(&mut self, at: usize, socket: u64, login: ClientLogin) {
        let now = self.ground.micros();
        let (share, secret) = (Arc::clone(&self.pools[at].share), self.pools[at].secret);
        if self.pools[at].last_failure.end_for_change(|| secret) {
            self.forget_failure(at);
        }
        if !self.pools[at].has_welcome() && self.pools[at].last_failure.refusal(now).is_some() {
            ear::hear(REFUSED);
            return self.turn_away(socket);
        }
        self.pools[at].arrivals.push((now, socket, login));
        self.welcome(at);
        let fails = share.live_count() == 0 && share.failing().is_some();
        if !self.pools[at].arrivals.is_empty() || fails {
            self.ground.after(0, Event::Consider(at, true));
        }
    }

    /// Those who wait for the pool's first server never get to a worker.
    pub fn turn_away_arrivals(&mut self, at: usize) {
        for (_, socket, _) in std::mem::take(&mut self.pools[at].arrivals) {
            self.turn_away(socket);
        }
    }

    pub fn turn_away(&mut self, socket: u64) {
        let wire = &mut self.ground.wires[socket as usize];
        let Remote::Client(index) = wire.remote else { panic!("clients stand at the arrivals") };
        wire.drop_pooler_end();
        self.clients[index].stage = Stage::Gone;
    }

    /// Lets in those who wait for the pool's welcome, if it is known.
    fn welcome(&mut self, at: usize) {
        let pool = &mut self.pools[at];
        if !pool.has_welcome() {
            return;
        }
        for (_, socket, login) in std::mem::take(&mut pool.arrivals) {
            if !self.stands_there(socket) {
                continue;
            }
            let worker = self.ground.rng.below(self.drivers.len() as u64) as usize;
            self.ground.post(worker, SimMail::Client(socket, login));
        }
    }

    pub fn login_over(&mut self, mut login: Login) {
        if let Some(replica) = login.replica.take() {
            return self.replica_login_over(login, replica);
        }
        let Login { pool: at, generation, failures, ref opening, .. } = login;
        let share = Arc::clone(&self.pools[at].share);
        let is_refused = login.secret != self.pools[at].taken;
        if is_refused || self.plan.logins_fail && !self.is_calm && self.ground.rng.percent(30) {
            let used_for = self.login_fails(login, is_refused);
            return self.login_ends(at, used_for);
        }
        // Nobody wants it any more; it may be seen too late, too.
        let is_obsolete = generation != share.generation() || share.database.is_paused();
        if is_obsolete && self.ground.rng.percent(80) {
            return self.login_ends(at, Use::LoggingIn(login.opening));
        }
        let under_way = share.server_under_way();
        self.ledger.logged_in(&share, opening, &self.endpoint(at));
        self.pools[at].luck.succeeds(generation, failures, login.want, Micros(login.began));
        self.pools[at].last_failure.forget();
        if share.stance() == Stance::CloseNow {
            self.set_stance(at, Stance::Renew); // logins are denied no more, as has just been seen
        }
        self.hand_over(login, under_way);
        let pool = &mut self.pools[at];
        if pool.welcome_of != Some(generation) && !pool.share.is_removed() {
            (pool.welcome_of, pool.welcome_stands_in) = (Some(generation), None);
            self.welcome(at);
        }
    }

    /// What follows a login that has failed, by the server's own word or for another reason: as
    /// `servers::attempt` has it.
    fn login_fails(&mut self, login: Login, is_refused: bool) -> Use {
        let Login { pool: at, generation, began, secret, opening, .. } = login;
        let (now, pool) = (self.ground.micros(), &self.pools[at]);
        let share = Arc::clone(&pool.share);
        if share.generation() != generation || pool.secret != secret {
            // the next one sends something else: nobody is told of this one, nor waits for it
            return Use::LoggingIn(opening);
        }
        let (began, fault) = (Micros(began), Fault::LoginFailing { cached: "no luck".to_owned() });
        let retry = if is_refused {
            pool.last_failure.refused(secret, fault.clone(), (began, now), LOGIN_RETRY).since(began)
        } else {
            pool.last_failure.failed(secret);
            Micros(self.ground.rng.range(1_000, 100_000))
        };
        let is_answer = self.ledger.login_failed(&share, &opening, "no luck".to_owned(), retry);
        self.pools[at].luck.fails(began + retry);
        let logging_in = self.ledger.pool_servers(share.id).0 - self.pools[at].replicas.logins;
        assert_eq!(is_answer, logging_in == 1, "the last one that is under way is the answer");
        if logging_in > 1 {
            ear::hear(FAIL_TOGETHER);
        }
        let is_unusable = share.live_count() == 0 || !self.pools[at].has_welcome();
        if is_answer && is_unusable {
            if is_refused {
                self.turn_away_arrivals(at);
            }
            self.tell_all(&|| Command::FailWaiting(share.id, fault.clone()));
        }
        Use::Failed(opening)
    }

    /// A server has ended by itself and had answered nothing.
    pub fn ended_unanswered(&mut self, at: usize, began_at: Micros) {
        let share = Arc::clone(&self.pools[at].share);
        if share.is_removed() {
            return;
        }
        let until = self.ledger.ended_unanswered(&share, began_at, self.ground.micros(), LOGIN_RETRY);
        self.pools[at].luck.fails(until);
        ear::hear(UNANSWERED);
    }

    pub fn login_ends(&mut self, at: usize, used_for: Use) {
        self.ledger.returned(&self.pools[at].share, &used_for);
        self.look_at_revived(at);
    }

    /// Something else than a login has shown that the next one need not wait.
    pub fn forget_failure(&mut self, at: usize) {
        self.ledger.forget_failure(&self.pools[at].share);
        self.pools[at].luck.ends_pause();
        self.pools[at].replicas.not_before = Micros(0);
    }

    /// A new server goes to the worker where a client has waited longest.
    fn hand_over(&mut self, login: Login, under_way: ServerUnderWay) {
        let at = login.pool;
        let (socket, server) = self.new_server(&login, None);
        let waiter = self.pools[at].share.oldest_waiter().map(|(worker, _)| usize::from(worker.0));
        let worker = waiter.unwrap_or_else(|| self.ground.rng.below(self.drivers.len() as u64) as usize);
        self.ground.post(worker, SimMail::Server(socket, at, server));
        self.tell_where_it_is(worker, &login);
        let id = self.pools[at].share.id;
        self.ground.post(worker, SimMail::HandedOver(id, under_way));
    }

    /// Its host may have moved while it was logged in to.
    pub fn tell_where_it_is(&mut self, worker: usize, login: &Login) {
        let host = self.plan.pools[login.pool].database.clone();
        if self.dns.address(&host) != login.address {
            self.tell_of_address(worker, &host);
        }
    }

    /// The server that a login has come to: its socket, and what a worker is told of it.
    pub fn new_server(&mut self, login: &Login, replica: Option<&Replica>) -> (u64, ServerLogin) {
        let Login { pool: at, generation, began, address, .. } = *login;
        let ground = &mut self.ground;
        let (plan, share) = (&self.plan.pools[at], &self.pools[at].share);
        let socket = ground.new_wire(self.plan.tls, false);
        let index = self.servers.len();
        ground.wires[socket as usize].remote = Remote::Server(index);
        let values = replica.map_or_else(defaults, |replica| replica.values.clone());
        let session = Session::new(&defaults(), &values, self.plan.reports_at_once);
        let params = param_set(&self.names, session.values());
        let mut server = SimServer::new(socket, at, session, plan.rules.mode == PoolMode::Session, ground);
        let remote = Address::Tcp((ip(address), 5432).into());
        let key = CancelKey { pid: index as u32, secret: server.secret.to_be_bytes().into() };
        let identity = server_identity(socket, [&plan.database, &plan.user], remote, key);
        let authorization = plan.max_age_us.map(|max_age_us| {
            let hard_at = Micros(began + max_age_us);
            if replica.is_some() {
                return Authorization { soft_at: hard_at, hard_at };
            }
            let times = (Micros(began), Micros(ground.now));
            let soft_at = self.ledger.plan_renewal(share, times, Micros(max_age_us), 1_000_000);
            let lifetime = Some(share.rules().server_lifetime).filter(|lifetime| lifetime.0 > 0);
            let lifetime_at = lifetime.map_or(Micros::NEVER, |lifetime| Micros(began) + lifetime);
            Authorization { soft_at: soft_at.min(lifetime_at), hard_at }
        });
        server.connected_at = Micros(began);
        server.authorization = authorization;
        server.address = address;
        server.replica = replica.map(|replica| replica.client as u32);
        self.servers.push(server);
        let pool = Arc::clone(share);
        let connected_at = Micros(began);
        (socket, ServerLogin { identity, pool, params, generation, connected_at, authorization })
    }

    /// A server's socket has ended, and with it the place.
    pub fn place_returned(&mut self, at: usize, socket: u64) {
        let Remote::Server(index) = self.ground.wires[socket as usize].remote else {
            panic!("only servers hold places")
        };
        let wire = &self.ground.wires[socket as usize];
        let bound_us = 1_000 * limits::SERVER_LINGER_MS;
        if self.servers[index].is_alive {
            // One that goes on for long with what it has begun is given up; it ends at its next write.
            let has_lingered = wire.closed_at.is_some_and(|at| self.ground.now >= at + bound_us);
            assert!(has_lingered, "the place of server {socket} is given back while it lives");
            self.servers[index].end(&mut self.ground);
        }
        let endpoint = self.endpoint(at);
        let used_for = match self.servers[index].replica {
            Some(_) => Use::Replication(endpoint),
            None => Use::Live(endpoint),
        };
        self.ledger.returned(&self.pools[at].share, &used_for);
        self.check_is_kept(at);
        self.look_at_revived(at);
    }

    /// Where the servers of a pool are.
    pub fn endpoint(&self, at: usize) -> Arc<str> {
        Arc::clone(&self.plan.pools[at].rules.endpoint)
    }

    /// The launcher hears of it a little later than others may.
    fn look_at_revived(&mut self, at: usize) {
        let delay = self.ground.rng.below(300);
        self.ground.after(delay, Event::Replace(at));
    }
}
