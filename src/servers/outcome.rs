//! What one attempt to open a server comes to: its connection, how a try failed, and what
//! follows for the next one.
//!
//! Values only: who tries is `attempt.rs`, by IAM `iam/attempt.rs`.

use super::connect::{ConnectError, LoginFailure, Opened};
use super::handshake::Handshake;
use super::iam::NoToken;
use crate::audit::LoginCredential;
use crate::base::Micros;
use crate::control::{LoginEntry, LoginTrouble};
use crate::core::Authorization;
use crate::iam::denial::Class;
use crate::wire::Fault;
use std::borrow::Cow;
use std::sync::Arc;

/// The connection of an attempt. It outlives the attempt's future, so that whatever ends that, a session that
/// PostgreSQL counts is ended in order.
#[derive(Default)]
pub(in crate::servers) struct LoginConnection {
    /// There is, or was, a connection to `peer`: what is slow from now on is its answer.
    pub(in crate::servers) is_reached: bool,
    pub(in crate::servers) opened: Option<Opened>,
    pub handshake: Option<Handshake>,
    /// What it is called in the log.
    pub peer: String,
    /// Its row of SHOW SERVERS until a worker has it.
    pub(in crate::servers) row: Option<LoginEntry>,
    /// When it was begun, where that is not when the attempt was.
    pub begun_at: Option<Micros>,
    /// For how long its login counts.
    pub authorization: Option<Authorization>,
    /// Where it is, as caps count it.
    pub endpoint: Option<Arc<str>>,
    /// User that was logged in as last.
    pub user: Option<Arc<str>>,
    /// What that was proven by, as the audit log names it.
    pub credential: Option<LoginCredential>,
    /// What the system or the server said as the last try by IAM failed.
    pub detail: Option<String>,
}

impl LoginConnection {
    /// Ends what was tried so far, so that something else can be tried.
    pub(super) async fn end(&mut self) {
        let (opened, handshake) = (self.opened.take(), self.handshake.take());
        self.row = None;
        self.is_reached = false;
        if let (Some(opened), Some(handshake)) = (opened, handshake)
            && handshake.is_accepted()
        {
            opened.terminate().await;
        }
    }

    /// What it means that its time is over.
    pub(super) fn timed_out(&self) -> AttemptError {
        match self.is_reached {
            true => AttemptError::TimedOut,
            false => AttemptError::Connect(ConnectError::new("connect failed", "timed out")),
        }
    }
}

/// Why an attempt has failed.
pub(in crate::servers) struct Failure {
    /// "closing because: …".
    pub reason: Cow<'static, str>,
    /// The whole reason, for clients; `None` = the other one says it all.
    pub why: Option<Arc<str>>,
    /// What those who wait are told; `None` = they go on waiting.
    pub fault: Option<Fault>,
    /// What follows.
    pub sequel: RetryDecision,
    /// The server does not take what was shown to it.
    pub is_unproven: bool,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::servers) enum RetryDecision {
    /// Nothing: it is no sign that the next one fails too.
    Nothing,
    /// Until `server_login_retry` is over, clients of a pool without servers are refused.
    Retry,
    /// The same, but this is the server's own answer, for which it may be asked again soon.
    Refused,
    /// The same until this time.
    RefuseUntil(Micros),
    /// Clients wait; the next attempt is made not before this time.
    WaitUntil(Micros),
}

impl RetryDecision {
    /// The same, as soon as either of two hosts may be tried again.
    fn or_sooner(self, other: Self) -> Self {
        let (Self::RefuseUntil(at) | Self::WaitUntil(at)) = other else { return self };
        match self {
            Self::RefuseUntil(until) => Self::RefuseUntil(until.min(at)),
            Self::WaitUntil(until) => Self::WaitUntil(until.min(at)),
            Self::Nothing | Self::Retry | Self::Refused => self,
        }
    }
}

/// Why one host of an entry's was given up, and what that means where others may do better.
pub(in crate::servers) struct HostFailure {
    pub failure: Failure,
    pub class: Class,
}

impl HostFailure {
    /// What they come to where another was given up before. Whoever may be let in by one of them soon waits;
    /// a host that cannot be reached excuses no refusal of another.
    pub(in crate::servers) fn behind(self, before: Option<Self>) -> Self {
        let Some(before) = before else { return self };
        let weight = |class: Class| match class {
            Class::Unreachable => 0,
            Class::Denied => 1,
            Class::Throttled | Class::Service | Class::Clock | Class::Credentials => 2,
        };
        // the log tells each host's own reason
        let reason = self.failure.reason.clone();
        let is_before = weight(before.class) > weight(self.class);
        let (counts, other) = if is_before { (before, self) } else { (self, before) };
        let sequel = counts.failure.sequel.or_sooner(other.failure.sequel);
        Self { failure: Failure { reason, sequel, ..counts.failure }, class: counts.class }
    }
}

impl Failure {
    pub(super) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            why: None,
            fault: None,
            sequel: RetryDecision::Retry,
            is_unproven: false,
        }
    }
}

/// Why one try to connect and log in has failed.
pub(in crate::servers) enum AttemptError {
    /// There is no connection.
    Connect(ConnectError),
    /// There is no token.
    Token(NoToken),
    /// The login over it failed.
    Login(LoginFailure),
    /// The login took too long.
    TimedOut,
    /// What cannot happen on a sound system.
    System(&'static str),
}

impl AttemptError {
    /// The reason of "closing because: …".
    pub(super) fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Connect(error) => error.reason.into(),
            Self::Login(failure) => failure.reason().into_owned().into(),
            Self::Token(why) => why.to_string().into(),
            Self::TimedOut => "connect timeout".into(),
            Self::System(why) => (*why).into(),
        }
    }

    /// What the system or the server said, where it is more than the reason.
    pub(super) fn detail(&self) -> Option<String> {
        match self {
            Self::Connect(error) if error.detail.is_empty() => Some(error.reason.to_owned()),
            Self::Connect(error) => Some(format!("{}: {}", error.reason, error.detail)),
            Self::Login(LoginFailure::Login(error)) => error.log(),
            Self::Login(LoginFailure::Crashed) | Self::Token(_) | Self::TimedOut | Self::System(_) => None,
        }
    }

    /// As it is counted.
    pub(super) fn trouble(&self) -> LoginTrouble {
        match self {
            Self::Connect(_) | Self::TimedOut | Self::Login(LoginFailure::Crashed) => {
                LoginTrouble::Unreachable
            }
            Self::Token(_) => LoginTrouble::Credentials,
            Self::Login(LoginFailure::Login(error)) if error.is_refusal() => LoginTrouble::Refused,
            Self::Login(LoginFailure::Login(_)) | Self::System(_) => LoginTrouble::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host of that class that may be tried again at that second.
    fn failed(class: Class, at: u64) -> HostFailure {
        let at = Micros::from_secs(at);
        let sequel = match class {
            Class::Denied => RetryDecision::RefuseUntil(at),
            _ => RetryDecision::WaitUntil(at),
        };
        let why = Some(class.name().into());
        HostFailure { failure: Failure { sequel, why, ..Failure::new(class.name()) }, class }
    }

    #[test]
    fn of_two_hosts_the_one_counts_that_may_soon_let_in_then_the_one_that_refuses() {
        use Class::{Denied, Service, Throttled, Unreachable};
        for (one, two, counts) in [
            (Denied, Unreachable, Denied),
            (Denied, Denied, Denied),
            (Denied, Throttled, Throttled),
            (Service, Unreachable, Service),
            (Unreachable, Unreachable, Unreachable),
        ] {
            for (first, later, at, later_at) in [(one, two, 3, 9), (one, two, 9, 3), (two, one, 3, 9)] {
                let both = failed(later, later_at).behind(Some(failed(first, at)));
                assert_eq!((both.class, both.failure.why.as_deref()), (counts, Some(counts.name())));
                assert_eq!(both.failure.reason, later.name(), "the log tells what the last one said");
                let sooner = failed(counts, 3).failure.sequel;
                assert_eq!(both.failure.sequel, sooner, "{first:?}, {later:?}: as soon as either may be");
            }
        }
    }
}
