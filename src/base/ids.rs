//! Identities. A slot id (`ClientId`, `ServerId`) is an index into one worker's slab and is reused
//! after close; what lives for the whole process is the socket id of SHOW (`u64`, counted from 1
//! over all sockets ever made).

use std::fmt;

/// One run of the program, told apart from other runs and from other processes: drawn at random at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StartId(pub u32);

/// One client's session, told apart from every other one of every run: what the log of audits and
/// `application_name` (`%s`) name it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// The run.
    pub start: StartId,
    /// Its number in SHOW.
    pub socket_id: u64,
}

impl fmt::Display for SessionId {
    /// Both in hexadecimal, as PostgreSQL's `%c` of `log_line_prefix`: `5f3a9c01.2a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{:x}", self.start.0, self.socket_id)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_its_run_and_its_number() {
        let id = SessionId { start: StartId(0x5f_3a9c), socket_id: 42 };
        assert_eq!(id.to_string(), "005f3a9c.2a");
    }
}
