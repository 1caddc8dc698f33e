//! Hosts whose names lead elsewhere now: their servers at other addresses are closed when they are free.
//!
//! Told once to each worker (`Command::HostMoved`), and remembered for a while: a server that is on
//! its way to a worker at that time, from its login or from another worker, comes later than the
//! order. Never looks a name up.

use super::moved_host::MovedHost;
use super::pool::Part;
use crate::base::{Micros, limits};
use crate::core::conn::{CloseReason, Server};
use crate::core::net::Net;
use crate::core::worker_core::Core;
use std::net::IpAddr;
use std::sync::Arc;

impl Core {
    /// `host` has these addresses now: its servers that have another are closed, idle ones at once.
    pub(in crate::core) fn leave_addresses(
        &mut self,
        host: Arc<str>,
        addresses: Arc<[IpAddr]>,
        net: &mut impl Net,
    ) {
        let moved = MovedHost { host, addresses, since: self.now };
        for server in self.servers.values_mut().filter(|server| moved.has_left(server)) {
            server.close_reason.get_or_insert(CloseReason::HostMoved);
        }
        self.moved_hosts.retain(|earlier| earlier.host != moved.host);
        self.moved_hosts.push(moved);
        for id in self.free_servers(None) {
            // Serving a pool may have closed others of them.
            let Some(server) = self.servers.find(id) else { continue };
            if let (slot, Some(reason)) = (server.pool, server.close_reason) {
                self.close_server(id, reason, net);
                self.serve(slot, net);
            }
        }
        for slot in self.pools.ids(|pool| pool.part == Part::Replication) {
            self.close_outdated_replication(slot, net);
        }
    }

    /// A server has come that may have been left behind meanwhile.
    pub(in crate::core) fn end_if_left(&self, server: &mut Server) {
        if self.moved_hosts.iter().any(|moved| moved.has_left(server)) {
            server.close_reason.get_or_insert(CloseReason::HostMoved);
        }
    }

    /// Nothing is on its way for so long.
    pub(in crate::core) fn forget_moved_hosts(&mut self) {
        let now = self.now;
        let is_recent =
            |moved: &MovedHost| now.since(moved.since) < Micros::from_millis(limits::HOST_MOVED_MS);
        self.moved_hosts.retain(is_recent);
    }
}
