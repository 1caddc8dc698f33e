//! SHOW SECRETS: the secrets that others keep, a row for each; never what they say but their user's name.

use super::rows::Rows;
use super::tables;
use crate::secrets::{KeptSecret, SecretReport, Stage};
use std::sync::Arc;
use std::time::SystemTime;

/// SHOW SECRETS at `now`, in the order of `secrets`.
pub(super) fn secrets(secrets: &[Arc<KeptSecret>], now: SystemTime) -> Rows {
    let mut rows = Rows::new(tables::columns("secrets"));
    let past = |at: Option<SystemTime>| at.map(|at| seconds(at, now));
    for secret in secrets {
        let SecretReport { state, versions, user, users, fetched_at, changed_at, next_at, failure, .. } =
            secret.report();
        let [fetches, failures] = [secret.report().fetches, secret.report().failed()];
        let version = |stage: Stage| versions[stage as usize].as_deref();
        rows.push(&[
            secret.key().to_string().into(),
            secret.key().purpose.name().into(),
            state.into(),
            version(Stage::Current).into(),
            version(Stage::Pending).into(),
            version(Stage::Previous).into(),
            user.as_deref().into(),
            users.map(|users| users as u64).into(),
            past(fetched_at).into(),
            past(changed_at).into(),
            next_at.map(|at| seconds(now, at)).into(),
            fetches.into(),
            failures.into(),
            failure.map(|error| error.to_string()).into(),
        ]);
    }
    rows
}

/// Whole seconds from `from` to `to`; 0 where that is past.
fn seconds(from: SystemTime, to: SystemTime) -> u64 {
    to.duration_since(from).map_or(0, |span| span.as_secs())
}
