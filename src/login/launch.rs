//! The launcher: one task that decides, with the ledger, when a server is opened, and has it opened.
//!
//! It learns of wants by notes (workers, welcomes, places that come back) and by its own janitor pass, which finds whatever
//! a lost note would have told; so no client waits for ever because of a race. It never waits itself: connects, evictions
//! and cancel requests are tasks of their own. Source: PgBouncer behaviour, surface §9 "Launching servers", §14.

use super::cancel::Errand;
use super::open;
use super::places::Launch;
use super::plane::Plane;
use super::registry::PoolEntry;
use crate::base::{Micros, PoolId, WorkerId, limits};
use crate::core::{Answer, Command, PoolShare, Scope, Verdict, Want};
use crate::tasks;
use crate::worker::Mail;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// What a server needs at the most to get from one worker to another, where neither is held up.
const LETTER_TIME: Duration = Duration::from_millis(1);

/// What the launcher is told.
enum News {
    /// Somebody wants a server of this pool.
    NeedServer(PoolId),
    /// A server of this pool is past its soft age.
    NeedRenewal(PoolId),
    /// A server of this pool was handed over: perhaps others still wait, perhaps it replaces an older one.
    LookAgain(PoolId),
    /// A place of this pool is free again.
    PlaceReturned(Arc<PoolShare>),
    /// A cancel request is to be sent.
    SendCancel(Errand),
}

/// Tells the launcher; cheap to clone, never blocks. What is said after the launcher has ended is dropped.
#[derive(Clone)]
pub struct LauncherDoor(mpsc::UnboundedSender<News>);

/// The launcher's end of its door.
pub struct LauncherInbox(mpsc::UnboundedReceiver<News>);

/// A door and what is behind it.
pub fn door() -> (LauncherDoor, LauncherInbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (LauncherDoor(sender), LauncherInbox(receiver))
}

impl LauncherDoor {
    /// Somebody wants a server of this pool.
    pub fn need_server(&self, pool: PoolId) {
        drop(self.0.send(News::NeedServer(pool)));
    }

    /// A server of this pool is past its soft age.
    pub fn need_renewal(&self, pool: PoolId) {
        drop(self.0.send(News::NeedRenewal(pool)));
    }

    /// A server of this pool was handed over: perhaps others still wait, perhaps it replaces an older one.
    pub fn look_again(&self, pool: PoolId) {
        drop(self.0.send(News::LookAgain(pool)));
    }

    /// A place of this pool is free again.
    pub fn place_returned(&self, pool: Arc<PoolShare>) {
        drop(self.0.send(News::PlaceReturned(pool)));
    }

    /// A cancel request is to be sent.
    pub fn send_cancel(&self, errand: Errand) {
        drop(self.0.send(News::SendCancel(errand)));
    }
}

#[cfg(test)]
impl LauncherInbox {
    /// Whether something was said.
    pub fn has_news(&mut self) -> bool {
        self.0.try_recv().is_ok()
    }
}

/// Runs the launcher until its door is closed.
///
/// # Cancel safety
/// May be dropped at any time; connects that are under way go on and end by themselves.
pub async fn run(plane: Arc<Plane>, mut inbox: LauncherInbox) {
    let mut janitor = tokio::time::interval(Duration::from_millis(limits::JANITOR_PERIOD_MS));
    janitor.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let launcher = Launcher { plane };
    loop {
        tokio::select! {
            news = inbox.0.recv() => match news {
                Some(news) => launcher.take(news),
                None => return,
            },
            _ = janitor.tick() => launcher.pass(),
        }
    }
}

/// Why a pool is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    /// Somebody asked for a server just now.
    Asked,
    /// It is its turn.
    Routine,
}

struct Launcher {
    plane: Arc<Plane>,
}

impl Launcher {
    fn take(&self, news: News) {
        match news {
            News::NeedServer(id) => self.look_for(id, Prompt::Asked),
            News::NeedRenewal(id) => self.renew(id),
            News::LookAgain(id) => {
                self.look_for(id, Prompt::Routine);
                self.retire(id);
            }
            News::PlaceReturned(share) => self.place_returned(&share),
            News::SendCancel(errand) => {
                let run = super::cancel::run(Arc::clone(&self.plane), errand);
                tasks::spawn("cancel", "for a client", run);
            }
        }
    }

    fn look_for(&self, id: PoolId, prompt: Prompt) {
        if let Some(entry) = self.plane.registry.by_id(id) {
            self.look_at(&entry, prompt);
        }
    }

    /// Whoever has waited longest in the rooms where the place was is looked at first.
    fn place_returned(&self, share: &PoolShare) {
        let revived = self.plane.places.revived_by(share);
        let mut entries: Vec<_> =
            revived.iter().filter_map(|share| self.plane.registry.by_id(share.id)).collect();
        entries.sort_by_cached_key(|entry| oldest_waiter(entry).unwrap_or(Micros::NEVER));
        for entry in &entries {
            self.look_at(entry, Prompt::Routine);
        }
        entries.iter().for_each(|entry| self.replace_retired(entry));
        if self.plane.registry.by_id(share.id).is_none() {
            self.plane.places.forget(share);
        }
    }

    /// The janitor's pass over all pools.
    fn pass(&self) {
        self.keep_forced_pools();
        for entry in self.plane.registry.entries() {
            self.heal(&entry);
            self.look_at(&entry, Prompt::Routine);
            self.replace_retired(&entry);
            self.keep_minimum(&entry);
        }
        self.forget_unused();
    }

    /// Entries that name their user have their minimum of servers even before the first client comes.
    fn keep_forced_pools(&self) {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        for (config, user) in self.plane.registry.forced_without_pool() {
            if snapshot.pool_rules(&config, &user).min_pool_size > 0 {
                self.plane.pool(&config.name, &user);
            }
        }
    }

    fn keep_minimum(&self, entry: &Arc<PoolEntry>) {
        let is_short = entry.share.live_count() < entry.share.rules().min_pool_size;
        if is_short && (entry.is_forced() || entry.client_count() > 0) {
            self.consider(entry, Want::Minimum);
        }
    }

    /// A server of the pool is past its soft age. One that nobody would miss is not replaced.
    fn renew(&self, id: PoolId) {
        let Some(entry) = self.plane.registry.by_id(id) else { return };
        if entry.client_count() == 0 {
            entry.share.want_retirement();
            self.retire(id);
        } else if self.plane.places.has_room(&entry.share) || self.plane.is_sure_of_login(&entry) {
            self.consider(&entry, Want::Renewal);
        }
    }

    /// Has a server past its soft age closed wherever there is a free one, if that is wanted.
    fn retire(&self, id: PoolId) {
        let entry = self.plane.registry.by_id(id);
        if entry.is_some_and(|entry| entry.share.is_retirement_wanted()) {
            self.plane.tell_all(|| Command::Sweep(Scope::Pool(id)));
        }
    }

    /// Opens the replacement of a server that was retired at a cap. Those who wait have been looked at before.
    fn replace_retired(&self, entry: &Arc<PoolEntry>) {
        if entry.client_count() > 0 && self.plane.places.owes_replacement(&entry.share) {
            self.consider(entry, Want::Renewal);
        }
    }

    fn forget_unused(&self) {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        let settings = &snapshot.settings;
        let servers = |pool| {
            let (logging_in, live) = self.plane.places.pool_servers(pool);
            logging_in + live
        };
        let (pool_idle, database_idle) = (settings.pool_idle_timeout, settings.autodb_idle_timeout);
        for entry in self.plane.registry.remove_unused(self.plane.now(), pool_idle, database_idle, servers) {
            self.plane.places.forget(&entry.share);
            self.plane.tell_all(|| Command::Forget(entry.share.id));
        }
    }

    /// A client waits on one worker while another has idle servers, and has for a whole pass: the nudge was lost.
    fn heal(&self, entry: &PoolEntry) {
        let Some((_, since)) = entry.share.oldest_waiter() else { return };
        let waited = self.plane.now().since(since);
        if waited >= Micros::from_millis(limits::JANITOR_PERIOD_MS) {
            self.nudge(&entry.share);
        }
    }

    /// Has a server that is idle on one worker given to the client that waits longest, on another. Returns whether there is
    /// one; if it is gone by then, its worker asks for a server.
    fn nudge(&self, share: &PoolShare) -> bool {
        let Some((worker, _)) = share.oldest_waiter().filter(|_| !share.database.is_paused()) else {
            return false;
        };
        let idle_at = share.idle_elsewhere(worker);
        if let Some(idle_at) = idle_at {
            self.plane.worker(idle_at).send(Mail::Nudge { pool: share.id, by: worker });
        }
        idle_at.is_some()
    }

    /// Looks at the pool again when a letter between workers has had its time.
    fn look_soon(&self, id: PoolId) {
        let door = self.plane.launcher.clone();
        tasks::spawn("second look", id.0, async move {
            tokio::time::sleep(LETTER_TIME).await;
            door.look_again(id);
        });
    }

    /// Opens a server for the clients that wait, if there are any.
    fn look_at(&self, entry: &Arc<PoolEntry>, prompt: Prompt) {
        let share = &entry.share;
        let fails = share.failing().is_some() && share.live_count() == 0;
        let since = match oldest_waiter(entry) {
            // idle servers are for those who wait; one more is opened only if that does not help
            Some(_) if prompt == Prompt::Routine && share.idle_total() > 0 && welcomed(entry) => return,
            // one is on its way already: whether more are wanted shows when it has arrived
            Some(_) if share.is_moving() && welcomed(entry) => return self.look_soon(share.id),
            // whoever asked may not have seen yet what another worker has
            Some(_) if prompt == Prompt::Asked && welcomed(entry) && self.nudge(share) => return,
            Some(since) => since,
            // clients of a pool whose logins fail are turned away instead of waiting, and ask all the same
            None if prompt == Prompt::Asked && fails => self.plane.now(),
            None => return,
        };
        self.consider(entry, Want::Waiter { since });
    }

    fn consider(&self, entry: &Arc<PoolEntry>, want: Want) {
        let now = self.plane.now();
        match self.plane.places.consider(&entry.share, want, now) {
            Ok(Launch { place, from_reserve }) => {
                if from_reserve {
                    let (db, user) = (&entry.share.database.name, &entry.share.user);
                    tracing::warn!(db = %db, user = %user, "taking connection from reserve_pool");
                }
                let open = open::open(Arc::clone(&self.plane), Arc::clone(entry), place, want);
                tasks::spawn("server login", pool_name(entry), open);
            }
            Err(Verdict::EvictFirst(scope)) => {
                tasks::spawn("eviction", pool_name(entry), evict(Arc::clone(&self.plane), scope));
            }
            Err(Verdict::RetireFirst) => self.retire(entry.share.id),
            Err(Verdict::Full) => entry.welcome.settle_for_older(entry.share.generation()),
            Err(_) => {}
        }
    }
}

/// Since when the longest waiting client waits, for a server or for its welcome.
fn oldest_waiter(entry: &PoolEntry) -> Option<Micros> {
    let for_server = entry.share.oldest_waiter().map(|(_, since)| since);
    for_server.into_iter().chain(entry.welcome.oldest_waiter()).min()
}

/// How the log names a pool whose task has panicked.
pub(super) fn pool_name(entry: &PoolEntry) -> String {
    format!("{}/{}", entry.share.database.name, entry.share.user)
}

fn welcomed(entry: &PoolEntry) -> bool {
    entry.welcome.oldest_waiter().is_none()
}

/// Has an idle server in `scope` closed, wherever there is one.
async fn evict(plane: Arc<Plane>, scope: Scope) {
    for worker in 0..plane.workers.len() {
        let worker = WorkerId(worker as u16);
        if let Some(Answer::Found(true)) = plane.ask(worker, Command::EvictIdle(scope.clone())).await {
            return; // its place comes back by itself, and with it the next look
        }
    }
    plane.places.nothing_to_evict(&scope);
}
