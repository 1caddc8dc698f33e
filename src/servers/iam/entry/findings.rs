//! What is wrong with a configuration in what it says of logins by IAM, and what an
//! operator should know of it.
//!
//! An error is what cannot work whoever comes; what fails for some, or has no effect, is a warning. Pure.

use super::foreseen::{Foreseen, Whose, entries, pools, users_with_keys};
use super::{keys_of, role, service_of};
use crate::config::{
    BadValue, ConfigError, Database, EntryProblem, IamIdentity, Place, PoolMode, Problem, ServerAuth,
    Snapshot, UserEntry,
};
use crate::core::{PACE_PERCENT, REPLACED_BY_PERCENT};
use crate::iam::rules::{BadKey, Keys, Rules};
use crate::iam::{DSQL_PORT, Endpoint, Region, Service, SourceKind};
use crate::tls::server;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::sync::Arc;

/// Names that one warning tells.
const NAMED_MAX: usize = 3;

/// What is found when a configuration is looked at as a whole.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is wrong, in the order of the files.
    pub errors: Vec<ConfigError>,
    /// What an operator should know of it.
    pub warnings: Vec<String>,
}

/// Looks at everything that a configuration says of logins by IAM and of servers' names in TLS.
pub fn check(snapshot: &Snapshot) -> Findings {
    let mut findings = Findings::default();
    findings.check_settings(snapshot);
    for database in entries(snapshot) {
        findings.check_database(snapshot, database);
    }
    for (name, user) in users_with_keys(snapshot) {
        findings.check_user(snapshot, name, user);
    }
    let mut survey = Survey::default();
    for pool in pools(snapshot) {
        match &pool.rules {
            Ok(rules) => survey.add(snapshot, &pool, rules),
            Err(refused) if pool.whose == Whose::Entry => {
                refused
                    .iter()
                    .for_each(|bad| findings.refuse_of_database(snapshot, pool.database, bad.clone()));
            }
            Err(refused) => survey.close(&pool, refused),
        }
    }
    survey.tell(&mut findings.warnings);
    findings.warnings.extend(sessions(snapshot));
    findings.warnings.extend(paces(snapshot));
    findings.errors.sort_by_key(|error| (Arc::clone(&error.place.file), error.place.line));
    findings
}

impl Findings {
    fn check_settings(&mut self, snapshot: &Snapshot) {
        let settings = &snapshot.settings;
        let source = &settings.iam_credential_source;
        if let Err(why) = source.parse::<SourceKind>() {
            self.refuse_setting(snapshot, "iam_credential_source", source, &why);
        }
        let region = &settings.iam_sts_region;
        if let Err(why) = region.parse::<Region>()
            && !region.is_empty()
        {
            self.refuse_setting(snapshot, "iam_sts_region", region, &why);
        }
    }

    fn refuse_setting(&mut self, snapshot: &Snapshot, key: &'static str, value: &str, why: &dyn Display) {
        let why = BadValue::Refused(why.to_string());
        let problem = Problem::BadSetting { key, value: value.to_owned(), why };
        let place = place(snapshot, snapshot.places.settings.get(key));
        self.errors.push(ConfigError { place, problem });
    }

    fn refuse_of_database(&mut self, snapshot: &Snapshot, database: &Database, bad: BadKey) {
        let problem = EntryProblem::Unfit { key: bad.key, why: bad.why };
        let problem = Problem::Entry { kind: "database", name: database.name.to_string(), problem };
        let at = snapshot.places.databases.get(&database.name);
        self.errors.push(ConfigError { place: place(snapshot, at), problem });
    }

    fn check_database(&mut self, snapshot: &Snapshot, database: &Database) {
        if let Some(Err(why)) = database.tls_server_name.as_deref().map(server::check_name) {
            self.refuse_of_database(snapshot, database, BadKey { key: "tls_server_name", why });
        }
        // Keys that do nothing are no error, since a user may bring them to life; but they are a warning.
        let has_keys = database.iam_endpoint != Default::default() || database.iam != IamIdentity::default();
        let by_user = || {
            snapshot.users.values().any(|user| user.server_auth.is_some_and(ServerAuth::takes_credentials))
        };
        let user = database.user.as_deref().unwrap_or_default();
        if has_keys && !snapshot.server_auth(database, user).takes_credentials() && !by_user() {
            let name = &database.name;
            self.warnings
                .push(format!("database \"{name}\": iam_* keys have no effect without server_auth=rds_iam"));
        }
    }

    /// Looks at what a user says by itself: beside an entry that has what it may lean on.
    fn check_user(&mut self, snapshot: &Snapshot, name: &Arc<str>, user: &UserEntry) {
        const ANY_HOST: &str = "db.any.us-east-1.rds.amazonaws.com";
        const ANY_CLUSTER: &str = "any.dsql.us-east-1.on.aws";
        const ANY_ROLE: &str = "arn:aws:iam::123456789012:role/any";
        let own = keys_of(&user.iam);
        let names = role::Names { database: Some("any"), user: Some(&**name) };
        let filled = own.iam_role_arn.map(|template| role::fill(template, names));
        // What is wrong with a template is said in the words for any role.
        let role = filled.as_ref().map_or(Some(ANY_ROLE), |arn| arn.as_deref().ok().or(own.iam_role_arn));
        let service = user.server_auth.and_then(service_of).unwrap_or_default();
        let hosts = if service == Service::Dsql { &[ANY_CLUSTER] } else { &[ANY_HOST] };
        let keys = Keys { service, hosts, port: DSQL_PORT, iam_role_arn: role, ..own };
        for bad in Rules::read(&keys).err().into_iter().flatten() {
            let problem = EntryProblem::Unfit { key: bad.key, why: bad.why };
            let problem = Problem::Entry { kind: "user", name: name.to_string(), problem };
            let at = snapshot.places.users.get(name);
            self.errors.push(ConfigError { place: place(snapshot, at), problem });
        }
        let by_database =
            || entries(snapshot).any(|entry| entry.server_auth.is_some_and(ServerAuth::takes_credentials));
        let is_idle = !user.server_auth.is_some_and(ServerAuth::takes_credentials)
            && user.iam != IamIdentity::default();
        if is_idle && !by_database() {
            self.warnings
                .push(format!("user \"{name}\": iam_* keys have no effect without server_auth=rds_iam"));
        }
    }
}

/// What is seen only when all pools are looked at together.
#[derive(Default)]
struct Survey<'a> {
    /// The database of the last pool that was added: they come database by database.
    last: Option<&'a Arc<str>>,
    /// Databases and what is doubtful about their endpoints.
    doubts: BTreeSet<String>,
    /// Every `iam_login_rate` of an endpoint.
    rates: HashMap<Endpoint, BTreeSet<u32>>,
    /// Who sets `iam_session_name`, and the kind of source to which it says nothing; `None` =
    /// it says something to one.
    session_names: BTreeMap<String, Option<SourceKind>>,
    /// Who cannot log in, and the databases where not. That is no error, since nobody need ever go there.
    closed: BTreeMap<String, Vec<String>>,
}

impl<'a> Survey<'a> {
    fn add(&mut self, snapshot: &Snapshot, pool: &Foreseen<'a>, rules: &Rules) {
        let Foreseen { database, user, .. } = pool;
        let name = &database.name;
        // Users have no say in what follows.
        if self.last.replace(name).is_none_or(|last| last != name) {
            for endpoint in &rules.endpoints {
                let host = endpoint.host();
                self.doubts
                    .extend(endpoint.doubts().map(|doubt| format!("database \"{name}\": {host}: {doubt}")));
                self.rates.entry(endpoint.clone()).or_default().insert(rules.login_rate);
            }
        }
        let by_user = snapshot.users.get(user).is_some_and(|user| user.iam.session_name.is_some());
        if by_user || database.iam.session_name.is_some() {
            let whose = if by_user { pool.who() } else { format!("database \"{name}\"") };
            let unheard = (!rules.source.names_its_session()).then_some(rules.source.kind());
            let known = self.session_names.entry(whose).or_insert(unheard);
            *known = known.and(unheard);
        }
    }

    fn close(&mut self, pool: &Foreseen<'_>, refused: &[BadKey]) {
        let why = refused.first().map(ToString::to_string).unwrap_or_default();
        let does = if pool.whose == Whose::Querier { " runs auth_query there, but" } else { "" };
        let who = format!("{}:{does} cannot log in by IAM to database", pool.who());
        self.closed.entry(who).or_default().push(format!("\"{}\" ({why})", pool.database.name));
    }

    fn tell(self, warnings: &mut Vec<String>) {
        warnings.extend(self.doubts);
        for (whose, unheard) in self.session_names {
            warnings.extend(unheard.map(|kind| {
                format!(
                    "{whose}: iam_session_name has no effect with iam_credential_source={kind} and no role: \
                     set iam_role_arn, or leave it out"
                )
            }));
        }
        warnings.extend(self.closed.into_iter().map(|(who, closed)| format!("{who} {}", some_of(&closed))));
        let mut differing: Vec<_> = self.rates.into_iter().filter(|(_, rates)| rates.len() > 1).collect();
        differing.sort_by_cached_key(|(endpoint, _)| endpoint.to_string());
        warnings.extend(differing.iter().map(|(endpoint, rates)| {
            let least = rates.first().copied().unwrap_or_default();
            format!("entries differ in iam_login_rate for {endpoint}: the least, {least}, counts")
        }));
    }
}

impl Foreseen<'_> {
    /// The user, and how many others it stands for.
    fn who(&self) -> String {
        match self.whose {
            Whose::Keyed { others: others @ 1.. } => {
                format!("user \"{}\" and {others} with the same keys", self.user)
            }
            _ => format!("user \"{}\"", self.user),
        }
    }
}

/// In session pooling a server is its client's for as long as that stays, however old its login grows.
fn sessions(snapshot: &Snapshot) -> Option<String> {
    let users =
        snapshot.users.iter().filter(|(_, user)| user.server_auth.is_some() || user.pool_mode.is_some());
    let users: Vec<&str> = users.map(|(name, _)| &**name).chain([""]).collect();
    let is_session = |database: &Database, user: &str| {
        snapshot.server_auth(database, user).is_by_iam()
            && snapshot.pool_mode(database, user) == PoolMode::Session
    };
    let found = entries(snapshot).filter(|database| match database.user.as_deref() {
        Some(forced) => is_session(database, forced),
        None => users.iter().any(|user| is_session(database, user)),
    });
    let named: Vec<_> = found.map(|database| format!("\"{}\"", database.name)).collect();
    (!named.is_empty()).then(|| {
        format!(
            "database {}: in session pooling a server that was logged in to by IAM serves beyond iam_max_age \
             until its client leaves; set pool_mode=transaction, or client_idle_timeout",
            some_of(&named)
        )
    })
}

/// What full pools want of one endpoint.
#[derive(Default)]
struct Wanted {
    databases: BTreeMap<Arc<str>, Share>,
    users: BTreeMap<Arc<str>, Share>,
    all: Share,
    pace: Option<u32>,
}

/// What the pools of a database or of a user want.
#[derive(Default)]
struct Share {
    servers: f64,
    logins_per_second: f64,
    /// The most servers that they may have; 0 = no limit.
    servers_max: u32,
}

impl Share {
    fn add(&mut self, servers: f64, logins_per_second: f64, servers_max: u32) {
        self.servers += servers;
        self.logins_per_second += logins_per_second;
        self.servers_max = servers_max;
    }

    fn logins_per_second(&self) -> f64 {
        match f64::from(self.servers_max) {
            most if most > 0.0 && most < self.servers => self.logins_per_second * most / self.servers,
            _ => self.logins_per_second,
        }
    }
}

impl Wanted {
    /// The least of what the databases, the users and the server of PostgreSQL are allowed.
    fn logins_per_second(&self) -> f64 {
        let [databases, users] = [&self.databases, &self.users]
            .map(|shares| shares.values().map(Share::logins_per_second).sum::<f64>());
        databases.min(users).min(self.all.logins_per_second())
    }
}

/// Endpoints whose pools, were all of them full, would want more logins for their servers' ages than their
/// pace allows. Told is what is certain: of hosts that share the servers each is taken to have its part, and
/// users that nobody has named have none.
fn paces(snapshot: &Snapshot) -> Vec<String> {
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    for pool in pools(snapshot).filter(|pool| pool.whose != Whose::Querier) {
        let Ok(rules) = &pool.rules else { continue };
        let caps = snapshot.pool_rules(pool.database, &pool.user);
        let servers = [caps.pool_size, caps.max_user_connections].into_iter().filter(|cap| *cap > 0).min();
        let endpoints: BTreeSet<_> = rules.endpoints.iter().map(ToString::to_string).collect();
        let servers = f64::from(servers.unwrap_or(1)) / endpoints.len() as f64;
        let rate = servers / (rules.ages.max_age.0 as f64 / 1e6) * 100.0 / REPLACED_BY_PERCENT as f64;
        for endpoint in endpoints {
            let at = wanted.entry(endpoint).or_default();
            at.pace = Some(at.pace.map_or(rules.login_rate, |pace| pace.min(rules.login_rate)));
            let of_database = at.databases.entry(Arc::clone(&pool.database.name)).or_default();
            of_database.add(servers, rate, caps.max_db_connections);
            let at_instances = caps.instance_caps.iter().map(|cap| cap.max_server_connections);
            at.all.add(servers, rate, at_instances.max().unwrap_or(0));
            at.users.entry(Arc::clone(&pool.user)).or_default().add(servers, rate, caps.max_user_connections);
        }
    }
    let text = |(endpoint, wanted): (String, Wanted)| {
        let (rate, pace) = (wanted.logins_per_second(), wanted.pace?);
        let for_renewals = f64::from(pace) * PACE_PERCENT as f64 / 100.0;
        (rate > for_renewals).then(|| {
            format!(
                "endpoint {endpoint}: full pools want {rate:.1} logins a second so that each server is \
                 replaced before it is older than iam_max_age, and iam_login_rate={pace} has \
                 {for_renewals:.1} for renewals: raise one of them, or lower pool_size"
            )
        })
    };
    wanted.into_iter().filter_map(text).collect()
}

/// The first few, and how many more.
fn some_of(texts: &[String]) -> String {
    let named = texts.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The place of something that may not stand in any file.
fn place(snapshot: &Snapshot, at: Option<&Place>) -> Place {
    let whole = || Place { file: snapshot.path().to_string_lossy().into(), line: 0 };
    at.cloned().unwrap_or_else(whole)
}
