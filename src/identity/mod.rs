//! Who a token says that its holder is, and as which roles that lets them log in: JSON Web Tokens, the keys
//! of their issuers, the file that maps claims to roles, and OAUTHBEARER's messages; requests that are
//! presigned for AWS, and what AWS answers to one.
//!
//! Pure: no socket, no clock, no file. Tokens, keys and the time come in as arguments, a verdict goes out.
//! The cryptography is aws-lc's, by jsonwebtoken; what that does not ask (a key id, members that are there
//! twice, a lifetime) is asked here, and everything is refused that no rule allows. A token, or a part of its
//! signature, is never in an error or a `Debug`. Sources: RFC 7515 (JWS), 7517 (JWK), 7518 (algorithms), 7519
//! (JWT), 8725 (best current practices), 6901 (JSON pointers), 7628 (OAUTHBEARER).

mod algorithm;
pub mod arn;
mod claim_name;
mod claims;
mod claims_map;
mod deny_list;
mod kept_claims;
mod key_set;
pub mod oauthbearer;
mod pattern;
pub mod presigned;
mod refusal;
mod rules;
mod strict_json;
pub mod sts_answer;
mod text;
mod verify;

pub use algorithm::Algorithm;
pub use claim_name::{BadClaimName, ClaimName};
pub use claims::Claims;
pub use claims_map::{Admitted, BadRole, ClaimsMap, MapError, WrongLine};
pub use deny_list::{DenyError, DenyList, WrongDenial};
pub use kept_claims::KeptClaims;
pub use key_set::{BadKey, BadKeySet, KeySet, LeftOut};
pub use refusal::Refusal;
pub use rules::{IssuerRules, RequiredClaim};
pub use verify::{SignedClaims, issuer_of, verify, verify_again, verify_signature, vouched_again};

#[cfg(test)]
mod tests;
