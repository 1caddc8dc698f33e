//! The clients of the console: who is there, and what they have counted.
//!
//! They live in the login plane, not on a worker, so SHOW CLIENTS, KILL_CLIENT and the statistics of the
//! admin pool learn of them here. One short lock for each command of a human.

use super::views::{Side, SocketView};
use crate::base::{Micros, PoolId};
use crate::core::ClientIdentity;
use crate::stats::Totals;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What stands for the admin pool among pools: no pool of servers ever has it.
pub(crate) const CONSOLE_POOL: PoolId = PoolId(u64::MAX);

/// All visitors of the console.
#[derive(Clone, Default)]
pub struct Visits(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    present: BTreeMap<u64, Present>,
    logins: u64,
    /// Visitors that have asked something: PgBouncer counts one query and one transaction for each.
    askers: u64,
}

struct Present {
    identity: Arc<ClientIdentity>,
    request_at: Option<Micros>,
    kill: Arc<Notify>,
}

/// One visitor; taken out of the book when this is dropped.
pub struct Visit {
    visits: Visits,
    id: u64,
    /// Told when KILL_CLIENT names this visitor.
    pub kill: Arc<Notify>,
}

impl Visits {
    /// A client has come.
    pub fn enter(&self, identity: Arc<ClientIdentity>) -> Visit {
        let (id, kill) = (identity.socket_id, Arc::new(Notify::new()));
        let mut book = self.book();
        book.logins += 1;
        book.present.insert(id, Present { identity, request_at: None, kill: Arc::clone(&kill) });
        drop(book);
        Visit { visits: self.clone(), id, kill }
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        self.book().present.len()
    }

    /// Whether anybody has ever come: the admin pool exists from then on.
    pub fn any_ever(&self) -> bool {
        self.book().logins > 0
    }

    /// What the admin pool has counted: logins, and one query and transaction for each
    /// visitor that asked something.
    pub fn counters(&self) -> crate::stats::PoolCounters {
        let book = self.book();
        crate::stats::PoolCounters {
            xact_count: book.askers,
            query_count: book.askers,
            client_login_count: book.logins,
            ..Default::default()
        }
    }

    /// The figures of [`Visits::counters`].
    pub fn totals(&self) -> Totals {
        Totals::from(&self.counters())
    }

    /// Sends a visitor away; whether there is one of this id.
    pub fn kill(&self, id: u64) -> bool {
        match self.book().present.get(&id) {
            Some(present) => {
                present.kill.notify_one();
                true
            }
            None => false,
        }
    }

    /// Their rows of SHOW CLIENTS and SOCKETS.
    pub fn rows(&self) -> Vec<SocketView> {
        let row = |present: &Present| {
            let identity = &present.identity;
            SocketView {
                side: Side::Client,
                database: Some(identity.database.to_string()),
                user: Some(identity.user.to_string()),
                state: "active",
                list: "active",
                is_active: true,
                remote: identity.remote.clone(),
                local: identity.local.clone(),
                connected_at_epoch_s: identity.connected_at_epoch_s,
                request_at: present.request_at,
                wait: Micros(0),
                close_needed: false,
                id: identity.socket_id,
                link: None,
                remote_pid: identity.remote.pid(),
                tls: identity.tls.clone(),
                application_name: String::new(),
                prepared_statements: 0,
            }
        };
        self.book().present.values().map(row).collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// The visitor asks something at `now`.
    pub fn asks(&self, now: Micros) {
        let mut book = self.visits.book();
        let Some(present) = book.present.get_mut(&self.id) else { return };
        if present.request_at.replace(now).is_none() {
            book.askers += 1;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.visits.book().present.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;

    fn identity(id: u64) -> Arc<ClientIdentity> {
        let address = Address::Unix { port: 6432, pid: 9, uid: 0 };
        Arc::new(ClientIdentity {
            socket_id: id,
            database: "pgbouncer".into(),
            user: "ada".into(),
            remote: address.clone(),
            local: address,
            tls: String::new(),
            connected_at_epoch_s: 0,
            internal: false,
        })
    }

    #[test]
    fn a_visitor_counts_one_login_and_one_query_however_much_it_asks() {
        let visits = Visits::default();
        assert!(!visits.any_ever());
        let (first, second) = (visits.enter(identity(1)), visits.enter(identity(2)));
        first.asks(Micros(5));
        first.asks(Micros(6));
        assert_eq!(
            visits.rows().iter().map(|row| (row.id, row.request_at)).collect::<Vec<_>>(),
            [(1, Some(Micros(6))), (2, None)]
        );
        drop((first, second));
        assert_eq!(visits.count(), 0);
        let counters = visits.counters();
        assert_eq!((counters.client_login_count, counters.query_count, counters.xact_count), (2, 1, 1));
        assert!(visits.any_ever());
    }

    #[tokio::test]
    async fn kill_client_reaches_a_visitor() {
        let visits = Visits::default();
        let visit = visits.enter(identity(7));
        assert!(!visits.kill(8) && visits.kill(7));
        visit.kill.notified().await;
    }
}
