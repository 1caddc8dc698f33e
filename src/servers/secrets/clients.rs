//! What a configuration says of secrets that clients are proven by, read as a whole: for its load
//! ([`check`]), and when it is adopted ([`keys`]).
//!
//! Pure. Whose key counts for a client is [`crate::control::ClientSecrets`]' to know.

use crate::base::limits;
use crate::config::{
    AuthSecretPlace, AuthType, BadValue, Choice, ConfigError, Database, EntryProblem, Place as At, Problem,
    Snapshot,
};
use crate::iam::rules::BadKey;
use crate::secrets::{Place, Purpose, SecretKey, region_of_arn};
use crate::servers::iam::entry::{Findings, source};
use std::sync::Arc;

/// Who names a secret that clients are proven by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// An entry of `[users]`: for clients who log in as that user.
    User(Arc<str>),
    /// An entry of `[databases]`, `*` among them: for its clients.
    Database(Arc<str>),
    /// The settings: for all.
    Settings,
}

/// A secret that somebody names, or what is wrong with the keys.
type Read = Result<SecretKey, Vec<BadKey>>;

/// Everybody who names one, with the secret, or what is wrong with the keys.
pub fn keys(snapshot: &Snapshot) -> Vec<(Owner, Read)> {
    let none = Database::new("".into());
    let of_users = snapshot.users.iter().filter_map(|(name, user)| {
        let read = read(snapshot, &user.auth_secret, (&none, name), Purpose::User)?;
        Some((Owner::User(Arc::clone(name)), read))
    });
    let entries = snapshot.databases.values().chain(&snapshot.fallback);
    let of_databases = entries.filter_map(|database| {
        let read = read(snapshot, &database.auth_secret, (database, ""), Purpose::Clients)?;
        Some((Owner::Database(Arc::clone(&database.name)), read))
    });
    let of_all = read(snapshot, &snapshot.auth_secret_place(), (&none, ""), Purpose::Clients);
    let of_all = of_all.map(|read| (Owner::Settings, read));
    of_users.chain(of_databases).chain(of_all).collect()
}

/// The secret of one place, if that names any; AWS is called for it by the credentials of the database and
/// user of `whose`.
fn read(
    snapshot: &Snapshot,
    place: &AuthSecretPlace,
    whose: (&Database, &str),
    purpose: Purpose,
) -> Option<Read> {
    let bad = |why: &str| vec![BadKey { key: "auth_secret_arn", why: why.to_owned() }];
    let place = match place.parts() {
        [None, None] => return None,
        [Some(_), Some(_)] => Err(bad("it cannot be combined with auth_secret_file")),
        [Some(path), None] => Ok(Place::File(Arc::clone(path))),
        [None, Some(arn)] => region_of_arn(arn).map_err(bad).and_then(|region| {
            let source = source(snapshot, whose.0, whose.1, &region)?;
            Ok(Place::Aws { arn: Arc::clone(arn), region, source })
        }),
    };
    Some(place.map(|place| SecretKey { place, purpose }))
}

/// Looks at everything that a configuration says of such secrets.
pub fn check(snapshot: &Snapshot) -> Findings {
    let keys = keys(snapshot);
    let mut findings = Findings::default();
    if keys.len() > limits::CLIENT_SECRETS_MAX {
        let most = limits::CLIENT_SECRETS_MAX;
        let why = format!("there are more than {most} of them: keep many users in one, as a list");
        findings.errors.push(error(snapshot, &keys[most].0, BadKey { key: "auth_secret_file", why }));
    }
    if !keys.is_empty() && !looks_secrets_up(snapshot.settings.auth_type) {
        let word = snapshot.settings.auth_type.word();
        findings.warnings.push(format!(
            "with auth_type={word} auth_secret_file and auth_secret_arn log in to servers, and prove no \
             client"
        ));
    }
    for (owner, read) in keys {
        let refused = read.err().into_iter().flatten();
        findings.errors.extend(refused.map(|bad| error(snapshot, &owner, bad)));
    }
    findings
}

/// Whether it is asked what clients are proven by. Servers are logged in to by these secrets in any case.
fn looks_secrets_up(auth_type: AuthType) -> bool {
    match auth_type {
        AuthType::Trust | AuthType::Cert | AuthType::Peer | AuthType::Hba => true,
        AuthType::Plain | AuthType::Md5 | AuthType::ScramSha256 => true,
        AuthType::Any | AuthType::Ldap | AuthType::Pam => false,
        AuthType::Jwt | AuthType::IamCaller | AuthType::RdsIam => false,
    }
}

fn error(snapshot: &Snapshot, owner: &Owner, bad: BadKey) -> ConfigError {
    let places = &snapshot.places;
    let entry = |kind, name: &Arc<str>| {
        let problem = EntryProblem::Unfit { key: bad.key, why: bad.why.clone() };
        Problem::Entry { kind, name: name.to_string(), problem }
    };
    let (problem, place) = match owner {
        Owner::User(name) => (entry("user", name), places.users.get(name)),
        Owner::Database(name) => (entry("database", name), places.databases.get(name)),
        Owner::Settings => {
            let value = snapshot.settings.auth_secret_arn.to_string();
            let why = BadValue::Refused(bad.why);
            (Problem::BadSetting { key: bad.key, value, why }, places.settings.get(bad.key))
        }
    };
    let nowhere = || At { file: snapshot.path().to_string_lossy().into(), line: 0 };
    ConfigError { place: place.cloned().unwrap_or_else(nowhere), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf";

    fn load(text: &str) -> Snapshot {
        Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn users_databases_and_settings_name_secrets() {
        let snapshot = load(&format!(
            "[databases]\na = host=h auth_secret_file=/a\nb = host=h\n* = host=h auth_secret_arn={ARN}\n\
             [users]\nu = auth_secret_file=/u\nv = pool_size=1\n\
             [pgbouncer]\nauth_secret_file = /all\niam_credential_source = env\n"
        ));
        let shown: Vec<_> = keys(&snapshot)
            .into_iter()
            .map(|(owner, key)| {
                let key = key.unwrap();
                format!("{owner:?} {key} {}", key.purpose.name())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "User(\"u\") /u user",
                "Database(\"a\") /a clients",
                &format!("Database(\"*\") {ARN} clients"),
                "Settings /all clients"
            ]
        );
        assert!(check(&snapshot).errors.is_empty() && check(&snapshot).warnings.is_empty());
        assert!(keys(&load("[databases]\na = host=h\n[pgbouncer]\n")).is_empty());
    }

    #[test]
    fn what_cannot_be_fetched_is_an_error_at_its_place() {
        for (text, start) in [
            (
                format!("[users]\nu = auth_secret_file=/u auth_secret_arn={ARN}\n[pgbouncer]\n"),
                "invalid parameter auth_secret_arn of user \"u\" in configuration (p.ini:2): it cannot be",
            ),
            (
                "[databases]\na = host=h auth_secret_arn=app\n[pgbouncer]\n".to_owned(),
                "invalid parameter auth_secret_arn of database \"a\" in configuration (p.ini:2): accepted",
            ),
            (
                "[pgbouncer]\nauth_secret_arn = app\n".to_owned(),
                "invalid value \"app\" for parameter auth_secret_arn in configuration (p.ini:2)",
            ),
            (
                format!("[users]\nu = auth_secret_arn={ARN} iam_credential_source=none\n[pgbouncer]\n"),
                "invalid parameter iam_credential_source of user \"u\"",
            ),
        ] {
            let errors = check(&load(&text)).errors;
            let told = errors.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
        }
    }

    #[test]
    fn no_more_are_kept_than_the_bound_says() {
        let text = |count: usize| {
            let users: String =
                (0..count).map(|number| format!("u{number} = auth_secret_file=/u\n")).collect();
            check(&load(&format!("[users]\n{users}[pgbouncer]\n"))).errors.len()
        };
        assert_eq!((text(limits::CLIENT_SECRETS_MAX), text(limits::CLIENT_SECRETS_MAX + 1)), (0, 1));
    }

    #[test]
    fn methods_that_ask_for_no_secret_are_told_and_that_servers_are_still_logged_in_to_by_it() {
        let told = |method: &str| {
            let text = format!("[pgbouncer]\nauth_secret_file = /all\nauth_type = {method}\n");
            check(&load(&text)).warnings
        };
        let asks = ["trust", "plain", "md5", "scram-sha-256", "cert", "peer", "hba"];
        for (method, _) in AuthType::WORDS {
            let told = told(method);
            assert_eq!(told.is_empty(), asks.contains(method), "{method}: {told:?}");
            let is_true = |line: &String| {
                line.starts_with(&format!("with auth_type={method} auth_secret_file"))
                    && line.ends_with(" log in to servers, and prove no client")
            };
            assert!(told.iter().all(is_true), "{told:?}");
        }
    }
}
