//! A client's wait at its login: for its pool's first server, which says what clients are welcomed with; a
//! replication client's, for its own.

use super::plane::{Phase, Plane};
use super::pool_entry::PoolEntry;
use super::replication::{ReplicationOffer, ReplicationWish};
use super::welcome::Welcome;
use crate::core::PoolShare;
use crate::wire::Fault;
use std::sync::Arc;

impl Plane {
    /// What to welcome clients of `pool` with; waits for the pool's first server login, which it asks for.
    ///
    /// # Errors
    /// `Fault::Relayed` with the server's own refusal, or what else ends the wait;
    /// `Fault::ServerShuttingDown`; `Fault::DatabaseRemoved`.
    /// # Cancel safety
    /// Dropping it only withdraws the request; the caller's login timeout bounds it.
    pub async fn welcome(&self, pool: &Arc<PoolShare>) -> Result<Arc<Welcome>, Fault> {
        let Some(entry) = self.registry.by_id(pool.id) else { return Err(Fault::DatabaseRemoved) };
        self.ends_pause_for_change(&entry); // the client may have brought what the last login lacked
        if let Some(welcome) = entry.welcome.known(pool.generation()) {
            // A pool without servers whose logins fail turns its clients away: each that comes
            // is a reason to try again.
            if pool.live_count() == 0 && pool.failing().is_some() {
                self.launcher.need_server(pool.id);
            }
            return Ok(welcome);
        }
        if let Some(fault) = entry.last_failure.refusal(self.now()) {
            return Err(fault);
        }
        Box::pin(self.wait_for_welcome(&entry)).await // boxed: most need not wait
    }

    /// Waits for a server that is opened for this replication client alone, which it asks for.
    ///
    /// # Errors
    /// Why there is none: `Fault::LoginFailed` where PostgreSQL has refused it, or what else ends the wait.
    /// # Cancel safety
    /// Dropping it withdraws the request.
    pub async fn replication_server(
        &self,
        entry: &PoolEntry,
        wish: ReplicationWish,
    ) -> Result<ReplicationOffer, Fault> {
        let mut phase = self.watch_phase();
        let answer = entry.replication.join(wish, self.now());
        if entry.is_removed() {
            return Err(Fault::DatabaseRemoved); // whoever is told so was told before it joined
        }
        self.launcher.need_server(entry.share.id);
        tokio::select! {
            // An attempt that ends without a word has panicked.
            answer = answer => answer.unwrap_or(Err(Fault::LoginFailed)),
            _ = phase.wait_for(|phase| *phase == Phase::WaitForServers) => Err(Fault::ServerShuttingDown),
        }
    }

    async fn wait_for_welcome(&self, entry: &PoolEntry) -> Result<Arc<Welcome>, Fault> {
        let share = &entry.share;
        let mut phase = self.watch_phase();
        let no_more_servers = phase.wait_for(|phase| *phase == Phase::WaitForServers);
        let (wait, no_more_servers) =
            (entry.welcome.wait(self.now(), || share.generation()), std::pin::pin!(no_more_servers));
        let mut wait = std::pin::pin!(wait);
        // Joined at its first poll, so that the launcher finds it waiting.
        let first = std::future::poll_fn(|context| std::task::Poll::Ready(wait.as_mut().poll(context))).await;
        if let std::task::Poll::Ready(outcome) = first {
            return outcome;
        }
        self.launcher.need_server(share.id);
        tokio::select! {
            outcome = wait => outcome,
            _ = no_more_servers => Err(Fault::ServerShuttingDown),
        }
    }
}
