//! The console of one process: what its clients share, who serves them, and the clock of statistics.
//!
//! Made by `boot`, lent to the metrics page. Never knows a client's socket but in `session`.

use super::control::Control;
use super::rows::Rows;
use super::show_stats::Halves;
use super::tables::{self, Shown, Source};
use super::times::Moment;
use super::visits::Visits;
use super::{session, show_pools, show_process, show_sockets};
use crate::config::CONSOLE_DATABASE;
use crate::login::{ConsoleVisit, Plane};
use crate::stats::Window;
use crate::tasks;
use crate::wire::encode::{self, Severity};
use crate::wire::sqlstate;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// What all clients of the console share.
pub struct Console {
    /// The process.
    pub plane: Arc<Plane>,
    /// Its switches.
    pub control: Control,
    /// Who is there.
    pub visits: Visits,
    window: Mutex<Window>,
}

impl Console {
    /// A console that nobody has come to.
    pub fn new(plane: Arc<Plane>) -> Arc<Self> {
        let window = Mutex::new(Window::new(plane.now()));
        Arc::new(Self { control: Control::new(Arc::clone(&plane)), visits: Visits::default(), window, plane })
    }

    /// Serves every client that the login plane sends, each in a task of its own, until no more can come.
    ///
    /// # Cancel safety
    /// Clients that are there are served on.
    pub async fn serve(self: Arc<Self>, mut door: mpsc::UnboundedReceiver<ConsoleVisit>) {
        while let Some(visit) = door.recv().await {
            let peer = visit.identity.remote.clone();
            tasks::spawn("console client", peer, session::serve(Arc::clone(&self), visit));
        }
    }

    /// Ends a period of statistics every `stats_period` (as it is now): logs its line where `log_stats` says so, and gives it to
    /// `status`, which tells systemd.
    ///
    /// # Cancel safety
    /// A period under way is not told.
    pub async fn keep_stats(self: Arc<Self>, status: impl Fn(&str) + Send) {
        let period_s = self.plane.policy.load().snapshot.settings.stats_period.max(1);
        let mut clock = tokio::time::interval(Duration::from_secs(period_s.into()));
        clock.tick().await;
        loop {
            clock.tick().await;
            let line = self.tick().await.line();
            if self.plane.policy.load().snapshot.settings.log_stats {
                tracing::info!("{line}");
            }
            status(&line);
        }
    }

    pub(super) fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The messages that answer a SHOW, up to its command tag.
    ///
    /// # Errors
    /// The text of the error, where it cannot be shown.
    pub(super) async fn show(&self, shown: &'static Shown) -> Result<Vec<u8>, &'static str> {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        let moment = || Moment::new(self.plane.now());
        let rows = match shown.source {
            Source::Help => return Ok(help()),
            Source::Fds => {
                return Err("SHOW FDS is not available: online restart is not supported in this version");
            }
            Source::Config => show_process::config(&snapshot),
            Source::Databases => {
                let console_clients = self.plane.admissions.of_database(CONSOLE_DATABASE);
                show_pools::databases(&snapshot, self.databases(), console_clients)
            }
            Source::Pools => show_pools::pools(self.pools().await),
            Source::Clients => show_sockets::rows(shown, self.clients().await, &moment()),
            Source::Servers => show_sockets::rows(shown, self.servers().await, &moment()),
            Source::Sockets => show_sockets::rows(shown, self.sockets().await, &moment()),
            Source::ActiveSockets => {
                let mut sockets = self.sockets().await;
                sockets.retain(|socket| socket.is_active);
                show_sockets::rows(shown, sockets, &moment())
            }
            Source::Users => show_process::users(&snapshot, self.user_names(), |name| self.user_counts(name)),
            Source::Version => show_process::version(),
            Source::Peers => show_pools::peers(&snapshot),
            Source::PeerPools => show_pools::peer_pools(),
            Source::Lists => show_process::lists(&self.lists()),
            Source::Mem => show_process::mem(&self.mem().await),
            Source::State => show_process::state(self.control.standing()),
            Source::DnsHosts => show_process::dns_hosts(&self.dns_hosts()),
            Source::DnsZones => show_process::dns_zones(),
            Source::Stats => self.stats(Halves::Both).await,
            Source::StatsTotals => self.stats(Halves::Totals).await,
            Source::StatsAverages => self.stats(Halves::Averages).await,
            Source::Totals => self.totals().await,
            Source::Iam => self.iam().await,
            Source::Constant(value) => {
                let mut rows = Rows::new(shown.columns);
                rows.push(&[value.into()]);
                rows
            }
        };
        Ok(rows.into_bytes())
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
