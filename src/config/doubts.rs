//! What an operator should know of an entry that is no error: what cannot take effect as it stands. Pure.

use super::CONSOLE_DATABASE;
use super::choices::SslMode;
use super::database::Database;
use super::settings::Settings;

/// Everything of that kind about `entry` of `[databases]`, a line each.
pub(super) fn of(entry: &Database, settings: &Settings) -> impl Iterator<Item = String> {
    asks_console(entry).into_iter().chain(closed_to_tcp(entry, settings))
}

fn asks_console(entry: &Database) -> Option<String> {
    let name = &entry.name;
    let asks = entry.auth_dbname.as_deref() == Some(CONSOLE_DATABASE);
    asks.then(|| format!("database \"{name}\": auth_dbname is the console, where no auth_query runs"))
}

/// TLS is demanded of clients where nobody offers it to them.
pub(super) fn closed_to_tcp(entry: &Database, settings: &Settings) -> Option<String> {
    const WHY: &str = "client_tls_required with client_tls_sslmode=disable refuses all TCP clients";
    let is_closed = entry.client_tls_required && settings.client_tls_sslmode == SslMode::Disable;
    is_closed.then(|| format!("database \"{}\": {WHY}", entry.name))
}
