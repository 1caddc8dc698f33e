//! How many clients there are, in all, per database and per user, and the limits on them.
//!
//! A client is counted from its proof of who it is until its socket has ended: those before it have a limit of their own
//! (`strangers.rs`), so a flood of them keeps nobody out. Counts are taken and given back once per client.
//! Source: PgBouncer, doc/config.md (`max_client_conn`, `max_db_client_connections`,
//! `max_user_client_connections`).

use crate::config::ClientLimits;
use crate::wire::Fault;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The counts of clients.
#[derive(Clone, Debug, Default)]
pub struct Admissions(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicU32,
    databases: DashMap<Arc<str>, u32>,
    users: DashMap<Arc<str>, u32>,
}

/// One client, counted until this is dropped.
#[derive(Debug)]
pub struct Admission {
    counts: Arc<Counts>,
    in_all: bool,
    database: Option<Arc<str>>,
    user: Option<Arc<str>>,
}

impl Admissions {
    /// Counts a client of `database` and `user`. What was counted before a limit is found exceeded is given back.
    ///
    /// # Errors
    /// [`Fault::TooManyClients`], [`Fault::TooManyDatabaseClients`], [`Fault::TooManyUserClients`].
    pub fn admit(
        &self,
        database: &Arc<str>,
        user: &Arc<str>,
        limits: &ClientLimits,
    ) -> Result<Admission, Fault> {
        let mut admission = Admission { counts: self.0.clone(), in_all: true, database: None, user: None };
        if self.0.all.fetch_add(1, Ordering::AcqRel) >= limits.max_client_conn {
            return Err(Fault::TooManyClients);
        }
        admission.count_names(database, user, limits)?;
        Ok(admission)
    }

    /// Counts a client of the console: `max_client_conn` does not hold for it, and the other limits only where they are
    /// given (they are not for admin users).
    ///
    /// # Errors
    /// [`Fault::TooManyDatabaseClients`], [`Fault::TooManyUserClients`].
    pub fn admit_to_console(
        &self,
        database: &Arc<str>,
        user: &Arc<str>,
        limits: Option<&ClientLimits>,
    ) -> Result<Admission, Fault> {
        const NONE: ClientLimits =
            ClientLimits { max_client_conn: 0, max_db_client_connections: 0, max_user_client_connections: 0 };
        let mut admission = Admission { counts: self.0.clone(), in_all: false, database: None, user: None };
        admission.count_names(database, user, limits.unwrap_or(&NONE))?;
        Ok(admission)
    }

    /// Clients in all, without those of the console.
    pub fn all(&self) -> u32 {
        self.0.all.load(Ordering::Acquire)
    }

    /// Clients of one database.
    pub fn of_database(&self, name: &str) -> u32 {
        self.0.databases.get(name).map_or(0, |count| *count)
    }

    /// Clients of one login user.
    pub fn of_user(&self, name: &str) -> u32 {
        self.0.users.get(name).map_or(0, |count| *count)
    }
}

impl Admission {
    fn count_names(
        &mut self,
        database: &Arc<str>,
        user: &Arc<str>,
        limits: &ClientLimits,
    ) -> Result<(), Fault> {
        self.database = Some(database.clone());
        if raise(&self.counts.databases, database, limits.max_db_client_connections) {
            return Err(Fault::TooManyDatabaseClients);
        }
        self.user = Some(user.clone());
        if raise(&self.counts.users, user, limits.max_user_client_connections) {
            return Err(Fault::TooManyUserClients);
        }
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.in_all {
            self.counts.all.fetch_sub(1, Ordering::AcqRel);
        }
        lower(&self.counts.databases, self.database.as_ref());
        lower(&self.counts.users, self.user.as_ref());
    }
}

/// Adds one; whether there are now more than `max` (0 = unlimited).
fn raise(counts: &DashMap<Arc<str>, u32>, name: &Arc<str>, max: u32) -> bool {
    let mut count = counts.entry(name.clone()).or_default();
    *count += 1;
    max > 0 && *count > max
}

/// Takes one off, and forgets the name with its last client: strangers can name anything.
fn lower(counts: &DashMap<Arc<str>, u32>, name: Option<&Arc<str>>) {
    let Some(name) = name else { return };
    if let dashmap::Entry::Occupied(mut count) = counts.entry(name.clone()) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(all: u32, database: u32, user: u32) -> ClientLimits {
        ClientLimits {
            max_client_conn: all,
            max_db_client_connections: database,
            max_user_client_connections: user,
        }
    }

    #[test]
    fn each_limit_refuses_the_first_beyond_it() {
        let (d, e, u, v): (Arc<str>, Arc<str>, Arc<str>, Arc<str>) =
            ("d".into(), "e".into(), "u".into(), "v".into());
        let admissions = Admissions::default();
        let limits = limits(3, 2, 2);
        let _first = admissions.admit(&d, &u, &limits).unwrap();
        let _second = admissions.admit(&d, &v, &limits).unwrap();
        assert_eq!(admissions.admit(&d, &v, &limits).unwrap_err(), Fault::TooManyDatabaseClients);
        let third = admissions.admit(&e, &u, &limits).unwrap();
        assert_eq!(admissions.admit(&e, &v, &limits).unwrap_err(), Fault::TooManyClients);
        drop(third);
        let _other = admissions.admit(&e, &v, &limits).unwrap();
        assert_eq!((admissions.all(), admissions.of_database("d"), admissions.of_user("v")), (3, 2, 2));
    }

    #[test]
    fn a_refused_client_leaves_no_count_behind() {
        let (d, u): (Arc<str>, Arc<str>) = ("d".into(), "u".into());
        let admissions = Admissions::default();
        let first = admissions.admit(&d, &u, &limits(9, 0, 1)).unwrap();
        assert_eq!(admissions.admit(&d, &u, &limits(9, 0, 1)).unwrap_err(), Fault::TooManyUserClients);
        assert_eq!((admissions.all(), admissions.of_database("d"), admissions.of_user("u")), (1, 1, 1));
        drop(first);
        assert_eq!((admissions.all(), admissions.of_database("d"), admissions.of_user("u")), (0, 0, 0));
        assert!(admissions.0.databases.is_empty() && admissions.0.users.is_empty());
    }

    #[test]
    fn the_console_is_open_when_all_places_are_taken() {
        let (d, u): (Arc<str>, Arc<str>) = ("pgbouncer".into(), "u".into());
        let admissions = Admissions::default();
        let limits = limits(0, 1, 1);
        let _visitor = admissions.admit_to_console(&d, &u, Some(&limits)).unwrap();
        let refused = admissions.admit_to_console(&d, &u, Some(&limits)).unwrap_err();
        assert_eq!(refused, Fault::TooManyDatabaseClients);
        let _admin = admissions.admit_to_console(&d, &u, None).unwrap();
        assert_eq!((admissions.all(), admissions.of_database("pgbouncer")), (0, 2));
    }
}
