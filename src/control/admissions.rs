//! How many clients there are, in all, per database and per user, and the limits on them.
//!
//! A client is counted from its proof of who it is until its socket has ended: those before it have a limit
//! of their own (`unauthenticated.rs`), so a flood of them keeps nobody out. Counts are taken and given back
//! once per client. Source: PgBouncer, doc/config.md (`max_client_conn`, `max_db_client_connections`,
//! `max_user_client_connections`).

use crate::config::ClientLimits;
use crate::stats::CLIENT_LIMITS;
use crate::wire::Fault;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The counts of clients.
#[derive(Clone, Debug, Default)]
pub struct Admissions(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicU32,
    databases: DashMap<Arc<str>, u32>,
    users: DashMap<Arc<str>, u32>,
    refused: [AtomicU64; CLIENT_LIMITS.len()],
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
    /// Counts a client of `database` and `user`. What was counted before a limit is
    /// found exceeded is given back.
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

    /// Counts a client of the console: `max_client_conn` does not hold for it, and the other limits only
    /// where they are given (they are not for admin users).
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

    /// Counts a client that is refused so; gives `fault` back.
    pub fn refuse(&self, fault: Fault) -> Fault {
        let limit = match fault {
            Fault::TooManyClients => 0,
            Fault::TooManyDatabaseClients => 1,
            _ => 2,
        };
        self.0.refused[limit].fetch_add(1, Ordering::Relaxed);
        fault
    }

    /// Clients that were refused at each limit since the start, in the order of [`CLIENT_LIMITS`].
    pub fn refused(&self) -> [u64; CLIENT_LIMITS.len()] {
        self.0.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
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
        let (database, is_beyond) = raise(&self.counts.databases, database, limits.max_db_client_connections);
        self.database = Some(database);
        if is_beyond {
            return Err(Fault::TooManyDatabaseClients);
        }
        let (user, is_beyond) = raise(&self.counts.users, user, limits.max_user_client_connections);
        self.user = Some(user);
        if is_beyond {
            return Err(Fault::TooManyUserClients);
        }
        Ok(())
    }

    /// The database and the user that it is counted under: one copy for all clients of these names.
    pub fn names(&self) -> Option<(Arc<str>, Arc<str>)> {
        self.database.clone().zip(self.user.clone())
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

/// Adds one; the name as all that are counted have it, and whether there are now more
/// than `max` (0 = unlimited).
fn raise(counts: &DashMap<Arc<str>, u32>, name: &Arc<str>, max: u32) -> (Arc<str>, bool) {
    let entry = counts.entry(name.clone());
    let name = entry.key().clone();
    let mut count = entry.or_default();
    *count += 1;
    (name, max > 0 && *count > max)
}

/// Takes one off, and forgets the name with its last client: anybody can name anything.
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
    fn clients_of_one_name_share_one_copy_of_it() {
        let (admissions, limits) = (Admissions::default(), limits(0, 0, 0));
        let admit = |database: &str, user: &str| {
            let limits = ClientLimits { max_client_conn: u32::MAX, ..limits };
            admissions.admit(&database.into(), &user.into(), &limits).unwrap()
        };
        let (first, second, other) = (admit("d", "u"), admit("d", "u"), admit("d", "v"));
        let (database, user) = first.names().unwrap();
        let names = second.names().unwrap();
        assert!(Arc::ptr_eq(&names.0, &database) && Arc::ptr_eq(&names.1, &user));
        let names = other.names().unwrap();
        assert!(Arc::ptr_eq(&names.0, &database) && &*names.1 == "v");
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
        assert_eq!(admissions.refused(), [0; 3], "that is for whoever refuses them to say");
        for (number, fault) in
            [Fault::TooManyClients, Fault::TooManyDatabaseClients, Fault::TooManyUserClients]
                .into_iter()
                .enumerate()
        {
            assert_eq!(admissions.refuse(fault.clone()), fault);
            assert_eq!(admissions.refused()[number], 1);
        }
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
