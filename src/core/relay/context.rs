//! One call of the relay: the core, the driver, whose bytes are at hand, and how far they are decided.
//!
//! Lives for one `Core::received` and owns nothing.

use super::walk::Walk;
use crate::core::conn::ContextChange;
use crate::core::net::Net;
use crate::core::worker_core::Core;
use std::sync::Arc;

/// A call of the relay with the input of the client or server `id`: `I` says which, and so which frames it
/// is that are walked.
pub(in crate::core) struct Relay<'a, N, I> {
    pub core: &'a mut Core,
    pub net: &'a mut N,
    pub id: I,
    pub walk: Walk<'a>,
    /// What is kept of the Parse at hand in place of what the client has said.
    pub instead: Option<Instead>,
}

/// What a Parse is that sets the client's context when its statement is executed.
pub(in crate::core) struct Instead {
    /// What stands behind its name; `None`: what the client has said.
    pub rest: Option<Vec<u8>>,
    /// What executing it does.
    pub change: Arc<ContextChange>,
}

impl<'a, N: Net, I> Relay<'a, N, I> {
    /// At the begin of `input`.
    #[inline]
    pub(in crate::core) fn new(core: &'a mut Core, id: I, input: &'a [u8], net: &'a mut N) -> Self {
        let walk = Walk::new(input, core.bounds);
        Self { core, net, id, walk, instead: None }
    }
}

/// What to do after one frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::core) enum Step {
    /// Look at the next one.
    Next,
    /// Stop here: more bytes, a server or an end of the pause are needed; the rest is looked at again.
    Later,
    /// Whose bytes these are is gone: closed, or moved to another worker.
    Gone,
}
