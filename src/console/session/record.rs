//! What the log and the audit log hear of a client of the console: errors, each command, and its leaving.
//!
//! Never a secret: of a setting that may hold one its name alone, of a text that nobody understands nothing.

use super::super::control::Refused;
use super::super::grammar::{Order, Shutdown};
use super::reply::Reply;
use super::{End, Session};
use crate::audit::{Event, Logout, Totals, may_hold_secrets};
use crate::base::{Micros, log_about};
use crate::config::Setting;
use crate::wire::sqlstate;

/// What a text is called that is no command.
pub(super) const NO_COMMAND: &str = "(not understood)";

impl Session {
    /// An error that its client is told. What it says of a command may hold a password that somebody has
    /// typed here by mistake.
    pub(super) fn log_error(&self, text: &str) {
        let text = if may_hold_secrets(text) { "(hidden: it may hold a secret)" } else { text };
        if self.console.status.plane.policy.load().snapshot.settings.log_pooler_errors {
            log_about!(warn, self.identity.about(), "pooler error: {text}");
        }
    }

    pub(super) fn log_end(&self, end: &End, age: u64) {
        let reason = &end.reason;
        if self.console.status.plane.policy.load().snapshot.settings.log_disconnections {
            let is_of_identity = end.told == Some(sqlstate::INVALID_AUTHORIZATION);
            let whose = self.identity.proof.principal.as_ref().filter(|_| is_of_identity);
            let reason = whose.map_or_else(|| reason.clone(), |whose| format!("{reason}, {whose}"));
            log_about!(info, self.identity.about(), "closing because: {reason} (age={age}s)");
        }
        if end.told.is_some() {
            self.log_error(reason);
        }
    }

    /// A command was answered, or is about to be.
    pub(super) fn record(&self, command: Option<&Order>, reply: &Reply) {
        self.console.status.plane.audit.post(|| {
            let error = match reply {
                Reply::Error { .. } if command.is_none() => Some(NO_COMMAND.into()),
                Reply::Error { text, .. } => Some(text.as_str().into()),
                _ => None,
            };
            let command = command.map_or_else(|| NO_COMMAND.to_owned(), words);
            let (who, sessions_ended) = (Box::new(self.identity.who()), reply.sessions_ended());
            Event::Console { who, command: command.into(), error, sessions_ended }
        });
    }

    /// The client has left.
    pub(super) fn record_end(&self, end: &End, began: Micros) {
        let plane = &self.console.status.plane;
        plane.audit.post(|| {
            let now = plane.now();
            Event::Logout(Box::new(Logout {
                who: self.identity.who(),
                reason: end.reason.as_str().into(),
                at: now,
                duration: now.since(began),
                totals: Totals::default(),
            }))
        });
    }
}

/// Logs a command that was taken.
pub(super) fn logged<T>(
    result: Result<T, Refused>,
    command: &str,
    name: &Option<String>,
) -> Result<T, Refused> {
    if result.is_ok() {
        match name {
            Some(name) => tracing::info!("{command} '{name}' command issued"),
            None => tracing::info!("{command} command issued"),
        }
    }
    result
}

/// Logs a KILL_PRINCIPAL, and how many sessions it has ended.
pub(super) fn log_kill(name: &str, whose: Option<&str>, ended: usize) {
    let whose = whose.map_or_else(|| "any issuer or method".to_owned(), |whose| format!("'{whose}'"));
    tracing::info!("KILL_PRINCIPAL '{name}' of {whose} command issued: {ended} sessions ended");
}

/// A command as it may be shown.
fn words(order: &Order) -> String {
    let of = |verb: &str, name: &Option<String>| match name {
        Some(name) => format!("{verb} {name}"),
        None => verb.to_owned(),
    };
    match order {
        Order::Show(shown) => format!("SHOW {}", shown.name.to_uppercase()),
        Order::Set { key, value } => {
            let may_be_shown = |setting: &Setting| {
                !(setting.may_hold_secret() || setting.is_sql() && may_hold_secrets(value))
            };
            let shown = if Setting::named(key).is_some_and(may_be_shown) { value } else { "(hidden)" };
            format!("SET {key} = {shown}")
        }
        Order::Reload => "RELOAD".to_owned(),
        Order::Pause(name) => of("PAUSE", name),
        Order::Resume(name) => of("RESUME", name),
        Order::Suspend => "SUSPEND".to_owned(),
        Order::Kill(name) => of("KILL", name),
        Order::KillClient(id) => format!("KILL_CLIENT {id}"),
        Order::KillPrincipal { name, whose: None } => format!("KILL_PRINCIPAL {name}"),
        Order::KillPrincipal { name, whose: Some(whose) } => format!("KILL_PRINCIPAL {name} {whose}"),
        Order::Disable(name) => format!("DISABLE {name}"),
        Order::Enable(name) => format!("ENABLE {name}"),
        Order::Reconnect(name) => of("RECONNECT", name),
        Order::WaitClose(name) => of("WAIT_CLOSE", name),
        Order::IamRefresh(name) => of("IAM REFRESH", name),
        Order::Shutdown(Shutdown::Immediate) => "SHUTDOWN".to_owned(),
        Order::Shutdown(Shutdown::WaitForServers) => "SHUTDOWN WAIT_FOR_SERVERS".to_owned(),
        Order::Shutdown(Shutdown::WaitForClients) => "SHUTDOWN WAIT_FOR_CLIENTS".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::grammar::parse;
    use super::*;

    #[test]
    fn a_command_is_told_and_no_secret_of_it() {
        for (text, told) in [
            ("show pools;", "SHOW POOLS"),
            ("SET pool_mode = 'session'", "SET pool_mode = session"),
            ("SET auth_ldap_options = 'ldapbindpasswd=sesame'", "SET auth_ldap_options = (hidden)"),
            ("SET sesame = 'open'", "SET sesame = (hidden)"),
            ("SET server_reset_query = 'set x.password = y'", "SET server_reset_query = (hidden)"),
            ("SET server_reset_query = 'reset all'", "SET server_reset_query = reset all"),
            ("kill shop", "KILL shop"),
            ("SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN WAIT_FOR_CLIENTS"),
        ] {
            assert_eq!(words(&parse(text).unwrap()), told);
        }
    }
}
