//! What happens to a pooler from outside while it works: operators' commands, reloads, dying servers.

use super::client::Stage;
use super::driver::SimMail;
use super::ground::Event;
use super::session::REPORTED;
use super::world::World;
use pgweir::base::Micros;
use pgweir::config::ClientRules;
use pgweir::core::{Command, Scope, Stance};
use std::sync::Arc;

/// Something that was begun and has to end.
#[derive(Clone, Copy, Debug)]
pub enum Spell {
    /// One pool's database is paused.
    Paused(usize),
    PausedAll,
    Suspended,
    /// SUSPEND has waited for long enough.
    Unsent,
    Disabled(usize),
    /// Servers take another secret than the pooler sends.
    Rotated(usize),
    /// The other end of a wire is slow.
    Slow(u64),
}

impl World {
    /// One thing, and the appointment for the next.
    pub fn weather(&mut self) {
        if self.is_calm {
            return;
        }
        let gap_us = *self.ground.rng.pick(&[1_000, 10_000, 100_000]);
        let gap_us = self.ground.rng.below(gap_us);
        self.ground.after(gap_us, Event::Weather);
        let served: Vec<_> = (0..self.pools.len()).filter(|at| !self.pools[*at].share.is_removed()).collect();
        if served.is_empty() {
            return;
        }
        let pool = *self.ground.rng.pick(&served);
        match self.ground.rng.below(if self.plan.changes { 29 } else { 25 }) {
            25..=28 => self.configuration_changes(pool),
            21..=24 => self.notify(),
            18..=20 => self.max_age_changes(pool),
            16 | 17 => self.stance_changes(pool),
            0 | 1 => self.pause(pool),
            2 | 3 => self.renew(pool), // RECONNECT
            4 | 5 => self.reload(pool),
            6 => self.kill_client(),
            7 => self.evict(pool),
            8 => self.suspend(),
            9 | 10 => self.server_dies(),
            11 => self.parameter_changes(),
            12 => self.kill_pool(pool),
            13 => {
                self.pools[pool].share.database.set_disabled(true);
                self.ground.after(20_000, Event::Clear(Spell::Disabled(pool)));
            }
            14 => self.slow_down(),
            _ => self.reload_clients(),
        }
    }

    pub fn clear(&mut self, spell: Spell) {
        match spell {
            Spell::Paused(pool) => {
                self.pools[pool].share.database.set_paused(false);
                let id = self.pools[pool].share.database.name.clone();
                self.tell_all(&|| Command::Sweep(Scope::Database(Arc::clone(&id))));
            }
            Spell::PausedAll => {
                self.gate.set_paused(false);
                self.tell_all(&|| Command::Sweep(Scope::All));
            }
            Spell::Unsent => self.tell_all(&|| Command::DropUnsent),
            Spell::Suspended => self.tell_all(&|| Command::Unsuspend),
            Spell::Disabled(pool) => self.pools[pool].share.database.set_disabled(false),
            Spell::Rotated(pool) => self.secret_is_reloaded(pool),
            Spell::Slow(socket) => self.ground.wires[socket as usize].slowness_us = 0,
        }
    }

    fn pause(&mut self, pool: usize) {
        let until = self.ground.rng.range(1_000, 60_000);
        if self.ground.rng.percent(30) {
            self.gate.set_paused(true);
            self.tell_all(&|| Command::Sweep(Scope::All));
            self.ground.after(until, Event::Clear(Spell::PausedAll));
            return;
        }
        let database = Arc::clone(&self.pools[pool].share.database);
        database.set_paused(true);
        self.tell_all(&|| Command::Sweep(Scope::Database(Arc::clone(&database.name))));
        self.ground.after(until, Event::Clear(Spell::Paused(pool)));
    }

    /// What is known of the pool user's logins has changed; workers are told, or find out by themselves.
    fn stance_changes(&mut self, at: usize) {
        let stances =
            [Stance::Renew, Stance::KeepToHardAge, Stance::KeepOn, Stance::CatchUp, Stance::CloseNow];
        let stance = *self.ground.rng.pick(&stances);
        self.set_stance(at, stance);
        let id = self.pools[at].share.id;
        if self.ground.rng.percent(50) {
            self.tell_all(&|| Command::Sweep(Scope::Pool(id)));
        }
    }

    pub fn set_stance(&mut self, at: usize, stance: Stance) {
        let pool = &mut self.pools[at];
        pool.share.set_stance(stance);
        pool.stance_since = self.ground.now;
        pool.looked.fill(false);
        self.ground.log(|| format!("pool {at}: {stance:?}"));
    }

    /// Servers that are there may not grow older than those that come.
    fn max_age_changes(&mut self, at: usize) {
        if self.plan.pools[at].max_age_us.is_some() {
            let max_age_us = super::plan::max_age_us(&mut self.ground.rng, &self.plan.cuts);
            self.plan.pools[at].max_age_us = Some(max_age_us);
            self.pools[at].share.set_max_age(Micros(max_age_us));
            self.pools[at].looked.fill(false);
            self.ground.log(|| format!("pool {at}: servers may be {max_age_us} us old"));
        }
    }

    /// New rules; the mode, and whether statements are shared at all, stay.
    fn reload(&mut self, pool: usize) {
        let old = self.plan.pools[pool].rules.clone();
        let mut rules = super::plan::rules(&mut self.ground.rng, old.mode, false);
        rules.context_keys.clone_from(&old.context_keys);
        rules.max_db_connections = old.max_db_connections;
        rules.max_user_connections = old.max_user_connections;
        rules.fast_close = old.fast_close;
        rules.timeout_action = old.timeout_action;
        rules.cancel_wait_timeout = old.cancel_wait_timeout;
        rules.on_expired = old.on_expired;
        rules.expiry_grace = old.expiry_grace;
        rules.on_denied = old.on_denied;
        rules.drain_timeout = old.drain_timeout;
        rules.endpoint = Arc::clone(&old.endpoint);
        rules.endpoints = Arc::clone(&old.endpoints);
        rules.instance_caps = Arc::clone(&old.instance_caps);
        if old.max_prepared_statements == 0 || rules.max_prepared_statements == 0 {
            rules.max_prepared_statements = old.max_prepared_statements;
        }
        let rules = Arc::new(rules);
        let share = &self.pools[pool].share;
        share.set_rules(Arc::clone(&rules));
        let id = share.id;
        self.tell_all(&|| Command::Rules(id, Arc::clone(&rules)));
    }

    fn reload_clients(&mut self) {
        let mut rules = self.plan.client_rules;
        if rules.query_wait_timeout.0 > 0 {
            rules.query_wait_timeout = Micros::from_millis(self.ground.rng.range(1, 200));
        }
        let rules_of = move |_: &str, _: &str| ClientRules { ..rules };
        let rules_of = pgweir::core::ClientRulesOf(Arc::new(rules_of));
        self.tell_all(&|| Command::ClientRules(rules_of.clone()));
    }

    fn kill_client(&mut self) {
        let talking = |client: &&mut super::client::SimClient| client.stage == Stage::Talking;
        let mut talking: Vec<_> = self.clients.iter_mut().filter(talking).collect();
        if talking.is_empty() {
            return;
        }
        let at = self.ground.rng.below(talking.len() as u64) as usize;
        talking[at].causes.killed = true;
        let socket = talking[at].socket;
        self.tell_all(&|| Command::KillClient(socket));
    }

    fn kill_pool(&mut self, pool: usize) {
        if self.ground.rng.percent(80) {
            return;
        }
        self.clients.iter_mut().filter(|client| client.pool == pool).for_each(|client| {
            client.causes.killed = true;
        });
        let id = self.pools[pool].share.id;
        self.tell_all(&|| Command::Kill(Scope::Pool(id)));
    }

    fn evict(&mut self, pool: usize) {
        let user = Arc::clone(&self.pools[pool].share.user);
        let worker = self.ground.rng.below(self.drivers.len() as u64) as usize;
        self.ground.post(worker, SimMail::Command(Command::EvictIdle(Scope::User(user))));
    }

    fn suspend(&mut self) {
        self.tell_all(&|| Command::Suspend);
        let until = self.ground.rng.range(1_000, 20_000);
        if self.ground.rng.percent(30) {
            self.ground.after(until, Event::Clear(Spell::Unsent));
        }
        self.ground.after(until, Event::Clear(Spell::Suspended));
    }

    fn server_dies(&mut self) {
        let alive: Vec<_> = (0..self.servers.len()).filter(|at| self.servers[*at].is_alive).collect();
        if !alive.is_empty() {
            let at = *self.ground.rng.pick(&alive);
            let with_last_word = self.ground.rng.percent(50);
            self.servers[at].die(with_last_word, &mut self.ground);
        }
    }

    /// A server that nobody uses changes one of its parameters, and its pooler hears of it
    /// before anything else happens.
    fn parameter_changes(&mut self) {
        let at = self.ground.rng.below(REPORTED.len() as u64) as usize;
        for index in 0..self.servers.len() {
            let socket = self.servers[index].socket;
            let Some(worker) = self.ground.wires[socket as usize].worker else { continue };
            // What else the worker is about to do would come first.
            if self.drivers[worker].has_more() || !self.drivers[worker].is_idle_server(socket, &self.ground) {
                continue;
            }
            if self.servers[index].change_by_itself(at, "by itself", &mut self.ground) {
                self.ground.wires[socket as usize].up.arrive(usize::MAX);
                self.ground.wires.edge_first(socket);
                self.worker_turn(worker);
            }
        }
    }

    /// Sessions that listen are notified, one or all of them, and again a few moments later.
    pub fn notify(&mut self) {
        let all = self.ground.rng.percent(30);
        let alive: Vec<_> = (0..self.servers.len()).filter(|at| self.servers[*at].is_alive).collect();
        if alive.is_empty() {
            return;
        }
        let one = *self.ground.rng.pick(&alive);
        for at in alive.into_iter().filter(|at| all || *at == one) {
            self.servers[at].is_notified(&mut self.ground);
        }
        if !self.is_calm && self.ground.rng.percent(60) {
            let soon = self.ground.rng.below(3_000);
            self.ground.after(soon, Event::Notify);
        }
    }

    fn slow_down(&mut self) {
        let socket = self.ground.rng.below(self.ground.wires.len() as u64);
        self.ground.wires[socket as usize].slowness_us = self.ground.rng.below(3_000);
        self.ground.after(30_000, Event::Clear(Spell::Slow(socket)));
    }
}
