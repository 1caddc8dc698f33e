//! Cancel requests: from the key that a client was given to the errand to the server that runs its query.
//!
//! The worker decides whether there is anything to cancel and keeps the server from being lent meanwhile; here the request
//! is carried to PostgreSQL, within the count that the ledger allows. Source: PgBouncer behaviour, surface §11.1;
//! PostgreSQL documentation, "Canceling Requests in Progress".

use super::places::Place;
use super::plane::Plane;
use super::registry::PoolEntry;
use crate::base::{Address, Micros, WorkerId, limits};
use crate::config::Host;
use crate::core::{Answer, CancelFate, CancelKey, Command, ServerIdentity};
use crate::tasks;
use crate::wire::startup;
use crate::worker::Mail;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

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

/// The keys of all clients, and who waits for a client's cancel to be done.
#[derive(Clone, Default)]
pub struct CancelKeys(Arc<Tables>);

#[derive(Default)]
struct Tables {
    holders: DashMap<ClientKey, Holder>,
    /// By the socket id of the client that is cancelled.
    watchers: DashMap<u64, Vec<oneshot::Sender<()>>>,
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
            let mut key = ClientKey::default();
            aws_lc_rs::rand::fill(&mut key).ok()?;
            key[0] &= 0x7f; // some drivers read the process id as a signed number and refuse a negative one
            if let Entry::Vacant(free) = self.0.holders.entry(key) {
                free.insert(holder);
                return Some(KeyHolder { keys: self.clone(), key });
            }
        }
    }

    /// Takes a client's watchers along with its errand.
    fn take_watchers(&self, client: u64) -> Vec<oneshot::Sender<()>> {
        self.0.watchers.remove(&client).map(|(_, watchers)| watchers).unwrap_or_default()
    }

    fn watch(&self, client: u64) -> oneshot::Receiver<()> {
        let (done, watcher) = oneshot::channel();
        self.0.watchers.entry(client).or_default().push(done);
        watcher
    }

    /// Whether somebody still waits for an errand of this client to begin.
    fn is_watched(&self, client: u64) -> bool {
        self.0.watchers.contains_key(&client)
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
    _watchers: Vec<oneshot::Sender<()>>,
}

impl Plane {
    /// An errand for what the client with socket id `client` runs.
    pub(super) fn errand(
        &self,
        worker: WorkerId,
        client: u64,
        server: u64,
        identity: Arc<ServerIdentity>,
        key: CancelKey,
    ) -> Errand {
        Errand { worker, server, identity, key, _watchers: self.cancel_keys.take_watchers(client) }
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
        let done = self.cancel_keys.watch(client);
        let found = self.ask(worker, Command::Cancel(client)).await;
        if matches!(found, Some(Answer::Found(true))) {
            // The errand is sent out when the worker's turn ends, so after the answer to a letter of that turn and before
            // that to one of the next.
            self.ask(worker, Command::Barrier).await;
        }
        if self.cancel_keys.is_watched(client) {
            drop(self.cancel_keys.take_watchers(client)); // nothing is sent out: the client waits, or has nothing running
        }
        drop(done.await);
    }
}

/// Carries a cancel request to its server, then tells the worker, whatever became of it.
pub(super) async fn run(plane: Arc<Plane>, errand: Errand) {
    let identity = &errand.identity;
    let (id, db, user, peer) = (identity.socket_id, &identity.database, &identity.user, &identity.remote);
    let carried =
        tasks::guarded("cancel request", format!("to server S-{id:#x}"), Box::pin(carry(&plane, &errand)));
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
    plane.worker(errand.worker).send(Mail::CancelOver(errand.server, fate));
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

async fn carry(plane: &Plane, errand: &Errand) -> Result<(), GivenUp> {
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
    let opened = by(deadline, plane.connect(settings, &target)).await;
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

/// A setting's span; zero = without end.
fn span(setting: Micros) -> Duration {
    if setting == Micros(0) { Duration::MAX } else { Duration::from_micros(setting.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    async fn who_watches_goes_on_when_the_errand_is_over() {
        let keys = CancelKeys::default();
        let (first, second) = (keys.watch(7), keys.watch(7));
        let watchers = keys.take_watchers(7);
        assert!(!keys.is_watched(7));
        drop(watchers);
        assert!(first.await.is_err() && second.await.is_err());
    }
}
