//! Who works as whom: the clients of all workers with what they have proven.

use super::Status;
use super::views::state_word;
use crate::core::{Answer, ClientIdentity, Command};
use std::sync::Arc;

/// One client that has logged in.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Who it is.
    pub identity: Arc<ClientIdentity>,
    /// Its name outside of this run.
    pub name: Box<str>,
    /// Its state of SHOW CLIENTS.
    pub state: &'static str,
    /// Why its session is to end, in a word.
    pub ending: Option<&'static str>,
    /// Its present `application_name`.
    pub application_name: Arc<str>,
}

impl SessionView {
    /// Whom its proof names, or its user.
    pub fn principal(&self) -> &str {
        self.identity.principal()
    }

    /// Its number of SHOW.
    pub fn id(&self) -> u64 {
        self.identity.socket_id
    }
}

impl Status {
    /// Every client that a worker has.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn sessions(&self) -> Vec<SessionView> {
        let mut views = Vec::new();
        for answer in self.plane.ask_all(|| Command::Clients).await {
            let Answer::Clients(rows) = answer else { continue };
            views.extend(rows.into_iter().map(|row| SessionView {
                name: self.plane.session_id(row.identity.socket_id).to_string().into(),
                state: state_word(row.state),
                ending: row.ending,
                application_name: row.application_name,
                identity: row.identity,
            }));
        }
        views
    }
}
