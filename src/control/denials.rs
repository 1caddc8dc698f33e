//! Who is denied, beside what the policy says: a list that changes without a reload.
//!
//! A value; `judging.rs` goes by it.

use crate::identity::DenyList;
use arc_swap::ArcSwap;
use std::sync::atomic::AtomicBool;

/// What holds beside the policy, and whether workers know that anything does.
#[derive(Default)]
pub(super) struct Denials {
    pub(super) list: ArcSwap<DenyList>,
    pub(super) are_workers_told: AtomicBool,
}
