//! Signals -> values. Source: PgBouncer, doc/usage.md (Signals).

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalAction {
    /// SIGHUP.
    Reload,
    /// SIGTERM: end when no client is left.
    WaitForClients,
    /// SIGINT: pause, end when no server is left.
    WaitForServers,
    /// SIGQUIT.
    Exit,
    /// SIGUSR1.
    Pause,
    /// SIGUSR2.
    Resume,
}

/// The signals that the process listens to.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    /// Begins to listen; to be called on the runtime.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    ///
    /// # Cancel safety
    /// A signal that comes while nobody waits is delivered to the next call.
    pub(super) async fn next(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.hangup.recv() => SignalAction::Reload,
            _ = self.terminate.recv() => SignalAction::WaitForClients,
            _ = self.interrupt.recv() => SignalAction::WaitForServers,
            _ = self.quit.recv() => SignalAction::Exit,
            _ = self.user1.recv() => SignalAction::Pause,
            _ = self.user2.recv() => SignalAction::Resume,
        }
    }
}
