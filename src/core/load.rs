//! What each peer makes a core hold, in the units of its bounds: for tests that hold it
//! to them. Changes nothing.

use super::worker_core::Core;
use crate::base::ClientId;

/// Of one client.
#[derive(Clone, Copy, Debug)]
pub struct ClientLoad {
    /// Its socket.
    pub socket_id: u64,
    /// The names that it has given to statements, and their texts, counted one by one.
    pub statement_bytes: usize,
    /// Its parameters.
    pub parameter_bytes: usize,
}

/// Of one server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLoad {
    /// Its socket.
    pub socket_id: u64,
    /// The linked client's socket.
    pub client: Option<u64>,
    /// Answers that it owes.
    pub answers_owed: usize,
    /// Statements that it holds.
    pub statements: usize,
    /// Its parameters.
    pub parameter_bytes: usize,
}

impl Core {
    /// What each client makes this worker hold.
    pub fn client_loads(&self) -> impl Iterator<Item = ClientLoad> {
        self.clients.values().map(|client| ClientLoad {
            socket_id: client.identity.socket_id,
            statement_bytes: client.statements.as_ref().map_or(0, |all| all.recount()),
            parameter_bytes: client.params.values.bytes(),
        })
    }

    /// What each server makes this worker hold.
    pub fn server_loads(&self) -> impl Iterator<Item = ServerLoad> {
        let socket_of = |id: ClientId| self.clients[id].identity.socket_id;
        self.servers.values().map(move |server| ServerLoad {
            socket_id: server.identity.socket_id,
            client: server.link().map(socket_of),
            answers_owed: server.expected.len(),
            statements: server.statements.count(),
            parameter_bytes: server.params.bytes(),
        })
    }
}
