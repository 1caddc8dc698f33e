//! On what a session by a token, or by what AWS verifies, was let in, and whether it would be now.
//!
//! A value, and a function of it and of a policy: rules, options, the issuer's entry and the map are asked in
//! the order of a login. What a login finds out of the time of day, or by keys, is not asked again. Never
//! holds a token.

use super::policy::Policy;
use super::tokens::{NotGiven, RoleWanted, TokenIssuer};
use crate::auth::Method;
use crate::auth::hba::{Origin, Rule, Visit};
use crate::auth::jwt::JwtOptions;
use crate::base::{About, Address, DenyReason, Principal};
use crate::config::CONSOLE_DATABASE;
use crate::identity::{KeptClaims, Refusal, verify_again, vouched_again};
use crate::wire::startup::Replication;
use std::sync::Arc;

/// On what a session by a token was let in.
#[derive(Debug)]
pub(crate) struct Grounds {
    /// Socket id of the client.
    pub socket_id: u64,
    /// Database entry that it asked for.
    pub database: Arc<str>,
    /// The role that it works as.
    pub user: Arc<str>,
    /// Its own end.
    pub remote: Address,
    /// Whether it came within TLS.
    pub is_tls: bool,
    /// Which kind of replication it has asked for.
    pub replication: Replication,
    /// By which method.
    pub method: Method,
    /// What its token says, or STS.
    pub claims: KeptClaims,
    /// Whom that names.
    pub principal: Arc<Principal>,
}

/// Why what has let a session in does not any more. Fit for logs: the token is not in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lapse {
    /// No rule of the hba file fits, or one rejects it.
    #[error("no rule lets it in any more")]
    NoRule,
    /// Tokens are not asked for.
    #[error("it would have to log in by {method} now")]
    OtherMethod {
        /// The word of the method that is.
        method: &'static str,
    },
    /// There is no such entry, or tokens of others count there.
    #[error("issuer {issuer} is gone, or its tokens do not count there any more")]
    IssuerGone {
        /// The entry's name.
        issuer: Box<str>,
    },
    /// The entry's rules refuse the claims.
    #[error("issuer {issuer}: {why}")]
    Refused {
        /// The entry's name.
        issuer: Box<str>,
        /// What is refused.
        why: Refusal,
    },
    /// The map does not give the role.
    #[error("issuer {issuer}: claims of {principal} are in no line of map {map} for this role any more")]
    NotInMap {
        /// The entry's name.
        issuer: Box<str>,
        /// Whom the token names.
        principal: String,
        /// The map.
        map: Arc<str>,
    },
    /// A caller of AWS is not given the role.
    #[error("map {map} does not let {principal} be this role any more")]
    NotInMapOfCallers {
        /// Whom STS has named.
        principal: String,
        /// The map.
        map: Arc<str>,
    },
    /// There is no map, and the principal is not the role.
    #[error("issuer {issuer}: the token is for the role {principal} now")]
    OtherRole {
        /// The entry's name.
        issuer: Box<str>,
        /// Whom the token names.
        principal: String,
    },
}

impl Lapse {
    /// What it comes to.
    pub(crate) fn reason(&self) -> DenyReason {
        match self {
            Self::NoRule => DenyReason::NoRule,
            Self::OtherMethod { .. } => DenyReason::OtherMethod,
            Self::IssuerGone { .. } | Self::Refused { why: Refusal::WrongIssuer { .. }, .. } => {
                DenyReason::IssuerGone
            }
            Self::Refused { .. } => DenyReason::TokenNotAccepted,
            Self::NotInMap { .. } | Self::NotInMapOfCallers { .. } | Self::OtherRole { .. } => {
                DenyReason::RoleNotGiven
            }
        }
    }
}

impl Grounds {
    /// As the log names it.
    pub(super) fn about(&self) -> About<'_> {
        let Self { socket_id, database, user, remote, .. } = self;
        About { side: "C", id: *socket_id, database, user, peer: remote }
    }

    /// Whether they would let it in by `policy`. Takes as long as a login's judging of claims.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn judge(&self, policy: &Policy) -> Result<(), Lapse> {
        let rule = self.rule(policy)?;
        match self.method {
            Method::RdsIam => return Ok(()), // its endpoint has named nobody
            Method::IamCaller => return self.judge_caller(policy, rule.and_then(Rule::claims_map)),
            _ => {}
        }
        let options = rule.and_then(Rule::jwt).unwrap_or(&policy.tokens.options);
        let issuer = self.issuer(policy, options)?;
        let rules = &issuer.rules;
        let name = || self.principal.issuer.clone();
        let refused = |why| Lapse::Refused { issuer: name(), why };
        let claims = verify_again(&self.claims, rules).map_err(refused)?;
        let principal = claims.principal(rules).map_err(refused)?;
        let wanted = RoleWanted {
            map: options.map.as_ref().or(issuer.entry.map.as_ref()),
            role: &self.user,
            is_of_console: &*self.database == CONSOLE_DATABASE,
        };
        match wanted.given_by(&policy.tokens.maps, &claims, &principal) {
            Ok(_) => Ok(()),
            Err(NotGiven::NotInMap(map)) => Err(Lapse::NotInMap { issuer: name(), principal, map }),
            Err(NotGiven::OtherRole) => Err(Lapse::OtherRole { issuer: name(), principal }),
        }
    }

    /// Whether a caller's map gives it the role.
    fn judge_caller(&self, policy: &Policy, of_rule: Option<&Arc<str>>) -> Result<(), Lapse> {
        let principal = || self.principal.name.to_string();
        let map = of_rule.unwrap_or(&policy.snapshot.settings.iam_caller_map);
        let not_given = || Lapse::NotInMapOfCallers { principal: principal(), map: Arc::clone(map) };
        let claims = vouched_again(&self.claims).map_err(|_| not_given())?;
        let is_of_console = &*self.database == CONSOLE_DATABASE;
        let wanted = RoleWanted { map: Some(map), role: &self.user, is_of_console };
        wanted.given_by(&policy.tokens.maps, &claims, &principal()).map(drop).map_err(|_| not_given())
    }

    /// The rule by which it would log in, which must ask for what it has proven itself by; `None`:
    /// `auth_type` does.
    fn rule<'p>(&self, policy: &'p Policy) -> Result<Option<&'p Rule>, Lapse> {
        match Method::of_setting(policy.snapshot.settings.auth_type) {
            Some(method) if method == self.method => return Ok(None),
            Some(method) => return Err(Lapse::OtherMethod { method: method.word() }),
            None => {}
        }
        let origin = match self.remote {
            Address::Tcp(address) => Origin::Tcp { ip: address.ip(), is_tls: self.is_tls },
            Address::Unix { .. } => Origin::Local,
        };
        let (database, user) = (&*self.database, &*self.user);
        let visit = Visit { origin, database, user, replication: self.replication };
        let rule = policy.hba.rule_for(&visit).ok_or(Lapse::NoRule)?;
        match rule.method {
            method if method == self.method => Ok(Some(rule)),
            Method::Reject => Err(Lapse::NoRule),
            method => Err(Lapse::OtherMethod { method: method.word() }),
        }
    }

    /// The entry that has let it in, where it counts.
    fn issuer<'p>(&self, policy: &'p Policy, options: &JwtOptions) -> Result<&'p TokenIssuer, Lapse> {
        let name = &*self.principal.issuer;
        let counts = options.issuer.as_ref().is_none_or(|only| &**only == name);
        let issuer = policy.tokens.named(name).filter(|_| counts);
        issuer.map(|issuer| &**issuer).ok_or_else(|| Lapse::IssuerGone { issuer: name.into() })
    }
}

#[cfg(test)]
mod tests;
