//! One run: workers, servers, clients and the ledger over one ground, from the first event to the last.

mod clients;
mod parties;

use super::client::{SimClient, Stage};
use super::driver::{Driver, Reply, Returned, SimMail};
use super::ear;
use super::ground::{CancelRequest, Event, Ground};
use super::identities::Identities;
use super::plan::Plan;
use super::plane::SimPool;
use super::reloads::Dns;
use super::rng::Rng;
use super::server::SimServer;
use super::session::REPORTED;
use super::unauthenticated::Door;
use super::wire::Remote;
pub use parties::{client_login, nowhere, server_identity};
use pgweir::base::{Address, Micros, limits};
use pgweir::control::CancelQueue;
use pgweir::core::{Answer, Command, Gate, Ledger, Note, Scope, ServerLogin, StatementRegistry};
use pgweir::wire::{ParamMask, ParamSet, TrackedNames};
use std::collections::BTreeMap;
use std::sync::Arc;

/// After the weather has ended, everything must be over within this time.
const DRAIN_US_MAX: u64 = 60_000_000;

/// How late a client that does not read gets round to it.
const DEAF_US: u64 = 400_000;

/// Events of one run; more means that something goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

pub struct World {
    pub ground: Ground,
    pub plan: Plan,
    pub drivers: Vec<Driver>,
    pub servers: Vec<SimServer>,
    pub clients: Vec<SimClient>,
    pub pools: Vec<SimPool>,
    pub gate: Arc<Gate>,
    pub is_calm: bool,
    pub ledger: Ledger,
    pub names: TrackedNames,
    pub pools_of_clients: Vec<usize>,
    pub dns: Dns,
    /// Cancel requests on their way to each server.
    pub cancel_queues: BTreeMap<u64, CancelQueue<CancelRequest>>,
    pub registry: Arc<StatementRegistry>,
    /// Pools of which each worker is told to look at the servers, in its next round.
    swept: Vec<Vec<usize>>,
    to_come: u32,
    /// Pools for which the launcher has decided to open a server, and has not been heard yet.
    pub to_open: Vec<usize>,
    /// Whose sessions end, in worlds where identities do.
    pub identities: Option<Identities>,
    /// Where clients log in, in worlds that have unauthenticated clients.
    pub door: Option<Door>,
}

impl World {
    pub fn new(seed: u64, faults: bool, logs: bool) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng, faults);
        Self::of(plan, seed, &mut rng, logs)
    }

    /// The world of a plan that was drawn from `seed`, with what is left of its dice.
    pub fn of(plan: Plan, seed: u64, rng: &mut Rng, logs: bool) -> Self {
        let mut ground = Ground::new(rng.next(), plan.cuts.clone(), plan.workers, logs);
        ground.log(|| format!("{plan:#?}"));
        let names = TrackedNames::new(["search_path", "IntervalStyle", "never.reported"]);
        let registry = Arc::new(StatementRegistry::default());
        registry.set_bytes_max(plan.memory.bytes_max);
        let returned = Returned::default();
        let driver = |worker| {
            Driver::new(worker, names.clone(), Arc::clone(&registry), &ground, plan.bounds, &returned)
        };
        let drivers = (0..plan.workers).map(driver).collect();
        let gate = Arc::new(Gate::default());
        let mut databases = BTreeMap::new();
        let pools = plan.pools.iter().enumerate().map(|(at, pool)| {
            let database = databases
                .entry(pool.database.clone())
                .or_insert_with(|| plan.database(&pool.database, &gate));
            SimPool::new(at, Arc::clone(database), pool, plan.workers)
        });
        let mut world = Self {
            pools: pools.collect(),
            drivers,
            servers: Vec::new(),
            clients: Vec::new(),
            gate,
            is_calm: false,
            ledger: Ledger::default(),
            names,
            pools_of_clients: Vec::new(),
            swept: vec![Vec::new(); plan.workers],
            dns: Dns::new(plan.workers),
            registry,
            cancel_queues: BTreeMap::new(),
            to_come: plan.clients,
            to_open: Vec::new(),
            identities: Identities::draw(Rng::new(seed.rotate_left(17)), &plan),
            door: Door::draw(Rng::new(seed.rotate_left(32)), &plan),
            ground,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for worker in 0..self.drivers.len() {
            self.ground.at(self.drivers[worker].next_pass(), Event::Janitor(worker));
        }
        for _ in 0..self.plan.clients {
            let delay = if self.ground.rng.percent(70) { 2_000 } else { self.plan.calm_at_us };
            let delay = self.ground.rng.below(delay);
            self.ground.after(delay, Event::ClientComes);
        }
        self.ground.after(0, Event::LauncherPass);
        if self.plan.faults {
            self.ground.after(500, Event::Weather);
        }
        if self.identities.is_some() {
            self.ground.after(1_000, Event::Denials);
        }
        if self.door.is_some() {
            self.ground.after(0, Event::UnauthenticatedCome);
        }
        self.ground.after(self.plan.calm_at_us, Event::Calm);
    }

    /// Runs to the end; the hash of all that happened.
    pub fn run(mut self) -> u64 {
        let deadline = self.ground.now + self.plan.calm_at_us + DRAIN_US_MAX;
        let mut events = 0;
        while !self.is_over() {
            self.turn(&mut events);
            if self.ground.now > deadline {
                panic!("the run does not end:\n{}", self.stands());
            }
        }
        let until = self.ground.now + 2 * 1_000 * limits::JANITOR_PERIOD_MS;
        while self.ground.now < until || (self.ground.now < deadline && !self.is_still()) {
            self.turn(&mut events);
        }
        self.check_rest();
        self.tell_all(&|| Command::Kill(Scope::All));
        let until = self.ground.now + 2 * 1_000 * limits::SERVER_LINGER_MS;
        while self.ground.now < until {
            self.turn(&mut events);
        }
        self.check_end();
        self.ground.hash()
    }

    /// Where everything stands, for reports.
    pub fn stands(&mut self) -> String {
        let mut lines = Vec::new();
        for (at, wire) in self.ground.wires.iter().enumerate().filter(|(_, wire)| !wire.is_dropped) {
            lines.push(format!("{at}: {wire:?}"));
        }
        for driver in &mut self.drivers {
            let Answer::Servers(rows) = driver.ask(Command::Servers, &self.ground) else { continue };
            let line = |row: pgweir::core::ServerRow| {
                format!("server {} {:?} linked to {:?}", row.identity.socket_id, row.state, row.link)
            };
            lines.extend(rows.into_iter().map(line));
        }
        lines
            .extend(self.servers.iter().filter(|server| server.is_alive).map(|server| format!("{server:?}")));
        let clients = self.clients.iter().filter(|client| client.stage != Stage::Gone);
        lines.extend(clients.map(SimClient::stands));
        lines.join("\n")
    }

    fn turn(&mut self, events: &mut u64) {
        *events += 1;
        assert!(*events < EVENTS_MAX, "the run goes round in circles");
        let Some(event) = self.ground.next() else { panic!("the janitors never rest") };
        self.event(event);
        self.pass_on();
        self.check_statement_memory();
        if events.is_multiple_of(64) {
            self.check_counts();
            self.check_changes();
        }
    }

    fn is_over(&self) -> bool {
        self.is_calm
            && self.to_come == 0
            && self.door.as_ref().is_none_or(Door::is_empty)
            && self.clients.iter().all(|client| client.stage == Stage::Gone)
            && self.ground.mail.iter().all(|letters| letters.is_empty())
    }

    /// Nobody is being seen off or logs in, and all that was sent to servers and by them has come.
    fn is_still(&mut self) -> bool {
        let is_over = |server: &SimServer| self.ground.wires[server.socket as usize].is_dropped;
        let is_quiet = |server: &SimServer| is_over(server) || server.is_quiet(&self.ground);
        self.servers.iter().all(is_quiet)
            && self.pools.iter().all(|pool| self.ledger.pool_servers(pool.share.id).0 == 0)
            && self.drivers.iter_mut().all(|driver| driver.connections() == driver.counts().1)
    }

    fn event(&mut self, event: Event) {
        let ground = &mut self.ground;
        match event {
            Event::Arrival(socket) => ground.arrival(socket),
            Event::WorkerTurn(worker) => self.worker_turn(worker),
            Event::RemoteTurn(socket) => self.remote_turn(socket),
            Event::Mail(worker) => self.mail(worker),
            Event::Janitor(worker) => {
                self.worker_turn(worker);
                self.ground.at(self.drivers[worker].next_pass(), Event::Janitor(worker));
            }
            Event::ClientTurn(index) => {
                self.clients[index].is_due = false;
                self.client_goes_on(index);
            }
            Event::ClientComes => self.client_comes_to_the_door(),
            Event::UnauthenticatedCome => self.unauthenticated_come(),
            Event::DoorLoop(..) | Event::DoorStep(_) | Event::DoorWord(_) => self.at_the_door(&event),
            Event::LoginOver(login) => self.login_over(login),
            Event::EntryComes(gone) => self.entry_comes(gone),
            Event::Consider(pool, asked) => self.look_at(pool, asked),
            Event::Renew(pool) => self.past_soft_age(pool),
            Event::Replace(pool) => self.place_free(pool),
            Event::LauncherPass => self.launcher_pass(),
            Event::StatementOver { server, run } => {
                let index = server as usize;
                self.servers[index].statement_over(index, run, &self.pools_of_clients, ground);
            }
            Event::CancelWaits(request) => self.cancel_waits(request),
            Event::CancelArrives(request) => self.cancel_arrives(request),
            Event::CancelTakesEffect(request) => self.cancel_takes_effect(request),
            Event::Weather => self.weather(),
            Event::Denials => self.denials_change(),
            Event::Notify => self.notify(),
            Event::Clear(spell) => self.clear(spell),
            Event::Calm => self.calm(),
        }
    }

    fn remote_turn(&mut self, socket: u64) {
        let ground = &mut self.ground;
        let wire = &mut ground.wires[socket as usize];
        wire.remote_due = false;
        match wire.remote {
            Remote::Nobody => {}
            Remote::Client(index) => {
                self.clients[index].turn(self.is_calm, ground);
                self.client_goes_on(index);
            }
            Remote::Server(index) => self.servers[index].turn(index, &self.pools_of_clients, ground),
        }
    }

    fn mail(&mut self, worker: usize) {
        let Some(letter) = self.ground.mail[worker].pop_front() else { panic!("a letter was lost") };
        self.ground.log(|| format!("worker {worker} gets {}", brief(&letter)));
        match &letter {
            // Not before: who goes while he waits for his pool's first server has never been handed over.
            SimMail::Client(_, login) => self.pools[login.pool.id.0 as usize].logins += 1,
            SimMail::Replication(pool, pair) => {
                self.pools[*pool].logins += 1;
                self.server_comes(worker, &pair.3);
            }
            SimMail::Command(Command::Sweep(Scope::Pool(id))) | SimMail::HandedOver(id, _) => {
                self.swept[worker].push(id.0 as usize);
            }
            SimMail::Command(Command::HostMoved(host, addresses)) => {
                self.dns.is_told(worker, host, addresses)
            }
            SimMail::Server(_, _, login) => self.server_comes(worker, login),
            _ => {}
        }
        if let Some(identities) = &mut self.identities {
            identities.posted(worker, &letter);
        }
        self.drivers[worker].put(letter, &mut self.ground);
        self.ground.wake_worker(worker);
    }

    /// Its login may have begun before what the worker has seen last: it is looked at with the next pass.
    fn server_comes(&mut self, worker: usize, login: &ServerLogin) {
        let pool = login.pool.id.0 as usize;
        let (host, address) = (&*self.plan.pools[pool].database, &login.identity.remote);
        if let Address::Tcp(at) = address {
            self.dns.server_comes(worker, host, at.ip());
        }
        self.pools[pool].looked[worker] = false;
        self.swept[worker].retain(|swept| *swept != pool);
    }

    /// A worker goes round its loop.
    pub fn worker_turn(&mut self, worker: usize) {
        self.ground.worker_wakes(worker);
        let pass = self.drivers[worker].next_pass();
        let replies = self.drivers[worker].round(&mut self.ground);
        let mut askers = Vec::new();
        for reply in replies {
            match reply {
                Reply::Evicted(eviction, found) => self.evicted(eviction, found),
                Reply::HandedOver(pool) => self.look_at(pool.0 as usize, false),
                Reply::Cancelled(asker, found) => {
                    if !found && let Remote::Client(index) = self.ground.wires[asker as usize].remote {
                        self.clients[index].cancels -= 1;
                    }
                    askers.push(asker);
                }
            }
        }
        self.pass_on_for(&askers);
        self.host_letters_read(worker);
        for pool in std::mem::take(&mut self.swept[worker]) {
            self.pools[pool].looked[worker] = true;
        }
        let has_passed = self.drivers[worker].next_pass() != pass;
        if let Some(identities) = &mut self.identities {
            identities.read(worker);
            self.check_identities(worker, has_passed);
        }
        if has_passed {
            self.pools.iter_mut().for_each(|pool| pool.looked[worker] = true);
        }
    }

    fn pass_on(&mut self) {
        self.pass_on_for(&[]);
    }

    /// Passes on what the workers want the world to learn; cancels among it were asked for by the
    /// clients on the wires `askers`.
    fn pass_on_for(&mut self, askers: &[u64]) {
        for (client, server) in std::mem::take(&mut self.ground.bereaved) {
            self.ground.log(|| format!("{client} loses {server}"));
            if let Remote::Client(index) = self.ground.wires[client as usize].remote {
                self.clients[index].causes.bereaved = true;
            }
        }
        for (socket, was_speaking) in std::mem::take(&mut self.ground.begun) {
            self.note_begin(socket);
            self.check_begin(socket, was_speaking);
            self.check_address(socket);
        }
        for (socket, reason) in ear::closed() {
            self.note_closed(socket, &reason);
            if ear::is_of_age(&reason) {
                self.check_aged(socket, &reason);
            }
        }
        let ends: Vec<_> = self.ground.notes.iter().filter_map(|(_, note)| ended_unanswered(note)).collect();
        ends.into_iter().for_each(|(pool, began_at)| self.ended_unanswered(pool, began_at));
        for (pool, socket) in std::mem::take(&mut self.ground.returned) {
            self.place_returned(pool, socket);
        }
        let over_limit = self.limits_are_over();
        for (worker, note) in std::mem::take(&mut self.ground.notes) {
            // Notes are asked for anew by the janitor: a lost one costs time, nothing else.
            let lost = self.plan.faults && !self.is_calm && self.ground.rng.percent(3);
            let delay = self.ground.rng.below(500);
            match note {
                Note::NeedServer(_) | Note::NeedRenewal(_) | Note::Nudge { .. } if lost => {}
                Note::EndedUnanswered { .. } => {} // heard of above: it comes before the place
                Note::NeedRenewal(pool) => self.ground.after(delay, Event::Renew(pool.0 as usize)),
                Note::NeedServer(pool) => self.ground.after(delay, Event::Consider(pool.0 as usize, true)),
                Note::Nudge { pool, idle_at } => {
                    let by = pgweir::base::WorkerId(worker as u16);
                    self.ground.post(usize::from(idle_at.0), SimMail::Nudge(pool, by));
                }
                Note::SendCancel { client, server, key, .. } => {
                    let is_asked_for = askers.contains(&client) || over_limit.contains(&client);
                    assert!(is_asked_for || client == 0, "a cancel is sent that nobody asked for");
                    let secret = u64::from_be_bytes(key.secret[..].try_into().expect("eight bytes"));
                    self.cancel_begins(CancelRequest { server, secret, worker, asker: client });
                }
            }
        }
    }

    pub fn tell_all(&mut self, command: &dyn Fn() -> Command) {
        for worker in 0..self.drivers.len() {
            self.ground.post(worker, SimMail::Command(command()));
        }
    }

    fn calm(&mut self) {
        self.is_calm = true;
        self.gate.set_paused(false);
        for pool in &self.pools {
            pool.share.database.set_paused(false);
            pool.share.database.set_disabled(false);
        }
        for wire in self.ground.wires.iter_mut() {
            wire.slowness_us = 0;
        }
        self.tell_all(&|| Command::Unsuspend);
        if self.plan.ends_by_shutdown {
            self.tell_all(&|| Command::RefuseWaiting);
        }
        self.tell_all(&|| Command::Sweep(Scope::All));
    }
}

/// The parameters that servers start with.
pub fn defaults() -> Vec<String> {
    REPORTED.iter().map(|(_, value)| (*value).to_owned()).collect()
}

pub fn param_set(names: &TrackedNames, values: &[String]) -> ParamSet {
    let mut set = names.empty_set();
    for ((name, _), value) in REPORTED.iter().zip(values) {
        let Some(at) = names.position(name) else { panic!("{name} is tracked") };
        set = set.with(at, value.as_str());
    }
    set
}

/// The values that no server has of its own.
fn asked_for(params: &ParamSet) -> ParamMask {
    let names = TrackedNames::new([]);
    let servers_own = param_set(&names, &defaults());
    let is_asked = |at: &usize| params.value(*at) != servers_own.value(*at);
    (0..params.iter().len()).filter(is_asked).fold(ParamMask::default(), ParamMask::with)
}

fn brief(letter: &SimMail) -> String {
    match letter {
        SimMail::Client(socket, _) => format!("client {socket}"),
        SimMail::Server(socket, ..) => format!("server {socket}"),
        SimMail::Replication(_, pair) => format!("replication client {} and server {}", pair.0, pair.2),
        SimMail::Moved(_) => "a server of another worker".to_owned(),
        letter => format!("{letter:?}").chars().take(80).collect(),
    }
}

fn ended_unanswered(note: &Note) -> Option<(usize, Micros)> {
    match note {
        Note::EndedUnanswered { pool, began_at } => Some((pool.0 as usize, *began_at)),
        _ => None,
    }
}
