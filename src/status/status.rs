//! How the process stands: the one snapshot that SHOW and the metrics page read.
//!
//! Holds what is counted nowhere else: the period of statistics.

use crate::clients::Clients;
use crate::control::Plane;
use crate::servers::Servers;
use crate::stats::Window;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the process stands.
pub struct Status {
    /// What every login shares.
    pub plane: Arc<Plane>,
    /// Logins of clients.
    pub clients: Arc<Clients>,
    /// Logins to servers.
    pub servers: Arc<Servers>,
    window: Mutex<Window>,
}

impl Status {
    /// Nobody has come yet.
    pub fn new(clients: Arc<Clients>, servers: Arc<Servers>) -> Arc<Self> {
        let plane = Arc::clone(&clients.plane);
        let window = Mutex::new(Window::new(plane.now()));
        Arc::new(Self { plane, clients, servers, window })
    }

    /// The period of statistics under way, and the one before.
    pub fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
