//! Secrets that others keep and change: AWS Secrets Manager, mounted files. One memory and one task for each,
//! however many pools go by it.
//!
//! A login takes what is in memory; fetching is the task's ([`KeptSecret`]), which also says what it found.
//! This room opens no connection to a database and knows no pool: [`crate::servers`] logs in with what it
//! has. Invariants: what was good is kept through any failure; nothing of a secret but its user's name, its
//! versions and its ages is ever shown; each text of it is wiped when it is dropped.

mod aws;
mod budget;
mod error;
mod fetch;
mod file;
mod keeper;
mod key;
mod pool_secret;
mod schedule;
mod store;
mod value;

pub use aws::AwsSecret;
pub use budget::{Allowance, Budget};
pub use error::{Reason, SecretError};
pub use fetch::{Fetch, Fetching, Fingerprint, Found, Stage};
pub use file::SecretFile;
pub use keeper::{KeptSecret, SecretReport, Version};
pub use key::{Place, Purpose, SecretKey, region_of_arn};
pub use pool_secret::{Choice, ChoiceNames, Pause, PoolSecret};
pub use store::Secrets;
pub use value::{Content, Login, Unreadable, Users};
