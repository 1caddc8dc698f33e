//! What is known of logins by IAM, put together for operators, and IAM REFRESH.
//!
//! Reads what the plane keeps; starts no login and waits for nothing. One row for each pool (or entry without
//! one) and endpoint; sources that no row names have one of their own, so that each is shown.

use super::endpoint_state::LoginReport;
use super::entry;
use super::rate_limiter::RateState;
use super::refreshed::Refreshed;
use crate::base::Micros;
use crate::config::Database;
use crate::control::PoolEntry;
use crate::iam::denial::Who;
use crate::iam::rules::Rules;
use crate::iam::{CredentialState, Endpoint, Source};
use crate::servers::servers::Servers;
use std::collections::HashMap;
use std::sync::Arc;

/// One row of SHOW IAM, but for what workers know.
pub struct IamRow {
    /// The database entry; `None` = no entry that is in use needs this source.
    pub database: Option<Arc<str>>,
    /// As whom; `None` = nobody has asked yet, and the entry names no user.
    pub user: Option<Arc<str>>,
    /// What tokens are made for.
    pub endpoint: Option<Endpoint>,
    /// What signs them.
    pub source: Arc<Source>,
    /// Logins a second that the endpoint is asked to take at present.
    pub rate: Option<u32>,
    /// Logins that wait for their turn there.
    pub waiting: usize,
    /// Whether the pool's servers are replaced as fast as they age; `None` where that is not known.
    pub keeps_up: Option<bool>,
    /// Logins to servers of the pool that are under way, those that wait for their turn among them.
    pub under_way: Option<u32>,
    /// How long logins there have taken lately: the median, and all but the slowest hundredth.
    pub spans: Option<[Micros; 2]>,
    /// What was counted there of this user with that source, whichever database it went to.
    pub logins: Option<LoginReport>,
    /// The pool, where there is one.
    pub pool: Option<Arc<PoolEntry>>,
}

/// Who logs in by IAM: a pool, or an entry that has none yet.
struct Party {
    database: Arc<str>,
    user: Option<Arc<str>>,
    rules: Rules,
    pool: Option<Arc<PoolEntry>>,
}

impl Party {
    /// `None`: nobody has asked yet, and the entry names no user.
    fn who(&self) -> Option<Who> {
        self.user.as_ref().map(|user| self.rules.who(user))
    }
}

impl Servers {
    /// Every pool that logs in by IAM, and every entry that would; of one database, or all.
    fn iam_parties(&self, only: Option<&str>) -> Vec<Party> {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        let rules = |config: &Database, user: &str| entry::rules(&snapshot, config, user)?.ok();
        let mut parties = Vec::new();
        for view in self.plane.registry.databases() {
            let database = Arc::clone(&view.share.name);
            if only.is_some_and(|name| name != &*database) {
                continue;
            }
            let known = parties.len();
            parties.extend(view.pools.into_iter().filter_map(|pool| {
                let rules = rules(&pool.config.load(), &pool.share.user)?;
                let user = Some(Arc::clone(&pool.share.user));
                Some(Party { database: Arc::clone(&database), user, rules, pool: Some(pool) })
            }));
            let user = view.config.user.clone();
            if parties.len() == known
                && let Some(rules) = rules(&view.config, user.as_deref().unwrap_or_default())
            {
                parties.push(Party { database, user, rules, pool: None });
            }
        }
        parties
    }

    /// What SHOW IAM tells, ordered by (database, user).
    pub fn iam_rows(&self) -> Vec<IamRow> {
        let endpoint_states: HashMap<_, _> = self
            .iam
            .all_endpoint_states()
            .into_iter()
            .map(|endpoint_state| (endpoint_state.endpoint().clone(), endpoint_state))
            .collect();
        let mut rows = Vec::new();
        for party in self.iam_parties(None) {
            let Some(source) = self.iam.source(&party.rules) else { continue };
            let who = party.who();
            let mut endpoints = party.rules.endpoints;
            endpoints.sort_by_cached_key(ToString::to_string);
            endpoints.dedup();
            for endpoint in endpoints {
                let endpoint_state = endpoint_states.get(&endpoint);
                let usual = RateState { waiting: 0, rate: party.rules.login_rate };
                let RateState { waiting, rate } =
                    endpoint_state.map_or(usual, |endpoint_state| endpoint_state.turns.state());
                let logins = endpoint_state
                    .zip(who.as_ref())
                    .and_then(|(endpoint_state, who)| endpoint_state.report_of(who));
                rows.push(IamRow {
                    database: Some(Arc::clone(&party.database)),
                    user: party.user.clone(),
                    endpoint: Some(endpoint),
                    source: Arc::clone(&source),
                    rate: Some(rate),
                    waiting,
                    keeps_up: party.pool.as_ref().and_then(|pool| self.plane.places.keeps_up(pool.share.id)),
                    under_way: party
                        .pool
                        .as_ref()
                        .map(|pool| self.plane.places.pool_servers(pool.share.id).0),
                    spans: endpoint_state.and_then(|endpoint_state| endpoint_state.login_spans()),
                    logins,
                    pool: party.pool.clone(),
                });
            }
        }
        for source in self.iam.all_sources() {
            if !rows.iter().any(|row| Arc::ptr_eq(&row.source, &source)) {
                rows.push(IamRow {
                    database: None,
                    user: None,
                    endpoint: None,
                    source,
                    rate: None,
                    waiting: 0,
                    keeps_up: None,
                    under_way: None,
                    spans: None,
                    logins: None,
                    pool: None,
                });
            }
        }
        rows
    }

    /// IAM REFRESH, of one database or all: the sources concerned fetch anew, and who was kept waiting
    /// because logins failed is tried at once.
    pub fn refresh_iam(&self, database: Option<&str>) -> Refreshed {
        let parties = self.iam_parties(database);
        let refreshed = match database {
            None => self.iam.refresh(),
            Some(_) => self.iam.refresh_some(parties.iter().map(|party| (&party.rules, party.who()))),
        };
        for pool in parties.into_iter().filter_map(|party| party.pool) {
            self.plane.forget_failures(&pool); // who comes now waits for what becomes of it
            self.plane.launcher.need_server(pool.share.id);
        }
        refreshed
    }

    /// Why clients of databases that need AWS credentials cannot be served: a line for each
    /// source without usable ones.
    pub fn iam_obstacles(&self) -> Vec<String> {
        let line = |source: Arc<Source>| {
            let report = source.report();
            let name = source.key();
            match (report.state, report.failure) {
                (CredentialState::Empty, _) => {
                    Some(format!("no AWS credentials from source {name} yet: they are being fetched"))
                }
                (CredentialState::Dead(reason), failure) => {
                    let why =
                        failure.map_or_else(|| reason.text().to_owned(), |(error, _)| error.to_string());
                    Some(format!("no AWS credentials from source {name}: {why}"))
                }
                (CredentialState::Fresh | CredentialState::Stale(_), _) => None,
            }
        };
        // a secret that was fetched once outlasts the credentials that it was fetched by
        let of_secrets = self.sources_of_secrets();
        let signing: Vec<_> = match of_secrets.is_empty() {
            true => Vec::new(),
            false => self.iam_parties(None).into_iter().map(|party| party.rules.source).collect(),
        };
        let counts =
            |source: &Arc<Source>| !of_secrets.contains(source.key()) || signing.contains(source.key());
        self.iam.all_sources().into_iter().filter(counts).filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests;
