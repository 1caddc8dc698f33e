//! A host whose name leads elsewhere now, and which servers it has left behind.

use crate::base::{Address, Micros};
use crate::core::conn::Server;
use std::net::IpAddr;
use std::sync::Arc;

/// A host that has moved.
#[derive(Debug)]
pub(in crate::core) struct MovedHost {
    pub host: Arc<str>,
    pub addresses: Arc<[IpAddr]>,
    pub since: Micros,
}

impl MovedHost {
    /// Whether a server of this host was opened before, and is where the host is no more.
    pub(crate) fn has_left(&self, server: &Server) -> bool {
        match &server.identity.remote {
            Address::Tcp(at) => {
                server.connected_at <= self.since
                    && server.identity.host == self.host
                    && !self.addresses.contains(&at.ip())
            }
            Address::Unix { .. } => false,
        }
    }
}
