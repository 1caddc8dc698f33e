//! The clients of the console: who is there, and what they have counted.
//!
//! They live in the login plane, not on a worker, so SHOW CLIENTS, KILL_CLIENT, the statistics of the admin
//! pool and the limits on clients learn of them here. One short lock for each command of a human.

use crate::base::{Micros, PoolId};
use crate::core::ClientIdentity;
use crate::stats::Totals;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// What stands for the admin pool among pools: no pool of servers ever has it.
pub(crate) const CONSOLE_POOL: PoolId = PoolId(u64::MAX);

/// All clients of the console.
#[derive(Clone, Default)]
pub struct ConsoleClients(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    present: BTreeMap<u64, Present>,
    logins: u64,
    /// Clients that have asked something: PgBouncer counts one query and one transaction for each.
    askers: u64,
}

struct Present {
    identity: Arc<ClientIdentity>,
    request_at: Option<Micros>,
    kill: Arc<Notify>,
    look: Arc<Notify>,
    /// Who wants to know whether it is still there; `None` while something is done for it.
    askers: Option<Vec<oneshot::Sender<()>>>,
}

impl Present {
    /// Has it listened to, and says when that is done.
    fn listen_to(&mut self) -> Option<oneshot::Receiver<()>> {
        let (tell, heard) = oneshot::channel();
        self.askers.as_mut()?.push(tell);
        self.look.notify_one();
        Some(heard)
    }
}

/// One client; taken out of the table when this is dropped.
pub struct ConsoleClient {
    console_clients: ConsoleClients,
    id: u64,
    /// Told when KILL_CLIENT names this client.
    pub kill: Arc<Notify>,
    /// Told when somebody wants to know whether it is still there ([`ConsoleClient::is_here`]).
    pub look: Arc<Notify>,
}

impl ConsoleClients {
    /// A client has come.
    pub fn enter(&self, identity: Arc<ClientIdentity>) -> ConsoleClient {
        let (id, kill, look) = (identity.socket_id, Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut table = self.table();
        table.logins += 1;
        let present = Present {
            identity,
            request_at: None,
            kill: Arc::clone(&kill),
            look: Arc::clone(&look),
            askers: None,
        };
        table.present.insert(id, present);
        drop(table);
        ConsoleClient { console_clients: self.clone(), id, kill, look }
    }

    /// Waits until those for whom nothing is being done have been listened to: whoever has left by now is not
    /// there any more then. Their sockets are watched by tokio, which may hear of who asks before it hears of
    /// who left earlier.
    ///
    /// # Cancel safety
    /// They are listened to all the same.
    pub async fn hear_out(&self) {
        let all: Vec<_> = self.table().present.values_mut().filter_map(Present::listen_to).collect();
        for heard in all {
            let _ = heard.await; // one that has gone meanwhile has been heard, too
        }
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        self.table().present.len()
    }

    /// Whether anybody has ever come: the admin pool exists from then on.
    pub fn any_ever(&self) -> bool {
        self.table().logins > 0
    }

    /// What the admin pool has counted: logins, and one query and transaction for each
    /// client that asked something.
    pub fn counters(&self) -> crate::stats::PoolCounters {
        let table = self.table();
        crate::stats::PoolCounters {
            xact_count: table.askers,
            query_count: table.askers,
            client_login_count: table.logins,
            ..Default::default()
        }
    }

    /// The figures of [`ConsoleClients::counters`].
    pub fn totals(&self) -> Totals {
        Totals::from(&self.counters())
    }

    /// Sends a client away; whether there is one of this id.
    pub fn kill(&self, id: u64) -> bool {
        match self.table().present.get(&id) {
            Some(present) => {
                present.kill.notify_one();
                true
            }
            None => false,
        }
    }

    /// Sends those away that `is_meant` holds for; how many.
    pub fn kill_meant(&self, is_meant: impl Fn(&ClientIdentity) -> bool) -> usize {
        let table = self.table();
        let meant = table.present.values().filter(|present| is_meant(&present.identity));
        meant.map(|present| present.kill.notify_one()).count()
    }

    /// What `row` makes of each: who it is, and since when it has asked for what it asked for last.
    pub fn rows<T>(&self, row: impl Fn(&ClientIdentity, Option<Micros>) -> T) -> Vec<T> {
        let of = |present: &Present| row(&present.identity, present.request_at);
        self.table().present.values().map(of).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConsoleClient {
    /// From now on nothing is done for it but what it may take or leave: it can be listened to.
    pub fn rests(&self) {
        if let Some(present) = self.console_clients.table().present.get_mut(&self.id) {
            present.askers.get_or_insert_default();
        }
    }

    /// It has been listened to, and has not left.
    pub fn is_here(&self) {
        if let Some(askers) = self.console_clients.table().present.get_mut(&self.id).map(|it| &mut it.askers)
        {
            askers.iter_mut().for_each(Vec::clear);
        }
    }

    /// It has left, or is sent away; whether it was the last one.
    pub fn leave(&self) -> bool {
        let mut table = self.console_clients.table();
        table.present.remove(&self.id);
        table.present.is_empty()
    }

    /// The client asks something at `now`.
    pub fn asks(&self, now: Micros) {
        let mut table = self.console_clients.table();
        let Some(present) = table.present.get_mut(&self.id) else { return };
        present.askers = None;
        if present.request_at.replace(now).is_none() {
            table.askers += 1;
        }
    }
}

impl Drop for ConsoleClient {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(id: u64) -> Arc<ClientIdentity> {
        Arc::new(ClientIdentity::of_console_for_tests(id))
    }

    #[test]
    fn a_client_counts_one_login_and_one_query_however_much_it_asks() {
        let console_clients = ConsoleClients::default();
        assert!(!console_clients.any_ever());
        let (first, second) = (console_clients.enter(identity(1)), console_clients.enter(identity(2)));
        first.asks(Micros(5));
        first.asks(Micros(6));
        assert_eq!(
            console_clients.rows(|identity, request_at| (identity.socket_id, request_at)),
            [(1, Some(Micros(6))), (2, None)]
        );
        drop((first, second));
        assert_eq!(console_clients.count(), 0);
        let counters = console_clients.counters();
        assert_eq!((counters.client_login_count, counters.query_count, counters.xact_count), (2, 1, 1));
        assert!(console_clients.any_ever());
    }

    #[tokio::test]
    async fn kill_client_reaches_a_console_client() {
        let console_clients = ConsoleClients::default();
        let client = console_clients.enter(identity(7));
        assert!(!console_clients.kill(8) && console_clients.kill(7));
        client.kill.notified().await;
    }
}
