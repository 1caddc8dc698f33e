//! How many files the process may open, and how many it may need.
//!
//! Source: PgBouncer, src/main.c.

use super::policy::Loaded;
use crate::base::limits;
use crate::config::{Database, Settings, Snapshot};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the process open as many files as the system allows. PgBouncer only logs the limit; thousands of
/// clients on a soft limit of 1,024 are the commonest of accidents.
pub(super) fn raise_limit(loaded: &Loaded) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!("could not raise the limit of open files: {error}");
        }
    }
    let text = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let now = getrlimit(Resource::Nofile);
    let snapshot = &loaded.policy.snapshot;
    let clients = snapshot.settings.max_client_conn;
    let expected = expected(snapshot, loaded.policy.users.count(), now.current);
    tracing::info!(
        "kernel file descriptor limit: {} (hard: {}); max_client_conn: {clients}, max expected fd use: \
         {expected}",
        text(now.current),
        text(now.maximum)
    );
    if let Some(limit) = now.current.filter(|limit| *limit < expected) {
        tracing::warn!(
            "the limit of {limit} open files is too low for all that is configured, which may need {expected}"
        );
    }
}

/// The most descriptors that the files allow to be needed: for clients, those who are logging in, and the
/// servers of every pool, `users` being those of `auth_file`.
fn expected(snapshot: &Snapshot, users: usize, limit: Option<u64>) -> u64 {
    const OWN: u64 = 64; // listeners, log, workers' own, files being read
    let clients = u64::from(snapshot.settings.max_client_conn);
    (OWN + clients + logging_in(&snapshot.settings, limit)).saturating_add(servers(snapshot, users))
}

fn logging_in(settings: &Settings, limit: Option<u64>) -> u64 {
    let of_limit = limit.map_or(u64::MAX, |limit| limit / limits::LOGIN_FILES_PART);
    match settings.max_login_conn {
        0 if limit.is_none() => 0,
        0 => of_limit,
        most => u64::from(most).min(of_limit),
    }
}

fn servers(snapshot: &Snapshot, users: usize) -> u64 {
    let of_one = |database: &Database| {
        let user = database.user.as_deref();
        let pools = if user.is_some() { 1 } else { users.max(1) as u64 };
        let rules = snapshot.pool_rules(database, user.unwrap_or_default());
        let most = pools.saturating_mul(rules.pool_size.into());
        if rules.max_db_connections > 0 { most.min(rules.max_db_connections.into()) } else { most }
    };
    snapshot.databases.values().map(|database| of_one(database)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected_of(databases: &str, settings: &str, users: usize, limit: Option<u64>) -> u64 {
        let text = format!("[databases]\n{databases}[pgbouncer]\nmax_client_conn = 1000\n{settings}");
        let read = |_: &str| Ok(text.clone().into_bytes());
        let snapshot = Snapshot::load_with("p.ini", None, &read).expect("is right");
        expected(&snapshot, users, limit)
    }

    #[test]
    fn open_files_are_expected_for_clients_logins_and_servers() {
        let logins = "max_login_conn = 100\n";
        assert_eq!(expected_of("", logins, 3, Some(10_000)), 1_164);
        assert_eq!(expected_of("", logins, 3, Some(200)), 1_114, "a quarter of the limit at the most");
        assert_eq!(expected_of("", "max_login_conn = 0\n", 3, Some(1_000)), 1_314);
        let databases = "own = user=u\nall = pool_size=5\ncapped = max_db_connections=7\n";
        assert_eq!(expected_of(databases, logins, 3, Some(10_000)), 1_164 + 20 + 3 * 5 + 7);
        assert_eq!(expected_of(databases, logins, 0, None), 1_164 + 20 + 5 + 7, "auth_query knows of others");
    }
}
