//! Logins by IAM for an operator who wants to know whether they work (`--check FILE --iam`): the same code as
//! any other login, in no pool's place, ended as soon as it has come to its end.
//!
//! Never lends what it opens. A trial is one session at the server for a moment; it is for a
//! process that serves nobody.

use super::entry;
use crate::config::{Database, Snapshot};
use crate::core::Want;
use crate::iam::denial::Who;
use crate::iam::rules::Rules;
use crate::iam::{Endpoint, SourceKey};
use crate::servers::attempt::Attempt;
use crate::servers::outcome::LoginConnection;
use crate::servers::servers::Servers;
use std::sync::Arc;
use std::time::Duration;

/// For one trial with all its attempts: three logins of `iam_login_timeout`'s usual length, and
/// credentials fetched in between.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(60);

/// One login to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The database entry.
    pub database: Arc<str>,
    /// As whom; `None` = nobody can say: clients bring their own name.
    pub user: Option<Arc<str>>,
    /// What tokens are made for: a login is tried at one after the other until it succeeds.
    pub endpoints: Vec<Endpoint>,
    /// What signs them.
    pub source: SourceKey,
}

/// How a trial ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was let in, by this peer.
    LoggedIn(String),
    /// No token could be made; says why.
    NoToken(String),
    /// It failed; says why, with the next step, and what the system or the server said of it.
    Refused {
        /// Ours.
        why: String,
        /// Theirs, where there is any.
        detail: Option<String>,
    },
}

/// What there is to try: each entry by IAM as the user that it names, else as `user` and as those of
/// `[users]` that have keys of their own for logins by IAM; and as whoever runs auth_query in it.
pub fn trials(snapshot: &Snapshot, user: Option<&str>) -> Vec<Trial> {
    let queriers = entry::queriers(snapshot);
    let of_entries = snapshot.databases.values().flat_map(|database| {
        let queriers = queriers.iter().filter(|(name, _)| *name == database.name).map(|(_, user)| user);
        trials_of(snapshot, database, user, queriers)
    });
    let made = queriers.iter().filter(|(name, _)| !snapshot.databases.contains_key(name));
    let of_made = made.filter_map(|(name, user)| trial(snapshot, &*snapshot.database(name)?, Some(user)));
    of_entries.chain(of_made).collect()
}

fn trials_of<'a>(
    snapshot: &Snapshot,
    database: &Database,
    user: Option<&str>,
    queriers: impl Iterator<Item = &'a Arc<str>>,
) -> Vec<Trial> {
    let mut users: Vec<Arc<str>> = queriers.cloned().collect();
    match &database.user {
        Some(forced) => users.push(Arc::clone(forced)),
        None => {
            users.extend(entry::users_with_keys(snapshot).map(|(name, _)| Arc::clone(name)));
            users.extend(user.map(Arc::from));
        }
    }
    users.sort();
    users.dedup();
    let tried: Vec<_> = users.iter().filter_map(|user| trial(snapshot, database, Some(user))).collect();
    if tried.is_empty() { trial(snapshot, database, None).into_iter().collect() } else { tried }
}

fn trial(snapshot: &Snapshot, database: &Database, user: Option<&Arc<str>>) -> Option<Trial> {
    let rules = entry::rules(snapshot, database, user.map_or("", |user| user))?.ok()?;
    let (database, user) = (Arc::clone(&database.name), user.cloned());
    Some(Trial { database, user, endpoints: rules.endpoints, source: rules.source })
}

impl Servers {
    /// Tries to log in to `database` as `user`.
    ///
    /// # Cancel safety
    /// The connection is closed without a goodbye.
    pub async fn try_iam_login(self: &Arc<Self>, database: &str, user: &str) -> Verdict {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        let refused = |why: String| Verdict::Refused { why, detail: None };
        let Some(entry) = self.plane.registry.pool_as(&snapshot, database, user) else {
            return refused(format!("no such database: {database}"));
        };
        let rules = match entry::rules(&snapshot, &entry.config.load(), user) {
            Some(Ok(rules)) => rules,
            Some(Err(bad)) => {
                return refused(bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
            }
            None => return refused("server_auth is neither rds_iam nor dsql_iam".to_owned()),
        };
        if let Err(why) = self.iam.signers(&rules)[0].mint(user) {
            return Verdict::NoToken(why.to_string());
        }
        let attempt = Attempt::new(Arc::clone(self), entry, Want::Minimum);
        let mut line = LoginConnection::default();
        let outcome = tokio::time::timeout(TRIAL_TIMEOUT, attempt.try_by_iam(&mut line, &rules)).await;
        let verdict = match outcome {
            Ok(Ok(_)) => Verdict::LoggedIn(line.peer.clone()),
            Ok(Err(failure)) => {
                let brief = failure.why.as_deref().unwrap_or(&failure.reason);
                let why =
                    self.in_full(&rules, &rules.who(&user.into()), brief).unwrap_or_else(|| brief.into());
                Verdict::Refused { why: why.to_string(), detail: line.detail.take() }
            }
            Err(_) => refused(format!("timed out after {}s", TRIAL_TIMEOUT.as_secs())),
        };
        line.end().await;
        verdict
    }

    /// What operators may read of a failure of which clients are told `brief`.
    fn in_full(&self, rules: &Rules, who: &Who, brief: &str) -> Option<Arc<str>> {
        let mut endpoint_states =
            rules.endpoints.iter().map(|endpoint| self.iam.endpoint_state(endpoint, rules.login_rate));
        let endpoint_state = endpoint_states
            .find(|endpoint_state| endpoint_state.trouble(who).is_some_and(|(told, _)| &*told == brief))?;
        endpoint_state.report_of(who)?.tally.last_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::snapshot;

    const BY_IAM: &str = "host=db.abc.eu-west-1.rds.amazonaws.com server_tls_ca_file=x";

    /// (database, user) of every trial.
    fn told(databases: &str, user: Option<&str>) -> Vec<String> {
        let snapshot =
            snapshot(databases, "[users]\nowner = server_auth=rds_iam\nreader = pool_mode=session");
        let name = |trial: Trial| format!("{} {}", trial.database, trial.user.as_deref().unwrap_or("-"));
        trials(&snapshot, user).into_iter().map(name).collect()
    }

    #[test]
    fn entries_are_tried_as_whom_they_name_or_as_whom_one_says() {
        let text = format!(
            "forced = {BY_IAM} server_auth=rds_iam user=app\nopen = {BY_IAM} server_auth=rds_iam\n\
             password = {BY_IAM} server_auth=password\nunsaid = {BY_IAM}\n* = {BY_IAM} server_auth=rds_iam"
        );
        assert_eq!(told(&text, None), ["forced app", "open owner", "password owner", "unsaid owner"]);
        assert_eq!(
            told(&text, Some("ann")),
            ["forced app", "open ann", "open owner", "password owner", "unsaid owner"]
        );
    }

    #[test]
    fn whoever_runs_auth_query_is_tried_too() {
        let text = format!(
            "forced = {BY_IAM} server_auth=rds_iam user=app auth_user=asker\n\
             local = {BY_IAM} user=app auth_user=owner\n\
             open = {BY_IAM} server_auth=rds_iam auth_user=asker\n\
             * = {BY_IAM} server_auth=rds_iam auth_dbname=made auth_user=x"
        );
        let all = ["forced app", "forced asker", "local owner", "open asker", "open owner", "made x"];
        assert_eq!(told(&text, None), all);
    }

    #[test]
    fn an_entry_without_a_user_is_told_of() {
        let snapshot = snapshot(&format!("open = {BY_IAM} server_auth=rds_iam"), "");
        let found = trials(&snapshot, None);
        assert_eq!((found.len(), found[0].user.clone()), (1, None));
        assert_eq!(found[0].endpoints[0].to_string(), "db.abc.eu-west-1.rds.amazonaws.com:5432");
    }
}
