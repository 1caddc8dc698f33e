//! Opening a server by a secret: which of its versions is shown, and what follows where none is taken.
//!
//! A refusal (28P01, 28000) fetches the secret anew at once, then tries what else there is: a rotation gives
//! the database a password before that is the current one. Each version is shown once in an attempt. Where
//! none is taken, the next attempt comes after a pause that grows, or as soon as the secret has changed; no
//! server that works is closed for it. Clients of a pool that was let in before wait for a minute of that,
//! since a rotation may be under way; then they are told. Never logs a secret.

use crate::base::{Micros, log_about};
use crate::secrets::{Pause, PoolSecret};
use crate::servers::attempt::{Attempt, LoginProof};
use crate::servers::outcome::{Failure, LoginConnection, RetryDecision};
use std::sync::Arc;
use std::time::Duration;

/// How long a login waits for a secret that is being fetched.
const PATIENCE: Duration = Duration::from_secs(5);

/// A login without a secret is put off until that comes; this is for the case that nobody told.
const WITHOUT_SECRET: Micros = Micros::from_secs(5);

impl Attempt {
    /// Tries the entry's hosts with each version of the pool's secret, until one lets us in.
    pub(in crate::servers) async fn try_by_secret(
        &self,
        connection: &mut LoginConnection,
        secret: &PoolSecret,
    ) -> Result<Vec<u8>, Failure> {
        secret.kept.first(PATIENCE).await;
        let current = secret.kept.current();
        let mut refused: Vec<Arc<str>> = Vec::new();
        let mut last = None;
        while let Some(choice) = secret.next(&refused) {
            let proof = LoginProof::Secret(secret.kept.key(), &choice.version);
            let outcome = self.try_hosts_in_time(connection, proof).await;
            let failure = match outcome {
                Ok(unread) => {
                    if secret.accepted(choice) {
                        let name = secret.kept.key();
                        log_about!(
                            info,
                            self.about(&connection.peer),
                            "secret {name}: servers take it again"
                        );
                    }
                    return Ok(unread);
                }
                Err(failure) => failure,
            };
            if !failure.is_unproven {
                return Err(failure);
            }
            let (name, id) = (secret.kept.key(), &choice.version.id);
            log_about!(warn, self.about(&connection.peer), "secret {name}: version {id} was refused");
            if let Some(current) = current.as_ref().filter(|_| refused.is_empty()) {
                secret.kept.refused(current, PATIENCE).await;
            }
            refused.push(Arc::clone(id));
            last = Some(failure);
            if secret.next(&refused).is_some() {
                connection.end().await;
            }
        }
        Err(match last {
            Some(failure) => self.all_refused(secret, failure),
            None => self.without_secret(secret),
        })
    }

    fn all_refused(&self, secret: &PoolSecret, failure: Failure) -> Failure {
        let Pause { until, may_pass } = secret.refused(self.servers.plane.now());
        let name = secret.kept.key();
        let why = format!("no version of secret {name} is taken by the server: {}", failure.reason);
        let (db, user) = self.names();
        tracing::warn!(db, user, "database {db}, user {user}: {why}");
        match may_pass {
            true => Failure {
                why: Some(why.into()),
                fault: None,
                sequel: RetryDecision::WaitUntil(until),
                ..failure
            },
            false => Failure { why: Some(why.into()), sequel: RetryDecision::RefuseUntil(until), ..failure },
        }
    }

    fn without_secret(&self, secret: &PoolSecret) -> Failure {
        let name = secret.kept.key();
        let why = secret.kept.failure();
        let why = why.map_or_else(|| "it is being fetched".to_owned(), |error| error.to_string());
        let until = self.servers.plane.now() + WITHOUT_SECRET;
        Failure {
            sequel: RetryDecision::WaitUntil(until),
            ..Failure::new(format!("secret {name} is not known: {why}"))
        }
    }
}
