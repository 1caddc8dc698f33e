//! What must hold between events, when everybody is gone, and at the very end.

use super::ear;
use super::server::SimServer;
use super::wire::Remote;
use super::world::World;
use pgweir::base::{Micros, PoolId, WorkerId, limits};
use pgweir::config::PoolMode;
use pgweir::core::{Answer, Authorization, Command, Stance};
use pgweir::stats::PoolCounters;

const ENDED_BY_LIFETIME: &str = "a server ends early for server_lifetime";
const ENDED_BY_MAX_AGE: &str = "a server ends early for a lowered iam_max_age";

pub const MOVED_GATHERED: &str = "a server moves with bytes gathered";
pub const MOVED_FULL: &str = "a server moves with bytes gathered for a full socket";

pub const MOVED_TLS: &str = "a server moves with its TLS session";

pub const FORGOTTEN: &str = "a statement is forgotten to make room";

/// What runs must have come to, or the checks have checked nothing.
pub const SHOWN: [&str; 2] = [ENDED_BY_LIFETIME, ENDED_BY_MAX_AGE];

impl World {
    /// A client's transaction begins on a server: its authorization is good for that. In session pooling a
    /// client keeps the server that it has, and anywhere one that has told it half a notice.
    pub fn check_begin(&self, socket: u64, was_speaking: bool) {
        let wire = &self.ground.wires[socket as usize];
        let Remote::Server(index) = wire.remote else { panic!("transactions begin on servers") };
        let server = &self.servers[index];
        // Half a notice may have been lost with it, and it takes part in nothing any more.
        if wire.is_reset {
            return;
        }
        let pool = &self.pools[server.pool];
        let plan = &self.plan.pools[server.pool];
        let is_session = plan.rules.mode == PoolMode::Session || server.replica.is_some();
        if is_session || was_speaking || server.is_speaking(&self.ground) {
            return;
        }
        let Some(authorization) = server.authorization else { return };
        let now = self.ground.micros();
        match pool.share.stance() {
            Stance::KeepOn | Stance::CatchUp => {}
            Stance::CloseNow
                if server.born_at < pool.stance_since
                    && wire.worker.is_some_and(|worker| pool.looked[worker]) =>
            {
                panic!("a transaction begins on server {socket}, whose user is denied");
            }
            _ => {
                let has_looked = wire.worker.is_some_and(|worker| pool.looked[worker]);
                let max_age = if has_looked { pool.share.max_age() } else { Micros::NEVER };
                let hard_at = authorization.hard_at.min(server.connected_at + max_age);
                assert!(now < hard_at, "a transaction begins on server {socket}, too old");
            }
        }
    }

    /// A server was closed for its age: nothing was going on there. Or for a limit on servers that anybody
    /// has: it is not one whose authorization cannot be had anew.
    pub fn check_aged(&self, socket: u64, reason: &str) {
        let wire = &self.ground.wires[socket as usize];
        let Remote::Server(index) = wire.remote else { panic!("servers are recycled") };
        let server = &self.servers[index];
        if reason == ear::MOVED {
            let address = self.dns.address(&self.plan.pools[server.pool].database);
            assert_ne!(server.address, address, "server {socket} was closed for nothing: {reason}");
            assert!(
                server.replica.is_some() || !server.is_alive || server.is_at_rest(&wire.coming()),
                "server {socket} was closed in the middle of its work: {reason}"
            );
            return;
        }
        let Some(authorization) = server.authorization else { return };
        if ear::GIVEN_UP.contains(&reason) {
            let stance = self.pools[server.pool].share.stance();
            assert!(stance.renews(), "server {socket} was given up under {stance:?}: {reason}");
            return;
        }
        let is_at_rest = !server.is_alive || server.is_at_rest(&wire.coming());
        assert!(is_at_rest, "server {socket} was closed for its age in the middle of its work");
        if reason == "authorization too old" {
            self.check_was_busy(server, authorization);
        }
        self.hear_early_end(server, authorization, reason);
    }

    /// A server has ended sooner than its login said: for `server_lifetime`, or for
    /// `iam_max_age`, which was lowered.
    fn hear_early_end(&self, server: &SimServer, authorization: Authorization, reason: &str) {
        let share = &self.pools[server.pool].share;
        // 20 hundredths of the age is the least that is planned.
        let youth_us = authorization.hard_at.since(server.connected_at).0 * 20 / 100;
        let early_at = match reason {
            "authorization renewed" => server.connected_at + Micros(youth_us),
            _ => authorization.hard_at,
        };
        let has_lifetime = share.rules().server_lifetime < Micros::from_secs(3600);
        if reason != "authorization denied" && self.ground.micros() < early_at {
            ear::hear(if has_lifetime { ENDED_BY_LIFETIME } else { ENDED_BY_MAX_AGE });
        }
    }

    /// What SHOW POOLS says is what there is.
    pub fn check_counts(&mut self) {
        for driver in &mut self.drivers {
            let Answer::Pools(rows) = driver.ask(Command::Pools, &self.ground) else {
                panic!("rows are asked for")
            };
            let (clients, servers) = driver.counts();
            let in_rows: u32 = rows.iter().map(|(_, row)| row.cl_active + row.cl_idle + row.cl_waiting).sum();
            assert_eq!(in_rows as usize, clients, "clients in SHOW POOLS");
            let servers_of = |(_, row): &(PoolId, pgweir::core::PoolRow)| {
                row.sv_active + row.sv_idle + row.sv_used + row.sv_tested + row.sv_being_canceled
            };
            assert_eq!(rows.iter().map(servers_of).sum::<u32>() as usize, servers, "servers in SHOW POOLS");
            for (_, row) in rows {
                assert!(row.sv_active == row.cl_active, "links have two ends: {row:?}");
            }
            assert!(driver.connections() >= clients + servers, "every connection has a socket");
        }
        for (at, pool) in self.pools.iter().enumerate() {
            let published = (0..self.drivers.len()).any(|worker| {
                let elsewhere = WorkerId(worker as u16);
                pool.share.oldest_waiter_elsewhere(elsewhere).is_some()
            });
            assert!(
                !published || pool.share.oldest_waiter().is_some(),
                "pool {at} has a waiter and has none"
            );
        }
    }

    /// Everybody is gone and nothing is under way: what is left are idle servers.
    pub fn check_rest(&mut self) {
        self.check_counts();
        for pool in &self.pools {
            assert_eq!(pool.share.oldest_waiter(), None, "somebody waits, but nobody is there");
        }
        let stands = self.stands();
        let mut idle_published = 0;
        let mut idle = 0;
        for driver in &mut self.drivers {
            let (clients, servers) = driver.counts();
            assert_eq!(clients, 0, "clients are left");
            assert_eq!(driver.connections(), servers, "sockets are left");
            let Answer::Pools(rows) = driver.ask(Command::Pools, &self.ground) else {
                panic!("rows are asked for")
            };
            let free: u32 = rows.iter().map(|(_, row)| row.sv_idle + row.sv_used).sum();
            assert_eq!(free as usize, servers, "servers are left that are not free:\n{stands}");
            idle += free;
        }
        for (at, pool) in self.pools.iter().enumerate() {
            idle_published += pool.share.idle_total();
            assert_eq!(self.ledger.pool_servers(pool.share.id), (0, pool.share.live_count()), "pool {at}");
            assert_eq!(self.ledger.pool_cancels(pool.share.id), 0, "pool {at}");
        }
        assert_eq!(idle_published, idle, "published idle servers");
        self.check_changed();
        self.check_counters();
    }

    /// What reloads and DNS have ended has ended: no server is left of an entry that is gone, nor at an
    /// address that its host has left, and no worker keeps anything of such an entry.
    fn check_changed(&mut self) {
        for server in self.servers.iter().filter(|server| server.is_alive) {
            let (socket, share) = (server.socket, &self.pools[server.pool].share);
            assert!(!share.is_removed(), "server {socket} outlives its entry");
            let address = self.dns.address(&share.database.name);
            assert_eq!(
                server.address, address,
                "server {socket} is kept at an address that its host has left"
            );
        }
        for driver in &mut self.drivers {
            let Answer::Stats(stats, _) = driver.ask(Command::Stats(0), &self.ground) else {
                panic!("rows are asked for")
            };
            let is_gone = |pool: &PoolId| self.pools[pool.0 as usize].share.is_removed();
            assert!(!stats.iter().any(|(pool, _)| is_gone(pool)), "a worker keeps a pool that is gone");
        }
    }

    /// What was counted is what can have happened.
    fn check_counters(&mut self) {
        let mut sums: Vec<_> = self.pools.iter().map(|_| PoolCounters::default()).collect();
        for driver in &mut self.drivers {
            let Answer::Stats(stats, _) = driver.ask(Command::Stats(0), &self.ground) else {
                panic!("rows are asked for")
            };
            for (pool, counters) in stats {
                sums[pool.0 as usize].merge(&counters);
            }
        }
        for (at, sum) in sums.iter().enumerate().filter(|(at, _)| !self.pools[*at].share.is_removed()) {
            assert_eq!(sum.client_login_count, self.pools[at].logins, "logins of pool {at}");
            assert_eq!(sum.wait_time.count(), sum.server_assignment_count, "each link was waited for once");
            assert!(sum.xact_count <= sum.query_count, "{sum:?}");
            assert!(sum.query_time.count() <= sum.query_count, "{sum:?}");
            assert!(sum.xact_time.count() <= sum.xact_count, "{sum:?}");
            let plan = &self.plan.pools[at];
            // One that begins with what was answered here begins anew where its server grows too old before
            // it hears of it and a Flush alone is lent a server, though nothing of a transaction is in it.
            let anew = if plan.rules.max_prepared_statements > 0 || self.plan.flushes > 0 {
                sum.server_assignment_count
            } else {
                0
            };
            let begun = sum.xact_time.count()..=sum.xact_count + anew;
            match plan.max_age_us {
                Some(_) => assert!(begun.contains(&sum.auth_age.count()), "on a server each: {sum:?}"),
                None => assert_eq!(sum.auth_age.count(), 0),
            }
            assert!(sum.server_parse_count == 0 || sum.client_parse_count > 0, "{sum:?}");
        }
    }

    /// The statements of one database take no more than they may. (Those of all: `listener`, at each call.)
    pub fn check_statement_memory(&self) {
        for pool in &self.pools {
            let meter = pool.share.database.statements();
            let (bytes, bytes_max) = (meter.bytes(), meter.bytes_max());
            assert!(bytes <= bytes_max, "statements of one database take {bytes} bytes of {bytes_max}");
        }
    }

    /// Nobody names a statement any more: what is kept of them is what may be.
    fn check_statements_given_up(&self) {
        for pool in &self.pools {
            assert_eq!(pool.share.database.statements().bytes(), 0, "statements of nobody");
        }
        let (bytes, bytes_max) = (self.registry.bytes(), self.registry.bytes_max());
        assert!(bytes <= bytes_max / limits::UNNAMED_STATEMENTS_PART, "{bytes} of {bytes_max}");
        assert_eq!(bytes == 0, self.registry.count() == 0, "{bytes} bytes of no statements");
        if self.registry.forgotten() > 0 {
            ear::hear(FORGOTTEN);
        }
    }

    /// Everything was closed.
    pub fn check_end(&mut self) {
        self.check_statements_given_up();
        for driver in &mut self.drivers {
            assert_eq!(driver.counts(), (0, 0), "connections are left");
            assert_eq!(driver.connections(), 0, "sockets are left");
        }
        for (at, pool) in self.pools.iter().enumerate() {
            assert_eq!(self.ledger.pool_servers(pool.share.id), (0, 0), "places of pool {at} are left");
            assert_eq!(pool.share.idle_total(), 0, "pool {at}");
        }
        for server in &self.servers {
            assert!(!server.is_alive, "server {} lives on", server.socket);
        }
    }
}
