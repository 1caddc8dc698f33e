//! What a session consists of: steps of named clients, each with what to wait for before the next.

use crate::common::raw;

/// One session: what happens, in order.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client connects and sends this, usually a StartupMessage.
    Connect { who: usize, first: Vec<u8>, secret: Secret, until: Until },
    /// A connected client sends this.
    Send { who: usize, bytes: Vec<u8>, until: Until },
    /// A connected client goes on reading.
    Await { who: usize, until: Until },
    /// A client hangs up, by this message or without a word.
    Leave { who: usize, words: Vec<u8> },
    /// A request to cancel what that client does, on a connection of its own.
    Cancel { who: usize },
    /// Waits until so many sessions of PostgreSQL run a query.
    Running { count: usize },
    /// Waits until so many clients are in the queue, by SHOW POOLS.
    Waiting { count: usize },
}

/// What a client shows when it is asked to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// It says nothing.
    None,
    /// This, by whatever method it is asked for.
    Password(String),
    /// These bytes, at every request.
    Bytes(Vec<u8>),
}

/// What is waited for behind a step; the end of the connection always ends the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So many ReadyForQuery; CopyInResponse counts as one.
    Ready(usize),
    /// A frame with one of these tags.
    Tag(&'static [u8]),
    /// Nothing but the end.
    End,
    /// Nothing at all.
    Nothing,
    /// Nothing more comes for a while: where what comes is not known.
    Quiet,
}

impl Until {
    pub fn count(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Ready(count) => count,
            Self::Tag(_) => 1,
            Self::End | Self::Quiet => usize::MAX,
        }
    }

    pub fn is_met_by(self, tag: u8) -> bool {
        match self {
            Self::Ready(_) => matches!(tag, b'Z' | b'G'),
            Self::Tag(tags) => tags.contains(&tag),
            Self::End | Self::Nothing | Self::Quiet => false,
        }
    }
}

/// The database of the console.
pub const CONSOLE: &str = "pgbouncer";

pub fn log_in(who: usize) -> Step {
    log_in_as(who, &[("user", "app"), ("database", "app")])
}

pub fn log_in_as(who: usize, parameters: &[(&str, &str)]) -> Step {
    let user = parameters.iter().find(|(name, _)| *name == "user").map_or("", |(_, user)| user);
    connect(who, raw::startup_message(196_608, parameters), &format!("{user}-secret"))
}

pub fn connect(who: usize, first: Vec<u8>, password: &str) -> Step {
    Step::Connect { who, first, secret: Secret::Password(password.into()), until: Until::Ready(1) }
}

/// Sends frames and waits for as many answers as they ask for.
pub fn ask(who: usize, frames: &[Vec<u8>]) -> Step {
    let asking = frames.iter().filter(|frame| matches!(frame.first(), Some(b'Q' | b'F' | b'S'))).count();
    send(who, frames.concat(), Until::Ready(asking))
}

pub fn query(who: usize, sql: &str) -> Step {
    ask(who, &[raw::query(sql)])
}

pub fn send(who: usize, bytes: Vec<u8>, until: Until) -> Step {
    Step::Send { who, bytes, until }
}

pub fn leave(who: usize) -> Step {
    Step::Leave { who, words: raw::frame(b'X', &[]) }
}

impl Step {
    pub fn client(&self) -> Option<usize> {
        match self {
            Self::Connect { who, .. }
            | Self::Send { who, .. }
            | Self::Await { who, .. }
            | Self::Leave { who, .. }
            | Self::Cancel { who } => Some(*who),
            Self::Running { .. } | Self::Waiting { .. } => None,
        }
    }

    /// The same step of another client, so many further on.
    pub fn of_client_plus(mut self, more: usize) -> Self {
        match &mut self {
            Self::Connect { who, .. }
            | Self::Send { who, .. }
            | Self::Await { who, .. }
            | Self::Leave { who, .. }
            | Self::Cancel { who } => *who += more,
            Self::Running { .. } | Self::Waiting { .. } => {}
        }
        self
    }

    /// Whether a StartupMessage asks for the console.
    pub fn is_for_the_console(&self) -> bool {
        let Self::Connect { first, .. } = self else { return false };
        let mut words = first.get(8..).unwrap_or_default().split(|byte| *byte == 0);
        words.any(|word| word == CONSOLE.as_bytes())
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |bytes: &[u8]| -> String {
            let most = &bytes[..bytes.len().min(300)];
            format!("{}{}", most.escape_ascii(), if most.len() < bytes.len() { "…" } else { "" })
        };
        match self {
            Self::Connect { who, first, secret, until } => {
                write!(to, "client {who} connects: {} ({secret:?}, {until:?})", shown(first))
            }
            Self::Send { who, bytes, until } => write!(to, "client {who}: {} ({until:?})", shown(bytes)),
            Self::Await { who, until } => write!(to, "client {who} reads on ({until:?})"),
            Self::Leave { who, words } => write!(to, "client {who} leaves: {}", shown(words)),
            Self::Cancel { who } => write!(to, "a cancel for client {who}"),
            Self::Running { count } => write!(to, "wait until {count} queries run"),
            Self::Waiting { count } => write!(to, "wait until {count} clients wait"),
        }
    }
}
