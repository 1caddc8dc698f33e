//! The `iam_*` keys of one database read as a whole: what is signed for, with which credentials,
//! how often, for how long.
//!
//! Pure. All errors of a database come out together, each with its key; nothing is
//! guessed or corrected silently.

use super::age::{AgeRules, Lifetime, MAX_AGE, OnDenied};
use super::budget::LOGIN_RATE;
use super::denial::Who;
use super::endpoint::{Endpoint, Region};
use super::service::{DSQL_MAX_AGE_S_MOST, DSQL_PORT, Service};
use super::source::{Role, SourceKey, SourceKind};
use crate::base::{Micros, limits};
use crate::config::AllDenied;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The smallest `iam_max_age`, in seconds: below it a pool would do little but log in.
pub const MAX_AGE_S_LEAST: u64 = 10;

/// The largest `iam_max_age`, in seconds.
pub const MAX_AGE_S_MOST: u64 = limits::IAM_MAX_AGE_S_MOST;

/// The largest `iam_login_rate`: what one RDS instance takes at the most.
pub const LOGIN_RATE_MOST: u32 = 200;

/// The keys as they are written; `None` where one is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keys<'a> {
    /// What takes the tokens (`server_auth`).
    pub service: Service,
    /// `host`, one for each server of the list.
    pub hosts: &'a [&'a str],
    /// `port`.
    pub port: u16,
    /// `iam_host`: signed in place of every host.
    pub iam_host: Option<&'a str>,
    /// `iam_port`: signed in place of the port.
    pub iam_port: Option<&'a str>,
    /// `iam_region`.
    pub iam_region: Option<&'a str>,
    /// `iam_credential_source`.
    pub iam_credential_source: Option<&'a str>,
    /// `iam_profile`.
    pub iam_profile: Option<&'a str>,
    /// `iam_role_arn`.
    pub iam_role_arn: Option<&'a str>,
    /// `iam_external_id`.
    pub iam_external_id: Option<&'a str>,
    /// `iam_session_name`.
    pub iam_session_name: Option<&'a str>,
    /// `iam_sts_region`; empty is none.
    pub iam_sts_region: Option<&'a str>,
    /// `iam_max_age`, in seconds.
    pub iam_max_age: Option<&'a str>,
    /// `iam_login_rate`.
    pub iam_login_rate: Option<&'a str>,
    /// `iam_on_denied`.
    pub iam_on_denied: Option<&'a str>,
    /// `iam_all_denied`.
    pub all_denied: AllDenied,
    /// `iam_strict_lifetime`.
    pub lifetime: Lifetime,
}

/// How servers of one database are logged in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What is signed for, one for each host of the list, in its order.
    pub endpoints: Vec<Endpoint>,
    /// What signs.
    pub source: SourceKey,
    /// How old an authorization may grow.
    pub ages: AgeRules,
    /// Logins a second at each endpoint.
    pub login_rate: u32,
}

/// A key whose value is refused. Does not hold the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKey {
    /// Its name.
    pub key: &'static str,
    /// What is accepted, or what is wrong.
    pub why: String,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)
    }
}

/// Collects what is refused.
#[derive(Default)]
struct Refused(Vec<BadKey>);

impl Refused {
    fn add(&mut self, key: &'static str, why: impl fmt::Display) {
        self.0.push(BadKey { key, why: why.to_string() });
    }

    fn parse<T: FromStr<Err: fmt::Display>>(&mut self, key: &'static str, text: Option<&str>) -> Option<T> {
        text?.parse().map_err(|why| self.add(key, why)).ok()
    }

    /// A whole number from `least` to `most`, or `default` where none is written.
    fn number(&mut self, key: &'static str, text: Option<&str>, [default, least, most]: [u64; 3]) -> u64 {
        let Some(text) = text else { return default };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number =
            digits.then(|| text.parse().ok()).flatten().filter(|number| (least..=most).contains(number));
        number.unwrap_or_else(|| {
            self.add(key, format_args!("accepted: a whole number from {least} to {most}"));
            default
        })
    }
}

impl Rules {
    /// Who logs in by them as `user`.
    pub fn who(&self, user: &Arc<str>) -> Who {
        Who { user: Arc::clone(user), source: self.source.clone() }
    }

    /// Reads the keys of one database.
    ///
    /// # Errors
    /// Every key that is refused, in the order of [`Keys`].
    pub fn read(keys: &Keys<'_>) -> Result<Self, Vec<BadKey>> {
        let mut refused = Refused::default();
        let endpoints = endpoints(keys, &mut refused);
        let source = source(keys, endpoints.first().map(Endpoint::region), &mut refused);
        let max_age_most = match keys.service {
            Service::Rds => MAX_AGE_S_MOST,
            Service::Dsql => DSQL_MAX_AGE_S_MOST,
        };
        let max_age = [MAX_AGE.as_secs(), MAX_AGE_S_LEAST, max_age_most];
        let max_age = Micros::from_secs(refused.number("iam_max_age", keys.iam_max_age, max_age));
        let rate = [LOGIN_RATE.into(), 1, LOGIN_RATE_MOST.into()];
        let rate = refused.number("iam_login_rate", keys.iam_login_rate, rate);
        let on_denied: OnDenied = refused.parse("iam_on_denied", keys.iam_on_denied).unwrap_or_default();
        let ages = AgeRules { max_age, on_denied, all_denied: keys.all_denied, lifetime: keys.lifetime };
        match source {
            Some(source) if refused.0.is_empty() => {
                let login_rate = u32::try_from(rate).unwrap_or(LOGIN_RATE);
                Ok(Self { endpoints, source, ages, login_rate })
            }
            _ => Err(refused.0),
        }
    }
}

/// The source that `keys` name for calls of AWS in `region`; what else they say is not looked at.
///
/// # Errors
/// Every key that is refused.
pub fn read_source(keys: &Keys<'_>, region: &Region) -> Result<SourceKey, Vec<BadKey>> {
    let mut refused = Refused::default();
    let source = source(keys, Some(region), &mut refused);
    source.filter(|_| refused.0.is_empty()).ok_or(refused.0)
}

/// A token of Aurora DSQL is made for a host alone; an alias or a tunnel (`iam_host`) may listen anywhere.
fn check_dsql_port(keys: &Keys<'_>, refused: &mut Refused) {
    if keys.iam_port.is_some() {
        refused.add("iam_port", "it has no effect with server_auth=dsql_iam: no port is signed");
    }
    if keys.port != DSQL_PORT && keys.iam_host.is_none() {
        refused
            .add("port", format_args!("Aurora DSQL listens on {DSQL_PORT}; another port goes with iam_host"));
    }
}

fn endpoints(keys: &Keys<'_>, refused: &mut Refused) -> Vec<Endpoint> {
    if keys.service == Service::Dsql {
        check_dsql_port(keys, refused);
    }
    let port = refused.number("iam_port", keys.iam_port, [keys.port.into(), 1, u16::MAX.into()]);
    let port = u16::try_from(port).unwrap_or(keys.port);
    let region: Option<Region> = refused.parse("iam_region", keys.iam_region);
    if keys.iam_region.is_some() && region.is_none() {
        return Vec::new();
    }
    if keys.hosts.is_empty() {
        refused.add("host", "a database with IAM logins needs a host");
    }
    let mut found = Vec::new();
    for host in keys.hosts {
        match Endpoint::of(keys.service, keys.iam_host.unwrap_or(host), port, region.clone()) {
            Ok(endpoint) => found.push(endpoint),
            Err(why) => {
                refused.add(if keys.iam_host.is_some() { "iam_host" } else { "host" }, why);
                break; // the next one is most likely wrong in the same way
            }
        }
    }
    found
}

fn source(keys: &Keys<'_>, region: Option<&Region>, refused: &mut Refused) -> Option<SourceKey> {
    let kind: Option<SourceKind> = refused.parse("iam_credential_source", keys.iam_credential_source);
    let kind = kind.unwrap_or(SourceKind::Default);
    let profile = keys.iam_profile.filter(|name| !name.is_empty());
    if profile.is_some() && !kind.reads_profiles() {
        refused.add("iam_profile", format_args!("iam_credential_source={kind} reads no profile"));
    }
    let role = keys.iam_role_arn.and_then(|arn| {
        // An error of the ARN comes first; without one, what is refused is the external id.
        let key = if Role::new(arn, None).is_err() { "iam_role_arn" } else { "iam_external_id" };
        Role::new(arn, keys.iam_external_id).map_err(|why| refused.add(key, why)).ok()
    });
    if keys.iam_external_id.is_some() && keys.iam_role_arn.is_none() {
        refused.add("iam_external_id", "it belongs to a role: set iam_role_arn");
    }
    let session_name = refused.parse("iam_session_name", keys.iam_session_name);
    let sts_region = keys.iam_sts_region.filter(|text| !text.is_empty());
    let sts_region = refused.parse("iam_sts_region", sts_region);
    Some(SourceKey::new(kind, profile, role, session_name, region?).at_sts_of(sts_region))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "app.cluster-abc.eu-west-1.rds.amazonaws.com";

    fn refused(keys: &Keys<'_>) -> Vec<String> {
        Rules::read(keys).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_host_is_enough() {
        let rules = Rules::read(&Keys { hosts: &[HOST], port: 5432, ..Keys::default() }).unwrap();
        assert_eq!(rules.endpoints.len(), 1);
        assert_eq!(rules.endpoints[0].to_string(), format!("{HOST}:5432"));
        assert_eq!(rules.source.to_string(), "default");
        assert_eq!(
            (rules.ages.max_age, rules.ages.on_denied, rules.login_rate),
            (MAX_AGE, OnDenied::Drain, 20)
        );
    }

    #[test]
    fn all_keys_are_heard() {
        let keys = Keys {
            service: Service::Rds,
            hosts: &["10.0.0.1", "rds.internal"],
            port: 6432,
            iam_host: Some(HOST),
            iam_port: Some("5433"),
            iam_region: Some("eu-west-3"),
            iam_credential_source: Some("profile"),
            iam_profile: Some("prod"),
            iam_role_arn: Some("arn:aws:iam::123456789012:role/db"),
            iam_external_id: Some("tenant"),
            iam_session_name: Some("pool"),
            iam_sts_region: Some("eu-west-1"),
            iam_max_age: Some("30"),
            iam_login_rate: Some("5"),
            iam_on_denied: Some("drop_now"),
            all_denied: AllDenied::Service,
            lifetime: Lifetime::Strict,
        };
        let rules = Rules::read(&keys).unwrap();
        let signed: Vec<String> = rules.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(signed, [format!("{HOST}:5433"), format!("{HOST}:5433")]);
        assert_eq!(rules.endpoints[1].region().as_str(), "eu-west-3");
        assert_eq!(rules.source.to_string(), "profile(prod) as arn:aws:iam::123456789012:role/db");
        assert_eq!(rules.source.session_name(), "pool");
        assert_eq!(rules.source.sts_region().map(Region::as_str), Some("eu-west-1"));
        let ages = AgeRules {
            max_age: Micros::from_secs(30),
            on_denied: OnDenied::DropNow,
            all_denied: AllDenied::Service,
            lifetime: Lifetime::Strict,
        };
        assert_eq!((rules.ages, rules.login_rate), (ages, 5));
    }

    #[test]
    fn every_error_is_told_with_its_key() {
        let keys = Keys {
            hosts: &["db.internal"],
            port: 5432,
            iam_port: Some("0"),
            iam_credential_source: Some("ec2"),
            iam_role_arn: Some("db-ro"),
            iam_session_name: Some("a b"),
            iam_sts_region: Some("Ireland"),
            iam_max_age: Some("5"),
            iam_login_rate: Some("1000"),
            iam_on_denied: Some("panic"),
            ..Keys::default()
        };
        let texts = refused(&keys);
        let names: Vec<&str> = texts.iter().filter_map(|text| text.split(':').next()).collect();
        assert_eq!(
            names,
            [
                "iam_port",
                "host",
                "iam_credential_source",
                "iam_role_arn",
                "iam_session_name",
                "iam_sts_region",
                "iam_max_age",
                "iam_login_rate",
                "iam_on_denied"
            ]
        );
        assert!(texts[1].contains("iam_region"), "{}", texts[1]);
    }

    #[test]
    fn dsql_has_one_port_and_sessions_of_an_hour() {
        const CLUSTER: &str = "foo0bar1baz2.dsql.us-east-1.on.aws";
        let base = Keys { service: Service::Dsql, hosts: &[CLUSTER], port: DSQL_PORT, ..Keys::default() };
        let rules = Rules::read(&base).unwrap();
        let endpoint = &rules.endpoints[0];
        assert_eq!((endpoint.service(), endpoint.region().as_str()), (Service::Dsql, "us-east-1"));
        assert_eq!(rules.ages.max_age, MAX_AGE);
        assert!(Rules::read(&Keys { iam_max_age: Some("3300"), ..base }).is_ok());
        assert_eq!(
            refused(&Keys { iam_max_age: Some("3301"), ..base }),
            ["iam_max_age: accepted: a whole number from 10 to 3300"]
        );
        assert_eq!(
            refused(&Keys { port: 6432, iam_port: Some("5432"), ..base }),
            [
                "iam_port: it has no effect with server_auth=dsql_iam: no port is signed",
                "port: Aurora DSQL listens on 5432; another port goes with iam_host"
            ]
        );
        let tunnel = Keys { hosts: &["localhost"], port: 6432, iam_host: Some(CLUSTER), ..base };
        assert_eq!(Rules::read(&tunnel).unwrap().endpoints[0].host(), CLUSTER);
        assert!(refused(&Keys { hosts: &[HOST], ..base })[0].starts_with("host: no region"), "a host of RDS");
        assert!(refused(&Keys { service: Service::Rds, ..base })[0].starts_with("host: no region"));
    }

    #[test]
    fn keys_that_would_do_nothing_are_refused() {
        let base = Keys { hosts: &[HOST], port: 5432, ..Keys::default() };
        let source = Some("imds");
        assert_eq!(
            refused(&Keys { iam_credential_source: source, iam_profile: Some("prod"), ..base }),
            ["iam_profile: iam_credential_source=imds reads no profile"]
        );
        assert_eq!(
            refused(&Keys { iam_external_id: Some("tenant"), ..base }),
            ["iam_external_id: it belongs to a role: set iam_role_arn"]
        );
        let role = Some("arn:aws:iam::123456789012:role/db");
        let texts = refused(&Keys { iam_role_arn: role, iam_external_id: Some("?"), ..base });
        assert!(texts[0].starts_with("iam_external_id: accepted"), "{texts:?}");
    }

    #[test]
    fn sockets_addresses_and_nothing_at_all_are_no_endpoints() {
        for hosts in [&["/var/run/postgresql"][..], &["10.0.0.1"], &["::1"], &[""], &[]] {
            let keys = Keys { hosts, port: 5432, iam_region: Some("eu-west-1"), ..Keys::default() };
            assert!(refused(&keys)[0].starts_with("host: "), "{hosts:?}");
        }
    }
}
