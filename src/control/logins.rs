//! The connections that are logging in now, clients here and servers there: what SHOW SOCKETS and
//! SHOW LISTS tell of them.
//!
//! A client's row exists from accept until it is handed to a worker, to the console, or gone; a server's from
//! the moment it is connected to.

use crate::base::Address;
use crate::wire::startup::Replication;
use dashmap::DashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// One connection that is logging in.
#[derive(Clone, Debug)]
pub struct LoginRow {
    /// The socket's number of SHOW.
    pub socket_id: u64,
    /// The other end.
    pub remote: Address,
    /// Our end.
    pub local: Address,
    /// Seconds since the epoch at accept or connect.
    pub connected_at_epoch_s: u64,
    /// Database and user, once they are known.
    pub names: Option<(Arc<str>, Arc<str>)>,
    /// Which kind of replication it is for.
    pub replication: Replication,
    /// As SHOW prints it, empty without TLS.
    pub tls: String,
    /// A client that has proved who it is and waits for its pool's first server.
    pub is_waiting: bool,
    /// Told when KILL_CLIENT names this client, where SHOW CLIENTS has it.
    pub kill: Option<Arc<Notify>>,
}

/// All clients, or all servers, that are logging in.
#[derive(Clone, Debug, Default)]
pub struct Logins(Arc<DashMap<u64, LoginRow>>);

/// One connection's row, taken out when this is dropped.
#[derive(Debug)]
pub struct LoginEntry {
    logins: Logins,
    socket_id: u64,
}

impl Logins {
    /// Adds a row.
    pub fn enter(&self, row: LoginRow) -> LoginEntry {
        let socket_id = row.socket_id;
        self.0.insert(socket_id, row);
        LoginEntry { logins: self.clone(), socket_id }
    }

    /// Every row, ordered by socket id.
    pub fn rows(&self) -> Vec<LoginRow> {
        let mut rows: Vec<_> = self.0.iter().map(|row| row.clone()).collect();
        rows.sort_by_key(|row| row.socket_id);
        rows
    }

    /// Ends a client that waits; false where there is none that SHOW CLIENTS has.
    pub fn kill(&self, socket_id: u64) -> bool {
        let kill = self.0.get(&socket_id).and_then(|row| row.kill.clone());
        kill.inspect(|kill| kill.notify_one()).is_some()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl LoginEntry {
    /// Changes the row.
    pub fn update(&self, change: impl FnOnce(&mut LoginRow)) {
        if let Some(mut row) = self.logins.0.get_mut(&self.socket_id) {
            change(&mut row);
        }
    }
}

impl Drop for LoginEntry {
    fn drop(&mut self) {
        self.logins.0.remove(&self.socket_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_lives_as_long_as_its_login() {
        let logins = Logins::default();
        let address = Address::Unix { port: 6432, pid: 1, uid: 2 };
        let row = |socket_id| LoginRow {
            socket_id,
            remote: address.clone(),
            local: address.clone(),
            connected_at_epoch_s: 0,
            names: None,
            replication: Replication::No,
            tls: String::new(),
            is_waiting: false,
            kill: None,
        };
        let second = logins.enter(row(2));
        let first = logins.enter(row(1));
        second.update(|row| row.names = Some(("d".into(), "u".into())));
        let rows = logins.rows();
        assert_eq!(rows.iter().map(|row| row.socket_id).collect::<Vec<_>>(), [1, 2]);
        assert!(rows[0].names.is_none() && rows[1].names.is_some());
        drop((first, second));
        assert_eq!(logins.count(), 0);
    }
}
