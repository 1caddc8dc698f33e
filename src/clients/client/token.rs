//! Proofs by a token that an issuer has signed: asked for within TLS or over a Unix socket, verified by the
//! issuer's keys, and mapped to the role that the client wants to be.
//!
//! The client learns that it is refused, and nothing of why; the log has the issuer, the claim and the
//! reason, and never the token. A token is not kept: servers are logged in to with what the pool has.
//! It is judged where SCRAM's keys are derived, a few at a time: a signature or a large map takes longer
//! than others on a worker's loop may wait, and many come at once when applications start. Sources: RFC
//! 7519, RFC 7628.

use super::LoginAttempt;
use super::elsewhere::{NoPassword, while_client_waits};
use super::standing::{Fallen, Proven};
use crate::auth::Method;
use crate::auth::jwt::{JwtOptions, Transport};
use crate::base::{Expiry, Micros, Password, Principal, Proof, log_about};
use crate::clients::authenticate::{ask_bearer, refuse_bearer};
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::issuers::NoKeys;
use crate::clients::stream::ClientStream;
use crate::clients::unauthenticated::Pace;
use crate::config::{CONSOLE_DATABASE, shown};
use crate::control::{Lapse, NotGiven, Policy, RoleWanted, TokenIssuer, Tokens};
use crate::identity::oauthbearer::{self, Initial, Malformed, NoToken};
use crate::identity::{ClaimsMap, IssuerRules, KeptClaims, KeySet, Refusal, issuer_of, verify_signature};
use crate::wire::Fault;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A token on its way through its proof; wiped when the last who looks at it is done.
type Token = Arc<Password>;

/// Why a token proves nothing. Fit for logs: no part of the token is in it.
#[derive(Debug, thiserror::Error)]
enum Unproven {
    #[error("{0}")]
    Unread(Refusal),
    #[error("{0}")]
    NoToken(NoToken),
    #[error("the client asks where to get a token")]
    Discovery,
    #[error("{0}")]
    Malformed(Malformed),
    #[error("no issuer in use has issued it: iss is {0}")]
    OtherIssuer(String),
    #[error("issuer {issuer}: {why}")]
    Refused { issuer: Arc<str>, why: Refusal },
    #[error("issuer {issuer}: {why}")]
    NoKeys { issuer: Arc<str>, why: NoKeys },
    #[error("issuer {issuer}: claims of {principal} are in no line of map {map} for this role")]
    NotInMap { issuer: Arc<str>, principal: String, map: Arc<str> },
    #[error("issuer {issuer}: the token is for the role {principal}")]
    OtherRole { issuer: Arc<str>, principal: String },
    #[error("issuer {issuer}: it could not be verified: a panic, which the log has")]
    Panicked { issuer: Arc<str> },
    #[error("{0}")]
    Lapsed(Lapse),
}

impl LoginAttempt {
    /// By a token: of the issuer and by the map of `of_rule`, or by `auth_jwt_options`.
    ///
    /// # Cancel safety
    /// The login cannot be taken up again; a signature is verified to its end.
    pub(super) async fn prove_by_token(
        &self,
        clients: &Clients,
        policy: &Policy,
        of_rule: Option<Arc<JwtOptions>>,
        stream: &mut ClientStream,
    ) -> Result<Proof, LoginEnd> {
        self.may_show_token(stream)?;
        let options = of_rule.unwrap_or_else(|| Arc::clone(&policy.tokens.options));
        let tokens = &policy.tokens;
        let outcome = match shown_token(self, options.transport, stream).await? {
            Ok(token) => {
                let pace = stream.pace();
                let proof = self.look_at(clients, tokens, &options, token, pace.as_ref());
                while_client_waits(stream, proof).await?
            }
            Err(why) => Err(why),
        };
        let outcome = match outcome {
            Ok(Holder { principal, claims }) => {
                let issuer = principal.issuer.as_ref().into();
                let proven = Proven { method: Method::Jwt, principal, claims };
                self.stand(clients, policy, stream, proven).await.map_err(|why| match why {
                    Fallen::Lapsed(lapse) => Unproven::Lapsed(lapse),
                    Fallen::Panicked => Unproven::Panicked { issuer },
                })
            }
            Err(why) => Err(why),
        };
        let why = match outcome {
            Ok(proof) => return Ok(proof),
            Err(why) => why,
        };
        self.tried.fails(&why);
        match &why {
            Unproven::Discovery if self.may_log(clients) => {
                log_about!(debug, self.about(), "the client asks where to get a token");
            }
            Unproven::Discovery => {}
            _ if self.may_log(clients) => log_about!(info, self.about(), "JWT login failed: {why}"),
            _ => {}
        }
        match why {
            Unproven::Malformed(why) if why.is_unsupported() => Err(Fault::AuthorizationIdentity.into()),
            Unproven::Malformed(_) => Err(Fault::SaslFailed.into()),
            // Its message may not have been read: what follows of it would be taken for an answer.
            Unproven::Unread(Refusal::TooLong) => Err(Fault::JwtFailed.into()),
            _ if options.transport == Transport::OauthBearer => {
                refuse_bearer(stream, &told_to_bearers(tokens, &options)).await?;
                Err(Fault::JwtFailed.into())
            }
            _ => Err(Fault::JwtFailed.into()),
        }
    }

    /// Whom the token proves the client to be.
    async fn look_at(
        &self,
        clients: &Clients,
        tokens: &Tokens,
        options: &JwtOptions,
        token: Token,
        pace: Option<&Pace>,
    ) -> Result<Holder, Unproven> {
        let iss = issuer_of(token.expose()).map_err(Unproven::Unread)?;
        let issuer = tokens.of_issuer(&iss);
        let issuer =
            issuer.filter(|issuer| options.issuer.as_ref().is_none_or(|name| *name == issuer.rules.name));
        let issuer = Arc::clone(issuer.ok_or_else(|| Unproven::OtherIssuer(shown(&iss)))?);
        let name = &issuer.rules.name;
        self.tried.of_issuer(name);
        let Some((keeper, counts)) = clients.issuers.named(name) else {
            return Err(Unproven::OtherIssuer(shown(&iss))); // a reload has just taken it away
        };
        let mut keys = keeper.watch();
        let outcome = loop {
            let current = keys.current().await;
            let current = current.map_err(|why| Unproven::NoKeys { issuer: Arc::clone(name), why });
            let (set, is_last) = match current {
                Ok(current) => current,
                Err(why) => break Err(why),
            };
            let claim = Claim {
                token: Arc::clone(&token),
                issuer: Arc::clone(&issuer),
                keys: set,
                maps: Arc::clone(&tokens.maps),
                map: options.map.as_ref().or(issuer.entry.map.as_ref()).cloned(),
                role: Arc::clone(&self.user),
                is_of_console: &*self.database == CONSOLE_DATABASE,
            };
            match self.judged(clients, claim, pace).await {
                Err(Unproven::Refused { why: Refusal::UnknownKey { .. }, .. }) if !is_last => {
                    keys.next().await;
                }
                outcome => break outcome,
            }
        };
        counts.count(outcome.is_ok());
        outcome
    }

    /// The verdict over a claim, in its turn.
    async fn judged(&self, clients: &Clients, claim: Claim, pace: Option<&Pace>) -> Result<Holder, Unproven> {
        // not while a key is waited for: anybody can name one that will never come
        let _waits_for_us = pace.map(Pace::waits_for_us);
        let issuer = Arc::clone(&claim.issuer.rules.name);
        let permit = clients.plane.key_derivation.acquire_for_client(&self.remote).await;
        let now = clients.plane.now();
        let judged = permit.compute(move || claim.judged(now, since_epoch())).await;
        let Some(judged) = judged else { return Err(Unproven::Panicked { issuer }) };
        judged.map_err(|refused| {
            let Refused { why, principal } = *refused;
            principal.into_iter().for_each(|principal| self.tried.as_principal(Arc::new(principal)));
            why
        })
    }
}

/// Whom a token names, and what it says.
struct Holder {
    principal: Principal,
    claims: KeptClaims,
}

/// A token that does not let its holder in, and whom it names where its signature is good.
struct Refused {
    why: Unproven,
    principal: Option<Principal>,
}

/// Somebody whom an issuer's token names.
fn principal(name: String, rules: &IssuerRules, claims: Vec<(Box<str>, Box<str>)>) -> Principal {
    let (issuer, claims) = ((&*rules.name).into(), claims.into());
    Principal { issuer, claims, ..Principal::named(&name) }
}

/// What a client says that it is, and all that it is judged by.
struct Claim {
    token: Token,
    issuer: Arc<TokenIssuer>,
    keys: Arc<KeySet>,
    maps: Arc<ClaimsMap>,
    /// `None`: the role is the principal.
    map: Option<Arc<str>>,
    role: Arc<str>,
    is_of_console: bool,
}

impl Claim {
    /// Whom the token names, if that may be the role; it is `now` on the process's clock, and so long since
    /// the epoch.
    fn judged(&self, now: Micros, since_epoch: Duration) -> Result<Holder, Box<Refused>> {
        let rules = &self.issuer.rules;
        let issuer = || Arc::clone(&rules.name);
        let refused = |why, principal| {
            let why = Unproven::Refused { issuer: issuer(), why };
            Box::new(Refused { why, principal })
        };
        let signed = verify_signature(self.token.expose(), rules, &self.keys);
        let signed = signed.map_err(|why| refused(why, None))?;
        let claims = signed.judge(rules, since_epoch.as_secs()).map_err(|(why, signed)| {
            let named = signed.principal(rules).ok();
            refused(why, named.map(|name| principal(name, rules, signed.audited(rules))))
        })?;
        let name = claims.principal(rules).map_err(|why| refused(why, None))?;
        let holder = principal(name.clone(), rules, claims.audited(rules));
        let (map, role, is_of_console) = (self.map.as_ref(), &*self.role, self.is_of_console);
        let wanted = RoleWanted { map, role, is_of_console };
        let timeouts = match wanted.given_by(&self.maps, &claims, &name) {
            Ok(timeouts) => timeouts,
            Err(why) => {
                let why = match why {
                    NotGiven::NotInMap(map) => Unproven::NotInMap { issuer: issuer(), principal: name, map },
                    NotGiven::OtherRole => Unproven::OtherRole { issuer: issuer(), principal: name },
                };
                return Err(Box::new(Refused { why, principal: Some(holder) }));
            }
        };
        let at_epoch_s = claims.expires_at_epoch_s;
        // the clock that let it in late must not end it at once
        let end = Duration::from_secs(at_epoch_s.saturating_add(rules.leeway_s));
        let at = now + Micros::from(end.saturating_sub(since_epoch));
        let principal = Principal { expiry: Some(Expiry { at, at_epoch_s }), timeouts, ..holder };
        Ok(Holder { principal, claims: claims.to_keep().clone() })
    }
}

/// Asks the client for its token.
async fn shown_token(
    attempt: &LoginAttempt,
    transport: Transport,
    stream: &mut ClientStream,
) -> Result<Result<Token, Unproven>, LoginEnd> {
    Ok(match transport {
        Transport::Password => attempt.clear_password(stream).await?.map_err(|why| {
            Unproven::Unread(match why {
                NoPassword::TooLong => Refusal::TooLong,
                NoPassword::NotUtf8 => Refusal::NotAToken,
            })
        }),
        Transport::OauthBearer => match ask_bearer(stream).await?.as_deref().map(|sent| Initial::parse(sent))
        {
            None => Err(Unproven::Unread(Refusal::TooLong)),
            Some(Ok(Initial::Token(token))) => Ok(Arc::new(token)),
            Some(Ok(Initial::Discovery)) => Err(Unproven::Discovery),
            Some(Ok(Initial::NoToken(why))) => Err(Unproven::NoToken(why)),
            Some(Err(why)) => Err(Unproven::Malformed(why)),
        },
    })
}

/// What a client by OAUTHBEARER is told whose token is not taken: where to get one. Of several issuers the
/// rule's, else the first: a client that has a token of another one does not ask.
fn told_to_bearers(tokens: &Tokens, options: &JwtOptions) -> String {
    let of_rule = options.issuer.as_deref().and_then(|name| tokens.named(name));
    let issuer = of_rule.or(tokens.issuers.first()).map(|issuer| &issuer.entry);
    let scope = issuer.and_then(|entry| entry.scope.as_deref()).unwrap_or_default();
    oauthbearer::failure(issuer.map_or("", |entry| &entry.issuer), scope)
}

/// The wall clock.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
