//! Everything that happens once per connection, on tokio: accept, TLS, startup, authentication; connecting and logging in
//! to servers; auth_query, DNS, cancel errands; the ledger of places that keeps every cap exact.
//!
//! Never touches a byte of a query. A finished login is a value that is handed to a data worker once.

mod admissions;
mod authenticate;
mod greet;
mod listen;
mod logins;
mod plane;
mod stream;
mod tls_text;
mod verifiers;

pub use admissions::{Admission, Admissions};
pub use listen::{Doors, ListenError, UnixDoor, tcp_options, unix_path};
pub use logins::{LoginEntry, LoginRow, Logins};
pub use plane::{Plane, Policy, Welcome};
pub use verifiers::Verifiers;
