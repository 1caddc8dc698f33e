//! The console of one process: what its clients share, who serves them, and the clock of statistics.
//!
//! Made by `boot`, lent to the metrics page. Never knows a client's socket but in `session`.

use super::control::{Control, ProcessOrder};
use super::rows::Rows;
use super::show_stats::Halves;
use super::tables::{self, Shown, Source};
use super::times::Moment;
use super::{
    show_iam, show_issuers, show_pools, show_process, show_secrets, show_sessions, show_sockets, show_stats,
};
use crate::config::CONSOLE_DATABASE;
use crate::status::Status;
use crate::wire::encode::{self, Severity};
use crate::wire::sqlstate;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What all clients of the console share.
pub struct Console {
    /// What it shows.
    pub status: Arc<Status>,
    /// The process's switches.
    pub control: Control,
}

impl Console {
    /// A console that nobody has come to, and the orders that `boot` is to carry out.
    pub fn new(status: Arc<Status>) -> (Arc<Self>, mpsc::UnboundedReceiver<ProcessOrder>) {
        let (control, orders) = Control::new(&status.clients, &status.servers);
        (Arc::new(Self { status, control }), orders)
    }

    /// Ends a period of statistics every `stats_period` (as it is now): logs its line where `log_stats` says
    /// so, and gives it to `status`, which tells systemd.
    ///
    /// # Cancel safety
    /// A period under way is not told.
    pub async fn keep_stats(self: Arc<Self>, status: impl Fn(&str) + Send) {
        let period_s = self.status.plane.policy.load().snapshot.settings.stats_period.max(1);
        let mut clock = tokio::time::interval(Duration::from_secs(period_s.into()));
        clock.tick().await;
        loop {
            clock.tick().await;
            let line = self.status.tick().await.line();
            if self.status.plane.policy.load().snapshot.settings.log_stats {
                tracing::info!("{line}");
            }
            status(&line);
        }
    }

    /// The messages that answer a SHOW, up to its command tag.
    ///
    /// # Errors
    /// The text of the error, where it cannot be shown.
    pub(super) async fn show(&self, shown: &'static Shown) -> Result<Vec<u8>, &'static str> {
        let snapshot = Arc::clone(&self.status.plane.policy.load().snapshot);
        let moment = || Moment::new(self.status.plane.now());
        let rows = match shown.source {
            Source::Help => return Ok(help()),
            Source::Fds => {
                return Err(
                    "SHOW FDS is not available: PgBouncer 1.26 has removed it with online restarts; a \
                     restart without a gap goes by so_reuseport",
                );
            }
            Source::Config => show_process::config(&snapshot),
            Source::Databases => {
                let console_clients = self.status.plane.admissions.of_database(CONSOLE_DATABASE);
                show_pools::databases(&snapshot, self.status.databases(), console_clients)
            }
            Source::Pools => show_pools::pools(self.status.pools().await),
            Source::Clients => show_sockets::rows(shown, self.status.clients().await, &moment()),
            Source::Sessions => show_sessions::rows(self.status.sessions().await),
            Source::Servers => show_sockets::rows(shown, self.status.servers().await, &moment()),
            Source::Sockets => show_sockets::rows(shown, self.status.sockets().await, &moment()),
            Source::ActiveSockets => {
                let mut sockets = self.status.sockets().await;
                sockets.retain(|socket| socket.is_active);
                show_sockets::rows(shown, sockets, &moment())
            }
            Source::Users => {
                show_process::users(&snapshot, self.status.user_names(), |name| self.status.user_counts(name))
            }
            Source::Version => show_process::version(),
            Source::Peers => show_pools::peers(&snapshot),
            Source::PeerPools => show_pools::peer_pools(&self.status.peer_pools()),
            Source::Lists => show_process::lists(&self.status.lists()),
            Source::Mem => show_process::mem(&self.status.mem().await),
            Source::State => show_process::state(self.control.standing()),
            Source::DnsHosts => show_process::dns_hosts(&self.status.dns_hosts()),
            Source::DnsZones => show_process::dns_zones(),
            Source::Stats => self.stats(Halves::Both).await,
            Source::StatsTotals => self.stats(Halves::Totals).await,
            Source::StatsAverages => self.stats(Halves::Averages).await,
            Source::Totals => self.totals().await,
            Source::Iam => {
                let (views, now) = self.status.iam().await;
                show_iam::iam(&views, now)
            }
            Source::Issuers => show_issuers::issuers(&self.status.issuers(), &moment()),
            Source::Secrets => {
                let servers = &self.status.servers;
                show_secrets::secrets(&servers.secrets.all(), servers.iam.wall_now())
            }
            Source::Instances => show_process::instances(&self.status.instances()),
            Source::Constant(value) => {
                let mut rows = Rows::new(shown.columns);
                rows.push(&[value.into()]);
                rows
            }
        };
        Ok(rows.into_bytes())
    }

    async fn totals(&self) -> Rows {
        let figures = self.status.figures().await;
        show_stats::totals(&figures, &self.status.window(), self.status.plane.now())
    }

    async fn stats(&self, halves: Halves) -> Rows {
        let figures = self.status.figures().await;
        show_stats::stats(halves, &figures, &self.status.window(), self.status.plane.now())
    }
}

fn help() -> Vec<u8> {
    let mut out = Vec::new();
    let detail = tables::help();
    encode::notice(
        &mut out,
        Severity::Notice,
        sqlstate::SUCCESSFUL_COMPLETION,
        "Console usage",
        Some(&detail),
    );
    out
}
