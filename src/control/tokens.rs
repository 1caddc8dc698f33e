//! What logins by tokens go by, of one policy: the issuers' rules, the maps of claims to roles, the options
//! of `auth_type=jwt`.
//!
//! A value. Never holds a key or a token.

use crate::auth::jwt::JwtOptions;
use crate::config::IssuerEntry;
use crate::identity::{ClaimsMap, IssuerRules};
use std::sync::Arc;

/// What logins by tokens go by.
#[derive(Clone, Default)]
pub struct Tokens {
    /// Every entry of `[issuers]`.
    pub issuers: Arc<[Arc<TokenIssuer>]>,
    /// `auth_claims_file`.
    pub maps: Arc<ClaimsMap>,
    /// `auth_jwt_options`; rules of an hba file have their own.
    pub options: Arc<JwtOptions>,
}

/// One entry of `[issuers]`.
pub struct TokenIssuer {
    /// What its tokens are judged by.
    pub rules: IssuerRules,
    /// What the file says of it.
    pub entry: IssuerEntry,
}

impl Tokens {
    /// The entry of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<TokenIssuer>> {
        self.issuers.iter().find(|issuer| &*issuer.rules.name == name)
    }

    /// The entry whose tokens say this in `iss`.
    pub fn of_issuer(&self, iss: &str) -> Option<&Arc<TokenIssuer>> {
        self.issuers.iter().find(|issuer| &*issuer.rules.issuer == iss)
    }
}
