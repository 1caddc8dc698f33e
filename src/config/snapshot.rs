//! One whole configuration: made by reading files, never edited, replaced as a whole.
//!
//! Invariant: what exists is valid, but what [`Remains`](super::load::Remains) holds, which nobody can put in
//! force. Source: PgBouncer, doc/config.md.

use super::CONSOLE_DATABASE;
use super::database::{Database, UserEntry};
use super::errors::Places;
use super::instances::Instances;
use super::issuers::IssuerEntry;
use super::peers::PeerEntry;
use super::setting::Change;
use super::settings::{Settings, TABLE};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A configuration that is valid as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// `[pgbouncer]`.
    pub settings: Settings,
    /// `[databases]` by name, without the fallback.
    pub databases: BTreeMap<Arc<str>, Arc<Database>>,
    /// The entry `*`.
    pub fallback: Option<Arc<Database>>,
    /// `[users]` by name.
    pub users: BTreeMap<Arc<str>, UserEntry>,
    /// `[instances]`.
    pub instances: Instances,
    /// `[peers]` by id.
    pub peers: BTreeMap<u16, PeerEntry>,
    /// `[issuers]` by name.
    pub issuers: BTreeMap<Arc<str>, IssuerEntry>,
    /// What an operator should know of it, to be logged once; one line each.
    pub warnings: Vec<String>,
    /// The file whose keys are added to those of the main file.
    pub overlay: Option<Arc<str>>,
    /// Where all this stands.
    pub places: Places,
    /// Settings that the files change and that keep their old value until a restart.
    pub ignored: Vec<&'static str>,
}

/// One row of SHOW CONFIG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRow {
    /// The setting's name.
    pub key: &'static str,
    /// Its value, `None` = NULL.
    pub value: Option<String>,
    /// Its default, `None` = NULL.
    pub default: Option<&'static str>,
    /// Whether a reload or SET can change it.
    pub changeable: bool,
}

impl Snapshot {
    /// The file that the next reload reads.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.settings.conffile.as_deref().unwrap_or_default())
    }

    /// The entry that serves clients asking for `name`: its own, or one made from the fallback. `None` for
    /// the console's name, and where there is neither.
    pub fn database(&self, name: &str) -> Option<Arc<Database>> {
        if name == CONSOLE_DATABASE {
            return None;
        }
        let own = self.databases.get(name).cloned();
        own.or_else(|| self.fallback.as_ref().map(|fallback| Arc::new(fallback.named(name))))
    }

    /// So many cancel requests at a time may be on their way to that peer; 0 = without a limit. `None`:
    /// there is no such peer.
    pub(crate) fn peer_pool_size(&self, id: u16) -> Option<u32> {
        let peer = self.peers.get(&id)?;
        Some(peer.pool_size.unwrap_or(self.settings.default_pool_size))
    }

    /// SHOW CONFIG.
    pub fn show_config(&self) -> impl Iterator<Item = ConfigRow> {
        TABLE.iter().map(|row| ConfigRow {
            key: row.name,
            value: row.show(&self.settings),
            default: row.default,
            changeable: row.change == Change::Reload,
        })
    }
}
