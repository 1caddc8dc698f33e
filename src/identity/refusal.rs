//! Why a token is refused: what an operator reads, and no client.
//!
//! A text names the claim, and what of the token is wrong, on one line and cut; never the token or a part of
//! its signature. Whoever logs it says which issuer's rules were gone by.

use super::strict_json::NotStrict;
use super::text::shown;
use crate::base::limits;

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum Refusal {
    #[error("the token is too long: at most {most} bytes", most = limits::JWT_BYTES_MAX)]
    TooLong,
    #[error("it is no signed JSON web token")]
    NotAToken,
    #[error("member {name} is in the token twice")]
    DuplicateMember { name: String },
    #[error("values nest too deep in the token: at most {levels} levels", levels = limits::JWT_DEPTH_MAX)]
    TooDeep,
    #[error("too many values are in the token: at most {most}", most = limits::JWT_VALUES_MAX)]
    TooManyValues,
    #[error("the token's algorithm is not allowed: {alg}")]
    AlgorithmNotAllowed { alg: String },
    #[error("the token's type (typ) is not that of a token for logins: {typ}")]
    TypeNotAllowed { typ: String },
    #[error("the token's header has extensions that must be understood (crit, b64)")]
    CriticalHeader,
    #[error("the token does not say which key has signed it (kid)")]
    NoKeyId,
    #[error("the issuer has no key {kid} that can be used")]
    UnknownKey { kid: String },
    #[error("key {kid} is not for algorithm {alg}")]
    KeyOfOtherKind { kid: String, alg: &'static str },
    #[error("the token's signature is not that of key {kid}")]
    BadSignature { kid: String },
    #[error("claim {claim} is missing, or not of its form")]
    NoClaim { claim: String },
    #[error("claim iss is not the issuer's: {iss}")]
    WrongIssuer { iss: String },
    #[error("claim {claim} is {found}, which is none of the audiences that are accepted")]
    WrongAudience { claim: String, found: String },
    #[error("claim {claim} is no point in time")]
    BadTime { claim: &'static str },
    #[error("the token expired {ago_s} s ago (exp)")]
    Expired { ago_s: u64 },
    #[error("the token is not valid before {ahead_s} s from now (nbf)")]
    NotYet { ahead_s: u64 },
    #[error("the token says that it was issued {ahead_s} s from now (iat)")]
    IssuedInFuture { ahead_s: u64 },
    #[error("the token is valid for {lifetime_s} s, more than the {most_s} s of max_token_age")]
    LivesTooLong { lifetime_s: u64, most_s: u64 },
    #[error("claim {claim} has none of the values that are required")]
    ClaimNotAllowed { claim: String },
    #[error(
        "claim {claim} cannot name a principal: it must be printable, with 1 to {most} bytes",
        most = limits::PRINCIPAL_BYTES_MAX
    )]
    BadPrincipal { claim: String },
}

impl From<NotStrict> for Refusal {
    fn from(why: NotStrict) -> Self {
        match why {
            NotStrict::Syntax => Self::NotAToken,
            NotStrict::Duplicate(name) => Self::DuplicateMember { name: shown(&name) },
            NotStrict::TooDeep => Self::TooDeep,
            NotStrict::TooMany => Self::TooManyValues,
        }
    }
}
