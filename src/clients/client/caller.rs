//! Proof by a presigned request that AWS STS answers with who has signed it (`iam_caller`).
//!
//! The client sends the request as its password, within TLS. What it says is read strictly before STS hears
//! of it; whom STS names may be the role that a map of `auth_claims_file` gives them, and no other. The
//! request is never kept, and never sent to a server: pools log in as they do for anybody. Source: AWS
//! Security Token Service API Reference, GetCallerIdentity.

use super::LoginAttempt;
use super::elsewhere::{NoPassword, while_client_waits};
use super::standing::{Fallen, Proven};
use crate::auth::Method;
use crate::base::{Address, Expiry, Micros, Principal, Proof, log_about};
use crate::clients::callers::{Identified, Question, Unidentified};
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::stream::ClientStream;
use crate::clients::unauthenticated::Pace;
use crate::config::CONSOLE_DATABASE;
use crate::control::{Lapse, Policy, RoleWanted};
use crate::iam::caller::CallerEndpoint;
use crate::identity::presigned::{Caller, Refusal};
use crate::identity::{Claims, ClaimsMap};
use crate::wire::Fault;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
enum Unproven {
    /// What was sent is not shown to STS.
    #[error("what the client has sent is no request of a caller: {0}")]
    Unfit(#[from] Refusal),
    /// STS names nobody.
    #[error("{0}")]
    Unidentified(#[from] Unidentified),
    /// They may not be that role.
    #[error("map {map} does not let {arn} be this role")]
    NotInMap {
        /// The map.
        map: Arc<str>,
        /// Whom STS has named.
        arn: String,
    },
    /// A reload has taken it away meanwhile.
    #[error("{0}")]
    Lapsed(Lapse),
}

impl From<NoPassword> for Unproven {
    fn from(why: NoPassword) -> Self {
        Self::Unfit(match why {
            NoPassword::TooLong => Refusal::TooLong,
            NoPassword::NotUtf8 => Refusal::NotPresigned,
        })
    }
}

impl From<Fallen> for Unproven {
    fn from(why: Fallen) -> Self {
        match why {
            Fallen::Lapsed(lapse) => Self::Lapsed(lapse),
            Fallen::Panicked => Self::Unidentified(Unidentified::Fault),
        }
    }
}

impl Unproven {
    /// Whether it says nothing of the client.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Unidentified(Unidentified::Unavailable(_) | Unidentified::Fault))
    }
}

/// Until when a login of now holds that AWS alone could verify: what was signed for it is good for as long as
/// somebody may log in with it, and says nothing of how long a session may be.
pub(super) fn login_expiry(clients: &Clients) -> Option<Expiry> {
    let age = clients.plane.policy.load().snapshot.settings.iam_client_max_age;
    let now_epoch_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let expiry = Expiry { at: clients.plane.now() + age, at_epoch_s: now_epoch_s + age.as_secs() };
    (age > Micros(0)).then_some(expiry)
}

impl LoginAttempt {
    /// By a presigned request; `of_rule`: the map of the rule.
    ///
    /// # Cancel safety
    /// STS may be asked all the same, and what it says is kept.
    pub(super) async fn prove_by_caller(
        &self,
        clients: &Clients,
        policy: &Policy,
        of_rule: Option<Arc<str>>,
        stream: &mut ClientStream,
    ) -> Result<Proof, LoginEnd> {
        self.may_show_token(stream)?;
        let token = self.clear_password(stream).await?;
        let pace = stream.pace();
        let callers = policy.callers.as_ref().ok_or(Fault::Config)?;
        let per_second = policy.snapshot.settings.iam_caller_rate.get();
        let judging = async {
            let _waits_for_us = pace.as_ref().map(Pace::waits_for_us);
            let token = token.inspect_err(|_| clients.callers.is_unfit())?;
            let identified = self.identify(clients, &callers.endpoint, per_second, token.expose()).await?;
            let map = of_rule.unwrap_or_else(|| Arc::clone(&callers.map));
            self.map_caller(&policy.tokens.maps, map, identified, login_expiry(clients))
        };
        let outcome = match while_client_waits(stream, judging).await? {
            Ok(proven) => self.stand(clients, policy, stream, proven).await.map_err(Unproven::from),
            Err(why) => Err(why),
        };
        if let Err(why) = &outcome {
            self.tried.fails(why);
        }
        match outcome {
            Ok(proof) => return Ok(proof),
            Err(why) if !self.may_log(clients) => drop(why),
            Err(why) if why.is_ours() => log_about!(warn, self.about(), "IAM callers cannot log in: {why}"),
            Err(why) => log_about!(info, self.about(), "IAM caller login failed: {why}"),
        }
        Err(Fault::CallerFailed.into())
    }

    /// A token is asked for within TLS, or within the machine.
    pub(super) fn may_show_token(&self, stream: &ClientStream) -> Result<(), LoginEnd> {
        let is_open = matches!(self.remote, Address::Tcp(_)) && !stream.is_tls();
        if is_open { Err(Fault::SslRequired.into()) } else { Ok(()) }
    }

    async fn identify(
        &self,
        clients: &Clients,
        endpoint: &Arc<CallerEndpoint>,
        per_second: u32,
        token: &str,
    ) -> Result<Identified, Unproven> {
        let now_epoch_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let caller = Caller::parse(token, endpoint.rules(), now_epoch_s);
        let caller = caller.inspect_err(|_| clients.callers.is_unfit())?;
        let question = Question { endpoint, per_second, token, caller, client: &self.remote, now_epoch_s };
        Ok(clients.callers.identify(&clients.plane, &clients.random, question).await?)
    }

    /// The principal, where the map lets it be the role that the client wants to be.
    fn map_caller(
        &self,
        maps: &ClaimsMap,
        map: Arc<str>,
        Identified { identity, expiry }: Identified,
        login_expiry: Option<Expiry>,
    ) -> Result<Proven, Unproven> {
        let arn = &identity.arn;
        let named = [
            ("arn", Some(&arn.arn)),
            ("account", Some(&arn.account)),
            ("userid", Some(&identity.user_id)),
            ("role", arn.role.as_ref()),
            ("session", arn.session.as_ref()),
        ];
        let texts = || named.into_iter().filter_map(|(name, text)| Some((name, text?.as_str())));
        let claims = Claims::of_texts(texts(), expiry.at_epoch_s);
        let (map, is_of_console) = (Some(&map), &*self.database == CONSOLE_DATABASE);
        let wanted = RoleWanted { map, role: &self.user, is_of_console };
        let principal = Principal {
            claims: texts().skip(1).map(|(name, text)| (name.into(), text.into())).collect(),
            expiry: login_expiry,
            ..Principal::named(&arn.arn)
        };
        match wanted.given_by(maps, &claims, &arn.arn) {
            Ok(timeouts) => {
                let principal = Principal { timeouts, ..principal };
                Ok(Proven { method: Method::IamCaller, principal, claims: claims.to_keep().clone() })
            }
            Err(_) => {
                self.tried.as_principal(Arc::new(principal));
                Err(Unproven::NotInMap {
                    map: Arc::clone(wanted.map.unwrap_or(&self.user)),
                    arn: arn.arn.clone(),
                })
            }
        }
    }
}
