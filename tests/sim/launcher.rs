//! The login plane as far as a run needs it: opens servers within the places that `core::Ledger` gives, evicts idle ones
//! for those who starve, carries cancels. Asks as the launcher of the program does, and passes over all pools as often.

use super::driver::Letter;
use super::ground::{Errand, Event};
use super::plan::{LOGIN_US_MAX, PoolPlan};
use super::server::SimServer;
use super::session::Session;
use super::wire::Remote;
use super::world::{World, defaults, nowhere, param_set};
use pgweir::base::{Micros, PoolId, limits};
use pgweir::config::PoolMode;
use pgweir::core::{
    Answer, Authorization, CancelFate, CancelKey, Command, DatabaseShare, PoolShare, Scope, ServerIdentity,
    ServerLogin, Use, Verdict, Want,
};
use pgweir::wire::Fault;
use std::sync::Arc;

/// One pool.
pub struct SimPool {
    pub share: Arc<PoolShare>,
    /// Clients that were handed to a worker.
    pub logins: u64,
    /// Since when its stance is what it is, and which workers have looked at their servers since that or their greatest age changed.
    pub stance_since: u64,
    pub looked: Vec<bool>,
}

impl SimPool {
    pub fn new(at: usize, database: Arc<DatabaseShare>, plan: &PoolPlan, workers: usize) -> Self {
        let rules = Arc::new(plan.rules.clone());
        let share = PoolShare::new(PoolId(at as u32), database, plan.user.as_str().into(), rules, workers);
        Self { share: Arc::new(share), logins: 0, stance_since: 0, looked: vec![false; workers] }
    }
}

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
            self.heal(at);
            self.look_at(at, false);
            self.replace_retired(at);
            let share = Arc::clone(&self.pools[at].share);
            if self.has_clients(at) && share.live_count() < share.rules().min_pool_size {
                self.consider(at, Want::Minimum);
            }
        }
        self.ground.after(1_000 * limits::JANITOR_PERIOD_MS, Event::LauncherPass);
    }

    fn has_clients(&self, at: usize) -> bool {
        self.clients.iter().any(|client| client.pool == at && client.is_here())
    }

    /// A server of the pool is past its soft age.
    pub fn renew(&mut self, at: usize) {
        if self.has_clients(at) {
            return self.consider(at, Want::Renewal);
        }
        self.pools[at].share.want_retirement();
        self.retire(at);
    }

    /// Has a server past its soft age closed wherever there is a free one, if that is wanted.
    fn retire(&mut self, at: usize) {
        let share = Arc::clone(&self.pools[at].share);
        if share.is_retirement_wanted() {
            self.tell_all(&|| Command::Sweep(Scope::Pool(share.id)));
        }
    }

    /// Opens the replacement of a server that was retired at a cap.
    pub fn replace_retired(&mut self, at: usize) {
        let share = Arc::clone(&self.pools[at].share);
        if self.has_clients(at) && self.ledger.owes_replacement(&share) {
            self.consider(at, Want::Renewal);
        }
    }

    /// A client waits on one worker while another has idle servers, and has for a whole pass.
    fn heal(&mut self, at: usize) {
        let share = &self.pools[at].share;
        let Some((by, since)) = share.oldest_waiter() else { return };
        let waited = self.ground.micros().since(since);
        if waited >= Micros::from_millis(limits::JANITOR_PERIOD_MS)
            && !share.database.is_paused()
            && let Some(idle_at) = share.idle_elsewhere(by)
        {
            self.ground.post(usize::from(idle_at.0), Letter::Nudge(share.id, by));
        }
    }

    /// Opens a server for the clients that wait, if there are any; `asked`: somebody has just asked for one.
    pub fn look_at(&mut self, at: usize, asked: bool) {
        let share = &self.pools[at].share;
        let fails = share.failing().is_some() && share.live_count() == 0;
        let since = match share.oldest_waiter() {
            Some(_) if !asked && share.idle_total() > 0 => return,
            Some((_, since)) => since,
            None if asked && fails => self.ground.micros(),
            None => return,
        };
        self.consider(at, Want::Waiter { since });
    }

    fn consider(&mut self, at: usize, want: Want) {
        let share = Arc::clone(&self.pools[at].share);
        let now = self.ground.micros();
        match self.ledger.consider(&share, want, now) {
            Verdict::Launch { .. } => {
                let login_us = self.ground.rng.range(100, LOGIN_US_MAX);
                let generation = share.generation();
                self.ground.after(login_us, Event::LoginOver { pool: at, generation, began: now.0 });
                self.check_caps(at);
            }
            Verdict::EvictFirst(scope) => {
                self.ground.log(|| format!("pool {at} starves: {scope:?}"));
                self.ground.post(0, Letter::Evict(Eviction { scope, worker: 0 }));
            }
            Verdict::RetireFirst => self.retire(at),
            Verdict::Full | Verdict::Later(_) | Verdict::Nothing => {}
        }
    }

    /// A worker has said whether it had an idle server to close.
    pub fn evicted(&mut self, eviction: Eviction, found: bool) {
        if found {
            return; // its place comes back by itself
        }
        let worker = eviction.worker + 1;
        if worker < self.drivers.len() {
            self.ground.post(worker, Letter::Evict(Eviction { worker, ..eviction }));
        } else {
            self.ledger.nothing_to_evict(&eviction.scope);
        }
    }

    pub fn login_over(&mut self, at: usize, generation: u32, began: u64) {
        let share = Arc::clone(&self.pools[at].share);
        if self.plan.logins_fail && !self.is_calm && self.ground.rng.percent(30) {
            let retry = Micros(self.ground.rng.range(1_000, 100_000));
            self.ledger.login_failed(&share, "no luck".to_owned(), retry);
            if share.live_count() == 0 {
                let fault = Fault::LoginFailing { cached: "no luck".to_owned() };
                self.tell_all(&|| Command::FailWaiting(share.id, fault.clone()));
            }
            self.ledger.returned(&share, Use::LoggingIn);
            return self.look_at_revived(at);
        }
        self.ledger.logged_in(&share);
        self.hand_over(at, generation, began);
        self.ground.after(0, Event::Consider(at, false));
        self.retire(at);
    }

    /// A new server goes to the worker where a client has waited longest.
    fn hand_over(&mut self, at: usize, generation: u32, began: u64) {
        let ground = &mut self.ground;
        let (plan, share) = (&self.plan.pools[at], &self.pools[at].share);
        let socket = ground.new_wire();
        let index = self.servers.len();
        ground.wires[socket as usize].remote = Remote::Server(index);
        let session = Session::new(&defaults(), &defaults(), self.plan.reports_at_once);
        let mut server = SimServer::new(socket, at, session, plan.rules.mode == PoolMode::Session, ground);
        let identity = ServerIdentity {
            socket_id: socket,
            database: plan.database.as_str().into(),
            user: plan.user.as_str().into(),
            remote: nowhere(),
            local: nowhere(),
            host: "sim".into(),
            tls: String::new(),
            connected_at_epoch_s: 0,
            cancel_key: CancelKey { pid: index as u32, secret: server.secret.to_be_bytes().into() },
        };
        let authorization = plan.max_age_us.map(|max_age_us| {
            let soft_us = max_age_us * ground.rng.range(70, 90) / 100;
            let at = |age_us| Micros(began + age_us);
            let lifetime = Some(share.rules().server_lifetime).filter(|lifetime| lifetime.0 > 0);
            let lifetime_at = lifetime.map_or(Micros::NEVER, |lifetime| Micros(began) + lifetime);
            Authorization { soft_at: at(soft_us).min(lifetime_at), hard_at: at(max_age_us) }
        });
        let login = ServerLogin {
            identity: Arc::new(identity),
            pool: Arc::clone(share),
            params: param_set(&self.names, &defaults()),
            generation,
            connected_at: Micros(began),
            authorization,
        };
        let waiter = share.oldest_waiter().map(|(worker, _)| usize::from(worker.0));
        let worker = waiter.unwrap_or_else(|| ground.rng.below(self.drivers.len() as u64) as usize);
        server.connected_at = Micros(began);
        server.authorization = authorization;
        self.servers.push(server);
        ground.post(worker, Letter::Server(socket, at, login));
    }

    /// A server's socket has ended, and with it the place.
    pub fn place_returned(&mut self, at: usize, socket: u64) {
        let Remote::Server(index) = self.ground.wires[socket as usize].remote else {
            panic!("only servers hold places")
        };
        assert!(!self.servers[index].is_alive, "the place of server {socket} is given back while it lives");
        self.ledger.returned(&self.pools[at].share, Use::Live);
        self.look_at_revived(at);
    }

    /// Whoever has waited longest where the place was is looked at first.
    fn look_at_revived(&mut self, at: usize) {
        let mut revived = self.ledger.revived_by(&self.pools[at].share);
        revived.sort_by_key(|share| share.oldest_waiter().map_or(Micros::NEVER, |(_, since)| since));
        for share in &revived {
            self.ground.after(0, Event::Consider(share.id.0 as usize, false));
        }
        for share in revived {
            self.ground.after(0, Event::Replace(share.id.0 as usize));
        }
    }

    /// A cancel request is to be sent, within the connections that the ledger allows for it.
    pub fn cancel_begins(&mut self, errand: Errand) {
        let pool = self.pool_of_server(errand.server);
        if self.ledger.take_cancel(&self.pools[pool].share) {
            let delay = self.ground.rng.below(20_000);
            self.ground.after(delay, Event::CancelArrives(errand));
        } else {
            self.ground.after(2_000, Event::CancelBegins(errand));
        }
    }

    fn pool_of_server(&self, socket: u64) -> usize {
        let Remote::Server(index) = self.ground.wires[socket as usize].remote else {
            panic!("a cancel goes to a server")
        };
        self.servers[index].pool
    }

    /// A cancel request reaches its server, or was lost; its worker is told.
    pub fn cancel_arrives(&mut self, errand: Errand) {
        let Errand { server: socket, secret, asker, worker } = errand;
        let pool = self.pool_of_server(socket);
        self.ledger.returned(&self.pools[pool].share, Use::Cancel);
        for driver in &mut self.drivers {
            let Answer::Servers(rows) = driver.ask(Command::Servers, &self.ground) else {
                panic!("rows are asked for")
            };
            let row = rows.iter().find(|row| row.identity.socket_id == socket);
            if let Some(link) = row.and_then(|row| row.link) {
                assert_eq!(link, asker, "a cancel reaches a server that another client uses");
            }
        }
        let Remote::Server(index) = self.ground.wires[socket as usize].remote else {
            panic!("a cancel goes to a server")
        };
        let server = &mut self.servers[index];
        assert_eq!(server.secret, secret, "a cancel brings its server's key");
        let is_lost = self.ground.rng.percent(10);
        let is_applied = !is_lost && server.cancel(index, &self.pools_of_clients, &mut self.ground);
        if let (false, Remote::Client(client)) = (is_applied, self.ground.wires[asker as usize].remote) {
            self.clients[client].cancels = self.clients[client].cancels.saturating_sub(1);
        }
        let fate = if is_lost { CancelFate::NeverSent } else { CancelFate::Taken };
        self.ground.post(worker, Letter::CancelOver(socket, fate));
    }
}
