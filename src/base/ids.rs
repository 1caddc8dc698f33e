//! Identities. A slot id (`ClientId`, `ServerId`) is an index into one worker's slab and is reused
//! after close; what lives for the whole process is the socket id of SHOW (`u64`, counted from 1
//! over all sockets ever made).

/// One client's slot on one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u32);

/// One server's slot on one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u32);

/// One pool (database entry, pool user) of the process; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u64);

/// One data worker, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// Either end of the pooler, as a worker and its driver name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// An application's connection.
    Client(ClientId),
    /// A PostgreSQL backend's connection.
    Server(ServerId),
}
