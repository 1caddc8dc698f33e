//! Everything that happens once per connection, on tokio: accept, TLS, startup, authentication; connecting and logging in
//! to servers; auth_query, DNS, cancel errands; the ledger of places that keeps every cap exact.
//!
//! Never touches a byte of a query. A finished login is a value that is handed to a data worker once.

mod plane;

pub use plane::{Plane, Policy, Welcome};
