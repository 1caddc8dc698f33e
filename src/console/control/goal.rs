//! What a command of the console waits for: PAUSE, SUSPEND, WAIT_CLOSE.
//!
//! A goal that is given up, or whose client leaves, takes back what was ordered for it.

use super::{Control, Refused};
use crate::base::{Micros, limits};
use crate::control::Phase;
use crate::core::{Answer, Command, DatabaseShare, Scope};
use std::sync::Arc;
use std::time::Duration;

/// What an order waits for.
#[derive(Clone, Debug)]
pub enum Goal {
    /// PAUSE by the order of this number: no server is left.
    NoServers(u64),
    /// PAUSE of one database: none of its servers is left.
    NoServersOf(Arc<DatabaseShare>),
    /// SUSPEND by the order of this number: everything is sent.
    AllSent(u64),
    /// WAIT_CLOSE: no server is left that is to be closed, of all databases or of one.
    NoneToClose(Option<Arc<str>>),
}

impl Control {
    /// Waits until `goal` is reached.
    ///
    /// # Errors
    /// [`Refused::Resumed`]: it cannot be reached any more, since the order was taken back.
    /// # Cancel safety
    /// Dropping it only ends the waiting; the order stands.
    pub async fn reached(&self, goal: &Goal) -> Result<(), Refused> {
        let began = self.plane.now();
        let mut dropped_unsent = false;
        loop {
            if !self.stands(goal) {
                return Err(Refused::Resumed);
            }
            if self.is_reached(goal).await {
                return Ok(());
            }
            if let Goal::AllSent(order) = goal
                && !dropped_unsent
                && self.is_over(began)
            {
                let switch = self.switch();
                if switch.order == *order {
                    self.plane.tell_all(|| Command::DropUnsent);
                }
                dropped_unsent = true;
            }
            tokio::time::sleep(Duration::from_millis(limits::CONSOLE_POLL_MS)).await;
        }
    }

    /// Whether `suspend_timeout` is over for what began then.
    pub(super) fn is_over(&self, began: Micros) -> bool {
        let timeout = self.plane.policy.load().snapshot.settings.suspend_timeout;
        timeout > Micros(0) && self.plane.now().since(began) >= timeout
    }

    /// Whether the order that waits for `goal` is still in force.
    pub(super) fn stands(&self, goal: &Goal) -> bool {
        match goal {
            Goal::NoServers(order) | Goal::AllSent(order) => self.switch().order == *order,
            Goal::NoServersOf(database) => database.is_paused(),
            Goal::NoneToClose(_) => true,
        }
    }

    pub(super) async fn is_reached(&self, goal: &Goal) -> bool {
        match goal {
            Goal::NoServers(_) => self.plane.places.all_servers() == 0,
            Goal::NoServersOf(database) => {
                self.plane.places.servers_in(&Scope::Database(Arc::clone(&database.name))) == 0
            }
            Goal::AllSent(_) => {
                let answers = self.plane.ask_all(|| Command::IsAllSent).await;
                answers.iter().all(|answer| matches!(answer, Answer::Found(true)))
            }
            Goal::NoneToClose(database) => {
                let answers = self.plane.ask_all(|| Command::Servers).await;
                let rows = answers.into_iter().flat_map(|answer| match answer {
                    Answer::Servers(rows) => rows,
                    _ => Vec::new(),
                });
                let concerns = |name: &Arc<str>| database.as_ref().is_none_or(|database| database == name);
                !rows.into_iter().any(|row| row.close_needed && concerns(&row.identity.database))
            }
        }
    }

    /// A cancel request for a client that waits for `goal`: the order is taken back.
    pub fn take_back(&self, goal: &Goal) {
        match goal {
            Goal::NoServers(order) | Goal::AllSent(order) if self.plane.phase() == Phase::Running => {
                // Somebody else may have resumed already.
                let _ = self.resume_all(Some(*order));
            }
            Goal::NoServers(_) | Goal::AllSent(_) => {}
            Goal::NoServersOf(database) => self.resume_database(database),
            Goal::NoneToClose(_) => {}
        }
    }
}
