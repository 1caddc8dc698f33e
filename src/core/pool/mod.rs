//! Pools: who gets which server, who waits, what servers' ages and hosts that move mean for
//! that, and what workers share.

mod checkout;
mod claim;
mod database_share;
mod fitness;
mod login_health;
mod moved;
mod moved_host;
#[expect(clippy::module_inception, reason = "the room's one value has the room's name")]
mod pool;
mod pool_share;
mod queue;
mod recycling;
mod stance;
mod throttle;

pub(in crate::core) use checkout::Got;
pub(in crate::core) use claim::{Claim, Claimant, goes_before};
pub use database_share::{DatabaseShare, Gate};
pub(in crate::core) use moved_host::MovedHost;
pub(in crate::core) use pool::{Part, Pool, PoolSlot};
pub use pool_share::{PoolShare, ServerUnderWay};
pub use stance::Stance;
