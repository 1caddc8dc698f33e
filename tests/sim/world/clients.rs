//! Clients of a simulated world: how one comes, with which parameters, and how it goes on.

use super::{DEAF_US, World, defaults, param_set};
use crate::client::SimClient;
use crate::driver::SimMail;
use crate::ground::Event;
use crate::plan::IdentityPlan;
use crate::replication::{CLOSED_AT_ONCE, accept};
use crate::session::{BOGUS_ZONE, Session};
use crate::wire::Remote;
use crate::world::client_login;
use pgweir::base::Micros;
use pgweir::config::{OnDenied, PoolMode};
use pgweir::core::Command;
use pgweir::wire::ParamSet;

impl World {
    pub(super) fn client_goes_on(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.proceed(self.is_calm, &mut self.ground);
        let socket = client.socket;
        for _ in 0..std::mem::take(&mut client.wants_cancels) {
            match self.ground.wires[socket as usize].worker {
                Some(worker) => self.ground.post(worker, SimMail::Command(Command::Cancel(socket, 0))),
                None => self.clients[index].cancels -= 1,
            }
        }
    }

    pub fn client_comes(&mut self) {
        let pool = self.ground.rng.below(self.pools.len() as u64) as usize;
        if self.pools[pool].share.is_removed() || self.pools[pool].share.database.is_disabled() {
            return self.ground.after(10_000, Event::ClientComes);
        }
        self.to_come -= 1;
        let socket = self.ground.new_wire(self.plan.tls, true);
        let index = self.clients.len();
        let wire = &mut self.ground.wires[socket as usize];
        wire.remote = Remote::Client(index);
        if self.ground.rng.percent(15) {
            wire.slowness_us = self.ground.rng.below(300);
        }
        if self.ground.rng.percent(self.plan.deaf) {
            self.ground.wires[socket as usize].slowness_us = DEAF_US;
        }
        let (mut values, params) = self.client_params();
        let is_replica = self.plan.replicas > 0 && self.ground.rng.percent(self.plan.replicas);
        let mode = if is_replica { PoolMode::Session } else { self.plan.pools[pool].rules.mode };
        let manners = self.plan.manners(pool, mode);
        if is_replica {
            accept(&mut values, self.plan.bounds.parameter_bytes);
        }
        let session = Session::new(&defaults(), &values, self.plan.reports_at_once);
        let mut client = SimClient::new(index, socket, pool, session, manners, &mut self.ground);
        client.causes.common = self.plan.common_faults();
        let is_dropped =
            |plan: IdentityPlan| plan.on_denied == OnDenied::DropNow || plan.drain_timeout != Micros(0);
        client.causes.replicates = is_replica;
        client.causes.may_be_dropped = self.plan.identities.is_some_and(is_dropped);
        if self.plan.is_for_renewals {
            client.batches = u32::MAX;
        }
        if is_replica {
            client.causes.common.extend(CLOSED_AT_ONCE);
        }
        self.clients.push(client);
        self.pools_of_clients.push(pool);
        if is_replica {
            self.replica_logs_in(pool, index, values);
        } else {
            let plan = &self.plan.pools[pool];
            let names = [&*plan.database, &*plan.user];
            let rules = self.plan.client_rules;
            let login = client_login(socket, names, &self.pools[pool].share, params, rules);
            let login = self.with_identity(login);
            self.client_logs_in(pool, socket, login);
        }
        self.ground.after(0, Event::ClientTurn(index));
    }

    /// What a client asks for at its login, and how the pooler knows it.
    pub(super) fn client_params(&mut self) -> (Vec<String>, ParamSet) {
        let rng = &mut self.ground.rng;
        let mut values = defaults();
        if rng.percent(60) {
            values[4] = format!("app{}", rng.below(3));
        }
        if rng.percent(20) {
            values[2] = (*rng.pick(&["utc", "Europe/Berlin", "America/Lima"])).to_owned();
        }
        if rng.percent(2) && !self.plan.is_for_renewals {
            values[2] = BOGUS_ZONE.to_owned();
        }
        if rng.percent(10) {
            values[0] = "ISO".to_owned();
        }
        let mut params = param_set(&self.names, &values);
        if rng.percent(10)
            && let Some(at) = self.names.position("never.reported")
        {
            params = params.with(at, "whatever");
        }
        (values, params)
    }
}
