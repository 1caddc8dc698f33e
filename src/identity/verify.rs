//! Whether a token is good, by the rules and keys of its issuer.
//!
//! Asked in this order: form and bounds, header, key, signature, and only then claims. What the header offers
//! as a key (`jwk`, `jku`, `x5c`, `x5u`) is never looked at: keys are the set's. Sources: RFC 7515, sections
//! 4.1 and 5.2; RFC 7519, sections 4.1 and 7.2; RFC 8725, section 3.

use super::algorithm::Algorithm;
use super::claim_name::ClaimName;
use super::claims::{Claims, texts};
use super::kept_claims::KeptClaims;
use super::key_set::{Key, KeySet};
use super::refusal::Refusal;
use super::rules::IssuerRules;
use super::strict_json::{Bounds, object};
use super::text::shown;
use crate::base::limits;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Who says to have issued a token (`iss`): nothing is verified by this but the form, so that it is good for
/// finding the rules by which to judge, and for nothing else.
///
/// # Errors
/// It is no token, or names no issuer.
pub fn issuer_of(token: &str) -> Result<String, Refusal> {
    let parts = Parts::of(token)?;
    Ok(issuer(&members(parts.payload)?)?.to_owned())
}

/// The claims of `token`, if it is good at `now_epoch_s`, in seconds since the epoch.
///
/// # Errors
/// Why it is not.
pub fn verify(token: &str, rules: &IssuerRules, keys: &KeySet, now_epoch_s: u64) -> Result<Claims, Refusal> {
    verify_signature(token, rules, keys)?.judge(rules, now_epoch_s).map_err(|(why, _)| why)
}

/// What a token says that its issuer has signed: whose it is, not that it is good.
pub struct SignedClaims(Claims);

impl SignedClaims {
    /// The claims, if the token is good at `now_epoch_s`, in seconds since the epoch.
    ///
    /// # Errors
    /// Why it is not, and what it says.
    pub fn judge(mut self, rules: &IssuerRules, now_epoch_s: u64) -> Result<Claims, (Refusal, Box<Self>)> {
        match judge(self.0.members(), rules, now_epoch_s) {
            Ok(expires_at_epoch_s) => {
                self.0.expires_at_epoch_s = expires_at_epoch_s;
                Ok(self.0)
            }
            Err(why) => Err((why, Box::new(self))),
        }
    }

    /// Whom the token names.
    ///
    /// # Errors
    /// As [`Claims::principal`].
    pub fn principal(&self, rules: &IssuerRules) -> Result<String, Refusal> {
        self.0.principal(rules)
    }

    /// As [`Claims::audited`].
    pub fn audited(&self, rules: &IssuerRules) -> Vec<(Box<str>, Box<str>)> {
        self.0.audited(rules)
    }
}

/// What `token` says, if a key of its issuer has signed it.
///
/// # Errors
/// Why nothing of it is to be believed.
pub fn verify_signature(token: &str, rules: &IssuerRules, keys: &KeySet) -> Result<SignedClaims, Refusal> {
    let parts = Parts::of(token)?;
    let (algorithm, kid) = header(&members(parts.header)?, rules)?;
    let key = keys.key(&kid).ok_or_else(|| Refusal::UnknownKey { kid: shown(&kid) })?;
    if !key.is_for(algorithm) {
        return Err(Refusal::KeyOfOtherKind { kid: shown(&kid), alg: algorithm.name() });
    }
    if !is_signed(parts.signed, parts.signature, key, algorithm)? {
        return Err(Refusal::BadSignature { kid: shown(&kid) });
    }
    let bytes = decoded(parts.payload)?;
    let members = payload(&bytes)?;
    Ok(SignedClaims(Claims::new(members, 0, KeptClaims::new(bytes.into(), algorithm))))
}

/// The claims of a token that was good when its holder logged in, if by these rules a token with them would
/// be good now, at a time at which it is valid. Its signature is not verified again: issuers change keys
/// without taking anything back by it.
///
/// # Errors
/// Why it would not be.
pub fn verify_again(kept: &KeptClaims, rules: &IssuerRules) -> Result<Claims, Refusal> {
    let algorithm = kept.algorithm().ok_or(Refusal::NotAToken)?;
    if !rules.algorithms.contains(&algorithm) {
        return Err(Refusal::AlgorithmNotAllowed { alg: algorithm.name().to_owned() });
    }
    let members = payload(kept.payload())?;
    let expires_at_epoch_s = judge_again(&members, rules)?;
    Ok(Claims::new(members, expires_at_epoch_s, kept.clone()))
}

/// The claims that [`Claims::of_texts`] has made, of what was kept of them.
///
/// # Errors
/// They are none.
pub fn vouched_again(kept: &KeptClaims) -> Result<Claims, Refusal> {
    Ok(Claims::new(payload(kept.payload())?, u64::MAX, kept.clone()))
}

/// Whether `signature` is the key's for header and payload.
pub(super) fn is_signed(
    signed: &str,
    signature: &str,
    key: &Key,
    algorithm: Algorithm,
) -> Result<bool, Refusal> {
    let algorithm = algorithm.of_library();
    jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.key, algorithm)
        .map_err(|_| Refusal::NotAToken)
}

/// The parts of a token in the compact form (RFC 7515, section 7.1).
struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Header and payload, with the dot between them.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > limits::JWT_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::NotAToken)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::NotAToken)?;
        if payload.contains('.') {
            return Err(Refusal::NotAToken);
        }
        Ok(Self { header, payload, signature, signed })
    }
}

/// The members of the object that a part of a token is.
fn members(part: &str) -> Result<Map<String, Value>, Refusal> {
    payload(&decoded(part)?)
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::NotAToken)
}

/// The members of the object that these bytes are.
fn payload(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    Ok(object(bytes, Bounds { depth: limits::JWT_DEPTH_MAX, values: limits::JWT_VALUES_MAX })?)
}

/// The algorithm and the key that a header names.
fn header(members: &Map<String, Value>, rules: &IssuerRules) -> Result<(Algorithm, String), Refusal> {
    let member = |name: &str| members.get(name).and_then(Value::as_str);
    let alg = member("alg").ok_or(Refusal::NotAToken)?;
    let algorithm = Algorithm::named(alg).filter(|algorithm| rules.algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or_else(|| Refusal::AlgorithmNotAllowed { alg: shown(alg) })?;
    if members.contains_key("crit") || members.get("b64").is_some_and(|is_so| *is_so != Value::Bool(true)) {
        return Err(Refusal::CriticalHeader);
    }
    if let Some(typ) = members.get("typ") {
        let typ = typ.as_str().ok_or(Refusal::NotAToken)?;
        if !is_for_logins(typ) {
            return Err(Refusal::TypeNotAllowed { typ: shown(typ) });
        }
    }
    let kid = member("kid").filter(|kid| !kid.is_empty()).ok_or(Refusal::NoKeyId)?;
    Ok((algorithm, kid.to_owned()))
}

/// Whether a token of that type tells who its holder is: an access token (RFC 9068, section 2.1), or one
/// whose issuer says no more than that it is a token. One that reports a logout or an event is signed by the
/// same keys (RFC 8725, section 3.11).
fn is_for_logins(typ: &str) -> bool {
    let word = typ.get(..12).filter(|begin| begin.eq_ignore_ascii_case("application/"));
    let word = if word.is_some() { &typ[12..] } else { typ };
    ["JWT", "at+jwt"].iter().any(|fit| word.eq_ignore_ascii_case(fit))
}

/// Who issued a token: one text, never a list.
fn issuer(members: &Map<String, Value>) -> Result<&str, Refusal> {
    members.get("iss").and_then(Value::as_str).ok_or_else(|| no_claim("iss"))
}

fn no_claim(claim: &str) -> Refusal {
    Refusal::NoClaim { claim: shown(claim) }
}

/// Until when a token with these claims is good, in seconds since the epoch.
fn judge(members: &Map<String, Value>, rules: &IssuerRules, now_s: u64) -> Result<u64, Refusal> {
    judge_issuer(members, rules)?;
    judge_audience(members, rules)?;
    let expires_s = judge_times(members, rules, now_s)?;
    judge_required(members, rules)?;
    Ok(expires_s)
}

/// The same of a token that was good when it came: what hangs on the time of day is not asked again.
fn judge_again(members: &Map<String, Value>, rules: &IssuerRules) -> Result<u64, Refusal> {
    judge_issuer(members, rules)?;
    judge_audience(members, rules)?;
    let expires_s = time(members, "exp", f64::floor)?.ok_or_else(|| no_claim("exp"))?;
    let issued_s = time(members, "iat", f64::ceil)?;
    judge_lifetime(rules, expires_s.saturating_sub(issued_s.unwrap_or(expires_s)))?;
    judge_required(members, rules)?;
    Ok(expires_s)
}

fn judge_issuer(members: &Map<String, Value>, rules: &IssuerRules) -> Result<(), Refusal> {
    let iss = issuer(members)?;
    if iss == &*rules.issuer { Ok(()) } else { Err(Refusal::WrongIssuer { iss: shown(iss) }) }
}

fn judge_required(members: &Map<String, Value>, rules: &IssuerRules) -> Result<(), Refusal> {
    for required in &rules.required {
        let texts = texts(members, &required.name);
        let is_there = required.name.find(members).is_some();
        let fits = |values: &Vec<String>| values.iter().any(|value| texts.iter().any(|text| text == value));
        if !is_there {
            return Err(no_claim(required.name.as_str()));
        }
        if !required.values.as_ref().is_none_or(fits) {
            return Err(Refusal::ClaimNotAllowed { claim: shown(required.name.as_str()) });
        }
    }
    Ok(())
}

/// A text, or a list of nothing else, of which one is an audience that is accepted.
fn judge_audience(members: &Map<String, Value>, rules: &IssuerRules) -> Result<(), Refusal> {
    let name: &ClaimName = &rules.audience_claim;
    let found: Vec<&str> = match name.find(members) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default(),
        _ => Vec::new(),
    };
    if found.is_empty() {
        return Err(no_claim(name.as_str()));
    }
    if found.iter().any(|one| rules.audiences.iter().any(|accepted| **accepted == **one)) {
        return Ok(());
    }
    Err(Refusal::WrongAudience { claim: shown(name.as_str()), found: shown(&found.join(", ")) })
}

fn judge_times(members: &Map<String, Value>, rules: &IssuerRules, now_s: u64) -> Result<u64, Refusal> {
    let expires_s = time(members, "exp", f64::floor)?.ok_or_else(|| no_claim("exp"))?;
    let not_before_s = time(members, "nbf", f64::ceil)?;
    let issued_s = time(members, "iat", f64::ceil)?;
    if now_s >= expires_s.saturating_add(rules.leeway_s) {
        return Err(Refusal::Expired { ago_s: now_s - expires_s });
    }
    let latest_s = now_s.saturating_add(rules.leeway_s);
    if let Some(at_s) = not_before_s.filter(|at_s| *at_s > latest_s) {
        return Err(Refusal::NotYet { ahead_s: at_s - now_s });
    }
    if let Some(at_s) = issued_s.filter(|at_s| *at_s > latest_s) {
        return Err(Refusal::IssuedInFuture { ahead_s: at_s - now_s });
    }
    judge_lifetime(rules, expires_s.saturating_sub(issued_s.unwrap_or(now_s)))?;
    Ok(expires_s)
}

fn judge_lifetime(rules: &IssuerRules, lifetime_s: u64) -> Result<(), Refusal> {
    let most_s = rules.token_lifetime_max_s;
    if most_s != 0 && lifetime_s > most_s {
        return Err(Refusal::LivesTooLong { lifetime_s, most_s });
    }
    Ok(())
}

/// A claim's point in time, in seconds since the epoch; parts of a second are rounded so that the token is
/// good for less.
fn time(
    members: &Map<String, Value>,
    claim: &'static str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, Refusal> {
    /// Up to here each whole number is one of JSON's (RFC 8259, section 6).
    const LAST_S: u64 = 1 << 53;
    let Some(value) = members.get(claim) else { return Ok(None) };
    let whole = value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_S as f64).contains(seconds))?;
        Some(round(seconds) as u64)
    });
    whole.filter(|seconds| *seconds <= LAST_S).map(Some).ok_or(Refusal::BadTime { claim })
}
