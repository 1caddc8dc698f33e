//! Logins to servers by secrets that others keep and change: what an entry says of them, one attempt, and
//! what a change of a secret means for pools that wait. What is said of those that clients are proven by is
//! read and started here, too; logins of clients find it in the plane.
//!
//! Fetching and keeping is the room `secrets`'; this one shows what is kept to servers.

mod adopt;
mod attempt;
pub mod clients;
pub mod entry;
