//! The launcher's task: tells [`core::Launcher`](crate::core::Launcher) what happens and
//! carries out what that decides.
//!
//! It learns of wants by notes (workers, welcomes, places that come back) and by its own janitor pass,
//! which finds whatever a lost note would have told; so no client waits for ever because of a race. It
//! never decides when a server is opened, and never waits itself: connects, evictions and cancel
//! requests are tasks of their own.

use super::servers::Servers;
use super::{attempt, cancel_request, peer_request, show_token};
use crate::base::{Micros, PoolId, WorkerId, limits};
use crate::control::{LauncherEvent, LauncherReceiver, Plane, PoolEntry};
use crate::core::{
    Action, Answer, Bound, Command, Demand, Event, Launcher, Ledger, Opening, PoolShare, Scope, Shortfall,
    Want,
};
use crate::tasks;
use crate::worker::Mail;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Runs the launcher until nobody can send to it any more.
///
/// # Cancel safety
/// May be dropped at any time; connects that are under way go on and end by themselves.
pub async fn run(servers: Arc<Servers>, mut inbox: LauncherReceiver) {
    let mut janitor = tokio::time::interval(Duration::from_millis(limits::JANITOR_PERIOD_MS));
    janitor.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let carrier = Carrier { launcher: Launcher::new(servers.plane.workers.len()), servers };
    loop {
        tokio::select! {
            news = inbox.0.recv() => match news {
                Some(news) => carrier.take(news),
                None => return,
            },
            _ = janitor.tick() => carrier.pass(),
        }
    }
}

/// Carries out what the launcher decides.
struct Carrier {
    servers: Arc<Servers>,
    launcher: Launcher,
}

impl Carrier {
    fn take(&self, news: LauncherEvent) {
        match news {
            LauncherEvent::NeedServer(id) => self.happens(id, Event::Asked),
            LauncherEvent::NeedRenewal(id) => self.happens(id, Event::PastSoftAge),
            LauncherEvent::EndedUnanswered(id, began_at) => self.ended_unanswered(id, began_at),
            LauncherEvent::LookAgain(id) => self.happens(id, Event::Again),
            LauncherEvent::PlaceReturned(share) => self.place_returned(&share),
            LauncherEvent::EvictionTried(scope, worker, found) => {
                self.handle(Event::EvictionTried { scope, worker, found });
            }
            LauncherEvent::SendCancel(request) => cancel_request::begin(&self.servers, request),
            LauncherEvent::ForwardCancel(request) => peer_request::forward(&self.servers, request),
            LauncherEvent::JudgeToken(request) => show_token::begin(&self.servers, *request),
        }
    }

    /// Something about a pool; nothing where it is gone.
    fn happens(&self, pool: PoolId, event: impl FnOnce(Demand) -> Event) {
        if let Some(entry) = self.servers.plane.registry.by_id(pool) {
            self.handle(event(entry.demand()));
        }
    }

    /// The next login need not come to more: it waits a little, and longer each time.
    fn ended_unanswered(&self, pool: PoolId, began_at: Micros) {
        let plane = &self.servers.plane;
        let Some(entry) = plane.registry.by_id(pool) else { return };
        let (now, longest) = (plane.now(), plane.policy.load().snapshot.settings.server_login_retry);
        plane.places.decide(|ledger| ledger.ended_unanswered(&entry.share, began_at, now, longest));
    }

    fn place_returned(&self, share: &PoolShare) {
        let revived = self.servers.plane.places.revived_by(share);
        let entries = revived.iter().filter_map(|share| self.servers.plane.registry.by_id(share.id));
        self.handle(Event::PlaceFree(entries.map(|entry| entry.demand()).collect()));
        if self.servers.plane.registry.by_id(share.id).is_none() {
            self.servers.plane.places.forget(share);
        }
    }

    /// The janitor's pass over all pools.
    fn pass(&self) {
        self.make_forced_pools();
        self.servers.plane.places.decide(Ledger::add_up_endpoints);
        for entry in self.servers.plane.registry.entries() {
            self.handle(Event::Pass(entry.demand()));
            self.tell_if_it_falls_behind(&entry);
        }
        self.forget_unused();
    }

    /// Says once when servers of a pool begin to age faster than they can be replaced, and when that is over.
    fn tell_if_it_falls_behind(&self, entry: &PoolEntry) {
        let Some(keeps_up) = self.servers.plane.places.keeps_up(entry.share.id) else { return };
        if entry.news_of_lateness(!keeps_up, self.servers.plane.now()).is_none() {
            return;
        }
        let (db, user) = (&*entry.share.database.name, &*entry.share.user);
        match self.servers.plane.places.shortfall(entry.share.id) {
            None => tracing::info!(db, user, "servers of {db}/{user} are replaced in time again"),
            Some(shortfall) => {
                let why = in_the_way(shortfall);
                tracing::warn!(
                    db,
                    user,
                    "servers of {db}/{user} may reach iam_max_age before they are replaced: {why}"
                );
            }
        }
    }

    /// Entries that name their user have their minimum of servers even before the first client comes.
    fn make_forced_pools(&self) {
        let snapshot = Arc::clone(&self.servers.plane.policy.load().snapshot);
        for (config, user) in self.servers.plane.registry.forced_without_pool() {
            if snapshot.pool_rules(&config, &user).min_pool_size > 0 {
                self.servers.plane.pool(&config.name, &user);
            }
        }
    }

    fn forget_unused(&self) {
        self.servers.plane.forget_unproven();
        let snapshot = Arc::clone(&self.servers.plane.policy.load().snapshot);
        let settings = &snapshot.settings;
        let servers = |pool| {
            let (logging_in, live) = self.servers.plane.places.pool_servers(pool);
            logging_in + live
        };
        let (pool_idle, database_idle) = (settings.pool_idle_timeout, settings.autodb_idle_timeout);
        for entry in self.servers.plane.registry.remove_unused(
            self.servers.plane.now(),
            pool_idle,
            database_idle,
            servers,
        ) {
            self.servers.plane.places.forget(&entry.share);
            self.servers.plane.tell_all(|| Command::Forget(entry.share.id));
        }
    }

    fn handle(&self, event: Event) {
        let now = self.servers.plane.now();
        let actions = self.servers.plane.places.decide(|ledger| self.launcher.handle(event, ledger, now));
        actions.into_iter().for_each(|action| self.carry_out(action));
    }

    fn carry_out(&self, action: Action) {
        let plane = &self.servers.plane;
        match action {
            Action::Open { pool, want, opening } => self.open(&pool, want, opening),
            Action::Nudge { pool, idle_at, by } => plane.worker(idle_at).send(Mail::Nudge { pool, by }),
            Action::Evict { scope, worker } => {
                tasks::spawn("eviction", worker.0, evict(Arc::clone(plane), scope, worker));
            }
            Action::Retire(pool) => plane.tell_all(|| Command::Sweep(Scope::Pool(pool))),
            Action::MakeSure(pool) => {
                let entry = plane.registry.by_id(pool);
                if entry.is_some_and(|entry| self.servers.is_sure_of_login(&entry)) {
                    self.happens(pool, Event::SureOfLogin);
                }
            }
            Action::LookAgain(pool, after) => {
                let launcher = plane.launcher.clone();
                tasks::spawn("second look", pool.0, async move {
                    tokio::time::sleep(after.to_duration()).await;
                    launcher.look_again(pool);
                });
            }
            Action::WelcomeAsBefore(pool) => {
                if let Some(entry) = plane.registry.by_id(pool) {
                    entry.welcome.settle_for_older(entry.share.generation());
                }
            }
        }
    }

    fn open(&self, share: &Arc<PoolShare>, want: Want, opening: Opening) {
        let from_reserve = opening.from_reserve;
        let place = self.servers.plane.places.given(share, opening);
        let Some(entry) = self.servers.plane.registry.by_id(share.id) else { return };
        let request = if want.is_replication() {
            let Some(request) = entry.replication.next() else { return }; // its client has left
            Some(request)
        } else {
            None
        };
        if from_reserve {
            let (db, user) = (&share.database.name, &share.user);
            tracing::warn!(db = %db, user = %user, "taking connection from reserve_pool");
        }
        let name = entry.name();
        tasks::spawn(
            "server login",
            name,
            attempt::open(Arc::clone(&self.servers), entry, place, want, request),
        );
    }
}

/// What keeps servers from being replaced in time, and what helps.
fn in_the_way(Shortfall { of, needed, most }: Shortfall) -> String {
    let (needed, most) = (in_tenths(needed.div_ceil(100)), in_tenths(most / 100));
    match of {
        Bound::Missing => format!(
            "logins take so long that {needed} servers must be replaced at a time, and {most} at most may be \
             missing: raise iam_max_age, or pool_size above what clients use"
        ),
        Bound::Logins => format!(
            "logins take so long that the pool needs {needed} at a time: raise iam_max_age, or \
             server_login_concurrency ({most})"
        ),
        Bound::LoginsThere => format!(
            "logins take so long that the endpoint's pools need {needed} at a time: raise iam_max_age, or \
             server_login_concurrency ({most})"
        ),
        Bound::Pace => format!(
            "the endpoint's pools need {needed} logins a second, and its pace has {most} for renewals: raise \
             iam_max_age, or iam_login_rate where login_rate of SHOW IAM has reached it"
        ),
    }
}

/// With a decimal where it is no whole number.
fn in_tenths(tenths: u64) -> String {
    match (tenths / 10, tenths % 10) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}.{tenth}"),
    }
}

/// Has `worker` close an idle server in `scope`, if it has one.
async fn evict(plane: Arc<Plane>, scope: Scope, worker: WorkerId) {
    let ask = plane.ask(worker, Command::EvictIdle(scope.clone()));
    let answer = tasks::guarded("eviction", worker.0, Box::pin(ask)).await;
    // Said in any case: until then nobody else is evicted in this scope.
    let found = matches!(answer, Some(Some(Answer::Found(true))));
    plane.launcher.say(LauncherEvent::EvictionTried(scope, worker, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_with_as_many_digits_as_it_takes() {
        for (of, needed, most, expected) in [
            (Bound::Pace, 400, 300, "need 0.4 logins a second, and its pace has 0.3 for renewals"),
            (Bound::Pace, 1_134, 900, "need 1.2 logins a second, and its pace has 0.9 for renewals"),
            (Bound::Pace, 901, 900, "need 1 logins a second, and its pace has 0.9 for renewals"),
            (Bound::Pace, 19_501, 18_900, "need 19.6 logins a second, and its pace has 18.9 for renewals"),
            (Bound::LoginsThere, 24_390, 20_000, "the endpoint's pools need 24.4 at a time"),
            (Bound::LoginsThere, 24_390, 20_000, "server_login_concurrency (20)"),
            (Bound::Logins, 8_000, 4_000, "the pool needs 8 at a time"),
            (Bound::Missing, 6_000, 4_000, "6 servers must be replaced at a time, and 4 at most"),
        ] {
            let told = in_the_way(Shortfall { of, needed, most });
            assert!(told.contains(expected), "{told}");
        }
    }
}
