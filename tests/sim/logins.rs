//! What must hold of logins to servers, counted naively beside the ledger: no cap is exceeded, a dead
//! or refusing server is not stormed, as many are under way as those who wait need, and no renewal is
//! late that could be in time.

use super::ear;
use super::plane::SimPool;
use super::server::SimServer;
use super::wire::Remote;
use super::world::World;
use pgweir::base::{Micros, limits};
use pgweir::core::{Authorization, Opening, Want};

pub const SEVERAL: &str = "a pool logs in to several servers at once";
pub const BESIDE_RENEWALS: &str = "a login for a client begins beside renewals of its pool";
pub const FROM_RESERVE: &str = "a login takes a place of the reserve";
pub const REPLACED_BEFORE: &str = "a server goes when its replacement has come, in a pool with room";
pub const KEPT: &str = "a place is kept for a pool that needs one at another cap, too";
pub const FAIL_TOGETHER: &str = "a login fails while others of its pool are under way";

/// What a pool's logins have come to.
#[derive(Debug, Default)]
pub struct Luck {
    /// The generation of the last login that has ended, where that succeeded.
    proven: Option<u32>,
    /// How many have failed.
    pub failures: u32,
    /// After a failure: when the next one may begin.
    not_before: Micros,
    /// Servers that were opened because somebody waited, or for the minimum, less those that have gone for
    /// other reasons than their age.
    wanted: u32,
    /// Whether there have been as many as `pool_size` allows.
    was_full: bool,
    /// Whether one that was closed for another pool is not told the launcher of yet.
    has_yielded: bool,
    kept: Option<Kept>,
}

/// A place that another pool has given up for this one, which waits for one at its other cap, too.
#[derive(Debug)]
struct Kept {
    /// The pools that share the cap.
    sharing: Vec<usize>,
    /// Since when the client has waited that it is kept for.
    since: Micros,
    until: Micros,
}

impl Luck {
    /// A login of that generation has succeeded, before which so many had failed.
    pub fn succeeds(&mut self, generation: u32, failures: u32, want: Want, began: Micros) {
        self.wanted += u32::from(want != Want::Renewal);
        if failures == self.failures {
            (self.proven, self.not_before) = (Some(generation), Micros(0));
        } else {
            self.not_before = self.not_before.min(began + Micros::from_millis(limits::LOGIN_RETRY_MS));
        }
    }

    pub fn fails(&mut self, not_before: Micros) {
        (self.proven, self.failures) = (None, self.failures + 1);
        self.not_before = self.not_before.max(not_before);
    }

    /// The next login need not wait.
    pub fn ends_pause(&mut self) {
        self.not_before = Micros(0);
    }
}

impl SimPool {
    /// Whether several logins may be in progress: one has shown that they succeed, and its server is there.
    fn is_proven(&self) -> bool {
        self.share.live_count() > 0 && self.luck.proven == Some(self.share.generation())
    }
}

impl World {
    /// A login has just begun.
    pub fn check_opening(&self, at: usize, opening: &Opening, want: Want) {
        self.check_caps(at, opening, want);
        self.check_logins(at, want);
        self.check_goes_first(at, want);
        let pool = &self.pools[at];
        let is_replication = want.is_replication();
        let not_before = if is_replication { pool.replicas.not_before } else { pool.luck.not_before };
        let now = self.ground.micros();
        assert!(now >= not_before, "pool {at}: a login begins {} us early", not_before.since(now).0);
    }

    /// The caps that a pool shares: how many servers at the most, and the pools that share
    /// it, this one among them.
    fn shared_caps(&self, at: usize) -> impl Iterator<Item = (u32, Vec<usize>)> {
        let (plans, rules) = (&self.plan.pools, self.pools[at].share.rules());
        let sharing =
            |shares: &dyn Fn(usize) -> bool| (0..plans.len()).filter(|pool| shares(*pool)).collect();
        let of_database = sharing(&|pool| plans[pool].database == plans[at].database);
        let of_user = sharing(&|pool| plans[pool].user == plans[at].user);
        let of_instances = rules.instance_caps.iter().map(|cap| {
            let is_there =
                |pool: usize| plans[pool].rules.endpoints.iter().any(|at| cap.endpoints.contains(at));
            (cap.max_server_connections, sharing(&is_there))
        });
        let caps = [(rules.max_db_connections, of_database), (rules.max_user_connections, of_user)];
        let caps = caps.into_iter().filter(|(servers_max, _)| *servers_max > 0);
        caps.chain(of_instances.collect::<Vec<_>>())
    }

    /// Servers of some pools, as the ledger counts them: those that log in, and those that are there.
    fn counted(&self, pools: &[usize]) -> (u32, u32) {
        let of_each = pools.iter().map(|at| self.ledger.pool_servers(self.pools[*at].share.id));
        of_each.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// Whether a pool opens no server for who waits, whatever the caps: it is paused or gone, has one for it,
    /// or makes a pause after a failed login.
    fn is_held(&self, at: usize) -> bool {
        let pool = &self.pools[at];
        let (share, outlook) = (&pool.share, pool.share.outlook());
        let has_free = outlook.idle + outlook.moving > 0;
        let is_early = self.ground.micros() < pool.luck.not_before;
        share.is_removed() || share.database.is_paused() || has_free || is_early
    }

    /// There are no more servers than every cap allows, over all workers, those that log in or are
    /// seen off included; and beyond `pool_size` one is opened for a client that has waited for
    /// long enough, never else.
    fn check_caps(&self, at: usize, opening: &Opening, want: Want) {
        let rules = self.pools[at].share.rules();
        let count = |pools: &[usize]| {
            let servers =
                self.servers.iter().filter(|server| server.is_alive && pools.contains(&server.pool));
            servers.count() as u32 + self.counted(pools).0
        };
        // those that were decided upon together are heard of one by one
        let here = count(&[at]) - self.to_open.iter().filter(|pool| **pool == at).count() as u32;
        if here > rules.pool_size {
            ear::hear(FROM_RESERVE);
            assert!(opening.from_reserve, "pool {at}: {here} servers");
            let (Want::Waiter { since } | Want::Replication { since }) = want else {
                panic!("pool {at}: the reserve is for {want:?}")
            };
            assert!(self.ground.micros() >= since + rules.reserve_pool_timeout, "pool {at}: too early");
        }
        let most = rules.pool_size + rules.reserve_pool_size;
        assert!(most == 0 || here <= most, "pool {at}: {here} servers");
        for (servers_max, pools) in self.shared_caps(at) {
            let servers = count(&pools);
            assert!(servers <= servers_max, "pools {pools:?}: {servers} servers of {servers_max}");
        }
    }

    /// It has not taken the last place that a cap leaves while another pool's client that shares the cap has
    /// waited for longer: those of renewals and of the minimum come last. Nor is it one that a pool has given
    /// up for another.
    fn check_goes_first(&self, at: usize, want: Want) {
        let since = match want {
            Want::Waiter { since } | Want::Replication { since } => since,
            Want::Minimum | Want::Renewal => self.ground.micros(),
        };
        let lead = Micros(limits::FAIR_LEAD_US);
        let rounds = Micros::from_millis(2 * limits::JANITOR_PERIOD_MS);
        for (servers_max, pools) in self.shared_caps(at) {
            let (logging_in, live) = self.counted(&pools);
            if logging_in + live < servers_max {
                continue;
            }
            for other in pools.iter().copied().filter(|other| *other != at) {
                let starves_since = self.starves_since(other, &pools).unwrap_or(Micros::NEVER);
                assert!(
                    starves_since + lead + rounds >= since,
                    "pool {at}: {want:?} goes before pool {other}"
                );
                let kept_since = self.kept_since(other, &pools).unwrap_or(Micros::NEVER);
                assert!(
                    kept_since + lead >= since,
                    "pool {at}: {want:?} takes what is kept for pool {other}"
                );
            }
        }
    }

    /// Since when a client of the pool has waited for a server that it would get, were there a place at the
    /// cap that those pools share. One that needs a place at another cap, too, would get nothing by this one
    /// alone, and is a matter of what is kept for it.
    fn starves_since(&self, at: usize, sharing: &[usize]) -> Option<Micros> {
        let is_only_cap = self.shared_caps(at).all(|(_, pools)| pools == sharing);
        self.waits_since(at).filter(|_| is_only_cap)
    }

    /// Since when the client has waited that a place at the cap of those pools is kept for.
    fn kept_since(&self, at: usize, sharing: &[usize]) -> Option<Micros> {
        let kept = self.pools[at].luck.kept.as_ref()?;
        let is_kept = kept.sharing == sharing && self.ground.micros() < kept.until;
        self.waits_since(at).filter(|since| is_kept && kept.since == *since)
    }

    /// Since when a client of the pool has waited for a server that could be opened as far as its pool goes.
    fn waits_since(&self, at: usize) -> Option<Micros> {
        let share = &self.pools[at].share;
        let (logging_in, live) = self.counted(&[at]);
        let has_room = logging_in == 0 && live < share.rules().pool_size;
        // a place of its pool may be a replication client's who has waited longer
        let has_replicas = !self.waiting_replicas(at).is_empty();
        (!self.is_held(at) && has_room && !has_replicas).then_some(share.outlook().waiting_since)?
    }

    /// The launcher is about to hear that a place of the pool is free. If that was given up for another one
    /// that needs a place at its other cap, too, it is kept for as long from now on as that has waited until
    /// now.
    pub fn note_yielded(&mut self, at: usize) {
        // of its own replication clients one may have had it closed
        if !std::mem::take(&mut self.pools[at].luck.has_yielded) || !self.waiting_replicas(at).is_empty() {
            return;
        }
        let now = self.ground.micros();
        let caps: Vec<_> = self.shared_caps(at).collect();
        for (servers_max, sharing) in caps {
            let (logging_in, live) = self.counted(&sharing);
            let waiting = sharing.iter().filter(|other| **other != at);
            let waiting = waiting.filter_map(|other| Some((self.waits_since(*other)?, *other)));
            let Some((since, other)) = waiting.min() else { continue };
            if logging_in + live + 1 == servers_max && self.is_full_elsewhere(other, &sharing) {
                ear::hear(KEPT);
                let until = now + now.since(since);
                self.pools[other].luck.kept = Some(Kept { sharing, since, until });
            }
        }
    }

    /// Whether the pool has another cap than that of those pools that is reached. One that it shares with
    /// nobody does not count: it starves there first, so that the server went for somebody else.
    fn is_full_elsewhere(&self, at: usize, sharing: &[usize]) -> bool {
        let mut others = self.shared_caps(at).filter(|(_, pools)| pools != sharing && pools.len() > 1);
        others.any(|(servers_max, pools)| {
            let (logging_in, live) = self.counted(&pools);
            logging_in + live >= servers_max
        })
    }

    /// The launcher is about to look at pools: what it cannot open a server for now is forgotten.
    pub fn note_held(&mut self) {
        for at in 0..self.pools.len() {
            if self.is_held(at) {
                self.pools[at].luck.kept = None;
            }
        }
    }

    /// Logins at the endpoint of a pool.
    fn logging_in_beside(&self, at: usize) -> u32 {
        let endpoint = |pool: usize| self.pools[pool].share.rules().endpoint.clone();
        let beside: Vec<_> = (0..self.pools.len()).filter(|pool| endpoint(*pool) == endpoint(at)).collect();
        self.counted(&beside).0
    }

    /// There are no more at the same time than the pool may have, and but one where it may fail; and none
    /// begins beside another one of its pool where its endpoint has enough of them. The first one of each
    /// pool always may. Renewals do not count for those that somebody waits for.
    fn check_logins(&self, at: usize, want: Want) {
        let (all, _) = self.counted(&[at]);
        let coming = self.ledger.coming(self.pools[at].share.id);
        let replicas = self.pools[at].replicas.logins;
        let here = match want {
            Want::Waiter { .. } => coming,
            Want::Replication { .. } => replicas,
            Want::Minimum | Want::Renewal => all - replicas,
        };
        let most = self.pools[at].share.rules().server_login_concurrency;
        if matches!(want, Want::Waiter { .. }) && all - replicas > here {
            ear::hear(BESIDE_RENEWALS);
        }
        if here == 1 {
            return;
        }
        ear::hear(SEVERAL);
        assert!(self.pools[at].is_proven(), "pool {at}: {here} logins at once, which may fail");
        let pooled = all - replicas;
        assert!(
            here <= most && pooled <= 2 * most,
            "pool {at}: {here} logins at once, {pooled} with renewals"
        );
        let there = self.logging_in_beside(at);
        // as many for clients, as many that no client waits for, and the first replication client's of each
        let first = self.pools.iter().filter(|pool| pool.replicas.logins > 0).count() as u32;
        assert!(there <= 2 * most + first, "pool {at}: {there} logins at once at its endpoint");
    }

    /// The launcher has just looked at a pool: nobody waits there for whom a server
    /// could be opened and is not.
    pub fn check_supply(&self, at: usize) {
        let pool = &self.pools[at];
        let (rules, outlook) = (pool.share.rules(), pool.share.outlook());
        let has_arrivals = pool.arrivals.iter().any(|(_, socket, _)| self.stands_there(*socket));
        let is_waited_for = outlook.waiting_since.is_some() || has_arrivals;
        let (logging_in, live) = self.counted(&[at]);
        let coming = self.ledger.coming(pool.share.id);
        // a place may be a replication client's who has waited longer
        let has_replicas = !self.waiting_replicas(at).is_empty() || pool.replicas.logins > 0;
        if !is_waited_for || has_replicas || self.is_held(at) || coming >= outlook.waiting.max(1) {
            return;
        }
        let most = rules.server_login_concurrency;
        let may_log_in =
            coming == 0 || pool.is_proven() && coming < most && self.logging_in_beside(at) < most;
        let has_room = (logging_in + live) < rules.pool_size && self.has_shared_room(at);
        assert!(!(may_log_in && has_room), "pool {at} starves: {outlook:?}, {coming} logins, {live} servers");
    }

    /// A login has begun.
    pub fn note_full(&mut self, at: usize) {
        let (logging_in, live) = self.counted(&[at]);
        let pool = &mut self.pools[at];
        pool.luck.was_full |= logging_in + live >= pool.share.rules().pool_size;
        pool.luck.kept = None;
    }

    /// A server has been closed.
    pub fn note_closed(&mut self, socket: u64, reason: &str) {
        let Remote::Server(index) = self.ground.wires[socket as usize].remote else {
            panic!("servers are closed")
        };
        let luck = &mut self.pools[self.servers[index].pool].luck;
        luck.wanted = luck.wanted.saturating_sub(u32::from(reason != "authorization renewed"));
        luck.has_yielded |= reason.starts_with("evicted for max_");
    }

    /// A place of a server has come back. Where all servers can be replaced in time, the pool has one
    /// less than it wants only if its cap leaves no room for as many as it takes to come first, and no
    /// more than a fifth of it.
    pub fn check_is_kept(&mut self, at: usize) {
        if !self.plan.is_for_renewals || self.is_calm {
            return;
        }
        if !self.clients.iter().any(|client| client.pool == at && client.is_here()) {
            self.pools[at].luck.wanted = 0; // nobody would miss them
        }
        let (share, wanted) = (&self.pools[at].share, self.pools[at].luck.wanted);
        let (live, pool_size) = (share.live_count(), share.rules().pool_size);
        let luck = &self.pools[at].luck;
        let has_room = !luck.was_full && wanted < pool_size && share.rules().min_pool_size == 0;
        let missing_most = if has_room {
            self.needed_at_once(at).saturating_sub(pool_size - wanted)
        } else {
            pool_size.div_ceil(5)
        };
        let least = wanted.min(pool_size).saturating_sub(missing_most);
        if has_room {
            ear::hear(REPLACED_BEFORE);
        }
        assert!(
            live >= least,
            "pool {at}: {live} servers are left of {wanted} that it wants, {pool_size} at the most"
        );
    }

    /// How many servers of a full pool have to be replaced at the same time, were all born together: between
    /// 20 and 85 hundredths of their age, and two logins' time from either end.
    fn needed_at_once(&self, at: usize) -> u32 {
        let plan = &self.plan.pools[at];
        let age_us = plan.max_age_us.expect("they age in worlds of renewals");
        let login_us = plan.login_us.1;
        let (from, to) = ((age_us / 5).max(2 * login_us), (age_us / 100 * 85).min(age_us - 2 * login_us));
        (u64::from(plan.rules.pool_size) * login_us).div_ceil(to.saturating_sub(from).max(1)) as u32
    }

    /// A transaction begins on a server.
    pub fn note_begin(&mut self, socket: u64) {
        let now = self.ground.micros();
        if let Remote::Server(index) = self.ground.wires[socket as usize].remote
            && self.plan.is_for_renewals
        {
            self.servers[index].free_at.push(now); // until now
        }
    }

    /// Notes which servers are free, where they grow old.
    pub fn note_rest(&mut self) {
        let now = self.ground.micros();
        for server in self.servers.iter_mut().filter(|_| self.plan.is_for_renewals) {
            if server.is_alive && server.is_at_rest(&self.ground.wires[server.socket as usize].coming()) {
                server.free_at.push(now);
            }
        }
    }

    /// A server has been closed for its hard age: it was busy with one transaction when it should
    /// have asked for its replacement, or when that had come. Else the replacement was late, and none
    /// has to be in these worlds.
    pub fn check_was_busy(&self, server: &SimServer, authorization: Authorization) {
        if !self.plan.is_for_renewals || self.is_calm {
            return;
        }
        let Authorization { soft_at, hard_at } = authorization;
        let span = hard_at.since(soft_at).0;
        let free =
            |from: Micros, to: Micros| server.free_at.iter().filter(|at| from <= **at && **at < to).count();
        // it was released, or looked at, in between
        let has_asked = free(soft_at, soft_at + Micros(span / 4)) > 1;
        let was_free = free(soft_at + Micros(span / 10 * 9), hard_at) > 0;
        assert!(!(has_asked && was_free), "server {} is replaced too late", server.socket);
    }

    /// Whether a pool has fewer servers than its size.
    pub fn has_own_room(&self, at: usize) -> bool {
        let (logging_in, live) = self.counted(&[at]);
        logging_in + live < self.pools[at].share.rules().pool_size
    }

    /// Whether the caps that a pool shares have room for it, and for one of each other that shares them.
    pub fn has_shared_room(&self, at: usize) -> bool {
        self.shared_caps(at).all(|(servers_max, pools)| {
            let (logging_in, live) = self.counted(&pools);
            logging_in + live + pools.len() as u32 <= servers_max
        })
    }
}
