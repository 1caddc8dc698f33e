//! One loop per core: a driver, a `Core`, a mailbox. Knows no setting's name; decides nothing
//! about clients or servers.
//!
//! [`Worker`], [`Environment`] and [`WorkerMachine`] are public for the simulation, which runs whole workers
//! without threads.

mod handle;
mod mail;
mod run;
mod tasks;
#[cfg(test)]
mod tests;
#[expect(clippy::module_inception, reason = "the room's own thing")]
mod worker;
mod worker_machine;

pub use handle::WorkerHandle;
pub(crate) use mail::Task;
pub use mail::{Begin, Mail, ReplicationPair, Reply};
pub use run::spawn;
pub use run::{Notes, WorkerConfig};
pub use worker::{Environment, Worker};
pub use worker_machine::{WorkerEvent, WorkerMachine};
