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

use super::attempt::{Attempt, LoginProof};
use super::connect::LoginFailure;
use super::credential::TokenProof;
use super::handshake::Handshake;
use super::iam::{MakesTokens, NoToken, entry};
use super::outcome::{AttemptError, LoginConnection};
use super::servers::Servers;
use crate::base::{Address, Expiry, Micros, Password, limits};
use crate::config::{CONSOLE_DATABASE, ClientIamMode, Database};
use crate::control::{
    Judging, PacedTurns, Policy, Randomness, SourcePaces, TokenId, TokenProven, TokenRefused, TokenRequest,
    Verdict, Verdicts,
};
use crate::iam::rules::Rules;
use crate::iam::{Endpoint, Service, SystemClock, Token, WallClock as _};
use crate::identity::presigned::{RdsRules, RdsToken, Refusal, Signed};
use crate::stats::TOKEN_OUTCOMES;
use crate::tasks;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

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
struct Aim {
    policy: Arc<Policy>,
    config: Arc<Database>,
    rules: Rules,
    /// The number of the host.
    at: usize,
    signed: Signed,
    id: TokenId,
}

/// Why a token is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unfit {
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

/// Has a client's token judged; the client hears of it.
pub(super) fn begin(servers: &Arc<Servers>, request: TokenRequest) {
    let peer = request.client.to_string();
    tasks::spawn("token of a client", peer, judge(Arc::clone(servers), request));
}

async fn judge(servers: Arc<Servers>, request: TokenRequest) {
    let TokenRequest { database, user, client, token, mut answer } = request;
    let tokens = &servers.client_tokens;
    let aim = match tokens.aim(&servers, &database, &user, &token) {
        Ok(aim) => aim,
        Err(why) => {
            tokens.count(0);
            return drop(answer.send(Err(TokenRefused { why: why.to_string(), is_ours: false })));
        }
    };
    let begun = tokio::select! {
        biased;
        begun = tokens.turn(&servers, &aim, &client) => begun,
        () = answer.closed() => return, // who has left takes nobody's turn
    };
    match begun {
        Err(known) => drop(answer.send(known)),
        Ok(judging) => {
            let shown = show(&servers, &aim, &user, &token).await;
            let Shown { verdict, joins } = shown;
            drop((token, judging));
            drop(answer.send(verdict)); // it may have left
            if let Some(joins) = joins {
                joins.await;
            }
        }
    }
}

/// What the showing of a token has come to.
struct Shown {
    verdict: Result<TokenProven, TokenRefused>,
    /// Hands the server over that it has opened.
    joins: Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// A token that is to be shown now: nobody else judges it, and it has its turn.
type Turn = (Judging<TokenProven>, crate::control::Permit);

impl ClientTokens {
    /// How many tokens came to what, in the order of [`TOKEN_OUTCOMES`].
    pub fn counts(&self) -> [u64; TOKEN_OUTCOMES.len()] {
        std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed))
    }

    fn count(&self, outcome: usize) {
        self.counts[outcome].fetch_add(1, Ordering::Relaxed);
    }

    /// Where the token is to be shown; all that can be told without AWS is told here, at the cost of reading
    /// the token once.
    fn aim(&self, servers: &Servers, database: &str, user: &str, token: &Password) -> Result<Aim, Unfit> {
        let policy = servers.plane.policy.load_full();
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
    async fn turn(
        &self,
        servers: &Servers,
        aim: &Aim,
        client: &Address,
    ) -> Result<Turn, Result<TokenProven, TokenRefused>> {
        let plane = &servers.plane;
        self.known(&aim.id, plane.now()).map_or(Ok(()), Err)?;
        let judging = self.verdicts.judge(aim.id).await;
        self.known(&aim.id, plane.now()).map_or(Ok(()), Err)?;
        let settings = &aim.policy.snapshot.settings;
        self.sources.wait(client, settings.iam_client_source_rate.get(), plane).await;
        let turns = self.turns_of(&aim.rules.endpoints[aim.at]);
        let permit = turns.take(client, settings.iam_client_login_rate.get(), plane).await;
        Ok((judging, permit))
    }

    fn turns_of(&self, endpoint: &Endpoint) -> Arc<PacedTurns> {
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(endpoint) {
            return Arc::clone(turns);
        }
        // a reload may have brought it: another may be gone
        all.retain(|_, turns| Arc::strong_count(turns) > 1);
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

/// Shows the token to its endpoint.
async fn show(servers: &Arc<Servers>, aim: &Aim, user: &str, token: &Arc<Password>) -> Shown {
    let (plane, tokens) = (&servers.plane, &servers.client_tokens);
    let (snapshot, asked_at) = (&aim.policy.snapshot, plane.now());
    let (entry, is_there) = plane.registry.pool_or_sketch(snapshot, &aim.config, user);
    let spare = is_there.then(|| plane.places.take_spare(&entry.share, asked_at)).flatten();
    let attempt = Attempt::of_client(Arc::clone(servers), entry, spare.is_none());
    let mut connection = LoginConnection { begun_at: Some(asked_at), ..LoginConnection::default() };
    let maker = ClientToken { text: Arc::clone(token), signed: aim.signed.clone() };
    let limit = snapshot.settings.iam_login_timeout.to_timeout();
    let login = Box::pin(attempt.try_host(&mut connection, aim.at, LoginProof::Token(&maker)));
    let outcome = tokio::time::timeout(limit, login).await;
    let outcome = outcome.unwrap_or_else(|_| Err(connection.timed_out()));
    let is_accepted = connection.handshake.as_ref().is_some_and(Handshake::is_accepted);
    let verdict = match &outcome {
        _ if is_accepted => {
            Ok(tokens.accepted(aim, asked_at, plane.now(), snapshot.settings.iam_client_cache_ttl))
        }
        Err(error) => Err(tokens.failed(aim, error, plane.now())),
        Ok(_) => unreachable!("a login that has succeeded was accepted"),
    };
    match (outcome, spare) {
        (Ok(unread), Some(place)) => {
            connection.authorization = Some(attempt.authorization_of(&aim.rules, aim.at, asked_at));
            let joins = async move { attempt.hand_over(connection, unread, place).await };
            Shown { verdict, joins: Some(Box::pin(joins)) }
        }
        (outcome, place) => {
            if let Err(error) = &outcome {
                attempt.log_close(&connection.peer, &error.reason());
            }
            connection.end().await;
            drop(place);
            Shown { verdict, joins: None }
        }
    }
}

impl ClientTokens {
    fn accepted(&self, aim: &Aim, asked_at: Micros, now: Micros, cache_ttl: Micros) -> TokenProven {
        self.count(2);
        let now_epoch_s = SystemClock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ends_at = now + Micros::from_secs(aim.signed.expires_at_epoch_s.saturating_sub(now_epoch_s));
        let proven = TokenProven {
            key_id: aim.signed.key_id.as_str().into(),
            has_session: aim.signed.has_session,
            expiry: Expiry { at: ends_at, at_epoch_s: aim.signed.expires_at_epoch_s },
        };
        let until = (ends_at - BEFORE_THE_END).min(asked_at + cache_ttl);
        self.verdicts.accept(aim.id, proven.clone(), until);
        proven
    }

    /// A refusal is kept for a moment: it may have been throttling. What is no verdict is not kept.
    fn failed(&self, aim: &Aim, error: &AttemptError, now: Micros) -> TokenRefused {
        let is_refusal = matches!(error,
            AttemptError::Login(LoginFailure::Login(error)) if error.is_refusal());
        let why = format!("{} does not let it in: {}", aim.rules.endpoints[aim.at], error.reason());
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

/// A client's own token, for the one login that shows it.
struct ClientToken {
    text: Arc<Password>,
    signed: Signed,
}

impl MakesTokens for ClientToken {
    fn token_for(&self, _user: &str) -> Result<TokenProof, NoToken> {
        let expires_at = UNIX_EPOCH + Duration::from_secs(self.signed.expires_at_epoch_s);
        let token = Token::received(self.text.expose(), SystemClock.now(), expires_at);
        Ok(TokenProof { token, clock: Arc::new(SystemClock) })
    }
}
