//! What reaches a worker from outside its loop.

use crate::base::{PoolId, WorkerId};
use crate::core::{Answer, CancelFate, ClientLogin, Command, MovedServer, ServerLogin};
use crate::io::{Channel, Watch};
use rustix::fd::OwnedFd;
use std::pin::Pin;

/// A task.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes a task for the place that it gets.
pub type Begin = Box<dyn FnOnce(Watch) -> Task + Send>;

/// Takes a worker's answer; called on the worker's thread, so it only passes the answer on.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

/// A replication client and its own server.
pub struct ReplicationPair<S = OwnedFd> {
    /// The client.
    pub client: (Channel<S>, ClientLogin),
    /// Its server.
    pub server: (Channel<S>, ServerLogin),
}

/// One letter to a worker.
pub enum Mail<S = OwnedFd> {
    /// A client past its login.
    Client(Box<(Channel<S>, ClientLogin)>),
    /// A server past its login.
    Server(Box<(Channel<S>, ServerLogin)>),
    /// A replication client and its own server, both past their logins.
    Replication(Box<ReplicationPair<S>>),
    /// An idle server of another worker.
    Moved(Box<(Channel<S>, MovedServer)>),
    /// Another worker's clients wait.
    Nudge {
        /// For a server of this pool.
        pool: PoolId,
        /// On this worker.
        by: WorkerId,
    },
    /// What became of a cancel request for the server with this socket id.
    CancelOver(u64, CancelFate),
    /// An operator's question or order.
    Command(Command, Reply),
    /// A task to begin on the loop.
    Task(Begin),
    /// The task of that number may go on.
    Wake(u32),
    /// End the loop: close everything at once.
    Stop,
}
