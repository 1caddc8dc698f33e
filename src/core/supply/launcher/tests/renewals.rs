//! Renewals over time: the launcher and the ledger as they are, over a pool whose servers are always busy,
//! in steps of virtual time. Logins take long; no server may reach its hard age, and none of the pool's may
//! be missing without need.

use super::*;
use crate::core::login_handoff::Authorization;

const STEP: Micros = Micros::from_millis(50);

/// Between a login and a probe that shows that the next one is sure.
const SURE_FOR: Micros = Micros::from_secs(2);

struct Server {
    soft_at: Micros,
    hard_at: Micros,
}

/// What is tried.
#[derive(Clone, Copy)]
struct Trial {
    clients: u32,
    pool_size: u32,
    concurrency: u32,
    max_age_s: u64,
    login_s: u64,
    /// Until then logins take no time.
    slow_from_s: u64,
}

struct Pool {
    trial: Trial,
    bench: Bench,
    now: Micros,
    servers: Vec<Server>,
    logins: Vec<(Micros, Micros, Opening)>,
    /// When their places come back.
    leaving: Vec<Micros>,
    accepted_at: Micros,
    passed_at: Micros,
    too_old: u32,
    opened: u32,
}

impl Pool {
    fn new(trial: Trial) -> Self {
        let rules =
            PoolRules { pool_size: trial.pool_size, server_login_concurrency: trial.concurrency, ..rules() };
        Self {
            trial,
            bench: Bench::new(1, &rules),
            now: NOW,
            servers: Vec::new(),
            logins: Vec::new(),
            leaving: Vec::new(),
            accepted_at: NOW,
            passed_at: NOW,
            too_old: 0,
            opened: 0,
        }
    }

    fn share(&self) -> Arc<PoolShare> {
        Arc::clone(&self.bench.pools[0])
    }

    fn login_time(&self) -> Micros {
        let is_slow = self.now >= NOW + Micros::from_secs(self.trial.slow_from_s);
        if is_slow { Micros::from_secs(self.trial.login_s) } else { Micros(1) }
    }

    fn hears(&mut self, event: impl FnOnce(Demand) -> Event) {
        let event = event(self.bench.demand(0));
        for action in self.bench.launcher.handle(event, &mut self.bench.ledger, self.now) {
            match action {
                Action::Open { opening, .. } => {
                    self.opened += 1;
                    self.logins.push((self.now + self.login_time(), self.now, opening));
                }
                Action::MakeSure(_) if self.now.since(self.accepted_at) < SURE_FOR => {
                    self.hears(Event::SureOfLogin);
                }
                Action::MakeSure(_) => {
                    self.share().postpone_renewal(self.now + Micros::from_secs(1));
                    self.accepted_at = self.accepted_at.max(self.now + self.login_time());
                }
                _ => {} // who is to retire is seen at the next release
            }
        }
    }

    fn logins_end(&mut self) {
        let (over, logins) =
            std::mem::take(&mut self.logins).into_iter().partition(|login| login.0 <= self.now);
        self.logins = logins;
        let share = self.share();
        for (_, born_at, opening) in over {
            self.accepted_at = self.accepted_at.max(self.now);
            let max_age = Micros::from_secs(self.trial.max_age_s);
            self.bench.ledger.logged_in(&share, &opening, &endpoint());
            let soft_at = self.bench.ledger.plan_renewal(&share, (born_at, self.now), max_age, 20_000);
            self.servers.push(Server { soft_at, hard_at: born_at + max_age });
            self.publish_waiting();
            self.hears(Event::Again);
        }
    }

    /// Each server is released, and its age looked at as `core::pool::recycling` does.
    fn servers_are_released(&mut self) {
        let (share, now) = (self.share(), self.now);
        let before = self.servers.len();
        let mut asks = false;
        self.servers.retain(|server| {
            let is_too_old = now >= server.hard_at;
            let retires = is_too_old || now >= server.soft_at && share.take_retirement();
            if is_too_old {
                self.too_old += 1;
                if !share.take_retirement() {
                    share.note_departure();
                }
            } else if now >= server.soft_at && !retires {
                let authorization = Authorization { soft_at: server.soft_at, hard_at: server.hard_at };
                let gap = authorization.renewal_gap(now, share.live_count());
                asks |= share.may_ask_for_renewal(now, gap);
            }
            !retires
        });
        self.leaving.extend((self.servers.len()..before).map(|_| now + STEP));
        if asks {
            self.hears(Event::PastSoftAge);
        }
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        let share = self.share();
        self.logins_end();
        let back = self.leaving.iter().filter(|at| **at <= self.now).count();
        self.leaving.retain(|at| *at > self.now);
        for _ in 0..back {
            self.bench.ledger.returned(&share, &live());
            self.hears(|demand| Event::PlaceFree(vec![demand]));
        }
        if self.now.since(self.passed_at) >= Micros::from_millis(limits::JANITOR_PERIOD_MS) {
            self.passed_at = self.now;
            let aged = self.servers.iter().filter(|server| self.now >= server.soft_at).count();
            share.set_aged(HERE, aged as u32);
            self.hears(Event::Pass);
        }
        self.servers_are_released();
        if self.publish_waiting() > 0 {
            self.hears(Event::Asked);
        }
    }

    /// Returns how many clients have no server.
    fn publish_waiting(&self) -> u32 {
        let waiting = self.trial.clients.saturating_sub(self.servers.len() as u32);
        self.share().set_waiting(HERE, waiting);
        let since = if waiting > 0 { self.now - STEP } else { Micros::NEVER };
        self.share().set_waiting_since(HERE, since);
        waiting
    }

    /// Six ages of it; how many servers there were at the least once there were enough.
    fn run(&mut self) -> usize {
        let end = NOW + Micros::from_secs(6 * self.trial.max_age_s);
        let mut least = None;
        while self.now < end {
            self.step();
            let (live, logging_in) = (self.servers.len(), self.logins.len());
            assert!(live + logging_in + self.leaving.len() <= self.trial.pool_size as usize, "the cap");
            assert!(logging_in <= self.trial.concurrency as usize);
            let is_filled = least.is_some() || live >= self.trial.clients as usize;
            least = is_filled.then(|| least.unwrap_or(live).min(live));
        }
        least.expect("the pool was filled")
    }
}

fn at_its_cap(clients: u32, concurrency: u32, max_age_s: u64, login_s: u64, slow_from_s: u64) -> Trial {
    Trial { clients, pool_size: clients, concurrency, max_age_s, login_s, slow_from_s }
}

#[test]
fn no_pool_at_its_cap_loses_a_server_to_its_age_while_logins_are_slow() {
    for trial in [
        at_its_cap(20, 16, 20, 2, 3),
        at_its_cap(20, 16, 20, 2, 0),
        at_its_cap(100, 16, 300, 5, 0),
        at_its_cap(100, 16, 300, 5, 100),
        at_its_cap(4, 16, 60, 5, 1),
        at_its_cap(1, 16, 60, 5, 0),
        at_its_cap(8, 1, 120, 2, 0),
        at_its_cap(40, 4, 60, 1, 5),
    ] {
        let mut pool = Pool::new(trial);
        let least = pool.run();
        let Trial { clients, max_age_s, login_s, concurrency, .. } = trial;
        let text = format!("{clients} servers, {max_age_s} s, logins of {login_s} s: {least} at the least");
        assert_eq!(pool.too_old, 0, "{text}");
        // In 65 hundredths of an age all of them are replaced, one after the other if there is time for that.
        let needed = (u64::from(clients) * login_s * 100).div_ceil(max_age_s * 65).max(1) as usize;
        let missing = clients as usize - least;
        assert!(missing <= needed + 1, "{text}, {needed} would do");
        assert!(missing <= (clients as usize).div_ceil(5), "{text}");
        // As late as there is time: six ages take no more than eleven generations, mostly seven or eight.
        assert!(pool.opened <= clients * 11, "{text}, {} logins", pool.opened);
        assert!(concurrency > 1 || missing <= 1, "{text}");
        assert_eq!(pool.bench.ledger.keeps_up(pool.share().id), Some(true), "{text}");
    }
}

#[test]
fn a_pool_whose_servers_age_faster_than_they_can_be_replaced_is_known() {
    for trial in [at_its_cap(20, 16, 20, 6, 3), at_its_cap(20, 1, 20, 2, 3), at_its_cap(4, 16, 20, 11, 3)] {
        let mut pool = Pool::new(trial);
        let Trial { clients, concurrency, login_s, .. } = trial;
        assert_eq!(pool.bench.ledger.keeps_up(pool.share().id), None, "nothing has aged yet");
        pool.run();
        let text = format!("{clients} servers, {concurrency} logins of {login_s} s at once");
        assert_eq!(pool.bench.ledger.keeps_up(pool.share().id), Some(false), "{text}");
        let shortfall = pool.bench.ledger.shortfall(pool.share().id).unwrap();
        let needed_max = 1_000 * u64::from(clients);
        assert!(shortfall.most < shortfall.needed && shortfall.needed <= needed_max, "{shortfall:?}");
    }
}

#[test]
fn a_pool_with_room_for_one_more_never_has_one_less() {
    for (room, concurrency) in [(1, 1), (1, 16), (3, 16)] {
        let trial = Trial { pool_size: 12 + room, ..at_its_cap(12, concurrency, 60, 1, 0) };
        let mut pool = Pool::new(trial);
        assert_eq!((pool.run(), pool.too_old), (12, 0), "{concurrency} logins at once, room for {room}");
    }
}
