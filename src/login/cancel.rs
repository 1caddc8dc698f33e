//! Cancel requests: from the key that a client was given to the errand to the server that runs its query.
//!
//! The worker decides whether there is anything to cancel and keeps the server from being lent meanwhile; here the request
//! is carried to PostgreSQL, within the count that the ledger allows. However many requests the holder of a key sends, few
//! are carried to one server at a time: the others join one that has not been sent yet, which ends the same query.
//! Source: PostgreSQL documentation, "Canceling Requests in Progress"; PgBouncer's `accept_cancel_request` (src/objects.c).

use super::errands::{Errands, Joins, TakenIn};
use super::open::span;
use super::places::Place;
use super::plane::Plane;
use super::random::Randomness;
use super::registry::PoolEntry;
use super::servers::Servers;
use crate::base::{Address, WorkerId, limits};
use crate::config::Host;
use crate::core::{Answer, CancelFate, CancelKey, Command, ServerIdentity};
use crate::tasks;
use crate::wire::startup;
use crate::worker::Mail;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A cancel key as clients have it: process id and secret of BackendKeyData, as one.
pub type ClientKey = [u8; 8];

/// Whom a key belongs to.
#[derive(Clone, Debug)]
enum Holder {
    /// A client of a worker.
    Client { worker: WorkerId, client: u64 },
    /// A client of the console, which learns of it if it waits just then.
    Console(Arc<Notify>),
}

/// The keys of all clients, who waits for a client's cancel to be done, and what is carried to each server.
#[derive(Clone, Default)]
pub struct CancelKeys(Arc<Tables>);

#[derive(Default)]
struct Tables {
    holders: DashMap<ClientKey, Holder>,
    random: Randomness,
    /// By the number of the request. Dropped when its errand is over, which whoever asked waits for.
    watched: DashMap<u64, watch::Sender<()>>,
    requests: AtomicU64,
    /// By the socket id of the server.
    errands: DashMap<u64, Errands<Errand>>,
}

/// A client's key; it means nothing any more once this is dropped.
pub struct KeyHolder {
    keys: CancelKeys,
    key: ClientKey,
}

impl KeyHolder {
    /// The key, to be sent as BackendKeyData: 4 bytes of process id, 4 of secret.
    pub fn key(&self) -> ClientKey {
        self.key
    }
}

impl Drop for KeyHolder {
    fn drop(&mut self) {
        self.keys.0.holders.remove(&self.key);
    }
}

impl CancelKeys {
    /// Makes a key for the client with this socket id, which lives on `worker`. `None` where the system has no randomness.
    pub fn issue(&self, worker: WorkerId, client: u64) -> Option<KeyHolder> {
        self.issue_to(Holder::Client { worker, client })
    }

    /// Makes a key for a client of the console: a cancel request wakes those who wait for `canceled` just then.
    pub fn issue_for_console(&self, canceled: Arc<Notify>) -> Option<KeyHolder> {
        self.issue_to(Holder::Console(canceled))
    }

    fn issue_to(&self, holder: Holder) -> Option<KeyHolder> {
        loop {
            let mut key: ClientKey = self.0.random.take()?;
            key[0] &= 0x7f; // some drivers read the process id as a signed number and refuse a negative one
            if let Entry::Vacant(free) = self.0.holders.entry(key) {
                free.insert(holder);
                return Some(KeyHolder { keys: self.clone(), key });
            }
        }
    }

    /// Takes what the sender of a request waits for along with its errand.
    fn take_watched(&self, request: u64) -> Option<watch::Sender<()>> {
        self.0.watched.remove(&request).map(|(_, done)| done)
    }

    /// A new request, and the wait for its own errand: one that another request has sent out may be over before
    /// this one's begins.
    fn watch(&self) -> Watch {
        let request = self.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, done) = watch::channel(());
        self.0.watched.insert(request, sender);
        Watch { done, forget: Forget { keys: self.clone(), request } }
    }

    /// Whether `errand` may be carried now; if not, what becomes of it.
    fn take_in(&self, errand: Errand) -> TakenIn<Errand> {
        self.0.errands.entry(errand.server).or_default().take_in(errand)
    }

    /// One of the errands to this server is over. Returns the one that is carried in its stead.
    fn over(&self, server: u64) -> Option<Errand> {
        let Entry::Occupied(mut entry) = self.0.errands.entry(server) else { return None };
        let next = entry.get_mut().over();
        if entry.get().is_empty() {
            entry.remove();
        }
        next
    }
}

/// Somebody's wait for a request's errand to be over.
struct Watch {
    done: watch::Receiver<()>,
    /// Dropped behind `done`.
    forget: Forget,
}

impl Watch {
    /// # Cancel safety
    /// The wait is given up.
    async fn done(mut self) {
        while self.done.changed().await.is_ok() {} // nothing is ever sent: it ends when the sender is dropped
        drop(self.forget);
    }
}

/// Forgets a request that nobody waits for any more.
struct Forget {
    keys: CancelKeys,
    request: u64,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.keys.0.watched.remove(&self.request);
    }
}

/// A cancel request on its way to a server. Whoever waits for it goes on when it is dropped.
pub struct Errand {
    /// The worker that the server is on.
    pub worker: WorkerId,
    /// Socket id of the server.
    pub server: u64,
    /// Where the server is.
    pub identity: Arc<ServerIdentity>,
    /// The server's own key.
    pub key: CancelKey,
    /// Dropped with the errand.
    watched: Vec<watch::Sender<()>>,
    /// How many of `watched` are looked through for those that nobody waits for any more.
    sweep_at: usize,
}

impl Joins for Errand {
    /// Whoever does not wait any more costs nothing for long: requests may come and go by the
    /// thousand while this one waits.
    fn join(&mut self, other: Self) {
        self.watched.extend(other.watched);
        if self.watched.len() >= self.sweep_at {
            self.watched.retain(|done| done.receiver_count() > 0);
            self.sweep_at = WATCHED_SWEEP.max(2 * self.watched.len());
        }
    }
}

/// Fewer are not worth looking through.
const WATCHED_SWEEP: usize = 32;

impl Plane {
    /// The errand of a request; of none where that is 0.
    pub(super) fn errand(
        &self,
        worker: WorkerId,
        request: u64,
        server: u64,
        identity: Arc<ServerIdentity>,
        key: CancelKey,
    ) -> Errand {
        let watched = self.cancel_keys.take_watched(request).into_iter().collect();
        Errand { worker, server, identity, key, watched, sweep_at: WATCHED_SWEEP }
    }

    /// Cancels what the client that was given `key` runs or waits for. Returns when the request has been taken in by the
    /// server, given up, or dropped because there is nothing to cancel: then the requester's connection is to be closed,
    /// which is all the answer it gets.
    ///
    /// # Cancel safety
    /// The request goes on by itself.
    pub async fn cancel(&self, key: ClientKey) {
        let holder = self.cancel_keys.0.holders.get(&key).map(|holder| holder.clone());
        let (worker, client) = match holder {
            Some(Holder::Client { worker, client }) => (worker, client),
            Some(Holder::Console(canceled)) => return canceled.notify_waiters(),
            None => return tracing::debug!("failed cancel request: unknown key"),
        };
        let watch = self.cancel_keys.watch();
        let request = watch.forget.request;
        let found = self.ask(worker, Command::Cancel(client, request)).await;
        if matches!(found, Some(Answer::Found(true))) {
            // The errand is sent out when the worker's turn ends, so after the answer to a letter of that turn and before
            // that to one of the next.
            self.ask(worker, Command::Barrier).await;
        }
        drop(self.cancel_keys.take_watched(request)); // still there: the client waits, or has nothing running
        watch.done().await;
    }
}

/// Sends an errand on its way, now or when another to the same server is over.
pub(super) fn begin(servers: &Arc<Servers>, errand: Errand) {
    let (worker, server) = (errand.worker, errand.server);
    let plane = &servers.plane;
    match plane.cancel_keys.take_in(errand) {
        TakenIn::Carry(errand) => {
            drop(tasks::spawn("cancel", "for a client", run(Arc::clone(servers), errand)))
        }
        TakenIn::Next => {}
        // The one that it has joined keeps the server apart.
        TakenIn::Joined => plane.worker(worker).send(Mail::CancelOver(server, CancelFate::NeverSent)),
    }
}

/// Carries a cancel request, and then those that have waited for that.
async fn run(servers: Arc<Servers>, errand: Errand) {
    let mut carried = Some(errand);
    while let Some(errand) = carried {
        let server = errand.server;
        carry_through(&servers, errand).await;
        carried = servers.plane.cancel_keys.over(server);
    }
}

/// Carries a cancel request to its server, then tells the worker, whatever became of it.
async fn carry_through(servers: &Servers, errand: Errand) {
    let identity = &errand.identity;
    let (id, db, user, peer) = (identity.socket_id, &identity.database, &identity.user, &identity.remote);
    let carried =
        tasks::guarded("cancel request", format!("to server S-{id:#x}"), Box::pin(carry(servers, &errand)));
    // The worker hears of it in any case, or the server would be kept apart for ever.
    let fate = match carried.await.unwrap_or_else(|| Err(GivenUp::in_doubt("internal error"))) {
        Ok(()) => {
            tracing::debug!(side = "S", id, db = %db, user = %user, peer = %peer, "successfully sent cancel request");
            CancelFate::Taken
        }
        Err(GivenUp { why, fate }) => {
            tracing::info!(side = "S", id, db = %db, user = %user, peer = %peer, "cancel request given up: {why}");
            fate
        }
    };
    servers.plane.worker(errand.worker).send(Mail::CancelOver(errand.server, fate));
}

/// A cancel request that has not certainly been taken.
#[derive(Debug)]
struct GivenUp {
    why: String,
    /// Never [`CancelFate::Taken`].
    fate: CancelFate,
}

impl GivenUp {
    fn unsent(why: impl Into<String>) -> Self {
        Self { why: why.into(), fate: CancelFate::NeverSent }
    }

    fn in_doubt(why: impl Into<String>) -> Self {
        Self { why: why.into(), fate: CancelFate::Unknown }
    }
}

async fn carry(servers: &Servers, errand: &Errand) -> Result<(), GivenUp> {
    let plane = &servers.plane;
    let Errand { identity, key, .. } = errand;
    let found = plane.registry.find(&identity.database, &identity.user);
    let entry = found.ok_or_else(|| GivenUp::unsent("database removed"))?;
    let patience = span(entry.share.rules().cancel_wait_timeout);
    let waited = tokio::time::timeout(patience, place(plane, &entry)).await;
    let _place = waited.map_err(|_| GivenUp::unsent("cancel_wait_timeout"))?;
    let policy = plane.policy.load_full();
    let settings = &policy.snapshot.settings;
    let (host, port, address) = match &identity.remote {
        Address::Tcp(address) => (host_of(&entry, identity), address.port(), Some(address.ip())),
        Address::Unix { port, .. } => (Host::UnixDir(Arc::clone(&identity.host)), *port, None),
    };
    let target = policy.target(&entry.config.load(), &identity.user, (host, port), address);
    let target = target.ok_or_else(|| GivenUp::unsent("no TLS for this entry"))?;
    let deadline = tokio::time::Instant::now().checked_add(span(settings.server_connect_timeout));
    let opened = by(deadline, servers.connect(settings, &target)).await;
    let mut opened = opened
        .ok_or_else(|| GivenUp::unsent("connect timeout"))?
        .map_err(|error| GivenUp::unsent(error.reason))?;
    let mut request = Vec::new();
    startup::write_cancel_request(&mut request, key.pid, &key.secret);
    let send = async {
        opened.send(&request).await.map_err(|error| error.to_string())?;
        // PostgreSQL closes when it has passed the signal on
        opened.wait_for_end().await.map_err(|error| error.to_string())
    };
    let sent = by(deadline, send).await;
    sent.ok_or_else(|| GivenUp::in_doubt("connect timeout"))?.map_err(GivenUp::in_doubt)?;
    // the endpoint answers, so the next login need not wait for its retry
    plane.places.forget_failure(&entry.share);
    Ok(())
}

/// What `work` comes to, or `None` where that takes until after `deadline`.
async fn by<T>(deadline: Option<tokio::time::Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

/// The host as the entry has it, so that its certificate is looked at in the same way as the server's was.
fn host_of(entry: &PoolEntry, identity: &ServerIdentity) -> Host {
    let config = entry.config.load();
    let own = config.hosts.iter().find(|host| *host.to_string() == *identity.host);
    own.cloned().unwrap_or_else(|| Host::Name(Arc::clone(&identity.host)))
}

/// Waits until the ledger allows one more connection for cancels.
async fn place(plane: &Plane, entry: &PoolEntry) -> Place {
    let _queued = entry.queue_cancel();
    loop {
        if let Some(place) = plane.places.take_cancel(&entry.share) {
            return place;
        }
        tokio::time::sleep(Duration::from_millis(limits::JANITOR_PERIOD_MS)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand(keys: &CancelKeys, request: u64, server: u64) -> Errand {
        let address = Address::Unix { port: 0, pid: 0, uid: 0 };
        let key = CancelKey { pid: 1, secret: Box::new([0; 4]) };
        let identity = Arc::new(ServerIdentity {
            socket_id: server,
            database: "d".into(),
            user: "u".into(),
            remote: address.clone(),
            local: address,
            host: "".into(),
            tls: String::new(),
            connected_at_epoch_s: 0,
            cancel_key: key.clone(),
        });
        let watched = keys.take_watched(request).into_iter().collect();
        Errand { worker: WorkerId(0), server, identity, key, watched, sweep_at: WATCHED_SWEEP }
    }

    fn carried(keys: &CancelKeys, request: u64, server: u64) -> Option<Errand> {
        match keys.take_in(errand(keys, request, server)) {
            TakenIn::Carry(errand) => Some(errand),
            TakenIn::Next | TakenIn::Joined => None,
        }
    }

    #[tokio::test]
    async fn however_many_requests_come_few_are_carried_and_the_others_join_the_next() {
        let keys = CancelKeys::default();
        let under_way: Vec<_> =
            std::iter::from_fn(|| carried(&keys, 0, 1)).take(limits::CANCELS_PER_SERVER_MAX + 1).collect();
        assert_eq!(under_way.len(), limits::CANCELS_PER_SERVER_MAX, "the last one is the next");
        assert!(carried(&keys, 0, 2).is_some(), "another server has its own");
        for _ in 0..10_000 {
            let gone = keys.watch();
            assert!(matches!(keys.take_in(errand(&keys, gone.forget.request, 1)), TakenIn::Joined));
            drop(gone);
        }
        let here: Vec<_> = (0..3)
            .map(|_| {
                let watch = keys.watch();
                assert!(carried(&keys, watch.forget.request, 1).is_none());
                watch
            })
            .collect();
        drop(under_way);
        let next = keys.over(1).expect("all others as one");
        assert!(next.watched.len() <= 2 * WATCHED_SWEEP, "{} are kept", next.watched.len());
        assert!(here.iter().all(|watch| watch.done.has_changed().is_ok()), "they still wait");
        drop(next);
        for watch in here {
            watch.done().await;
        }
        for _ in 0..limits::CANCELS_PER_SERVER_MAX {
            assert!(keys.over(1).is_none());
        }
        assert_eq!(keys.0.errands.len(), 1, "nothing is kept of a server without errands");
    }

    #[test]
    fn a_key_is_positive_and_means_something_until_it_is_dropped() {
        let keys = CancelKeys::default();
        let holders: Vec<_> = (0..64).filter_map(|id| keys.issue(WorkerId(1), id)).collect();
        assert_eq!(keys.0.holders.len(), 64);
        for (id, holder) in holders.iter().enumerate() {
            assert!(holder.key()[0] < 0x80);
            let client = id as u64;
            let held = keys.0.holders.get(&holder.key()).unwrap();
            assert!(matches!(*held, Holder::Client { worker: WorkerId(1), client: c } if c == client));
        }
        drop(holders);
        assert!(keys.0.holders.is_empty());
    }

    #[tokio::test]
    async fn who_asks_waits_for_the_errand_of_its_own_request() {
        let keys = CancelKeys::default();
        let (first, second) = (keys.watch(), keys.watch());
        drop(errand(&keys, first.forget.request, 1));
        first.done().await;
        assert!(second.done.has_changed().is_ok(), "its errand has not begun");
        let own = errand(&keys, second.forget.request, 1);
        assert!(keys.0.watched.is_empty());
        drop(own);
        second.done().await;
    }

    #[test]
    fn who_goes_away_leaves_nothing_to_be_watched() {
        let keys = CancelKeys::default();
        let (first, second) = (keys.watch(), keys.watch());
        drop(first);
        assert_eq!(keys.0.watched.len(), 1);
        drop(second);
        assert!(keys.0.watched.is_empty());
    }
}
