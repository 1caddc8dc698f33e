//! The way to the launcher: what workers, clients' logins and places that come back tell it.
//!
//! Never waits, and knows nothing of what the launcher does with it.

use super::cancel_keys::CancelRequest;
use super::peer_request::PeerRequest;
use super::token_request::TokenRequest;
use crate::base::{Micros, PoolId, WorkerId};
use crate::core::{PoolShare, Scope};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the launcher is told.
pub enum LauncherEvent {
    /// Somebody wants a server of this pool.
    NeedServer(PoolId),
    /// A server of this pool is past its soft age.
    NeedRenewal(PoolId),
    /// A server of this pool, whose login began then, has ended by itself and had answered nothing.
    EndedUnanswered(PoolId, Micros),
    /// A server of this pool was handed over: perhaps others still wait, perhaps it replaces an older one.
    LookAgain(PoolId),
    /// A place of this pool is free again.
    PlaceReturned(Arc<PoolShare>),
    /// This worker was asked for an idle server in the scope; whether it closes one.
    EvictionTried(Scope, WorkerId, bool),
    /// A cancel request is to be sent.
    SendCancel(CancelRequest),
    /// A cancel request is to be forwarded.
    ForwardCancel(PeerRequest),
    /// A client's token is to be shown to its endpoint.
    JudgeToken(Box<TokenRequest>),
}

/// Tells the launcher; cheap to clone, never blocks. What is said after the launcher has ended is dropped.
#[derive(Clone)]
pub struct LauncherSender(mpsc::UnboundedSender<LauncherEvent>);

/// The launcher's end.
pub struct LauncherReceiver(pub mpsc::UnboundedReceiver<LauncherEvent>);

/// Both ends of the way to the launcher.
pub(super) fn channel() -> (LauncherSender, LauncherReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (LauncherSender(sender), LauncherReceiver(receiver))
}

impl LauncherSender {
    /// Somebody wants a server of this pool.
    pub fn need_server(&self, pool: PoolId) {
        self.say(LauncherEvent::NeedServer(pool));
    }

    /// A server of this pool is past its soft age.
    pub fn need_renewal(&self, pool: PoolId) {
        self.say(LauncherEvent::NeedRenewal(pool));
    }

    /// A server of this pool, whose login began then, has ended by itself and had answered nothing.
    pub(super) fn ended_unanswered(&self, pool: PoolId, began_at: Micros) {
        self.say(LauncherEvent::EndedUnanswered(pool, began_at));
    }

    /// A server of this pool was handed over: perhaps others still wait, perhaps it replaces an older one.
    pub fn look_again(&self, pool: PoolId) {
        self.say(LauncherEvent::LookAgain(pool));
    }

    /// A place of this pool is free again.
    pub fn place_returned(&self, pool: Arc<PoolShare>) {
        self.say(LauncherEvent::PlaceReturned(pool));
    }

    /// A cancel request is to be sent.
    pub fn send_cancel(&self, request: CancelRequest) {
        self.say(LauncherEvent::SendCancel(request));
    }

    /// As a value.
    pub fn say(&self, news: LauncherEvent) {
        drop(self.0.send(news));
    }
}

#[cfg(test)]
impl LauncherReceiver {
    /// Whether something was said.
    pub fn has_news(&mut self) -> bool {
        self.0.try_recv().is_ok()
    }
}
