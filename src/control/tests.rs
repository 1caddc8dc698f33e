//! What tests of the rooms around this one begin with.

use super::registry::Registry;
use super::{LauncherReceiver, Plane, Policy, WorkerSet};
use crate::config::Snapshot;
use crate::core::{Gate, PoolShare};
use std::sync::{Arc, Mutex};

/// A configuration of these lines of `[databases]` and settings.
pub(crate) fn snapshot(databases: &str, settings: &str) -> Snapshot {
    let text = format!("[databases]\n{databases}\n[pgbouncer]\n{settings}\n");
    Snapshot::load_with("test.ini", None, &|_| Ok(text.clone().into_bytes())).expect("a valid configuration")
}

pub(crate) fn registry() -> Registry {
    Registry::new(Arc::new(Gate::default()), 2)
}

/// A pool that belongs to no registry.
pub(crate) fn share(database: &str, user: &str) -> Arc<PoolShare> {
    let snapshot = snapshot(&format!("{database} ="), "");
    Arc::clone(&registry().pool(&snapshot, database, user).expect("a pool").share)
}

/// A configuration of these lines of `[databases]` and of the settings (and of the sections
/// behind them), without TLS.
pub(crate) fn policy(databases: &str, settings: &str) -> Policy {
    Policy::without_tls(snapshot(databases, settings))
}

/// A plane without workers, whose entries nobody has made known yet.
pub(crate) fn plane(databases: &str, settings: &str) -> (Arc<Plane>, LauncherReceiver) {
    Plane::new(Arc::new(policy(databases, settings)), WorkerSet::none())
}

/// Waits until something that another task does has happened.
pub(crate) async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

/// Collects lines as `LEVEL fields message`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(pub Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Hears what this thread logs. The first event of a place in the code asks all subscribers that there
    /// are whether it is of interest to any; one more that hears everything, for all threads, is there for
    /// those that are asked just before this one comes.
    pub(crate) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        use tracing_subscriber::layer::SubscriberExt;
        // A second one is refused: there is one already.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        let lines = Self::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
        (lines, guard)
    }

    /// How many begin so.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(start)).count()
    }

    /// Whether there was an error with this text.
    pub(crate) fn has_error(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.starts_with("ERROR") && line.contains(text))
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!(" {}={value:?}", field.name());
            }
        }
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}
