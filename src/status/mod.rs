//! How the process stands: one snapshot of everything, that SHOW and the metrics page are made from.
//!
//! Asks the workers and reads what logins keep; changes nothing. Knows neither the
//! console's tables nor the page.

mod gather;
mod instances;
mod issuers;
mod sessions;
#[expect(clippy::module_inception, reason = "the room's one value has the room's name")]
mod status;
mod views;

pub use sessions::SessionView;
pub use status::Status;
pub(crate) use views::{
    CONSOLE_POOL_SIZE, ClientsAlike, DatabaseView, DnsView, EntrySample, IamView, Lists, MemRow, Now,
    PoolFigures, PoolView, Side, SocketView, UserCounts, known_users, load_balance_text,
};
