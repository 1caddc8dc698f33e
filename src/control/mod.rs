//! What clients' logins and logins to servers share: the policy in force, the pools there are, who counts against which limit,
//! the places of servers, and how both tell each other of something.
//!
//! Starts no task and opens no socket. Rooms above meet here and never import each other.

mod admissions;
mod byte_stream;
mod cancel;
mod cancel_keys;
mod cancel_queue;
mod first_server;
mod kept;
mod lanes;
mod launcher_door;
mod login_counts;
mod logins;
mod notes;
mod orders;
mod places;
mod plane;
mod policy;
mod pool_entry;
mod proof;
mod random;
mod registry;
mod server_secrets;
#[cfg(test)]
pub(crate) mod tests;
mod tries;
mod welcome;

pub use admissions::{Admission, Admissions};
pub use byte_stream::Stream;
pub use cancel_keys::{CancelKeys, CancelRequest, ClientKey, KeyHolder};
pub use cancel_queue::{CancelQueue, Joins, TakenIn};
pub use kept::{Kept, Weight};
pub use lanes::{Lanes, Turn};
pub use launcher_door::{LauncherDoor, LauncherInbox, News};
pub use login_counts::{LoginCounts, LoginTrouble};
pub use logins::{LoginEntry, LoginRow, Logins};
pub use places::{Place, Places};
pub use plane::{Phase, Plane, Staff};
pub use policy::{ClientTls, Policy, tcp_options};
pub use pool_entry::{PoolEntry, Visit};
pub use random::Randomness;
pub use registry::{DatabaseView, Registry};
pub use server_secrets::{ServerSecrets, Stored};
pub use tries::{Sent, Tries};
pub use welcome::{Welcome, WelcomeDesk};
