//! What an issuer's tokens are judged by.

use super::algorithm::Algorithm;
use super::claim_name::ClaimName;
use std::sync::Arc;

/// An issuer of tokens, as its entry of `[issuers]` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRules {
    /// The entry's name.
    pub name: Arc<str>,
    /// What `iss` must be, letter by letter.
    pub issuer: Arc<str>,
    /// Which claim says for whom a token was issued: `aud`, but for issuers whose tokens have another one in
    /// its place.
    pub audience_claim: ClaimName,
    /// One of these must be in it, letter by letter. Where there are none, no token is accepted.
    pub audiences: Vec<Arc<str>>,
    /// What a token may be signed by.
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may be from ours, in seconds.
    pub leeway_s: u64,
    /// For how long a token may be good in all, in seconds: from `iat`, or from now where it has none. Zero:
    /// for as long as it says.
    pub token_lifetime_max_s: u64,
    /// Claims that must be there.
    pub required: Vec<RequiredClaim>,
    /// Which claim names its holder.
    pub principal: ClaimName,
    /// Claims that go into the audit log.
    pub audit: Vec<ClaimName>,
}

/// A claim that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredClaim {
    /// Which.
    pub name: ClaimName,
    /// One of these must be its value, or among its values; `None`: whatever it says.
    pub values: Option<Vec<String>>,
}
