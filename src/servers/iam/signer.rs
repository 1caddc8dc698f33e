//! What signs tokens for one endpoint, and why it may have nothing to sign with.
//!
//! Never keeps a token: each login has one made for it.

use crate::audit::LoginCredential;
use crate::iam::{CredentialState, Endpoint, MintError, Source, SourceKind, Token, WallClock};
use crate::servers::credential::TokenProof;
use std::sync::Arc;

/// Makes the tokens of one endpoint.
pub struct Signer {
    pub(super) endpoint: Endpoint,
    /// What signs.
    pub source: Arc<Source>,
    pub(super) wall: Arc<dyn WallClock>,
}

/// What a login by IAM gets its token from.
pub(in crate::servers) trait MakesTokens: Send + Sync {
    /// A token for `user`, to be sent at once.
    ///
    /// # Errors
    /// Why there is none.
    fn token_for(&self, user: &str) -> Result<TokenProof, NoToken>;
}

impl MakesTokens for Signer {
    fn token_for(&self, user: &str) -> Result<TokenProof, NoToken> {
        self.mint(user)
    }
}

impl Signer {
    /// A token for `user`, to be sent at once.
    ///
    /// # Errors
    /// Why there is none.
    pub fn mint(&self, user: &str) -> Result<TokenProof, NoToken> {
        let credentials = self.source.current().map_err(|state| self.without(state))?;
        let token = Token::mint(&self.endpoint, user, &credentials, self.wall.now())?;
        let signed_by = LoginCredential::Aws {
            source: self.source.key().to_string().into(),
            generation: credentials.generation(),
        };
        Ok(TokenProof { token, clock: Arc::clone(&self.wall), signed_by: Some(signed_by) })
    }

    /// Whether there are credentials to sign with.
    ///
    /// # Errors
    /// Why there are none.
    pub fn may_mint(&self) -> Result<(), NoToken> {
        let usable = self.source.current().map(|_| ());
        usable.inspect_err(|_| self.source.want()).map_err(|state| self.without(state))
    }

    fn without(&self, state: CredentialState) -> NoToken {
        NoToken::Credentials { kind: self.source.key().kind(), state }
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// There are no credentials to sign with.
    #[error("no AWS credentials: {}, source {kind}", lack(state))]
    Credentials {
        /// The kind of their source.
        kind: SourceKind,
        /// How it stands.
        state: CredentialState,
    },
    /// None can be made of them.
    #[error("{0}")]
    Mint(#[from] MintError),
}

/// Why credentials in this state sign nothing.
pub(super) fn lack(state: &CredentialState) -> &'static str {
    state.reason().map_or("they are being fetched", |why| why.text())
}
