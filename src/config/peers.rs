//! `[peers]` and `peer_id`: the other processes of a group, to which cancel requests for their clients go.
//!
//! Values only. Source: PgBouncer, doc/config.md (`peer_id`, "Section `[peers]`").

use super::database::Host;
use super::value::{BadValue, Value, not_accepted};

/// The setting `peer_id`: a process's number among its peers; 0 = none. Two bytes of each cancel key have
/// room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerId(pub u16);

impl Value for PeerId {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let id = text.trim().parse().ok();
        id.map(Self).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
    fn accepted() -> String {
        "an integer from 0 to 65535".to_owned()
    }
}

/// One entry of `[peers]`: another pooler process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerEntry {
    /// Where it listens; never empty.
    pub hosts: Vec<Host>,
    /// Its port.
    pub port: u16,
    /// Overrides `default_pool_size` for cancel requests sent to it.
    pub pool_size: Option<u32>,
}
