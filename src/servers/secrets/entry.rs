//! What an entry says of logins by a secret, read as a whole: for the load of a configuration ([`check`]),
//! and again for each login.
//!
//! Nothing is kept, so what a login goes by is never older than the configuration in force. Pure.

use super::clients;
use crate::config::{Choice, SecretPlace};
use crate::config::{ConfigError, Database, EntryProblem, Place as At, Problem, ServerAuth, Snapshot};
use crate::iam::rules::BadKey;
use crate::secrets::{Place, Purpose, SecretKey, region_of_arn};
use crate::servers::iam::entry::{Findings, source};
use std::collections::HashSet;
use std::sync::Arc;

/// Users with secrets of their own times databases beyond which what they need is not foreseen: it begins
/// with their first login.
const FORESEEN_MAX: usize = 10_000;

/// The secret by which servers of `database` are logged in to for `user`; `None` = by none.
///
/// # Errors
/// Every key that is refused, or that is missing.
pub fn secret(
    snapshot: &Snapshot,
    database: &Database,
    user: &str,
) -> Option<Result<SecretKey, Vec<BadKey>>> {
    let auth = snapshot.server_auth(database, user);
    let place = snapshot.secret_place(database, user);
    match auth {
        ServerAuth::SecretFile => Some(of_file(database, &place)),
        ServerAuth::SecretsManager => Some(of_arn(snapshot, database, user, &place)),
        ServerAuth::Password | ServerAuth::RdsIam | ServerAuth::DsqlIam => None,
    }
}

fn of_file(database: &Database, place: &SecretPlace) -> Result<SecretKey, Vec<BadKey>> {
    let mut refused = unfit(database, ServerAuth::SecretFile);
    let path = place.file.as_deref().filter(|path| !path.is_empty());
    if path.is_none() {
        let why = "server_auth=secret_file needs it: the path of a file, or of a directory".to_owned();
        refused.push(BadKey { key: "secret_file", why });
    }
    match path {
        Some(path) if refused.is_empty() => {
            Ok(SecretKey { place: Place::File(path.into()), purpose: Purpose::Servers })
        }
        _ => Err(refused),
    }
}

fn of_arn(
    snapshot: &Snapshot,
    database: &Database,
    user: &str,
    place: &SecretPlace,
) -> Result<SecretKey, Vec<BadKey>> {
    let mut refused = unfit(database, ServerAuth::SecretsManager);
    let mut refuse = |why: &str| refused.push(BadKey { key: "secret_arn", why: why.to_owned() });
    let read = match place.arn.as_ref().map(|arn| (arn, region_of_arn(arn))) {
        None => {
            refuse("server_auth=secretsmanager needs it: the ARN of a secret");
            None
        }
        Some((_, Err(why))) => {
            refuse(why);
            None
        }
        Some((arn, Ok(region))) => match source(snapshot, database, user, &region) {
            Ok(source) => Some(Place::Aws { arn: Arc::clone(arn), region, source }),
            Err(more) => {
                refused.extend(more);
                None
            }
        },
    };
    let key = read.map(|place| SecretKey { place, purpose: Purpose::Servers });
    key.filter(|_| refused.is_empty()).ok_or(refused)
}

/// Keys that do not go with a secret.
fn unfit(database: &Database, auth: ServerAuth) -> Vec<BadKey> {
    let why = || format!("it cannot be combined with server_auth={}", auth.word());
    let has_password = !database.password.is_empty();
    has_password.then(|| BadKey { key: "password", why: why() }).into_iter().collect()
}

/// Every secret that the files foresee.
pub fn foreseen(snapshot: &Snapshot) -> HashSet<SecretKey> {
    let keyed: Vec<_> = users_with_secrets(snapshot).collect();
    let keyed = if keyed.len() * entries(snapshot).count() > FORESEEN_MAX { Vec::new() } else { keyed };
    let mut found = HashSet::new();
    for database in entries(snapshot) {
        let forced = database.user.as_deref();
        let own = std::iter::once(forced.unwrap_or_default());
        let others = keyed.iter().map(|name| &***name).filter(|_| forced.is_none());
        let keys = own.chain(others).filter_map(|user| secret(snapshot, database, user)?.ok());
        found.extend(keys);
    }
    found
}

fn entries(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Database>> {
    snapshot.databases.values().chain(&snapshot.fallback)
}

/// Users of `[users]` that say something of secrets.
fn users_with_secrets(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<str>> {
    let none = SecretPlace::default();
    let says = move |auth: Option<ServerAuth>, place: &SecretPlace| {
        auth.is_some_and(ServerAuth::is_by_secret) || *place != none
    };
    snapshot.users.iter().filter(move |(_, user)| says(user.server_auth, &user.secret)).map(|(name, _)| name)
}

/// Looks at everything that a configuration says of logins by secrets, those of clients among them.
pub fn check(snapshot: &Snapshot) -> Findings {
    let mut findings = Findings::default();
    for database in entries(snapshot) {
        let user = database.user.as_deref().unwrap_or_default();
        let refused = secret(snapshot, database, user).and_then(Result::err);
        findings.errors.extend(refused.into_iter().flatten().map(|bad| error(snapshot, database, bad)));
        findings.warnings.extend(doubts(snapshot, database));
    }
    for name in users_with_secrets(snapshot) {
        findings.warnings.extend(doubts_of_user(snapshot, name));
    }
    let of_clients = clients::check(snapshot);
    findings.errors.extend(of_clients.errors);
    findings.warnings.extend(of_clients.warnings);
    findings
}

fn error(snapshot: &Snapshot, database: &Database, bad: BadKey) -> ConfigError {
    let problem = EntryProblem::Unfit { key: bad.key, why: bad.why };
    let problem = Problem::Entry { kind: "database", name: database.name.to_string(), problem };
    let place = snapshot.places.databases.get(&database.name).cloned();
    ConfigError { place: place.unwrap_or(At { file: "".into(), line: 0 }), problem }
}

/// What has no effect in an entry, or another one than may be meant.
fn doubts(snapshot: &Snapshot, database: &Database) -> Vec<String> {
    let name = &database.name;
    let user = database.user.as_deref().unwrap_or_default();
    let by_secret = snapshot.server_auth(database, user).is_by_secret();
    let by_user =
        || snapshot.users.values().any(|user| user.server_auth.is_some_and(ServerAuth::is_by_secret));
    let mut told = Vec::new();
    if database.secret != SecretPlace::default() && !by_secret && !by_user() {
        told.push(format!("database \"{name}\": {}", idle(&database.secret)));
    }
    if by_secret && database.user.is_none() {
        told.push(format!(
            "database \"{name}\": each user of its clients has a pool of its own, and the servers of all are \
             logged in to as the secret's user: set user, if one pool is meant"
        ));
    }
    told
}

/// What has no effect in a user's row.
fn doubts_of_user(snapshot: &Snapshot, name: &Arc<str>) -> Option<String> {
    let user = snapshot.users.get(name)?;
    let by_database =
        || entries(snapshot).any(|entry| entry.server_auth.is_some_and(ServerAuth::is_by_secret));
    let is_by_secret = user.server_auth.is_some_and(ServerAuth::is_by_secret);
    if is_by_secret {
        let lacks = |entry: &&Arc<Database>| secret(snapshot, entry, name).is_some_and(|read| read.is_err());
        let lacking = entries(snapshot).filter(|entry| entry.user.is_none()).find(lacks)?;
        return Some(format!(
            "user \"{name}\": cannot log in by a secret to database \"{}\": secret_file or secret_arn is \
             missing or wrong, or password is set there",
            lacking.name
        ));
    }
    (!by_database()).then(|| format!("user \"{name}\": {}", idle(&user.secret)))
}

/// What is said of keys that do nothing.
fn idle(place: &SecretPlace) -> &'static str {
    match place.arn {
        Some(_) => "secret_arn has no effect without server_auth=secretsmanager",
        None => "secret_file has no effect without server_auth=secret_file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Snapshot {
        let text = format!("[pgbouncer]\n{text}");
        Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap()
    }

    fn path(snapshot: &Snapshot, database: &str, user: &str) -> Option<Result<String, String>> {
        let database = snapshot.database(database)?;
        let read = secret(snapshot, &database, user)?;
        Some(read.map(|key| key.to_string()).map_err(|bad| bad[0].to_string()))
    }

    #[test]
    fn the_user_s_word_goes_before_the_database_s() {
        let snapshot = load(
            "[databases]\na = host=h server_auth=secret_file secret_file=/a user=x\nb = host=h\n\
             c = host=h server_auth=secret_file secret_file=/c\n\
             [users]\nu = secret_file=/u\nv = server_auth=password\nw = server_auth=secret_file\n",
        );
        let is = |text: &str| Some(Ok(text.to_owned()));
        assert_eq!(path(&snapshot, "a", "x"), is("/a"));
        assert_eq!((path(&snapshot, "c", "u"), path(&snapshot, "c", "w")), (is("/u"), is("/c")));
        assert_eq!((path(&snapshot, "b", "u"), path(&snapshot, "c", "v")), (None, None));
        let missing = path(&snapshot, "b", "w").unwrap().unwrap_err();
        assert!(missing.starts_with("secret_file: server_auth=secret_file needs it"), "{missing}");
        let mut names: Vec<_> = foreseen(&snapshot).iter().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, ["/a", "/c", "/u"]);
    }

    #[test]
    fn what_cannot_work_is_an_error_and_what_does_nothing_a_warning() {
        let found = check(&load(
            "[databases]\na = host=h user=x server_auth=secret_file\n\
             b = host=h user=x server_auth=secret_file secret_file=/b password=p\n\
             c = host=h secret_file=/c\nd = host=h server_auth=secret_file secret_file=/d\n",
        ));
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("secret_file") && errors[1].contains("password"), "{errors:?}");
        assert!(!errors[1].contains("=p"), "no password is shown");
        assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
        assert!(found.warnings[0].contains("has no effect") && found.warnings[1].contains("set user"));
        let found = check(&load("[databases]\na = host=h\n[users]\nu = secret_file=/u\n"));
        assert_eq!((found.errors.len(), found.warnings.len()), (0, 1));
        let found = check(&load("[databases]\na = host=h password=p\n[users]\nu = server_auth=password\n"));
        assert_eq!((found.errors.len(), found.warnings.len()), (0, 0));
    }

    #[test]
    fn a_secret_of_aws_is_named_by_its_arn_and_called_by_the_entry_s_credentials() {
        const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf";
        let entry =
            |keys: &str| load(&format!("[databases]\na = host=h user=u server_auth=secretsmanager {keys}\n"));
        let place = |keys: &str| {
            let snapshot = entry(keys);
            secret(&snapshot, &snapshot.database("a").unwrap(), "u").unwrap()
        };
        let keys = format!("secret_arn={ARN} iam_credential_source=imds");
        let Place::Aws { region, source, .. } = place(&keys).unwrap().place else { panic!("it is of AWS") };
        assert_eq!((region.as_str(), source.to_string().as_str()), ("eu-west-1", "imds"));
        for (keys, key) in [
            ("", "secret_arn"),
            ("secret_arn=app", "secret_arn"),
            (&*format!("secret_arn={ARN} password=x"), "password"),
            (&*format!("secret_arn={ARN} iam_credential_source=none"), "iam_credential_source"),
            (&*format!("secret_arn={ARN} iam_role_arn=none"), "iam_role_arn"),
        ] {
            let refused = place(keys).unwrap_err();
            assert_eq!((refused.len(), refused[0].key), (1, key), "{keys}");
            assert_eq!(check(&entry(keys)).errors.len(), 1, "{keys}");
        }
        let by = |keys: &str| entry(&format!("secret_arn={ARN} {keys}"));
        assert!(!by("iam_profile=a").proves_as_before(&by("iam_profile=b"), "a", "u"), "another principal");
    }

    #[test]
    fn another_secret_is_another_proof() {
        let at = |keys: &str| load(&format!("[databases]\na = host=h user=u {keys}\n"));
        let same = |one: &str, other: &str| at(one).proves_as_before(&at(other), "a", "u");
        let file = "server_auth=secret_file secret_file=/a";
        assert!(same(file, file));
        assert!(!same(file, "server_auth=secret_file secret_file=/b") && !same(file, ""));
    }
}
