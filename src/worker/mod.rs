//! One loop per core: a driver, a `Core`, a mailbox. Knows no setting's name; decides nothing about clients or servers.

mod handle;
mod mail;
mod run;
#[cfg(test)]
mod tests;

pub use handle::WorkerHandle;
pub use mail::{Mail, Reply};
pub use run::{Notes, Seat, spawn};
