//! Listens to what the core logs: why servers are closed is said nowhere else. A reason that means that the
//! core has lost step with a server ends the run.

use super::plan::PARAMETERS_TOO_LONG;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Once;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

/// Why one is closed whose host is elsewhere now.
pub const MOVED: &str = "host has moved";

/// Why a server may be closed in a world of faults.
const REASONS: [&str; 27] = [
    "authorization denied",
    "authorization renewed",
    "authorization too old",
    "cancel request in doubt",
    "client disconnect while server was not ready",
    "close_needed",
    "database configuration changed",
    "database removed",
    "evicted for max_db_connections",
    "evicted for max_user_connections",
    "evicted for max_server_connections",
    "evicted for pool_size",
    MOVED,
    "idle transaction timeout",
    "obsolete connection",
    PARAMETERS_TOO_LONG,
    "pause mode",
    "prepared statements in doubt",
    "query timeout",
    "replication client was closed",
    "server conn crashed?",
    "server idle timeout",
    "server lifetime over",
    "suspend_timeout",
    "too many servers in the pool",
    "transaction timeout",
    "transaction blocks not allowed in statement pooling mode",
];

/// Why one may be closed where nobody and nothing fails.
const QUIET_REASONS: [&str; 13] = [
    "authorization renewed",
    "authorization too old",
    // Also for a client that has asked for a parameter that no server takes.
    "client disconnect while server was not ready",
    "database removed",
    "evicted for max_db_connections",
    "evicted for max_user_connections",
    "evicted for max_server_connections",
    "evicted for pool_size",
    "prepared statements in doubt",
    "replication client was closed",
    "server idle timeout",
    "server lifetime over",
    "too many servers in the pool",
];

/// Why one is closed that would serve on.
pub const GIVEN_UP: [&str; 2] = ["server idle timeout", "server lifetime over"];

thread_local! {
    static CANCELED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static CLOSED: RefCell<Vec<(u64, String)>> = const { RefCell::new(Vec::new()) };
    static HEARD: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// The servers that were closed since somebody asked, and why.
pub fn closed() -> Vec<(u64, String)> {
    CLOSED.take()
}

/// The clients whose queries have taken too long, and were cancelled, since somebody asked.
pub fn canceled() -> Vec<u64> {
    CANCELED.take()
}

/// Whether a server is closed so for the time that has passed.
pub fn is_of_age(reason: &str) -> bool {
    reason == MOVED || reason.starts_with("authorization") || GIVEN_UP.contains(&reason)
}

/// Something has been seen that worlds are to show.
pub fn hear(what: &str) {
    HEARD.with_borrow_mut(|heard| {
        if !heard.contains(what) {
            heard.insert(what.to_owned());
        }
    });
}

/// Why servers were closed in the runs of this thread, and what else they have shown.
pub fn heard() -> BTreeSet<String> {
    HEARD.with_borrow(Clone::clone)
}

/// Takes the core's log lines of one run.
pub struct Ear {
    pub faults: bool,
}

#[derive(Default)]
struct Line {
    side: String,
    id: u64,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "id" {
            self.id = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "side" {
            value.clone_into(&mut self.side);
        }
    }
}

/// Hears nothing, and is there from the first world on: what is logged for the first time by a thread while
/// nobody listens would be silent for whoever begins to listen at that moment on another.
struct Bystander;

/// Has every place of the log ask who listens.
pub fn open() {
    static IS_OPEN: Once = Once::new();
    IS_OPEN.call_once(|| {
        let _ = tracing::subscriber::set_global_default(Bystander); // or somebody else listens already
    });
}

impl Subscriber for Bystander {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("pgweir::core")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        if line.message.starts_with("query is canceled: ") {
            CANCELED.with_borrow_mut(|canceled| canceled.push(line.id));
        }
        let Some(reason) = line.message.strip_prefix("closing because: ").filter(|_| line.side == "S") else {
            return;
        };
        let reason = reason.split(" (age=").next().unwrap_or_default();
        let known = if self.faults { &REASONS[..] } else { &QUIET_REASONS[..] };
        assert!(known.contains(&reason), "a server was closed because: {reason}");
        hear(reason);
        CLOSED.with_borrow_mut(|closed| closed.push((line.id, reason.to_owned())));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
