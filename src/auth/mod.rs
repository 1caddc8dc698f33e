//! Proofs: what a secret is, how it is proven by a client and to a server, the file that lists secrets, and
//! those that say who has to prove himself in which way.
//!
//! Pure: no socket, no clock, no file, no randomness of its own (nonces and salts are handed in). Secrets are
//! compared in constant time and never appear in `Debug` or errors. Sources: RFC 5802, RFC 7677, PostgreSQL
//! documentation "Password Authentication" and "SASL Authentication"; PgBouncer, doc/config.md
//! ("Authentication settings", "Authentication file format").

pub mod certificate;
pub mod hba;
pub mod jwt;
mod keys;
pub mod ldap;
pub mod md5;
mod method;
mod option_words;
pub mod scram;
mod secret;
mod userlist;

pub use certificate::CertificateNames;
pub use keys::{ScramKeys, ScramSecret};
pub use method::{Method, Question};
pub use secret::Secret;
pub use userlist::UserList;
