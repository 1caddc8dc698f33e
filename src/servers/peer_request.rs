//! Forwarding cancel requests to the peers that have issued their keys.
//!
//! As many as a peer's pool has room for are on their way to it, the others wait, in turn for each address
//! that they come from, and as long as their senders do. No pool of a database is touched. Never in TLS, as
//! with PgBouncer: a peer takes such a request from clients without it, too. Source: PgBouncer, doc/config.md
//! ("Section `[peers]`").

use super::cancel_request::{Trouble, by, deliver, within};
use super::connect::{Opened, Target};
use super::servers::Servers;
use crate::base::{About, log_about};
use crate::config::{PeerEntry, Settings};
use crate::control::{CancelEnd, PeerRequest, Permit};
use crate::tasks;
use crate::tls::ServerTls;
use std::sync::Arc;
use tokio::time::Instant;

/// Sends a request on its way.
pub(super) fn forward(servers: &Arc<Servers>, request: PeerRequest) {
    let peer = format!("to peer {}", request.peer);
    drop(tasks::spawn("cancel request", peer, run(Arc::clone(servers), request)));
}

/// Forwards a request, and tells whoever sent it.
async fn run(servers: Arc<Servers>, mut request: PeerRequest) {
    let began = servers.plane.now();
    let mut forwarding = Forwarding::default();
    let outcome = forwarding.carry(&servers, &mut request).await;
    let (name, address) = (format!("peer-{}", request.peer), forwarding.address());
    let id = servers.plane.next_socket_id();
    let about = About { side: "S", id, database: &name, user: "", peer: &address };
    let is_logged = servers.plane.policy.load().snapshot.settings.log_disconnections;
    match &outcome {
        Ok(()) if request.requester.is_heard && is_logged => {
            let age = servers.plane.now().since(began).as_secs();
            log_about!(info, about, "closing because: successfully sent cancel request (age={age}s)");
        }
        Err(why) if request.requester.is_heard => log_about!(info, about, "cancel request given up: {why}"),
        Ok(()) | Err(_) => {}
    }
    let end = outcome.map_or_else(|why| why.end(), |()| CancelEnd::Taken);
    let _ = request.done.send(end); // its sender may have gone
}

/// One request on its way. The connection ends before the permit does.
#[derive(Default)]
struct Forwarding {
    host: String,
    opened: Option<Opened>,
    permit: Option<Permit>,
}

impl Forwarding {
    async fn carry(&mut self, servers: &Servers, request: &mut PeerRequest) -> Result<(), Trouble> {
        let on_its_way_by = within(servers.plane.policy.load().snapshot.settings.cancel_wait_timeout);
        self.permit = Some(turn(servers, request, on_its_way_by).await?);
        // A reload may have come meanwhile.
        let snapshot = Arc::clone(&servers.plane.policy.load().snapshot);
        let entry = snapshot.peers.get(&request.peer).ok_or("peer removed")?;
        let deadline = within(snapshot.settings.server_connect_timeout);
        let connecting = by(deadline, self.connect(servers, &snapshot.settings, entry));
        let connected = by(on_its_way_by, connecting).await.ok_or(Trouble::TooLate)?;
        let opened = connected.ok_or("connect timeout")??;
        let (pid, secret) = request.key.split_at(4);
        let pid = pid.try_into().map_or(0, u32::from_be_bytes);
        Ok(deliver(opened, deadline, pid, secret).await?)
    }

    /// Connects to the first of the peer's hosts that can be connected to.
    async fn connect(
        &mut self,
        servers: &Servers,
        settings: &Settings,
        entry: &PeerEntry,
    ) -> Result<&mut Opened, String> {
        let mut why = String::new();
        for host in &entry.hosts {
            let port = entry.port;
            self.host = format!("{host}:{port}");
            let (host, tls) = (host.clone(), ServerTls::disabled());
            let target = Target { host, port, tls, server_name: None, address: None };
            match servers.connect(settings, &target).await {
                Ok(opened) => return Ok(self.opened.insert(opened)),
                Err(error) => why = format!("{}: {}", error.reason, error.detail),
            }
        }
        Err(why)
    }

    /// The peer, as the log names it.
    fn address(&self) -> String {
        self.opened.as_ref().map_or_else(|| self.host.clone(), |opened| opened.remote.to_string())
    }
}

/// Waits until one more request may go to the peer.
async fn turn(
    servers: &Servers,
    request: &mut PeerRequest,
    on_its_way_by: Option<Instant>,
) -> Result<Permit, Trouble> {
    let snapshot = Arc::clone(&servers.plane.policy.load().snapshot);
    let pool = servers.peers.pool(&snapshot, request.peer).ok_or("peer removed")?;
    let turn = pool.acquire_for_client(&request.requester.address);
    let outcome = tokio::select! {
        biased;
        () = request.done.closed() => Err("its sender had to make room".into()),
        waited = by(on_its_way_by, turn) => waited.ok_or(Trouble::TooLate),
    };
    request.requester.place = None;
    outcome
}
