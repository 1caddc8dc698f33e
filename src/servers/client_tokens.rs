//! Tokens of RDS that clients have made for themselves (`rds_iam`): each is shown, as it is, to the endpoint
//! that it was made for, and the endpoint's verdict is the client's.
//!
//! Only AWS can verify such a token, at a login to a database; so a login is what it costs, and it has a
//! budget of its own: nobody who sends tokens takes a turn of the pools' own logins. What can be told without
//! AWS is told before: another host, another role, a token that has expired, or is spelt in two ways, is
//! refused here. A token is shown once for each verdict, over verify-full TLS to exactly that endpoint, for
//! exactly the role that it names; it is never kept, never shown for anybody else, and never in a log. Where
//! the pool has room beside what its own logins may want, the server that it has opened joins the pool of
//! that database and role; else the login goes no further than the verdict. What becomes of it says nothing
//! of the pool's own logins.

use super::iam::entry;
use crate::base::{Address, Micros, Password, limits};
use crate::config::{CONSOLE_DATABASE, ClientIamMode, Database};
use crate::control::{
    Judging, PacedTurns, Permit, Plane, Policy, Randomness, SourcePaces, TokenId, TokenProven, TokenRefused,
    Verdict, Verdicts,
};
use crate::iam::rules::Rules;
use crate::iam::{Endpoint, Service, SystemClock, WallClock as _};
use crate::identity::presigned::{RdsRules, RdsToken, Refusal, Signed};
use crate::stats::TOKEN_OUTCOMES;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// A verdict ends so long before its token does.
const BEFORE_THE_END: Micros = Micros::from_secs(30);

/// What is known of clients' tokens.
#[derive(Default)]
pub struct ClientTokens {
    verdicts: Arc<Verdicts<TokenProven>>,
    random: Randomness,
    /// The budget of each endpoint.
    turns: Mutex<HashMap<Endpoint, Arc<PacedTurns>>>,
    sources: SourcePaces,
    counts: [AtomicU64; TOKEN_OUTCOMES.len()],
}

/// Where a token is to be shown, as whom, and what it says of itself.
pub(super) struct Aim {
    pub(super) policy: Arc<Policy>,
    pub(super) config: Arc<Database>,
    pub(super) rules: Rules,
    /// The number of the host.
    pub(super) at: usize,
    pub(super) signed: Signed,
    id: TokenId,
}

/// Why a token is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// What is said of tokens in general.
    #[error("what the client has sent is no token of RDS for this entry and role: {0}")]
    Token(#[from] Refusal),
    /// Who may do everything is for the files to say.
    #[error("tokens of RDS are for databases, not for the console")]
    Console,
    /// There is no such database.
    #[error("there is no such database")]
    NoDatabase,
    /// Tokens of clients are not shown to anybody.
    #[error("client_iam_mode is off")]
    Off,
    /// Its servers take no tokens of RDS.
    #[error("the database has no server_auth=rds_iam, so that no endpoint can take the token")]
    NotByIam,
    /// Its servers are another role's.
    #[error("the entry logs in to its servers as a user of its own, not as the client's")]
    Forced,
    /// The system has none.
    #[error("no randomness from the system")]
    NoRandomness,
}

/// A token that is to be shown now: nobody else judges it, and it has its turn.
pub(super) type Turn = (Judging<TokenProven>, Permit);

impl ClientTokens {
    /// How many tokens came to what, in the order of [`TOKEN_OUTCOMES`].
    pub fn counts(&self) -> [u64; TOKEN_OUTCOMES.len()] {
        std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed))
    }

    pub(super) fn count(&self, outcome: usize) {
        self.counts[outcome].fetch_add(1, Ordering::Relaxed);
    }

    /// Where the token is to be shown; all that can be told without AWS is told here, at the cost of reading
    /// the token once.
    pub(super) fn aim(
        &self,
        plane: &Plane,
        database: &str,
        user: &str,
        token: &Password,
    ) -> Result<Aim, Unfit> {
        let policy = plane.policy.load_full();
        let snapshot = &policy.snapshot;
        if snapshot.settings.client_iam_mode != ClientIamMode::PassThrough {
            return Err(Unfit::Off);
        }
        if database == CONSOLE_DATABASE {
            return Err(Unfit::Console); // an entry `*` would be for it, too
        }
        let config = snapshot.database(database).ok_or(Unfit::NoDatabase)?;
        if config.user.as_deref().is_some_and(|own| own != user) {
            return Err(Unfit::Forced);
        }
        let rules = entry::rules(snapshot, &config, user).and_then(Result::ok).ok_or(Unfit::NotByIam)?;
        let (at, signed) = read(&rules, user, token.expose())?;
        let endpoint = rules.endpoints[at].to_string();
        let id = self.verdicts.id(&self.random, &[token.expose(), user, &endpoint, database]);
        Ok(Aim { id: id.ok_or(Unfit::NoRandomness)?, policy, config, rules, at, signed })
    }

    /// Waits for the right to show the token; `Err`: it is known what would come of it.
    ///
    /// # Cancel safety
    /// Nothing is lost, and no turn is taken.
    pub(super) async fn turn(
        &self,
        plane: &Plane,
        aim: &Aim,
        client: &Address,
    ) -> Result<Turn, Result<TokenProven, TokenRefused>> {
        self.known(&aim.id, plane.now()).map_or(Ok(()), Err)?;
        let judging = self.verdicts.judge(aim.id).await;
        self.known(&aim.id, plane.now()).map_or(Ok(()), Err)?;
        let settings = &aim.policy.snapshot.settings;
        self.sources.wait(client, settings.iam_client_source_rate.get(), plane).await;
        let turns = self.turns_of(&aim.rules.endpoints[aim.at], plane.now());
        let permit = turns.take(client, settings.iam_client_login_rate.get(), plane).await;
        Ok((judging, permit))
    }

    fn turns_of(&self, endpoint: &Endpoint, now: Micros) -> Arc<PacedTurns> {
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(endpoint) {
            return Arc::clone(turns);
        }
        // A reload may have brought it: another may be gone. One whose pace is not made up for stays, or
        // tokens for two endpoints in turn would have no pace at all.
        all.retain(|_, turns| Arc::strong_count(turns) > 1 || !turns.is_rested(now));
        Arc::clone(all.entry(endpoint.clone()).or_insert_with(|| Arc::new(PacedTurns::new("RDS tokens"))))
    }

    fn known(&self, id: &TokenId, now: Micros) -> Option<Result<TokenProven, TokenRefused>> {
        let verdict = self.verdicts.known(id, now)?;
        self.count(1);
        Some(match verdict {
            Verdict::Accepted(proven) => Ok(proven),
            Verdict::Refused(why) => Err(TokenRefused { why: why.to_string(), is_ours: false }),
        })
    }
}

/// For which of the entry's endpoints the token is, and what it says.
fn read(rules: &Rules, user: &str, token: &str) -> Result<(usize, Signed), Unfit> {
    let now = SystemClock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut refusal = Unfit::NotByIam;
    for (at, endpoint) in rules.endpoints.iter().enumerate() {
        if endpoint.service() != Service::Rds {
            continue;
        }
        let (host, port, region) = (endpoint.host(), endpoint.port(), endpoint.region().as_str());
        match RdsToken::parse(token, RdsRules { host, port, region, user }, now) {
            Ok(read) => return Ok((at, read.signed)),
            // what is wrong with one for this host tells more than that it is for no other
            Err(why) if why != Refusal::OtherHost || refusal == Unfit::NotByIam => refusal = why.into(),
            Err(_) => {}
        }
    }
    Err(refusal)
}

impl ClientTokens {
    pub(super) fn accepted(
        &self,
        aim: &Aim,
        asked_at: Micros,
        now: Micros,
        cache_ttl: Micros,
    ) -> TokenProven {
        self.count(2);
        let now_epoch_s = SystemClock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ends_at = now + Micros::from_secs(aim.signed.expires_at_epoch_s.saturating_sub(now_epoch_s));
        let (key_id, has_session) = (aim.signed.key_id.as_str().into(), aim.signed.has_session);
        let proven = TokenProven { key_id, has_session };
        let until = (ends_at - BEFORE_THE_END).min(asked_at + cache_ttl);
        self.verdicts.accept(aim.id, proven.clone(), until);
        proven
    }

    /// A refusal is kept for a moment: it may have been throttling. What is no verdict is not kept.
    pub(super) fn failed(&self, aim: &Aim, why: &str, is_refusal: bool, now: Micros) -> TokenRefused {
        let why = format!("{} does not let it in: {}", aim.rules.endpoints[aim.at], why);
        if is_refusal {
            self.count(3);
            let until = now + Micros::from_millis(limits::TOKEN_REFUSED_MS);
            self.verdicts.refuse(aim.id, why.as_str().into(), until);
        } else {
            self.count(4);
        }
        TokenRefused { why, is_ours: !is_refusal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_for_several_endpoints_in_turn_leave_each_its_pace() {
        let tokens = ClientTokens::default();
        let endpoints: [Endpoint; 2] = ["a", "b"].map(|name| {
            let host = format!("{name}.abc.eu-west-1.rds.amazonaws.com");
            Endpoint::new(&host, 5432, None).expect("an endpoint")
        });
        let shown = |now| {
            let endpoints = endpoints.iter().cycle().take(100);
            endpoints.filter(|at| tokens.turns_of(at, now).keep_pace(5, now).is_ok()).count()
        };
        assert_eq!(shown(Micros::from_secs(1)), 10, "five for each");
        assert_eq!(shown(Micros::from_secs(1)), 0);
        assert_eq!(shown(Micros::from_secs(9)), 10);
    }

    #[test]
    fn an_endpoint_that_nobody_names_any_more_is_forgotten() {
        let tokens = ClientTokens::default();
        for number in 0..100 {
            let host = format!("host-{number}.abc.eu-west-1.rds.amazonaws.com");
            let endpoint = Endpoint::new(&host, 5432, None);
            let now = Micros::from_secs(10 * number);
            let turns = tokens.turns_of(&endpoint.expect("an endpoint"), now);
            assert_eq!(turns.keep_pace(5, now), Ok(()));
        }
        assert_eq!(tokens.turns.lock().expect("whole").len(), 1);
    }
}
