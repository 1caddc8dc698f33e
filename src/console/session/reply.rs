//! What a command of the console answers, and when.
//!
//! Source: PgBouncer, src/admin.c (admin_ready, admin_error).

use crate::console::control::{Goal, Refused};
use crate::wire::encode::{self, Severity};
use crate::wire::sqlstate;

/// What is answered to a query.
pub(super) enum Reply {
    /// Messages, then the command tag.
    Done { messages: Vec<u8>, tag: String },
    /// An error.
    Error { sqlstate: &'static str, text: String },
    /// The command tag, once the goal is reached.
    When { goal: Goal, tag: &'static str },
    /// Nothing: the process ends.
    Nothing,
}

/// What the tag of KILL_PRINCIPAL begins with; the count of sessions follows.
pub(super) const KILLED: &str = "KILL_PRINCIPAL ";

impl Reply {
    /// How many sessions a KILL_PRINCIPAL has ended; `None`: it was none.
    pub(super) fn sessions_ended(&self) -> Option<u64> {
        let Self::Done { tag, .. } = self else { return None };
        tag.strip_prefix(KILLED)?.parse().ok()
    }

    pub(super) fn tag(tag: impl Into<String>) -> Self {
        Self::Done { messages: Vec::new(), tag: tag.into() }
    }

    pub(super) fn error(text: impl Into<String>) -> Self {
        Self::Error { sqlstate: sqlstate::PROTOCOL_VIOLATION, text: text.into() }
    }
}

impl From<Refused> for Reply {
    fn from(refused: Refused) -> Self {
        let sqlstate = match refused {
            Refused::Reload => sqlstate::CONFIG_FILE_ERROR,
            _ => sqlstate::PROTOCOL_VIOLATION,
        };
        Self::Error { sqlstate, text: refused.to_string() }
    }
}

pub(super) fn outcome(result: Result<(), Refused>, tag: &'static str) -> Reply {
    result.map_or_else(Reply::from, |()| Reply::tag(tag))
}

pub(super) fn eventually(result: Result<Goal, Refused>, tag: &'static str) -> Reply {
    result.map_or_else(Reply::from, |goal| Reply::When { goal, tag })
}

pub(super) fn admin_needed() -> Reply {
    Reply::error("admin access needed")
}

pub(super) fn notice(text: &str, tag: String) -> Reply {
    let mut messages = Vec::new();
    encode::notice(&mut messages, Severity::Notice, sqlstate::SUCCESSFUL_COMPLETION, text, None);
    Reply::Done { messages, tag }
}
