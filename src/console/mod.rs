//! The admin database: what operators reach with `psql pgbouncer`.
//!
//! Grammar, SHOW tables and commands. Never touches a worker but by `core::Command`, never a client's or server's socket; knows
//! the process only through what `boot` lends it.

pub mod grammar;
pub mod rows;
pub mod show_pools;
pub mod show_process;
pub mod show_sockets;
pub mod show_stats;
pub mod tables;
pub mod times;

/// TEMPORARY until the console lands.
pub mod control {
    use crate::login::Plane;
    /// x
    pub fn pause_by_signal(_: &Plane) {}
    /// x
    pub fn resume_by_signal(_: &Plane) {}
}
/// TEMPORARY until the console lands.
pub async fn start(
    _: &std::sync::Arc<crate::login::Plane>,
    v: tokio::sync::mpsc::UnboundedReceiver<crate::login::ConsoleVisit>,
    _: crate::observe::log::Log,
) -> Result<(), String> {
    std::mem::forget(v);
    Ok(())
}
