//! Shows a client's token to its endpoint: one login, whose verdict is the client's.
//!
//! What may be shown, and when, is [`super::client_tokens`]' to say. Never keeps a token, never tells a
//! pool's own logins of what became of one.

use super::attempt::{Attempt, LoginProof};
use super::client_tokens::Aim;
use super::connect::LoginFailure;
use super::credential::TokenProof;
use super::handshake::Handshake;
use super::iam::{MakesTokens, NoToken};
use super::outcome::{AttemptError, LoginConnection};
use super::servers::Servers;
use crate::base::Password;
use crate::control::{TokenProven, TokenRefused, TokenRequest};
use crate::iam::{SystemClock, Token, WallClock as _};
use crate::identity::presigned::Signed;
use crate::tasks;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Has a client's token judged; the client hears of it.
pub(super) fn begin(servers: &Arc<Servers>, request: TokenRequest) {
    let peer = request.client.to_string();
    tasks::spawn("token of a client", peer, judge(Arc::clone(servers), request));
}

async fn judge(servers: Arc<Servers>, request: TokenRequest) {
    let TokenRequest { database, user, client, token, mut answer } = request;
    let tokens = &servers.client_tokens;
    let aim = match tokens.aim(&servers.plane, &database, &user, &token) {
        Ok(aim) => aim,
        Err(why) => {
            tokens.count(0);
            return drop(answer.send(Err(TokenRefused { why: why.to_string(), is_ours: false })));
        }
    };
    let begun = tokio::select! {
        biased;
        begun = tokens.turn(&servers.plane, &aim, &client) => begun,
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

/// Shows the token to its endpoint.
async fn show(servers: &Arc<Servers>, aim: &Aim, user: &str, token: &Arc<Password>) -> Shown {
    let (plane, tokens) = (&servers.plane, &servers.client_tokens);
    let (snapshot, asked_at) = (&aim.policy.snapshot, plane.now());
    let (entry, is_there) = plane.registry.pool_or_sketch(snapshot, &aim.config, user);
    let spare = is_there.then(|| plane.places.take_spare(&entry.share, asked_at)).flatten();
    let attempt = Attempt::of_client(Arc::clone(servers), entry, spare.is_none());
    let attempt = match &spare {
        Some(place) => attempt.in_place(place),
        None => attempt,
    };
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
        Err(error) => {
            let is_refusal = matches!(error,
                AttemptError::Login(LoginFailure::Login(error)) if error.is_refusal());
            Err(tokens.failed(aim, &error.reason(), is_refusal, plane.now()))
        }
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

/// A client's own token, for the one login that shows it.
struct ClientToken {
    text: Arc<Password>,
    signed: Signed,
}

impl MakesTokens for ClientToken {
    fn token_for(&self, _user: &str) -> Result<TokenProof, NoToken> {
        let expires_at = UNIX_EPOCH + Duration::from_secs(self.signed.expires_at_epoch_s);
        let token = Token::received(self.text.expose(), SystemClock.now(), expires_at);
        Ok(TokenProof { token, clock: Arc::new(SystemClock), signed_by: None })
    }
}
