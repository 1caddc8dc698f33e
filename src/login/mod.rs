//! Everything that happens once per connection, on tokio: accept, TLS, startup, authentication; connecting and logging in
//! to servers; auth_query, DNS, cancel errands; the ledger of places that keeps every cap exact.
//!
//! Never touches a byte of a query. A finished login is a value that is handed to a data worker once.

mod accept;
mod admissions;
pub mod auth_query;
mod authenticate;
mod cancel;
mod client;
mod connect;
mod credential;
mod dns;
mod greet;
mod iam;
mod iam_desk;
pub mod iam_entry;
mod iam_probe;
mod iam_report;
pub mod iam_trial;
mod lanes;
pub mod launch;
mod listen;
mod login_counts;
mod logins;
mod open;
mod open_iam;
mod places;
mod plane;
mod registry;
mod reload;
mod secrets;
mod server_login;
mod server_tls;
mod servers_tls;
mod strangers;
mod stream;
mod tls_text;
mod tries;
mod turns;
mod verifiers;
mod welcome;
mod welcome_words;

pub use accept::{Accepting, Acceptors};
pub use admissions::{Admission, Admissions};
pub use cancel::{CancelKeys, ClientKey, KeyHolder};
pub use client::{Arrival, serve};
pub use dns::{Dns, DnsRow};
pub use iam::Iam;
pub use iam_desk::{IamDesk, LoginReport, Tally};
pub use iam_report::IamRow;
pub use lanes::Lanes;
pub use launch::LauncherInbox;
pub use listen::{ListenError, Listeners, SocketFile, UnixSocket, tcp_options, unix_path};
pub use login_counts::{LoginCounts, LoginTrouble};
pub use logins::{LoginEntry, LoginRow, Logins};
pub use places::{Place, Places};
pub use plane::{ClientTls, ConsoleVisit, Doors, Order, Phase, Plane, Policy, Rights, Stream, Welcome};
pub use registry::{DatabaseView, PoolEntry, Registry, Visit};
pub use secrets::ServerSecrets;
pub use server_tls::ServerTls;
pub use servers_tls::{EntryTlsError, ServersTls};
pub use strangers::{Stranger, Strangers};
pub use stream::Socket;
pub use tls_text::tls_text;
pub use turns::{Turns, TurnsState};
pub use verifiers::Verifiers;
