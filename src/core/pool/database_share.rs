//! What all pools of one database share, and all pools of the process: PAUSE, DISABLE, and the
//! memory of prepared statements.

use crate::base::sync::{AtomicBool, Ordering};
use crate::core::relay::Meter;
use std::sync::Arc;

/// Switches of the whole process that every worker looks at when a client wants a server.
#[derive(Debug, Default)]
pub struct Gate {
    paused: AtomicBool,
}

impl Gate {
    /// Closes or opens the gate for all databases (PAUSE, RESUME without a name).
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// Whether all databases are paused.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }
}

/// One database entry's switches, shared by all its pools.
#[derive(Debug)]
pub struct DatabaseShare {
    /// Name of the entry, as clients ask for it.
    pub name: Arc<str>,
    gate: Arc<Gate>,
    paused: AtomicBool,
    disabled: AtomicBool,
    statements: Meter,
}

impl DatabaseShare {
    /// A database under the process's gate.
    pub fn new(name: Arc<str>, gate: Arc<Gate>) -> Self {
        let (paused, disabled) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { name, gate, paused, disabled, statements: Meter::default() }
    }

    /// What the prepared statements of its clients take, and may take.
    pub fn statements(&self) -> &Meter {
        &self.statements
    }

    /// PAUSE db, RESUME db.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// PAUSE of this database alone.
    pub fn is_paused_itself(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Whether no server may be lent: this database or the whole process is paused.
    pub fn is_paused(&self) -> bool {
        self.is_paused_itself() || self.gate.is_paused()
    }

    /// DISABLE db, ENABLE db.
    pub fn set_disabled(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::Release);
    }

    /// Whether new logins are refused.
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Acquire)
    }
}
