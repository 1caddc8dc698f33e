//! What clients' logins and logins to servers share: the policy in force, the pools there are, who counts
//! against which limit, the places of servers, and how both tell each other of something.
//!
//! Starts no task and opens no socket. Rooms above meet here and never import each other.

mod admissions;
mod bounded_cache;
mod byte_stream;
mod cancel;
mod cancel_end;
mod cancel_keys;
mod cancel_queue;
pub mod client_key;
mod client_secrets;
mod console_clients;
mod denials;
mod fair_semaphore;
mod first_server;
mod gone_users;
mod grounds;
mod judging;
mod last_failure;
mod launcher_channel;
mod log_progress;
mod login_counts;
mod logins;
mod notes;
mod orders;
mod peer_request;
mod places;
mod plane;
mod policy;
mod pool_entry;
mod proof;
mod random;
mod registry;
mod replication;
mod rounds;
mod server_secrets;
#[cfg(test)]
pub(crate) mod tests;
mod token_request;
mod token_sessions;
mod token_verdicts;
mod tokens;
mod turns;
mod welcome;

pub(crate) use admissions::{Admission, Admissions};
pub(crate) use bounded_cache::{BoundedCache, Weight};
pub use byte_stream::Stream;
pub use cancel::CancelRoute;
pub use cancel_end::CancelEnd;
pub use cancel_keys::CancelRequest;
pub(crate) use cancel_keys::KeyHolder;
pub use cancel_queue::{CancelQueue, Joins, TakenIn};
pub(crate) use client_key::ClientKey;
pub use client_secrets::{Checked, ClientSecrets, SecretsOfClients};
pub(crate) use fair_semaphore::FairSemaphore;
pub use fair_semaphore::Permit;
pub(crate) use grounds::{Grounds, Lapse};
pub use last_failure::{LastFailure, Sent};
pub(crate) use launcher_channel::{LauncherEvent, LauncherReceiver};
pub use log_progress::LogProgress;
pub(crate) use login_counts::LoginTrouble;
pub use logins::Logins;
pub(crate) use logins::{LoginEntry, LoginRow};
pub use peer_request::{PeerRequest, PeerRequester};
pub use places::{Place, Places};
pub(crate) use plane::draw_start_id;
pub use plane::{Phase, Plane, WorkerSet};
pub use policy::{CallerPolicy, FileText, Ldap, Policy};
pub(crate) use policy::{ClientTls, tcp_options};
pub use pool_entry::CountedClient;
pub(crate) use pool_entry::PoolEntry;
pub(crate) use random::Randomness;
pub(crate) use registry::DatabaseView;
pub(crate) use replication::{Acceptance, ReplicationOffer, ReplicationRequest, ReplicationWish};
pub(crate) use server_secrets::Stored;
pub use token_request::{TokenProven, TokenRefused, TokenRequest};
pub(crate) use token_sessions::SessionHold;
pub(crate) use token_verdicts::{Judging, PacedTurns, SourcePaces, TokenId, Verdict, Verdicts};
pub use tokens::{NotGiven, RoleWanted, TokenIssuer, Tokens};
pub use turns::Turns;
pub(crate) use welcome::Welcome;

#[cfg(test)]
pub(crate) use cancel_keys::CancelKeys;
pub(crate) use console_clients::CONSOLE_POOL;
pub use console_clients::{ConsoleClient, ConsoleClients};
