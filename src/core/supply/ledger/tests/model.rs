//! The ledger by property: whatever the order of calls, no cap is exceeded and no room is wasted.

use super::*;
use crate::config::{Endpoints, InstanceCap};
use crate::core::pool::goes_before;
use proptest::prelude::*;

/// One thing that may happen at any time.
#[derive(Clone, Debug)]
enum Step {
    Want { pool: usize, waited_s: u64 },
    Replicate { pool: usize, waited_s: u64 },
    Minimum { pool: usize },
    Renew { pool: usize },
    Succeed { pool: usize },
    Fail { pool: usize },
    Close { pool: usize },
    CloseReplica { pool: usize },
    TakeCancel { pool: usize },
    EndCancel { pool: usize },
    Caps { pool_size: u32, reserve: u32, database: u32, user: u32, instance: u32 },
    Concurrency { logins: u32 },
    NothingToEvict { pool: usize },
    Pass { seconds: u64 },
}

fn step(pools: usize) -> impl Strategy<Value = Step> {
    let pool = 0..pools;
    prop_oneof![
        6 => (pool.clone(), 0..10u64).prop_map(|(pool, waited_s)| Step::Want { pool, waited_s }),
        2 => (pool.clone(), 0..10u64).prop_map(|(pool, waited_s)| Step::Replicate { pool, waited_s }),
        1 => pool.clone().prop_map(|pool| Step::Minimum { pool }),
        2 => pool.clone().prop_map(|pool| Step::Renew { pool }),
        4 => pool.clone().prop_map(|pool| Step::Succeed { pool }),
        1 => pool.clone().prop_map(|pool| Step::Fail { pool }),
        3 => pool.clone().prop_map(|pool| Step::Close { pool }),
        1 => pool.clone().prop_map(|pool| Step::CloseReplica { pool }),
        2 => pool.clone().prop_map(|pool| Step::TakeCancel { pool }),
        1 => pool.clone().prop_map(|pool| Step::EndCancel { pool }),
        1 => (0..4u32, 0..3u32, 0..6u32, 0..6u32, 0..6u32).prop_map(
            |(pool_size, reserve, database, user, instance)| Step::Caps {
                pool_size, reserve, database, user, instance
            }
        ),
        1 => (1..5u32).prop_map(|logins| Step::Concurrency { logins }),
        1 => pool.prop_map(|pool| Step::NothingToEvict { pool }),
        1 => (0..20u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// What the ledger must agree with: each pool's servers by state, counted naively.
#[derive(Default, Clone)]
struct Shadow {
    logins: Vec<Opening>,
    /// Where those are that may be lent.
    live: Vec<Arc<str>>,
    /// Where those of replication clients are.
    replicas: Vec<Arc<str>>,
    cancels: u32,
    failed: bool,
    /// The last login that ended has succeeded, and none has failed since it began.
    is_proven: bool,
}

impl Shadow {
    fn logging_in(&self) -> u32 {
        self.logins.len() as u32
    }

    fn servers(&self) -> u32 {
        self.logging_in() + (self.live.len() + self.replicas.len()) as u32
    }

    /// Those that are, or may come to be, at one of `endpoints`.
    fn servers_at(&self, endpoints: &Endpoints) -> u32 {
        let past_login = self.live.iter().chain(&self.replicas).filter(|at| endpoints.contains(at));
        let may_come = |login: &&Opening| login.endpoints.iter().any(|at| endpoints.contains(at));
        (past_login.count() + self.logins.iter().filter(may_come).count()) as u32
    }

    /// Those that count where one more for `want` is to begin.
    fn beside(&self, want: Want) -> u32 {
        let alike = self.logins.iter().filter(|login| login.want.is_replication() == want.is_replication());
        alike.filter(|login| !want.is_for_client() || login.want != Want::Renewal).count() as u32
    }
}

struct Model {
    pools: Vec<Arc<PoolShare>>,
    shadows: Vec<Shadow>,
    /// Since when a client of each pool waits that was denied, and a replication client.
    denied: Vec<[Option<Micros>; 2]>,
    ledger: Ledger,
    now: Micros,
}

impl Model {
    fn servers(&self, count_in: impl Fn(&PoolShare) -> bool) -> u32 {
        let all = self.pools.iter().zip(&self.shadows);
        all.filter(|(pool, _)| count_in(pool)).map(|(_, shadow)| shadow.servers()).sum()
    }

    fn servers_at(&self, endpoints: &Endpoints) -> u32 {
        self.shadows.iter().map(|shadow| shadow.servers_at(endpoints)).sum()
    }

    /// A launch is right only where the naive counts leave room, and refused only where they do not.
    fn want(&mut self, at: usize, want: Want) {
        let pool = Arc::clone(&self.pools[at]);
        let rules = pool.rules();
        let shadow = self.shadows[at].clone();
        let verdict = self.ledger.consider(&pool, want, self.now);
        let room = |count: u32, max: u32| max == 0 || count < max;
        let in_database = self.servers(|other| other.database.name == pool.database.name);
        let of_user = self.servers(|other| other.user == pool.user);
        let servers = shadow.servers();
        let in_size = room(servers, rules.pool_size);
        let at_instances = rules
            .instance_caps
            .iter()
            .all(|cap| room(self.servers_at(&cap.endpoints), cap.max_server_connections));
        let shared = room(in_database, rules.max_db_connections)
            && room(of_user, rules.max_user_connections)
            && at_instances;
        let here = shadow.beside(want);
        let all = self.shadows.iter().flat_map(|shadow| &shadow.logins);
        let beside = all.filter(|login| login.want.is_for_client() || !want.is_for_client()).count() as u32;
        let most = rules.server_login_concurrency;
        let may_log_in =
            here == 0 || shadow.is_proven && !shadow.live.is_empty() && here < most && beside < most;
        if let Verdict::Launch(opening) = &verdict {
            let reserve = rules.pool_size == 0 || servers < rules.pool_size + rules.reserve_pool_size;
            assert!(may_log_in && shared && reserve && opening.from_reserve != in_size);
            self.shadows[at].logins.push(opening.clone());
            self.denied[at][usize::from(want.is_replication())] = None;
        } else if let Want::Waiter { since } | Want::Replication { since } = want {
            let earlier = self.denied.iter().flatten().flatten().any(|other| goes_before(*other, since));
            let may_wait = !may_log_in || shadow.failed && !want.is_replication();
            assert!(!in_size || !shared || earlier || may_wait, "room was refused: {verdict:?}");
            // one whose login has failed may starve, too, when its pause is over
            self.denied[at][usize::from(want.is_replication())] = Some(since);
        }
        if let Verdict::EvictFirst(scope) = &verdict {
            let is_own = *scope == Scope::Pool(pool.id);
            assert!(if is_own { want.is_replication() && !in_size } else { !shared });
        }
        if verdict == Verdict::RetireFirst {
            assert!(want == Want::Renewal && (!in_size || !shared));
            assert!(pool.take_retirement());
        }
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Want { pool, waited_s } => {
                self.want(pool, Want::Waiter { since: self.now.since(Micros::from_secs(waited_s)) });
            }
            Step::Replicate { pool, waited_s } => {
                self.want(pool, Want::Replication { since: self.now.since(Micros::from_secs(waited_s)) });
            }
            Step::Minimum { pool } => self.want(pool, Want::Minimum),
            Step::Renew { pool } => self.want(pool, Want::Renewal),
            Step::Succeed { pool } | Step::Fail { pool } if self.shadows[pool].logging_in() > 0 => {
                self.end_login(pool, matches!(step, Step::Succeed { .. }));
            }
            Step::Close { pool } if !self.shadows[pool].live.is_empty() => {
                let at = self.shadows[pool].live.remove(0);
                self.ledger.returned(&self.pools[pool], &Use::Live(at));
                assert!(!self.pools[pool].is_full());
                let revived = self.ledger.revived_by(&self.pools[pool]);
                assert!(revived.iter().all(|pool| !pool.is_full()));
            }
            Step::CloseReplica { pool } if !self.shadows[pool].replicas.is_empty() => {
                let at = self.shadows[pool].replicas.remove(0);
                self.ledger.returned(&self.pools[pool], &Use::Replication(at));
            }
            Step::TakeCancel { pool } => {
                let shadow = &mut self.shadows[pool];
                let cap = self.pools[pool].rules().pool_size * 2;
                let total = shadow.servers() + shadow.cancels;
                let free = cap == 0 || shadow.cancels == 0 || total < cap;
                assert_eq!(self.ledger.take_cancel(&self.pools[pool]), free);
                shadow.cancels += u32::from(free);
            }
            Step::EndCancel { pool } if self.shadows[pool].cancels > 0 => {
                self.ledger.returned(&self.pools[pool], &Use::Cancel);
                self.shadows[pool].cancels -= 1;
            }
            Step::Caps { .. } | Step::Concurrency { .. } => self.change_rules(step),
            Step::NothingToEvict { pool } => {
                let pool = &self.pools[pool];
                self.ledger.nothing_to_evict(&Scope::Database(Arc::clone(&pool.database.name)));
                self.ledger.nothing_to_evict(&Scope::User(Arc::clone(&pool.user)));
                self.ledger.nothing_to_evict(&Scope::Pool(pool.id));
                for cap in &*pool.rules().instance_caps {
                    self.ledger.nothing_to_evict(&Scope::Endpoints(Arc::clone(&cap.endpoints)));
                }
            }
            Step::Pass { seconds } => self.now = self.now + Micros::from_secs(seconds),
            _ => {}
        }
    }

    fn end_login(&mut self, at: usize, succeeds: bool) {
        let (pool, shadow) = (&self.pools[at], &mut self.shadows[at]);
        let opening = shadow.logins.remove(0);
        // of a list of hosts now this one, now that one
        let endpoints = &opening.endpoints;
        let endpoint = Arc::clone(&endpoints[(shadow.live.len() + shadow.replicas.len()) % endpoints.len()]);
        match (succeeds, opening.want.is_replication()) {
            (true, true) => {
                self.ledger.logged_in(pool, &opening, &endpoint);
                shadow.replicas.push(endpoint);
            }
            (false, true) => self.ledger.returned(pool, &Use::LoggingIn(opening)),
            (true, false) => {
                let failures = self.ledger.accounts[&pool.id].failures;
                self.ledger.logged_in(pool, &opening, &endpoint);
                shadow.live.push(endpoint);
                if opening.failures == failures {
                    (shadow.failed, shadow.is_proven) = (false, true);
                }
            }
            (false, false) => {
                fail(&mut self.ledger, pool, opening, "refused", Micros::from_secs(15));
                (shadow.failed, shadow.is_proven) = (true, false);
            }
        }
    }

    fn change_rules(&mut self, step: &Step) {
        match *step {
            Step::Caps { pool_size, reserve, database, user, instance } => {
                for pool in &self.pools {
                    pool.set_rules(Arc::new(PoolRules {
                        pool_size,
                        reserve_pool_size: reserve,
                        min_pool_size: 1,
                        max_db_connections: database,
                        max_user_connections: user,
                        instance_caps: instance_caps(&pool.rules().endpoints, instance),
                        ..PoolRules::clone(&pool.rules())
                    }));
                }
            }
            Step::Concurrency { logins } => {
                for pool in &self.pools {
                    let rules = PoolRules::clone(&pool.rules());
                    pool.set_rules(Arc::new(PoolRules { server_login_concurrency: logins, ..rules }));
                }
            }
            _ => {}
        }
    }

    fn check(&self) {
        let logging_in: u32 = self.shadows.iter().map(Shadow::logging_in).sum();
        assert_eq!(self.ledger.logins_at.values().map(|there| there.all).sum::<u32>(), logging_in);
        for (pool, shadow) in self.pools.iter().zip(&self.shadows) {
            let (live, replicas) = (shadow.live.len() as u32, shadow.replicas.len() as u32);
            let past_login = live + replicas;
            assert_eq!(self.ledger.pool_servers(pool.id), (shadow.logging_in(), past_login));
            assert_eq!(pool.replication_count(), replicas);
            assert_eq!(self.ledger.pool_cancels(pool.id), shadow.cancels);
            assert_eq!(pool.live_count(), live);
            for scope in named_scopes(pool) {
                assert_eq!(self.ledger.servers_in(&scope), self.servers(|other| other.is_in(&scope)));
            }
        }
        for cap in &*instance_caps(&endpoints(&["a:1", "b:1"]), 1) {
            let servers = self.ledger.servers_in(&Scope::Endpoints(Arc::clone(&cap.endpoints)));
            assert_eq!(servers, self.servers_at(&cap.endpoints));
        }
    }
}

fn endpoints(names: &[&str]) -> Endpoints {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// Of a server with two names and of one with one: what counts for a pool that may be at `own`.
fn instance_caps(own: &Endpoints, most: u32) -> Arc<[InstanceCap]> {
    let servers = [endpoints(&["a:1", "alias:1"]), endpoints(&["b:1"])].into_iter();
    let there = servers.filter(|all| most > 0 && own.iter().any(|at| all.contains(at)));
    there.map(|endpoints| InstanceCap { endpoints, max_server_connections: most }).collect()
}

/// Under miri each takes minutes.
const CASES: u32 = if cfg!(miri) { 2 } else { 512 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_interleaving_exceeds_a_cap_or_wastes_room(steps in proptest::collection::vec(step(6), 1..200)) {
        let mut start = PoolRules { reserve_pool_size: 1, ..rules() };
        (start.max_db_connections, start.max_user_connections) = (4, 5);
        let pools = pools(2, 3, &start);
        let hosts = [&["a:1"][..], &["b:1"], &["alias:1", "b:1"]];
        for (pool, names) in pools.iter().zip(hosts.into_iter().cycle()) {
            let (endpoints, rules) = (endpoints(names), PoolRules::clone(&pool.rules()));
            pool.set_rules(Arc::new(PoolRules { endpoints, ..rules }));
        }
        let shadows = vec![Shadow::default(); pools.len()];
        let denied = vec![[None; 2]; pools.len()];
        let mut model =
            Model { pools, shadows, denied, ledger: Ledger::default(), now: Micros::from_secs(1_000) };
        for step in &steps {
            model.act(step);
            model.check();
        }
    }
}
