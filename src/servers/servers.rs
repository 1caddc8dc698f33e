//! What logins to servers share among themselves.
//!
//! One value, made by `boot`. Knows nothing of clients' logins: both meet in the [`Plane`].

use super::cancel_queues::CancelQueues;
use super::client_tokens::ClientTokens;
use super::dns::Dns;
use super::iam::Iam;
use super::peers::Peers;
use crate::control::{Logins, Plane};
use crate::secrets::Secrets;
use std::sync::Arc;

/// What logins to servers share.
pub struct Servers {
    /// What they share with clients' logins.
    pub plane: Arc<Plane>,
    /// Names of servers, looked up.
    pub dns: Dns,
    /// Logins by IAM.
    pub iam: Iam,
    /// Secrets that others keep and change.
    pub secrets: Secrets,
    /// Servers that are being logged in to.
    pub logins: Logins,
    /// Cancel requests under way.
    pub cancels: CancelQueues,
    /// Cancel requests on their way to peers.
    pub peers: Peers,
    /// Tokens that clients have made for themselves.
    pub client_tokens: ClientTokens,
}

impl Servers {
    /// None yet; [`Servers::begin`] makes the policy's entries known.
    pub fn new(plane: Arc<Plane>) -> Arc<Self> {
        let iam = Iam::new(&plane.policy.load().snapshot, plane.clock());
        let iam = iam.recording_to(Arc::clone(&plane.audit));
        Arc::new(Self {
            dns: Dns::default(),
            iam,
            secrets: Secrets::recording_to(Arc::clone(&plane.audit)),
            logins: Logins::default(),
            cancels: CancelQueues::default(),
            peers: Peers::default(),
            client_tokens: ClientTokens::default(),
            plane,
        })
    }
}
