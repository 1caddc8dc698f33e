//! What operators watch: log lines and the Prometheus page.
//!
//! Never takes a lock that the data plane takes; never waits for a reader.

mod accept;
mod emf;
mod gzip;
pub mod http;
pub mod line;
pub mod log;
pub mod page;
mod page_slots;
mod scrape;
pub mod sink;
mod system;

pub(crate) use emf::run as write_emf;
pub(crate) use scrape::Scrape;

#[cfg(test)]
mod messages;
