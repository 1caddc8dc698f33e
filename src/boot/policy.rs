//! Files -> one [`Policy`]: settings and entries, the user list, TLS. Whole or not at all.
//!
//! Used at the start, by a reload, by SET and by `--check`. Never changes anything that runs.

use super::rules::{self, Rules};
use super::{audit, config_changes, denials, idle_settings, lost_roles, tokens};
use crate::auth::UserList;
use crate::auth::hba::Hba;
use crate::base::limits;
use crate::config::{
    AuthType, ConfigError, ConfigErrors, EntryProblem, Problem, Refused, Settings, Snapshot, read_file,
};
use crate::control::{ClientTls, Policy};
use crate::servers::iam::entry;
use crate::servers::secrets;
use crate::tls::files::TlsError;
use crate::tls::{EntryTlsError, LeftOut, ServersTls, client};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A policy that is not in force yet, and what is to be said about it.
pub(super) struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What is wrong and does not keep it from being put in force, as with PgBouncer: `auth_file`, and at the
    /// start an `auth_hba_file` that cannot be read.
    pub problems: Vec<String>,
    /// What is doubtful in the hba and ident files, and of no use in those of authorities.
    doubts: Vec<String>,
    /// Who is denied; `None`: the same as before.
    pub denials: Option<denials::Denied>,
}

impl Loaded {
    /// What the files say that has no effect, or not the effect that one may expect.
    pub(super) fn warnings(&self) -> Vec<String> {
        let warnings = self.policy.snapshot.warnings.iter().map(ToString::to_string);
        warnings.chain(self.doubts.iter().cloned()).collect()
    }
}

/// Reads everything that `path` names, with the keys of `overlay` added.
///
/// # Errors
/// Every error of the configuration files and of what they name, as far as one can be
/// judged in spite of the others.
pub(super) fn load_first(path: &Path, overlay: Option<&Path>) -> Result<Loaded, Vec<String>> {
    from_read(Snapshot::read(path, overlay, None), None)
}

/// Reads the same files again; `before` is what is in force.
///
/// # Errors
/// As [`load_first`].
pub(super) fn load_again(before: &Policy) -> Result<Loaded, Vec<String>> {
    from_read(Snapshot::read(&before.snapshot.path(), None, Some(&before.snapshot)), Some(before))
}

fn from_read(read: Result<Snapshot, Box<Refused>>, before: Option<&Policy>) -> Result<Loaded, Vec<String>> {
    match read {
        Ok(snapshot) => from_snapshot(snapshot, before),
        Err(refused) => Err(in_spite_of(*refused)),
    }
}

/// What is wrong with the files, and what else is: with what could be read of them, without what may be wrong
/// only because something could not be.
fn in_spite_of(refused: Refused) -> Vec<String> {
    let Refused { errors, remains } = refused;
    let Some(remains) = remains else { return lines(&errors) };
    let may_lack = remains.may_lack_settings;
    let is_missing = |error: &ConfigError| {
        let Problem::Entry { problem: EntryProblem::Unfit { key, .. }, .. } = &error.problem else {
            return false;
        };
        *key == CA_FILE // it is asked for where neither the entry nor the settings have it
    };
    let mut of_iam = entry::check(remains.snapshot()).errors;
    of_iam.extend(secrets::entry::check(remains.snapshot()).errors);
    of_iam.retain(|error| !(may_lack && is_missing(error)));
    let of_tls = set_up_tls(remains.snapshot(), None).err().unwrap_or_default();
    let of_tls = of_tls.into_iter().filter(|(error, _)| !(may_lack && error.is_of_absence()));
    let read = rules::read(&remains.snapshot().settings);
    let of_tokens = match &read {
        Ok(rules) if !may_lack => tokens::read(remains.snapshot(), &rules.hba).err().unwrap_or_default(),
        _ => Vec::new(),
    };
    let mut of_rules = read.err().unwrap_or_default();
    of_rules.retain(|error| !(may_lack && error.is_of_absence()));
    let others = texts(&of_rules).into_iter().chain(of_tls.map(|(_, line)| line));
    lines(&errors.and(of_iam)).into_iter().chain(others).chain(of_tokens).collect()
}

fn texts(told: &[impl ToString]) -> Vec<String> {
    told.iter().map(ToString::to_string).collect()
}

fn lines(errors: &ConfigErrors) -> Vec<String> {
    errors.to_string().lines().map(str::to_owned).collect()
}

/// Reads what a snapshot names.
///
/// # Errors
/// Everything that is wrong with logins by IAM, with TLS and with hba and ident files; on a reload also what
/// is wrong with `auth_file`.
fn from_snapshot(mut snapshot: Snapshot, before: Option<&Policy>) -> Result<Loaded, Vec<String>> {
    let files = config_changes::files(&snapshot.settings);
    let of_iam = look_at_iam(&mut snapshot);
    let of_audit = audit::check(&snapshot.settings).map_err(|error| vec![error]);
    let users = read_users(&snapshot, before).map_err(|error| vec![error]);
    let (rules, missing) = match rules::read(&snapshot.settings) {
        Err(errors) if before.is_none() && rules::is_only_missing(&errors) => {
            (Ok(Rules::default()), texts(&errors))
        }
        read => (read.map_err(|errors| texts(&errors)), Vec::new()),
    };
    let tokens = match &rules {
        Ok(rules) => tokens::read(&snapshot, &rules.hba),
        Err(_) => tokens::read(&snapshot, &Hba::default()), // its own errors are told with theirs
    };
    let tls = set_up_tls(&snapshot, before)
        .map_err(|errors| errors.into_iter().map(|(_, line)| line).collect::<Vec<_>>());
    let denials = denials::read(&snapshot.settings);
    let ((users, mut problems), rules, tokens, (client_tls, server_tls), denials) =
        match (of_iam.and(of_audit), users, rules, tokens, tls, denials) {
            (Ok(()), Ok(users), Ok(rules), Ok(tokens), Ok(tls), Ok(denials)) => {
                (users, rules, tokens, tls, denials)
            }
            (first, users, rules, tokens, tls, denials) => {
                let errors = [first.err(), users.err(), rules.err(), tokens.err(), tls.err(), denials.err()];
                return Err(errors.into_iter().flatten().flatten().collect());
            }
        };
    problems.extend(missing);
    let Rules { hba, ldap, callers, doubts } = rules;
    let (snapshot, users, hba) = (Arc::new(snapshot), Arc::new(users), Arc::new(hba));
    let mut doubts = texts(&doubts);
    doubts.extend(left_out(client_tls.as_ref(), &server_tls, &ldap.tls.left_out));
    doubts.extend(idle_settings::warnings(&snapshot, &hba));
    doubts.extend(lost_roles::warnings(&snapshot, &hba, &tokens));
    doubts.extend(denials::doubts(&denials.list, &snapshot));
    let policy = Policy { snapshot, users, hba, ldap, tokens, callers, client_tls, server_tls, files };
    Ok(Loaded { policy, problems, doubts, denials: Some(denials) })
}

/// What `SET key = value` makes of the policy in force, and why TLS stays as it was although the setting is
/// one of its own: the setting is kept all the same, since the next one may make the set whole.
///
/// # Errors
/// What is wrong with the setting, or with the file that it names: `auth_file`, hba and ident files.
pub(super) fn with_setting(
    before: &Policy,
    key: &str,
    value: &str,
) -> Result<(Loaded, Option<String>), String> {
    let mut snapshot = before.snapshot.with_setting(key, value).map_err(|error| error.to_string())?;
    audit::check(&snapshot.settings)?;
    let files = config_changes::files(&snapshot.settings);
    if is_of_iam(key) {
        look_at_iam(&mut snapshot).map_err(|errors| errors.join("; "))?;
    }
    let (hba, ldap, callers, mut doubts) = match key {
        key if rules::hang_on(key, before) => {
            let read = rules::read(&snapshot.settings);
            let rules = read.map_err(|errors| texts(&errors).join("; "))?;
            let doubts = [texts(&rules.doubts), texts(&rules.ldap.tls.left_out)].concat();
            (Arc::new(rules.hba), rules.ldap, rules.callers, doubts)
        }
        _ => (Arc::clone(&before.hba), before.ldap.clone(), before.callers.clone(), Vec::new()),
    };
    let denials = (key == "deny_principals").then(|| denials::read(&snapshot.settings)).transpose();
    let denials = denials.map_err(|errors| errors.join("; "))?;
    let tokens = tokens::after_set(before, &snapshot, &hba, key).map_err(|errors| errors.join("; "))?;
    let names_same_users =
        |settings: &Settings| (settings.auth_file.clone(), settings.auth_type == AuthType::Pam);
    let (users, problems) =
        if names_same_users(&snapshot.settings) == names_same_users(&before.snapshot.settings) {
            (Arc::clone(&before.users), Vec::new())
        } else {
            let (users, problems) = read_users(&snapshot, Some(before))?;
            (Arc::new(users), problems)
        };
    let wants_certificates = key == "auth_type" && snapshot.settings.auth_type == AuthType::Cert;
    let of_tls = wants_certificates || key.starts_with("client_tls") || key.starts_with("server_tls");
    let tls = of_tls.then(|| set_up_tls(&snapshot, Some(before))).transpose();
    let (tls, why) = match tls {
        Ok(tls) => (tls, None),
        Err(errors) => {
            let lines: Vec<_> = errors.into_iter().map(|(_, line)| line).collect();
            (None, Some(lines.join("; ")))
        }
    };
    if let Some((client, servers)) = &tls {
        doubts.extend(left_out(client.as_ref(), servers, &[]));
    }
    let (client_tls, server_tls) =
        tls.unwrap_or_else(|| (before.client_tls.clone(), before.server_tls.clone()));
    doubts.extend(idle_settings::news(before, &snapshot, &hba, key));
    doubts.extend(lost_roles::news(before, &snapshot, &hba, &tokens));
    doubts.extend(denials.iter().flat_map(|denied| denials::doubts(&denied.list, &snapshot)));
    let snapshot = Arc::new(snapshot);
    let policy = Policy { snapshot, users, hba, ldap, tokens, callers, client_tls, server_tls, files };
    Ok((Loaded { policy, problems, doubts, denials }, why))
}

/// Whether what logins by IAM and by secrets go by, or what they are worth, hangs on the setting.
fn is_of_iam(key: &str) -> bool {
    key.starts_with("server_tls")
        || key.starts_with("iam")
        || key.starts_with("auth_secret")
        || matches!(key, "pool_mode" | "auth_user" | "auth_dbname")
}

/// What only the entry as a whole tells of logins by IAM and by secrets.
///
/// # Errors
/// Everything that is wrong with it.
fn look_at_iam(snapshot: &mut Snapshot) -> Result<(), Vec<String>> {
    let (by_iam, by_secrets) = (entry::check(snapshot), secrets::entry::check(snapshot));
    snapshot.warnings.extend(by_iam.warnings.into_iter().chain(by_secrets.warnings));
    let errors = by_iam.errors.iter().chain(&by_secrets.errors);
    let errors: Vec<_> = errors.map(ToString::to_string).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The key and the setting of the file with the authorities of servers' certificates.
const CA_FILE: &str = "server_tls_ca_file";

/// What handshakes need, with clients and with servers.
type Tls = (Option<ClientTls>, ServersTls);

/// What is wrong with TLS, and the line that tells it.
type TlsErrors = Vec<(TlsError, String)>;

fn set_up_tls(snapshot: &Snapshot, before: Option<&Policy>) -> Result<Tls, TlsErrors> {
    let before = before.and_then(|before| before.client_tls.as_ref()).map(|tls| &tls.acceptor);
    let acceptor = client::acceptor(&snapshot.settings).map_err(|error| {
        let line = format!("TLS setup failed: {error}");
        vec![(error, line)]
    });
    let server = ServersTls::load(snapshot).map_err(|failed| server_tls_errors(snapshot, failed));
    let (acceptor, server) = match (acceptor, server) {
        (Ok(acceptor), Ok(server)) => (acceptor, server),
        (acceptor, server) => {
            return Err([acceptor.err(), server.err()].into_iter().flatten().flatten().collect());
        }
    };
    let client = acceptor.map(|acceptor| ClientTls {
        mode: snapshot.settings.client_tls_sslmode,
        acceptor: acceptor.or_before(before),
    });
    Ok((client, server))
}

/// What of the files of authorities is of no use; each once, however many entries read the file.
fn left_out(client: Option<&ClientTls>, servers: &ServersTls, of_ldap: &[LeftOut]) -> BTreeSet<String> {
    let of_clients = client.iter().flat_map(|tls| &tls.acceptor.left_out);
    of_clients.chain(servers.left_out()).chain(of_ldap).map(ToString::to_string).collect()
}

/// What is wrong with the settings is reported once, however many entries need them.
fn server_tls_errors(snapshot: &Snapshot, failed: Vec<EntryTlsError>) -> TlsErrors {
    let mut told = BTreeSet::new();
    let mut lines = Vec::new();
    for failed in failed {
        let (line, is_own) = entry_tls_error(snapshot, &failed);
        if is_own || told.insert(failed.error.to_string()) {
            lines.push((failed.error, line));
        }
    }
    lines
}

/// Names the key of the entry where its own is what is wrong (`true`); else the setting is, and the entry
/// only what it was needed for.
fn entry_tls_error(snapshot: &Snapshot, EntryTlsError { database, error }: &EntryTlsError) -> (String, bool) {
    let placed = database.as_ref().and_then(|name| {
        let entry = snapshot.databases.get(name).or(snapshot.fallback.as_ref())?;
        Some((entry, snapshot.places.databases.get(name)?))
    });
    let Some((entry, place)) = placed else { return (format!("TLS setup failed: {error}"), false) };
    let is_own = match error {
        TlsError::NoAuthorities { .. } => true,
        TlsError::File { setting, .. } => *setting == CA_FILE && entry.server_tls_ca_file.is_some(),
        _ => false,
    };
    if !is_own {
        let line = format!("TLS setup failed: {error}; needed for database \"{}\" ({place})", entry.name);
        return (line, false);
    }
    let problem = EntryProblem::Unfit { key: CA_FILE, why: error.to_string() };
    let problem = Problem::Entry { kind: "database", name: entry.name.to_string(), problem };
    (ConfigError { place: place.clone(), problem }.to_string(), true)
}

/// `auth_file`. At the start one that cannot be read, or is malformed, is logged and not fatal, as with
/// PgBouncer; a reload that would lose users by it fails instead. Users that it no longer has keep existing
/// with a password that never matches. Source: PgBouncer, src/loader.c (load_auth_file()).
fn read_users(snapshot: &Snapshot, before: Option<&Policy>) -> Result<(UserList, Vec<String>), String> {
    // Users of PAM come from there alone.
    let named = snapshot.settings.auth_file.as_ref().filter(|_| snapshot.settings.auth_type != AuthType::Pam);
    let Some(path) = named else { return Ok(Default::default()) };
    let (mut users, problem) = match read_file(path, limits::CONFIG_FILE_BYTES_MAX) {
        Ok(text) => {
            let (users, broken) = UserList::parse(&text);
            (users, broken.map(|error| format!("{}: {error}", &**path)))
        }
        Err(error) => (UserList::default(), Some(format!("could not open auth_file {}: {error}", &**path))),
    };
    if let Some(before) = before {
        match problem {
            Some(problem) if before.users.count() > 0 => return Err(problem),
            _ => users.keep_users_of(&before.users),
        }
    }
    Ok((users, problem.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::authorities::tests::Party;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use std::collections::BTreeMap;

    fn refused(databases: &str, settings: &str) -> String {
        let text = format!("[databases]\n{databases}\n[pgbouncer]\n{settings}\n");
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap();
        from_snapshot(snapshot, None).map(|_| ()).expect_err("refused").join("\n")
    }

    /// What a look at these files finds wrong, line by line.
    fn looked_at(text: &str, overlay: Option<&str>) -> Vec<String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("pgweir-policy-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let [main, over] = ["p.ini", "o.ini"].map(|name| directory.join(name));
        std::fs::write(&main, text).unwrap();
        std::fs::write(&over, overlay.unwrap_or_default()).unwrap();
        let found = load_first(&main, overlay.map(|_| &*over)).map(|_| ()).err().unwrap_or_default();
        std::fs::remove_dir_all(&directory).unwrap();
        let prefix = format!("{}/", directory.display());
        found.into_iter().map(|line| line.replace(&prefix, "")).collect()
    }

    #[test]
    fn errors_of_every_kind_are_told_in_one_run() {
        let text = "[databases]\n\
            a = host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam server_tls_ca_file=/no/a.pem \
            iam_max_age=1\n\
            b = host=x port=many\n\
            c = host=/run server_auth=rds_iam server_tls_ca_file=/no/c.pem\n\
            d = host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam\n\
            [pgbouncer]\n\
            listen_port = many\n\
            client_tls_sslmode = require\n\
            client_tls_cert_file = /no/cert.pem\n\
            client_tls_key_file = /no/key.pem\n\
            iam_credential_source = nowhere\n";
        let found = looked_at(text, None);
        let starts = [
            "invalid parameter iam_max_age of database \"a\" in configuration (p.ini:2)",
            "invalid value \"many\" for parameter port of database \"b\" in configuration (p.ini:3)",
            "invalid parameter host of database \"c\" in configuration (p.ini:4)",
            "invalid parameter server_tls_ca_file of database \"d\" in configuration (p.ini:5)",
            "invalid value \"many\" for parameter listen_port in configuration (p.ini:7)",
            "invalid value \"nowhere\" for parameter iam_credential_source in configuration (p.ini:11)",
            "TLS setup failed: client_tls_cert_file: /no/cert.pem: ",
            "invalid parameter server_tls_ca_file of database \"a\" in configuration (p.ini:2)",
            "invalid parameter server_tls_ca_file of database \"c\" in configuration (p.ini:4)",
        ];
        for start in starts {
            let count = found.iter().filter(|line| line.starts_with(start)).count();
            assert_eq!(count, 1, "{start}\nin\n{}", found.join("\n"));
        }
        let of_line = |line: &String| line.split(".ini:").nth(1)?.split(')').next()?.parse::<u32>().ok();
        let lines: Vec<_> = found.iter().map_while(of_line).collect();
        assert!(lines.is_sorted() && lines.len() >= 6, "in the order of the file: {found:?}");
        // The errors of form put right, the others are the same ones.
        let sound = text.replace("many", "1");
        let others: Vec<_> = found.iter().filter(|line| !line.contains("\"many\"")).cloned().collect();
        assert_eq!(looked_at(&sound, None), others);
    }

    #[test]
    fn what_may_be_missing_only_for_another_error_is_not_told() {
        const RDS: &str =
            "[databases]\na = host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam\n[pgbouncer]\n";
        let count = |text: &str| looked_at(&format!("{RDS}{text}"), None).len();
        assert_eq!(count("server_tls_ca_file /etc/bundle.pem\n"), 1, "the line is broken that has it");
        assert_eq!(count("server_tls_cafile = /etc/bundle.pem\n"), 1);
        assert_eq!(count("%include /no/such/file.ini\n"), 1);
        assert_eq!(count("listen_port = many\n"), 2, "no line is left that could have it");
        assert_eq!(count("server_tls_sslmode = verfy-full\nserver_tls_ca_file = /no/such.pem\n"), 2);
        assert_eq!(count("client_tls_sslmode = require\nclient_tls_key_fil = x\n"), 1);
    }

    #[test]
    fn an_overlay_is_looked_at_behind_a_main_file_that_is_wrong() {
        let main = "[databases]\na = host=db.abc.eu-west-1.rds.amazonaws.com\nb = port=x\n[pgbouncer]\n";
        let overlay = "[databases]\na = server_auth=rds_iam iam_max_age=1 server_tls_ca_file=/no/such.pem\n\
                       b = server_auth=rds_iam\n";
        let found = looked_at(main, Some(overlay));
        let starts = [
            "invalid value \"x\" for parameter port",
            "invalid parameter iam_max_age of",
            "invalid parameter server_tls_ca_file",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (line, start) in found.iter().zip(starts) {
            assert!(line.starts_with(start), "{found:?}");
        }
    }

    #[test]
    fn what_a_set_makes_of_logins_by_iam_is_told() {
        let text = "[databases]\n\
            a = host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam server_tls_ca_file=x\n\
            [pgbouncer]\n\
            pool_mode = transaction\n";
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap();
        let before = Policy {
            snapshot: Arc::new(snapshot),
            users: Arc::default(),
            hba: Arc::default(),
            ldap: Default::default(),
            tokens: Default::default(),
            callers: None,
            client_tls: None,
            server_tls: ServersTls::disabled(),
            files: BTreeMap::new(),
        };
        let warnings = |key, value| with_setting(&before, key, value).unwrap().0.warnings();
        let told = warnings("pool_mode", "session");
        assert!(told.len() == 1 && told[0].contains("\"a\": in session pooling"), "{told:?}");
        assert_eq!(warnings("pool_mode", "statement"), [""; 0]);
        assert_eq!(warnings("query_timeout", "5"), [""; 0]);
        let refused = with_setting(&before, "auth_secret_arn", "app").err().unwrap_or_default();
        assert!(refused.contains("accepted: the ARN of a secret"), "{refused}");
    }

    #[test]
    fn an_error_of_tls_is_told_with_what_is_wrong() {
        const RDS: &str = "a = host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam";
        let own = refused(&format!("{RDS} server_tls_ca_file=/no/such.pem"), "");
        assert!(
            own.starts_with(
                "invalid parameter server_tls_ca_file of database \"a\" in configuration (p.ini:2)"
            ),
            "{own}"
        );
        let of_settings = refused(RDS, "server_tls_ca_file = /no/such.pem");
        assert!(
            of_settings.starts_with("TLS setup failed: server_tls_ca_file: /no/such.pem: "),
            "{of_settings}"
        );
        assert!(of_settings.ends_with("; needed for database \"a\" (p.ini:2)"), "{of_settings}");
        let versions = refused(&format!("{RDS} server_tls_ca_file=x"), "server_tls_protocols = tlsv1.0");
        assert_eq!(
            versions,
            "TLS setup failed: server_tls_protocols: only TLS 1.2 and 1.3 are available in this version; \
             needed for database \"a\" (p.ini:2)"
        );
    }

    #[test]
    fn what_of_a_file_is_no_authority_is_told_once() {
        let authority = Party::authority("root", |_| ());
        let user = Party::new("carol", |_| ());
        let pem = |certificate: &[u8]| {
            let text = BASE64_STANDARD.encode(certificate);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        let file = std::env::temp_dir().join(format!("pgweir-policy-ca-{}.pem", std::process::id()));
        std::fs::write(&file, [pem(&authority.own()), pem(&authority.signs(&user))].concat()).unwrap();
        let text = format!(
            "[databases]\n\
             a = host=x server_tls_sslmode=verify-full\n\
             b = host=y server_tls_sslmode=require\n\
             [pgbouncer]\n\
             server_tls_sslmode = verify-ca\n\
             server_tls_ca_file = {}\n",
            file.display()
        );
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap();
        let loaded = from_snapshot(snapshot, None).unwrap_or_else(|errors| panic!("{errors:?}"));
        let told = |loaded: &Loaded| {
            loaded.warnings().iter().filter(|line| line.contains("2nd certificate (CN=carol)")).count()
        };
        assert_eq!(told(&loaded), 1, "{:?}", loaded.warnings());
        let set = |key, value| with_setting(&loaded.policy, key, value).map(|(loaded, _)| told(&loaded));
        assert_eq!((set("server_tls_sslmode", "verify-full"), set("query_timeout", "5")), (Ok(1), Ok(0)));
        std::fs::remove_file(file).unwrap();
    }
}
