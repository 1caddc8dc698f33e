//! TLS as the files say it: what handshakes with clients and with servers go by, who is vouched for, and how
//! a session is shown.
//!
//! Never opens a connection; sessions and their records are `io`'s.

pub mod authorities;
mod certificate_names;
pub mod client;
mod describe;
pub mod files;
pub mod fitness;
mod handshakes;
pub(crate) mod ldap;
mod per_entry;
pub mod server;
mod tickets;
pub mod x509_compat;

pub use authorities::{Authorities, LeftOut};
pub(crate) use certificate_names::{NamesError, certificate_names};
pub(crate) use describe::tls_text;
pub use handshakes::Handshakes;
pub(crate) use per_entry::EntryTlsError;
pub use per_entry::ServersTls;
pub(crate) use server::ServerTls;
