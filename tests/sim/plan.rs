//! What one run is like: everything that is drawn from the seed before it begins.

use super::ground::Cuts;
use super::identities;
use super::kernel::Habits;
use super::rng::Rng;
use super::script::Manners;
use pgweir::base::{Micros, limits};
use pgweir::config::{
    ClientRules, InstanceCap, OnDenied, OnExpired, PoolMode, PoolRules, SessionState, TimeoutAction,
};
use pgweir::core::{Bounds, DatabaseShare, Gate};
use pgweir::wire::request_context::ContextKeys;
use std::sync::Arc;

/// How long a login to a server takes at the most.
pub const LOGIN_US_MAX: u64 = 10_000;

/// So many of a hundred runs have connections under TLS: their cryptography takes most of their time.
const TLS_PERCENT: u64 = 4;

/// So many of a hundred runs have clients whose identities end.
const IDENTITIES_PERCENT: u64 = 30;

/// So many of a hundred runs have clients that say for which request they work.
const CONTEXTS_PERCENT: u64 = 25;

/// So many of a hundred runs have wires that hold more than a round reads, and clients
/// and servers that fill them.
const WIDE_PERCENT: u64 = 1;
const WIDE_BYTES: usize = 3 << 20;

/// How clients are told that they make the pooler keep too much.
pub const STATEMENTS_FULL: &str = "prepared statements take too much memory";
pub const CLIENT_STATEMENTS_FULL: &str = "prepared statements of one client take too much memory";
pub const PARAMETERS_TOO_LONG: &str = "parameters too long";

/// One run's make-up.
#[expect(clippy::struct_excessive_bools, reason = "separate facts, not states of one thing")]
#[derive(Clone, Debug)]
pub struct Plan {
    pub workers: usize,
    pub pools: Vec<PoolPlan>,
    pub clients: u32,
    pub cuts: Cuts,
    /// Servers die, logins fail, operators interfere.
    pub faults: bool,
    /// Clients break off, send nonsense, cancel.
    pub rude: bool,
    pub logins_fail: bool,
    /// So many of a hundred connections are under TLS.
    pub tls: u64,
    /// So many of a hundred clients replicate.
    pub replicas: u64,
    /// Reloads change what logins send and which entries there are, and names lead elsewhere.
    pub changes: bool,
    /// From the calm on, clients that would have to wait are refused.
    pub ends_by_shutdown: bool,
    pub client_rules: ClientRules,
    /// Queries that take too long may be cancelled.
    pub cancels: bool,
    pub think_us_max: u64,
    /// How often clients say Flush, in a hundred.
    pub flushes: u64,
    /// So many of a hundred clients do not read before the calm.
    pub deaf: u64,
    /// New servers report a change of a parameter at once, not before the next ReadyForQuery.
    pub reports_at_once: bool,
    /// When the weather ends.
    pub calm_at_us: u64,
    /// The core's own, or so small that every world meets them.
    pub bounds: Bounds,
    pub memory: StatementMemory,
    /// Clients are principals, whose tokens expire and who are denied.
    pub identities: Option<IdentityPlan>,
    /// Clients work until the calm, and no server may reach its hard age.
    pub is_for_renewals: bool,
}

/// What becomes of clients whose identities end.
#[derive(Clone, Copy, Debug)]
pub struct IdentityPlan {
    pub on_expired: OnExpired,
    pub expiry_grace: Micros,
    pub on_denied: OnDenied,
    pub drain_timeout: Micros,
}

/// How much prepared statements may take: in all, and of one database.
#[derive(Clone, Copy, Debug)]
pub struct StatementMemory {
    pub bytes_max: usize,
    pub database_bytes_max: usize,
}

#[derive(Clone, Debug)]
pub struct PoolPlan {
    pub database: String,
    pub user: String,
    pub rules: PoolRules,
    /// How long an authorization is good for, where servers have one.
    pub max_age_us: Option<u64>,
    /// How long a login takes at the least and at the most.
    pub login_us: (u64, u64),
    /// From when on. Until then it takes no time.
    pub slow_from_us: u64,
}

impl Plan {
    /// `faults`: whether there may be any.
    pub fn draw(rng: &mut Rng, faults: bool) -> Self {
        let mut of_identities = Rng::new(rng.clone().next() ^ (u64::MAX / 5));
        let mut of_contexts = Rng::new(rng.clone().next() ^ (u64::MAX / 7));
        let mut plan = Self::draw_all_else(rng, faults);
        plan.draw_identities(&mut of_identities);
        if of_contexts.percent(CONTEXTS_PERCENT) {
            let keys = ContextKeys::read("route").expect("a key");
            plan.pools.iter_mut().for_each(|pool| pool.rules.context_keys.clone_from(&keys));
        }
        plan
    }

    fn draw_all_else(rng: &mut Rng, faults: bool) -> Self {
        // What worlds have had for long is drawn as ever, so that the seeds of old findings show the same.
        let mut later = Rng::new(rng.clone().next() ^ u64::MAX);
        let faults = faults && rng.percent(80);
        let mut latest = Rng::new(later.clone().next() ^ u64::MAX);
        let mut newest = Rng::new(latest.clone().next() ^ u64::MAX);
        let mut of_limits = Rng::new(newest.clone().next() ^ u64::MAX);
        let at_instances = instance_caps(&mut Rng::new(of_limits.clone().next() ^ u64::MAX));
        let cuts = cuts(rng, &mut latest);
        let timeouts = faults && rng.percent(30);
        let cancels = timeouts && of_limits.percent(60);
        let modes = [PoolMode::Transaction, PoolMode::Transaction, PoolMode::Session, PoolMode::Statement];
        let count = rng.range(1, 3);
        let caps: Vec<_> = (0..4).map(|_| *rng.pick(&[0, 0, 1, 2, 3])).collect();
        let pools = (0..count)
            .map(|at| {
                let (database, user) = (at as usize / 2, at as usize % 2);
                let mode = *rng.pick(&modes);
                let mut rules = rules(rng, mode, timeouts);
                limit_queries(&mut rules, cancels, &mut of_limits);
                bound_servers(&mut rules, caps[database], caps[2 + user], at_instances[database].clone());
                let max_age_us = rng.percent(50).then(|| max_age_us(rng, &cuts));
                let login_us = match max_age_us {
                    None if later.percent(20) => (100, 40 * LOGIN_US_MAX),
                    _ => (100, LOGIN_US_MAX),
                };
                reside(&mut rules, format!("db{database}:5432").into());
                let (database, user) = (format!("db{database}"), format!("user{user}"));
                PoolPlan { database, user, rules, max_age_us, login_us, slow_from_us: 0 }
            })
            .collect();
        let client_rules = ClientRules {
            query_wait_timeout: maybe(rng, timeouts, 300),
            client_idle_timeout: maybe(rng, timeouts, 300),
            query_timeout: maybe(&mut of_limits, cancels, 100),
            transaction_timeout: maybe(&mut of_limits, cancels, 150),
            timeout_action: (cancels && of_limits.percent(30)).then_some(TimeoutAction::Cancel),
        };
        Self {
            workers: rng.range(1, 3) as usize,
            pools,
            clients: rng.range(2, 14) as u32,
            cuts,
            faults,
            rude: faults && rng.percent(70),
            logins_fail: faults && rng.percent(30),
            tls: if later.percent(TLS_PERCENT) { *later.pick(&[30, 100]) } else { 0 },
            replicas: if newest.percent(30) { *newest.pick(&[10, 40]) } else { 0 },
            changes: faults && later.percent(50),
            ends_by_shutdown: faults && rng.percent(20),
            client_rules,
            cancels,
            think_us_max: *rng.pick(&[0, 1_000, 20_000, if timeouts { 500_000 } else { 50_000 }]),
            flushes: *rng.pick(&[0, 5, 40]),
            deaf: *rng.pick(&[0, 0, 10]),
            reports_at_once: rng.percent(30),
            calm_at_us: rng.range(200_000, 1_500_000),
            bounds: scarce(bounds(rng), faults, &mut latest),
            memory: memory(faults, &mut latest),
            identities: None,
            is_for_renewals: false,
        }
    }

    fn draw_identities(&mut self, rng: &mut Rng) {
        if !rng.percent(IDENTITIES_PERCENT) {
            return;
        }
        let ends = [OnExpired::Drain, OnExpired::Drain, OnExpired::Notify, OnExpired::Ignore];
        let identities = IdentityPlan {
            on_expired: *rng.pick(&ends),
            expiry_grace: *rng.pick(&[Micros(0), Micros(0), Micros(50_000)]),
            on_denied: *rng.pick(&[OnDenied::Drain, OnDenied::Drain, OnDenied::DropNow]),
            drain_timeout: *rng.pick(&[Micros(0), Micros(20_000), Micros(100_000)]),
        };
        for pool in &mut self.pools {
            pool.rules.on_expired = identities.on_expired;
            pool.rules.expiry_grace = identities.expiry_grace;
            pool.rules.on_denied = identities.on_denied;
            pool.rules.drain_timeout = identities.drain_timeout;
        }
        self.identities = Some(identities);
    }

    /// A quiet world in which servers grow old, again and again, and logins are as slow
    /// as their pools can bear.
    pub fn for_renewals(rng: &mut Rng) -> Self {
        let mut plan = Self::draw(rng, false);
        plan.identities = None;
        plan.pools.truncate(2);
        let rounds = 4;
        for pool in &mut plan.pools {
            let servers = rng.range(1, 10);
            let concurrency = *rng.pick(&[1, 4, 16]);
            let age_us = rng.range(20, 60) * 1_000_000;
            // As slow as lets all be replaced within a third of their age, so many at a time.
            let at_once = concurrency.min(servers.div_ceil(5));
            let slow_from_us = *rng.pick(&[0, age_us / 10, age_us]);
            // What is planned for 85 hundredths has time for logins that are slow from one moment to the
            // next.
            let bearable_us = if slow_from_us == 0 { age_us / 5 } else { age_us / 10 };
            let slowest_us = (age_us / 3 * at_once / servers).min(bearable_us);
            pool.login_us = (slowest_us / 2, slowest_us);
            pool.slow_from_us = slow_from_us;
            pool.max_age_us = Some(age_us);
            pool.rules = PoolRules {
                mode: PoolMode::Transaction,
                pool_size: (servers + *rng.pick(&[0, 0, 1, 8])) as u32,
                min_pool_size: *rng.pick(&[0, servers]) as u32,
                reserve_pool_size: 0,
                max_db_connections: 0,
                max_user_connections: 0,
                instance_caps: [].into(),
                server_lifetime: Micros::from_secs(3_600),
                server_idle_timeout: Micros(0),
                server_login_concurrency: concurrency as u32,
                ..pool.rules.clone()
            };
            plan.calm_at_us = plan.calm_at_us.max(rounds * age_us);
        }
        plan.clients = rng.range(2, 12) as u32;
        plan.think_us_max = 300_000;
        plan.deaf = 0;
        plan.tls = 0;
        plan.replicas = 0;
        plan.cuts.read_bytes_max = 60_000;
        plan.cuts.wire_bytes = (50_000, 100_000);
        plan.cuts.nap_us_max = plan.cuts.nap_us_max.min(50);
        plan.cuts.delay_us_max = plan.cuts.delay_us_max.min(200);
        plan.is_for_renewals = true;
        plan
    }

    /// How a client of that pool behaves, by the mode in which it is served.
    pub fn manners(&self, pool: usize, mode: PoolMode) -> Manners {
        let rules = &self.pools[pool].rules;
        let room = (self.cuts.read_bytes_max as u64).min(self.cuts.wire_bytes.0);
        Manners {
            mode,
            named: mode == PoolMode::Session || rules.max_prepared_statements > 0,
            large_bytes: if self.cuts.wire_bytes.0 >= WIDE_BYTES as u64 {
                WIDE_BYTES / 3
            } else {
                (room * 60).min(50_000) as usize
            },
            rude: self.rude,
            flushes: self.flushes,
            think_us_max: self.think_us_max,
            may_be_canceled: self.cancels,
            sets_context: rules.context_keys.is_some(),
        }
    }

    /// A database entry with what its statements may take.
    pub fn database(&self, name: &str, gate: &Arc<Gate>) -> Arc<DatabaseShare> {
        let database = DatabaseShare::new(name.into(), Arc::clone(gate));
        database.statements().set_bytes_max(self.memory.database_bytes_max);
        Arc::new(database)
    }

    /// Faults that any client may meet, whatever it does.
    pub fn common_faults(&self) -> Vec<&'static str> {
        let mut faults = Vec::new();
        let any = |holds: &dyn Fn(&PoolRules) -> bool| self.pools.iter().any(|pool| holds(&pool.rules));
        let mut add = |holds: bool, text| faults.extend(holds.then_some(text));
        add(self.client_rules.query_wait_timeout.0 > 0, "query_wait_timeout");
        add(self.client_rules.client_idle_timeout.0 > 0, "client_idle_timeout");
        let of_clients = (self.client_rules.query_timeout, self.client_rules.transaction_timeout);
        let limited = of_clients.0.0 > 0 || any(&|rules| rules.query_timeout.0 > 0);
        add(limited, "query timeout");
        add(limited, "query_timeout");
        add(any(&|rules| rules.idle_transaction_timeout.0 > 0), "idle transaction timeout");
        add(of_clients.1.0 > 0 || any(&|rules| rules.transaction_timeout.0 > 0), "transaction timeout");
        add(any(&|rules| rules.fast_close), "database configuration changed");
        add(self.faults, "suspend_timeout");
        add(self.memory.is_limited(), STATEMENTS_FULL);
        add(self.bounds.client_statement_bytes < limits::CLIENT_STATEMENT_BYTES_MAX, CLIENT_STATEMENTS_FULL);
        add(self.bounds.parameter_bytes < limits::PARAMETERS_BYTES_MAX, PARAMETERS_TOO_LONG);
        add(self.ends_by_shutdown, "server shutting down");
        add(self.logins_fail || self.changes, "server login has been failing");
        add(self.identities.is_some(), identities::EXPIRED);
        add(self.identities.is_some(), identities::DENIED);
        faults
    }
}

/// How bytes come apart on their way.
fn bound_servers(rules: &mut PoolRules, of_database: u32, of_user: u32, there: Option<InstanceCap>) {
    (rules.max_db_connections, rules.max_user_connections) = (of_database, of_user);
    rules.instance_caps = there.into_iter().collect();
}

fn reside(rules: &mut PoolRules, endpoint: Arc<str>) {
    rules.endpoints = [Arc::clone(&endpoint)].into();
    rules.endpoint = endpoint;
}

/// Of a hundred runs so many have a cap on the servers of one PostgreSQL.
const INSTANCES_PERCENT: u64 = 30;

/// What each database's host takes: of its own, or both together where they are names of one server.
fn instance_caps(rng: &mut Rng) -> [Option<InstanceCap>; 2] {
    if !rng.percent(INSTANCES_PERCENT) {
        return [None, None];
    }
    let [own, both] = [["db0:5432"].as_slice(), &["db0:5432", "db1:5432"]];
    let mut cap = |names: &[&str]| InstanceCap {
        endpoints: names.iter().map(|name| Arc::from(*name)).collect(),
        max_server_connections: rng.range(1, 4) as u32,
    };
    let (one, all) = (cap(own), cap(both));
    if rng.percent(50) { [Some(one), None] } else { [Some(all.clone()), Some(all)] }
}

fn cuts(rng: &mut Rng, latest: &mut Rng) -> Cuts {
    let read_bytes_max = *rng.pick(&[1, 7, 60, 1_000, 60_000, 60_000]);
    let room = *rng.pick(&[16, 300, 5_000, 100_000]);
    let is_wide = latest.percent(WIDE_PERCENT);
    let (read_bytes_max, wire_bytes) = if is_wide {
        (WIDE_BYTES, (WIDE_BYTES as u64, WIDE_BYTES as u64))
    } else {
        (read_bytes_max, (room / 2, room))
    };
    Cuts {
        read_bytes_max,
        wire_bytes,
        delay_us_max: *rng.pick(&[0, 20, 200, 2_000]),
        nap_us_max: *rng.pick(&[0, 0, 50, 1_000, 5_000]),
        has_ring: rng.percent(60),
        habits: Habits { short_writes: *rng.pick(&[0, 0, 20, 70]), short_waits: *rng.pick(&[0, 0, 30]) },
    }
}

/// Long enough for a server to be logged in to, set up and spoken to, however slowly bytes go in this run.
pub fn max_age_us(rng: &mut Rng, cuts: &Cuts) -> u64 {
    let turns = 300 / cuts.read_bytes_max as u64 + 4;
    LOGIN_US_MAX
        + *rng.pick(&[20_000, 60_000, 200_000, 700_000])
        + 3 * turns * (cuts.delay_us_max + cuts.nap_us_max)
}

fn bounds(rng: &mut Rng) -> Bounds {
    if rng.percent(50) {
        return Bounds::default();
    }
    Bounds {
        frames_per_call: *rng.pick(&[1, 2, 5, 50]),
        made_bytes_per_call: *rng.pick(&[1, 100, 5_000]),
        expected_max: *rng.pick(&[2, 4, 30]), // a COPY that waits for data is one
        ..Bounds::default()
    }
}

impl StatementMemory {
    pub fn is_limited(&self) -> bool {
        self.bytes_max.min(self.database_bytes_max) < usize::MAX
    }
}

/// In a few worlds clients are ended because what they make the pooler keep is too much: a statement takes
/// half a thousand bytes, parameters as by default 43.
fn scarce(bounds: Bounds, faults: bool, rng: &mut Rng) -> Bounds {
    let (names_little, says_little) = (faults && rng.percent(5), faults && rng.percent(5));
    let statements =
        if names_little { rng.range(600, 2_500) as usize } else { bounds.client_statement_bytes };
    let parameters = if says_little { rng.range(43, 60) as usize } else { bounds.parameter_bytes };
    Bounds { client_statement_bytes: statements, parameter_bytes: parameters, ..bounds }
}

fn memory(faults: bool, rng: &mut Rng) -> StatementMemory {
    let mut some = |least: u64, most: u64| {
        if faults && rng.percent(10) { rng.range(least, most) as usize } else { usize::MAX }
    };
    StatementMemory { bytes_max: some(800, 10_000), database_bytes_max: some(600, 6_000) }
}

fn maybe(rng: &mut Rng, on: bool, ms_max: u64) -> Micros {
    if on && rng.percent(40) { Micros::from_millis(rng.range(5, ms_max)) } else { Micros(0) }
}

/// Rules of one pool.
pub fn rules(rng: &mut Rng, mode: PoolMode, timeouts: bool) -> PoolRules {
    let mut later = Rng::new(rng.clone().next() ^ (u64::MAX / 3));
    PoolRules {
        mode,
        pool_size: rng.range(1, 4) as u32,
        min_pool_size: if rng.percent(20) { rng.below(3) as u32 } else { 0 },
        reserve_pool_size: rng.below(3) as u32,
        reserve_pool_timeout: if rng.percent(30) { Micros(rng.range(1, 20_000)) } else { Micros(0) },
        max_db_connections: 0,
        max_user_connections: 0,
        server_lifetime: if rng.percent(20) {
            Micros::from_millis(rng.below(50))
        } else {
            Micros::from_secs(3600)
        },
        server_idle_timeout: if rng.percent(30) { Micros::from_millis(50) } else { Micros(0) },
        server_login_concurrency: *later.pick(&[1, 2, 16]),
        endpoint: "host".into(),
        endpoints: ["host".into()].into(),
        instance_caps: [].into(),
        server_check_delay: Micros(*rng.pick(&[0, 500, 30_000])),
        server_check_query: rng.percent(50).then(|| "select 1".into()),
        server_reset_query: "DISCARD ALL".into(),
        reset_always: rng.percent(25),
        round_robin: rng.percent(30),
        fast_close: rng.percent(30),
        query_timeout: maybe(rng, timeouts, 200),
        idle_transaction_timeout: maybe(rng, timeouts, 200),
        transaction_timeout: maybe(rng, timeouts, 200),
        max_prepared_statements: *rng.pick(&[0, 1, 2, 3, 100]),
        max_packet_bytes: 1 << 30,
        disable_pqexec: false,
        query_wait_notify: maybe(rng, true, 20),
        cancel_wait_timeout: Micros(0),
        suspend_timeout: Micros(0),
        log_disconnections: true,
        log_pooler_errors: true,
        log_connections: true,
        on_expired: OnExpired::Drain,
        expiry_grace: Micros(0),
        on_denied: OnDenied::Drain,
        drain_timeout: Micros(0),
        session_state: *later.pick(&[SessionState::Pgbouncer, SessionState::Follow]),
        timeout_action: TimeoutAction::Close,
        context_keys: None,
    }
}

/// What is done in a pool about a query that takes too long, and how long its server may take to answer.
pub fn limit_queries(rules: &mut PoolRules, cancels: bool, rng: &mut Rng) {
    if cancels {
        rules.timeout_action =
            *rng.pick(&[TimeoutAction::Cancel, TimeoutAction::Cancel, TimeoutAction::Close]);
        rules.cancel_wait_timeout =
            *rng.pick(&[Micros(0), Micros::from_millis(50), Micros::from_millis(700)]);
    }
}
