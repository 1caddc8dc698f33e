//! What the console and signals ask of the whole process: reload, SET, shutdown.
//!
//! Source: PgBouncer, src/main.c (signals) and src/admin.c.

use super::{Control, ProcessOrder, Refused};
use crate::console::show_process::Standing;
use crate::control::Phase;
use crate::core::Command;
use tokio::sync::oneshot;

impl Control {
    /// RELOAD. `boot` logs what was wrong.
    ///
    /// # Errors
    /// [`Refused::Reload`].
    /// # Cancel safety
    /// The reload takes place all the same.
    pub async fn reload(&self) -> Result<(), Refused> {
        let (reply, answer) = oneshot::channel();
        // Nobody takes orders any more when the process is at its end.
        let _ = self.orders.send(ProcessOrder::Reload(reply));
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refused::Reload),
        }
    }

    /// SET; gives the text of a notice, where there is one.
    ///
    /// # Errors
    /// [`Refused::Set`]; the reason is logged.
    /// # Cancel safety
    /// The setting is changed all the same.
    pub async fn set(&self, key: String, value: String) -> Result<Option<String>, Refused> {
        let (reply, answer) = oneshot::channel();
        // Nobody takes orders any more when the process is at its end.
        let _ = self.orders.send(ProcessOrder::Set { key, value, reply });
        match answer.await {
            Ok(Ok(notice)) => Ok(notice),
            Ok(Err(reason)) => {
                tracing::error!("{reason}");
                Err(Refused::Set)
            }
            Err(_) => Err(Refused::Set),
        }
    }

    /// SHUTDOWN at once.
    pub fn exit(&self) {
        // Nobody takes orders any more when the process is at its end.
        let _ = self.orders.send(ProcessOrder::Exit);
    }

    /// SHUTDOWN WAIT_FOR_…, by way of `boot`, which closes listeners and waits.
    pub fn shut_down(&self, phase: Phase) {
        // Nobody takes orders any more when the process is at its end.
        let _ = self.orders.send(ProcessOrder::Shutdown(phase));
    }

    /// Enters a phase of shutdown: pools are told. WAIT_FOR_SERVERS pauses. SUSPEND ends, or nobody whom it
    /// waits for could ever leave. For `boot`, which looks for the end.
    pub fn begin_shutdown(&self, phase: Phase) {
        let mut switch = self.switch();
        let is_suspended = switch.standing == Standing::Suspended;
        if phase == Phase::WaitForServers && switch.standing != Standing::Paused {
            switch.turn(Standing::Paused);
        } else if is_suspended {
            switch.turn(Standing::Active);
        }
        if is_suspended {
            self.plane.tell_all(|| Command::Unsuspend);
        }
        self.plane.begin_shutdown(phase);
    }

    /// SIGUSR1.
    pub fn sigusr1(&self) {
        match self.pause(None) {
            Ok(_) => tracing::info!("got SIGUSR1, pausing all activity"),
            Err(_) => tracing::info!("got SIGUSR1, but already paused/suspended"),
        }
    }

    /// SIGUSR2.
    pub fn sigusr2(&self) {
        let from = if self.standing() == Standing::Suspended { "SUSPEND" } else { "PAUSE" };
        match self.resume(None) {
            Ok(()) => tracing::info!("got SIGUSR2, continuing from {from}"),
            Err(Refused::ShuttingDown) => tracing::info!("got SIGUSR2 while shutting down, ignoring"),
            Err(_) => tracing::info!("got SIGUSR2, but not paused/suspended"),
        }
    }
}
