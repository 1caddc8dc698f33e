//! What reloads and DNS do to a pooler that works: names lead elsewhere, credentials change,
//! entries go and come back.

use super::ground::Event;
use super::plane::SimPool;
use super::replication::Replica;
use super::weather::Spell;
use super::wire::Remote;
use super::world::World;
use pgweir::base::{Micros, limits};
use pgweir::core::{Answer, Command, Event as Happens, Opening, Scope, Want};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The longest that a pool whose login was refused waits for the next one:
/// `server_login_retry`, as by default.
pub const LOGIN_RETRY: Micros = Micros::from_secs(15);

/// A login under way: what it began with, which may be true no more when it is over.
#[derive(Clone, Debug)]
pub struct Login {
    pub pool: usize,
    pub want: Want,
    pub opening: Opening,
    pub generation: u32,
    pub began: u64,
    /// Where the host's name led.
    pub address: u8,
    /// What it proves itself with.
    pub secret: u32,
    /// How many of the pool's had failed.
    pub failures: u32,
    /// The replication client that it is for.
    pub replica: Option<Replica>,
}

/// Where the hosts' names lead; each database has a host of its own, of the same name.
#[derive(Debug, Default)]
pub struct Dns {
    addresses: BTreeMap<String, u8>,
    /// What each worker has been told, and what it has acted upon.
    told: Vec<Vec<(String, u8)>>,
    known: Vec<BTreeMap<String, u8>>,
    /// Servers that clients had as their worker was told, and those clients: they are
    /// closed when they are released.
    pub linked: BTreeMap<u64, u64>,
}

impl Dns {
    pub fn new(workers: usize) -> Self {
        Self {
            addresses: BTreeMap::new(),
            told: vec![Vec::new(); workers],
            known: vec![BTreeMap::new(); workers],
            linked: BTreeMap::new(),
        }
    }

    pub fn address(&self, host: &str) -> u8 {
        self.addresses.get(host).copied().unwrap_or_default()
    }

    /// The worker gets a letter that says so.
    pub fn is_told(&mut self, worker: usize, host: &str, addresses: &[IpAddr]) {
        let [IpAddr::V4(ip)] = addresses else { panic!("a host has one address here") };
        self.told[worker].push((host.to_owned(), ip.octets()[3]));
    }

    /// A server at that address comes to the worker; a letter that it is the wrong
    /// one comes behind, if it is.
    pub fn server_comes(&mut self, worker: usize, host: &str, address: IpAddr) {
        if address != ip(self.address(host)) {
            self.known[worker].remove(host);
            self.told[worker].retain(|(told, _)| told != host);
        }
    }

    /// The worker has acted upon its letters; whether there was one about a host.
    pub fn acted(&mut self, worker: usize) -> bool {
        let told = std::mem::take(&mut self.told[worker]);
        let is_news = !told.is_empty();
        self.known[worker].extend(told);
        is_news
    }

    /// Whether the worker knows where the name leads today.
    pub fn is_known(&self, worker: usize, host: &str) -> bool {
        self.known[worker].get(host) == Some(&self.address(host))
    }
}

pub fn ip(address: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, address])
}

impl World {
    /// One of the three.
    pub fn configuration_changes(&mut self, at: usize) {
        match self.ground.rng.below(10) {
            0..=4 => self.host_moves(at),
            5..=8 => self.secret_rotates(at),
            _ => self.entry_goes(at),
        }
    }

    /// A host has another address; whoever looks it up next finds out, and all workers are told.
    fn host_moves(&mut self, at: usize) {
        let host = self.plan.pools[at].database.clone();
        let address = self.dns.address(&host).wrapping_add(1);
        self.dns.addresses.insert(host.clone(), address);
        self.ground.log(|| format!("{host} is at {address} now"));
        self.tell_host_moved(&host);
    }

    fn tell_host_moved(&mut self, host: &str) {
        for worker in 0..self.drivers.len() {
            self.tell_of_address(worker, host);
        }
    }

    /// A worker has acted upon its letters.
    pub fn host_letters_read(&mut self, worker: usize) {
        if self.dns.acted(worker) {
            let links = self.links(worker);
            self.dns.linked.extend(links);
        }
    }

    /// Servers of a worker that have clients, and those.
    fn links(&mut self, worker: usize) -> Vec<(u64, u64)> {
        let Answer::Servers(rows) = self.drivers[worker].ask(Command::Servers, &self.ground) else {
            panic!("rows are asked for")
        };
        rows.iter().filter_map(|row| Some((row.identity.socket_id, row.link?))).collect()
    }

    /// A client's transaction begins on a server: that is where its host is, as far as its worker knows.
    pub fn check_address(&mut self, socket: u64) {
        let wire = &self.ground.wires[socket as usize];
        let (Remote::Server(index), Some(worker)) = (wire.remote, wire.worker) else { return };
        let host = &self.plan.pools[self.servers[index].pool].database;
        if self.servers[index].address == self.dns.address(host) || !self.dns.is_known(worker, host) {
            return;
        }
        let link = self.links(worker).into_iter().find(|(server, _)| *server == socket);
        let is_as_before = link.is_none_or(|(_, client)| self.dns.linked.get(&socket) == Some(&client));
        assert!(is_as_before, "a client is lent server {socket}, at an address that its host has left");
    }

    /// One worker is told where a host is.
    pub fn tell_of_address(&mut self, worker: usize, host: &str) {
        let addresses = Arc::from([ip(self.dns.address(host))]);
        let order = Command::HostMoved(host.into(), addresses);
        self.ground.post(worker, super::driver::SimMail::Command(order));
    }

    /// A pool's servers take another secret from now on; a reload brings it a little later.
    fn secret_rotates(&mut self, at: usize) {
        self.pools[at].taken += 1;
        self.ground.log(|| format!("pool {at}: its secret is of no use any more"));
        let until = self.ground.rng.range(1_000, 60_000);
        self.ground.after(until, Event::Clear(Spell::Rotated(at)));
    }

    /// A reload brings the secret that the servers take: as `servers::reload` has it.
    pub fn secret_is_reloaded(&mut self, at: usize) {
        let pool = &mut self.pools[at];
        if pool.share.is_removed() {
            return;
        }
        let is_news = pool.secret != pool.taken;
        pool.secret = pool.taken;
        pool.changed_at = Some(self.ground.now);
        let (share, secret) = (Arc::clone(&pool.share), pool.secret);
        // It may stand where only a login looks: then no server is opened anew for it.
        if self.ground.rng.percent(50) {
            self.renew(at);
        } else if self.pools[at].last_failure.end_for_change(|| secret) {
            self.forget_failure(at);
            self.launcher_hears(at, Happens::Asked);
        }
        self.ground.log(|| format!("pool {at}: a reload brings its secret"));
        assert!(
            !is_news || share.failing().is_none(),
            "pool {at}: whoever comes is told of a failure that is of yesterday"
        );
    }

    /// Every server of the pool opened until now is closed when it is free, and the
    /// next one is waited for anew.
    pub fn renew(&mut self, at: usize) {
        let share = Arc::clone(&self.pools[at].share);
        self.pools[at].last_failure.forget();
        share.bump_generation();
        self.forget_failure(at);
        self.tell_all(&|| Command::Sweep(Scope::Pool(share.id)));
        self.launcher_hears(at, Happens::Asked);
    }

    /// The files have an entry no more: its clients and servers are dropped, whatever is on its way, too.
    fn entry_goes(&mut self, at: usize) {
        let database = self.plan.pools[at].database.clone();
        self.ground.log(|| format!("{database} is removed"));
        let mut gone = Vec::new();
        for at in 0..self.pools.len() {
            if self.plan.pools[at].database != database || self.pools[at].share.is_removed() {
                continue;
            }
            self.pools[at].share.set_removed();
            self.turn_away_arrivals(at);
            self.turn_away_replicas(at);
            self.clients.iter_mut().filter(|client| client.pool == at).for_each(|client| {
                client.causes.killed = true;
            });
            let id = self.pools[at].share.id;
            self.tell_all(&|| Command::Kill(Scope::Pool(id)));
            self.ledger.forget(&self.pools[at].share);
            gone.push(at);
        }
        let until = self.ground.rng.range(1_000, 40_000);
        self.ground.after(until, Event::EntryComes(gone));
    }

    /// The files have the entry again: pools of their own, with nothing of the old ones.
    pub fn entry_comes(&mut self, gone: Vec<usize>) {
        let database = self.plan.database(&self.plan.pools[gone[0]].database, &self.gate);
        for old in gone {
            let (at, plan) = (self.pools.len(), self.plan.pools[old].clone());
            let mut pool = SimPool::new(at, Arc::clone(&database), &plan, self.drivers.len());
            pool.secret = self.pools[old].taken;
            pool.taken = pool.secret;
            self.pools.push(pool);
            self.plan.pools.push(plan);
        }
    }

    /// A login is begun with what a reload has brought, where somebody waits and nothing stands against it.
    pub fn check_changes(&mut self) {
        let patience_us = 3_000 * limits::JANITOR_PERIOD_MS;
        for at in 0..self.pools.len() {
            let Some(since) = self.pools[at].changed_at else { continue };
            let share = Arc::clone(&self.pools[at].share);
            let is_open = share.oldest_waiter().is_some()
                && !share.is_removed()
                && !share.database.is_paused()
                && self.ledger.pool_servers(share.id) == (0, 0)
                && self.ledger.has_room(&share);
            if is_open {
                let is_early = self.ground.now < since + patience_us;
                assert!(is_early, "pool {at}: nothing is tried with what a reload has brought");
            } else {
                self.pools[at].changed_at = Some(self.ground.now);
            }
        }
    }
}
