//! A token of RDS that a client has sent, on its way from the client's login to whoever shows it to its
//! endpoint, and what came of it.
//!
//! Values only. The token is wiped when the last of the two has done with it.

use crate::base::{Address, Password};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A token to be judged.
pub struct TokenRequest {
    /// The database that the client has named.
    pub database: Arc<str>,
    /// The role that it wants to be.
    pub user: Arc<str>,
    /// Where it comes from.
    pub client: Address,
    /// The token.
    pub token: Arc<Password>,
    /// Takes what came of it; closed: the client has left.
    pub answer: oneshot::Sender<Result<TokenProven, TokenRefused>>,
}

/// The endpoint has let the token in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenProven {
    /// The id of the access key that has signed.
    pub key_id: Arc<str>,
    /// Whether that key is a temporary one.
    pub has_session: bool,
}

/// The token does not prove the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRefused {
    /// Why, in a line that holds nothing of the token.
    pub why: String,
    /// It says nothing of the client: the endpoint could not be asked.
    pub is_ours: bool,
}
