//! Carrying cancel requests to PostgreSQL, within the count that the ledger allows.
//!
//! However many requests the holder of a key sends, few are carried to one server at a time: the others join
//! one that has not been sent yet, which ends the same query. The worker keeps the server from being lent
//! until it hears what became of them. Source: PostgreSQL documentation, "Canceling Requests in Progress".

use super::connect::Opened;
use super::servers::Servers;
use crate::base::{About, Address, Micros, limits, log_about};
use crate::config::Host;
use crate::control::{CancelEnd, CancelRequest, Place, Plane, PoolEntry, TakenIn};
use crate::core::{CancelFate, ServerIdentity};
use crate::tasks;
use crate::wire::startup;
use crate::worker::Mail;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Sends a request on its way, now or when another to the same server is over.
pub(super) fn begin(servers: &Arc<Servers>, request: CancelRequest) {
    let (worker, server) = (request.worker, request.server);
    match servers.cancels.take_in(request) {
        TakenIn::Carry(request) => {
            drop(tasks::spawn("cancel", "for a client", run(Arc::clone(servers), request)))
        }
        TakenIn::Next => {}
        // The one that it has joined keeps the server apart.
        TakenIn::Joined => servers.plane.worker(worker).send(Mail::CancelOver(server, CancelFate::NeverSent)),
    }
}

/// Carries a cancel request, and then those that have waited for that.
async fn run(servers: Arc<Servers>, request: CancelRequest) {
    let mut carried = Some(request);
    while let Some(request) = carried {
        let server = request.server;
        carry_through(&servers, request).await;
        carried = servers.cancels.over(server);
    }
}

/// Carries a cancel request to its server, then tells the worker, whatever became of it.
async fn carry_through(servers: &Servers, request: CancelRequest) {
    let identity = &request.identity;
    let id = identity.socket_id;
    let carried =
        tasks::guarded("cancel request", format!("to server S-{id:#x}"), Box::pin(carry(servers, &request)));
    // The worker hears of it in any case, or the server would be kept apart for ever.
    let fate = match carried.await.unwrap_or_else(|| Err(GivenUp::in_doubt("internal error"))) {
        Ok(()) => {
            request.ends(CancelEnd::Taken);
            CancelFate::Taken
        }
        Err(GivenUp { why, fate }) => {
            log_about!(info, identity.about(), "cancel request given up: {why}");
            request.ends(why.end());
            fate
        }
    };
    servers.plane.worker(request.worker).send(Mail::CancelOver(request.server, fate));
}

/// Why a cancel request was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It was not on its way within `cancel_wait_timeout`.
    #[error("cancel_wait_timeout")]
    TooLate,
    /// In the words of the log.
    #[error("{0}")]
    Other(String),
}

impl Trouble {
    /// What the request has come to.
    pub(super) fn end(&self) -> CancelEnd {
        match self {
            Self::TooLate => CancelEnd::TooLate,
            Self::Other(_) => CancelEnd::GivenUp,
        }
    }
}

impl<T: Into<String>> From<T> for Trouble {
    fn from(why: T) -> Self {
        Self::Other(why.into())
    }
}

/// A cancel request that has not certainly been taken.
#[derive(Debug)]
struct GivenUp {
    why: Trouble,
    /// Never [`CancelFate::Taken`].
    fate: CancelFate,
}

impl GivenUp {
    fn unsent(why: impl Into<Trouble>) -> Self {
        Self { why: why.into(), fate: CancelFate::NeverSent }
    }

    fn too_late() -> Self {
        Self { why: Trouble::TooLate, fate: CancelFate::NeverSent }
    }

    fn in_doubt(why: impl Into<String>) -> Self {
        Self { why: Trouble::Other(why.into()), fate: CancelFate::Unknown }
    }
}

async fn carry(servers: &Servers, request: &CancelRequest) -> Result<(), GivenUp> {
    let plane = &servers.plane;
    let CancelRequest { identity, key, .. } = request;
    let found = plane.registry.find(&identity.database, &identity.user);
    let entry = found.ok_or_else(|| GivenUp::unsent("database removed"))?;
    let on_its_way_by = within(entry.share.rules().cancel_wait_timeout);
    let _place = by(on_its_way_by, place(plane, &entry)).await.ok_or_else(GivenUp::too_late)?;
    let policy = plane.policy.load_full();
    let settings = &policy.snapshot.settings;
    let (host, port, address) = match &identity.remote {
        Address::Tcp(address) => (host_of(&entry, identity), address.port(), Some(address.ip())),
        Address::Unix { port, .. } => (Host::UnixDir(Arc::clone(&identity.host)), *port, None),
    };
    let target = policy.target(&entry.config.load(), &identity.user, (host, port), address);
    let target = target.ok_or_else(|| GivenUp::unsent("no TLS for this entry"))?;
    let began = plane.now();
    let deadline = within(settings.server_connect_timeout);
    let opened = by(on_its_way_by, by(deadline, servers.connect(settings, &target))).await;
    let mut opened = opened
        .ok_or_else(GivenUp::too_late)?
        .ok_or_else(|| GivenUp::unsent("connect timeout"))?
        .map_err(|error| GivenUp::unsent(error.reason))?;
    deliver(&mut opened, deadline, key.pid, &key.secret).await.map_err(GivenUp::in_doubt)?;
    if settings.log_disconnections {
        // a connection of its own, to where the server is
        let about = About { id: plane.next_socket_id(), ..identity.about() };
        let age = plane.now().since(began).as_secs();
        log_about!(info, about, "closing because: successfully sent cancel request (age={age}s)");
    }
    plane.endpoint_answers(&entry);
    Ok(())
}

/// Sends a CancelRequest with this key, and waits until the other side closes: it has passed it on.
pub(super) async fn deliver(
    opened: &mut Opened,
    deadline: Option<Instant>,
    pid: u32,
    secret: &[u8],
) -> Result<(), String> {
    let mut message = Vec::new();
    startup::write_cancel_request(&mut message, pid, secret);
    let send = async {
        opened.send(&message).await?;
        opened.wait_for_end().await
    };
    let sent = by(deadline, send).await.ok_or("connect timeout")?;
    sent.map_err(|error| error.to_string())
}

/// When `patience` from now is over; `None`: never.
pub(super) fn within(patience: Micros) -> Option<Instant> {
    Instant::now().checked_add(patience.to_timeout())
}

/// What `work` comes to, or `None` where that takes until after `deadline`.
pub(super) async fn by<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
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
    use crate::base::WorkerId;
    use crate::control::CancelKeys;
    use crate::servers::cancel_queues::CancelQueues;

    fn request(keys: &CancelKeys, number: u64, server: u64) -> CancelRequest {
        let identity = Arc::new(ServerIdentity::for_tests(server));
        let key = identity.cancel_key.clone();
        let watched = keys.take_watched(number).into_iter().collect();
        CancelRequest::new(WorkerId(0), server, identity, key, watched)
    }

    fn carried(queues: &CancelQueues, keys: &CancelKeys, number: u64, server: u64) -> Option<CancelRequest> {
        match queues.take_in(request(keys, number, server)) {
            TakenIn::Carry(request) => Some(request),
            TakenIn::Next | TakenIn::Joined => None,
        }
    }

    #[tokio::test]
    async fn however_many_requests_come_few_are_carried_and_the_others_join_the_next() {
        let (queues, keys) = (CancelQueues::default(), CancelKeys::default());
        let under_way: Vec<_> = std::iter::from_fn(|| carried(&queues, &keys, 0, 1))
            .take(limits::CANCELS_PER_SERVER_MAX + 1)
            .collect();
        assert_eq!(under_way.len(), limits::CANCELS_PER_SERVER_MAX, "the last one is the next");
        assert!(carried(&queues, &keys, 0, 2).is_some(), "another server has its own");
        for _ in 0..10_000 {
            let gone = keys.watch();
            assert!(matches!(queues.take_in(request(&keys, gone.request(), 1)), TakenIn::Joined));
            drop(gone);
        }
        let here: Vec<_> = (0..3)
            .map(|_| {
                let watch = keys.watch();
                assert!(carried(&queues, &keys, watch.request(), 1).is_none());
                watch
            })
            .collect();
        drop(under_way);
        let next = queues.over(1).expect("all others as one");
        assert!(next.watched_count() <= 2 * CancelRequest::SWEPT_FROM, "{} are kept", next.watched_count());
        assert!(here.iter().all(|watch| watch.is_waiting()), "they still wait");
        drop(next);
        for watch in here {
            assert_eq!(watch.done().await, CancelEnd::GivenUp, "it was not carried");
        }
        for _ in 0..limits::CANCELS_PER_SERVER_MAX {
            assert!(queues.over(1).is_none());
        }
        assert_eq!(queues.0.len(), 1, "nothing is kept of a server without requests");
    }
}
