//! Everything that happens once per connection, on tokio: accept, TLS, startup, authentication; connecting and logging in
//! to servers; auth_query, DNS, cancel errands; the ledger of places that keeps every cap exact.
//!
//! Never touches a byte of a query. A finished login is a value that is handed to a data worker once.

pub mod auth_query;
mod cancel;
mod connect;
mod dns;
pub mod launch;
mod open;
mod places;
mod plane;
mod registry;
mod reload;
mod secrets;
mod server_login;
mod server_tls;
mod tls_text;
mod welcome;

pub use cancel::{CancelKeys, ClientKey, KeyHolder};
pub use dns::{Dns, DnsRow};
pub use places::{Place, Places};
pub use plane::{ConsoleVisit, Doors, Order, Phase, Plane, Policy, Rights, Stream, Welcome};
pub use registry::{DatabaseView, PoolEntry, Registry, Visit};
pub use secrets::ServerSecrets;
pub use server_tls::{ServerTls, ServerTlsError};
pub use tls_text::tls_text;
