//! What the log says of one login to a server.
//!
//! Source: PgBouncer, src/server.c and src/objects.c (log lines).

use super::Attempt;
use crate::base::{About, Address, log_about};
use crate::servers::connect::{ConnectError, Opened};
use crate::servers::login_error::LoginError;
use std::fmt::Display;

impl Attempt {
    pub(in crate::servers) fn log_connect_error(&self, peer: &str, error: &ConnectError) {
        if !error.detail.is_empty() {
            let (reason, detail) = (error.reason, &error.detail);
            log_about!(warn, self.about(&peer), "{reason}: {detail}");
        }
    }

    /// As the log names this login's connection, whose other end is `peer`.
    pub(in crate::servers) fn about<'a>(&'a self, peer: &'a dyn Display) -> About<'a> {
        let (database, user) = self.names();
        About { side: "S", id: self.socket_id, database, user, peer }
    }

    pub(in crate::servers) fn names(&self) -> (&str, &str) {
        (&self.entry.share.database.name, &self.entry.share.user)
    }

    pub(in crate::servers) fn log_connection(&self, opened: &Opened) {
        if !self.policy.snapshot.settings.log_connections {
            return;
        }
        let about = self.about(&opened.remote);
        match &opened.local {
            Address::Tcp(from) => {
                log_about!(info, about, "new connection to server (from {from})")
            }
            Address::Unix { .. } => {
                log_about!(info, about, "new connection to server")
            }
        }
        if !opened.tls.is_empty() {
            log_about!(info, about, "SSL established: {}", opened.tls);
        }
    }

    pub(in crate::servers) fn log_refusal(&self, error: &LoginError, peer: &str) {
        match (error, error.log()) {
            // PgBouncer's line about the server's own words has no prefix.
            (LoginError::Refused { severity, text, .. }, _) => {
                tracing::warn!("server login failed: {severity} {text}");
            }
            (_, Some(why)) => log_about!(error, self.about(&peer), "{why}"),
            (_, None) => {}
        }
    }

    pub(in crate::servers) fn log_close(&self, peer: &str, reason: &str) {
        if self.policy.snapshot.settings.log_disconnections {
            let age = self.servers.plane.now().since(self.started).as_secs();
            log_about!(info, self.about(&peer), "closing because: {reason} (age={age}s)");
        }
    }
}
