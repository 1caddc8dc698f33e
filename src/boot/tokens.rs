//! `[issuers]`, `auth_claims_file`, `auth_jwt_options` and rules with `jwt` -> [`Tokens`]: what logins by
//! tokens go by, judged as a whole.
//!
//! Whole or not at all. Never reads anything where neither `auth_type` nor a rule takes tokens; the maps are
//! for `iam_caller`, too. Keys in files are read here to see that they can be: what keeps them reads them
//! again.

use super::callers;
use crate::auth::Method;
use crate::auth::hba::{FileError, FileKind, Hba, Rule, Wrong};
use crate::auth::jwt::JwtOptions;
use crate::base::limits;
use crate::config::{
    AuthType, ConfigError, EntryProblem, IssuerEntry, Place, Problem, Settings, Snapshot, read_file, shown,
};
use crate::control::{Policy, TokenIssuer, Tokens};
use crate::identity::{Algorithm, ClaimName, ClaimsMap, IssuerRules, KeySet, RequiredClaim};
use crate::tls::authorities::signers_of_servers;
use std::fmt::Display;
use std::sync::Arc;

/// What is wrong with a key of an entry.
type Unfit = (&'static str, String);

/// What logins by tokens go by, as `snapshot` and the rules say.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub(super) fn read(snapshot: &Snapshot, hba: &Hba) -> Result<Tokens, Vec<String>> {
    let settings = &snapshot.settings;
    let rules: Vec<_> = hba.rules().iter().filter(|rule| rule.method == Method::Jwt).collect();
    let is_of_setting = settings.auth_type == AuthType::Jwt;
    let has_jwt = is_of_setting || !rules.is_empty();
    let maps_of_callers = callers::maps_named(settings, hba);
    if !has_jwt && maps_of_callers.is_empty() {
        return Ok(Tokens::default());
    }
    let mut errors = Vec::new();
    let (maps, are_maps_known) = match maps(settings) {
        Ok(maps) => (maps, true),
        Err(wrong) => {
            errors.extend(wrong);
            (ClaimsMap::default(), false)
        }
    };
    let has_map = |name: &str| !are_maps_known || maps.has(name);
    let has_file = !settings.auth_claims_file.is_empty();
    // that there is no file, or no name, `callers.rs` tells
    let is_unknown = |map: &&Arc<str>| !map.is_empty() && has_file && !has_map(map);
    let unknown = maps_of_callers.into_iter().filter(is_unknown);
    errors.extend(unknown.map(|map| FileError::UnknownClaimsMap(shown(map)).to_string()));
    if !has_jwt {
        let tokens = Tokens { maps: Arc::new(maps), ..Tokens::default() };
        return if errors.is_empty() { Ok(tokens) } else { Err(errors) };
    }
    let mut issuers = Vec::new();
    for (name, entry) in &snapshot.issuers {
        match issuer(name, entry, &has_map, has_file) {
            Ok(rules) => issuers.push(Arc::new(TokenIssuer { rules, entry: entry.clone() })),
            Err(wrong) => errors.extend(wrong.into_iter().map(|unfit| entry_error(snapshot, name, unfit))),
        }
    }
    let has_issuer = |name: &str| snapshot.issuers.contains_key(name);
    let names = Names { has_issuer: &has_issuer, has_map: &has_map, has_file };
    if snapshot.issuers.is_empty() {
        errors.push("logins by jwt need an issuer: [issuers] has no entry that holds".to_owned());
    } else {
        errors.extend(rules.iter().filter_map(|rule| Some(rule_error(rule, names.problem_of(rule.jwt()?)?))));
    }
    let mut options = JwtOptions::default();
    if is_of_setting {
        match options_of(settings, &names) {
            Ok(read) => options = read,
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(Tokens { issuers: issuers.into(), maps: Arc::new(maps), options: Arc::new(options) })
    } else {
        errors.truncate(limits::CONFIG_ERRORS_MAX);
        Err(errors)
    }
}

/// What logins by tokens go by behind a SET of `key`.
///
/// # Errors
/// As [`read`].
pub(super) fn after_set(
    before: &Policy,
    snapshot: &Snapshot,
    hba: &Hba,
    key: &str,
) -> Result<Tokens, Vec<String>> {
    let hangs_on_it = matches!(
        key,
        "auth_type"
            | "auth_hba_file"
            | "auth_ident_file"
            | "auth_jwt_options"
            | "auth_claims_file"
            | "iam_caller_map"
    );
    if hangs_on_it { read(snapshot, hba) } else { Ok(before.tokens.clone()) }
}

/// The maps of `auth_claims_file`; none where it is not set.
fn maps(settings: &Settings) -> Result<ClaimsMap, Vec<String>> {
    let file = &settings.auth_claims_file;
    if file.is_empty() {
        return Ok(ClaimsMap::default());
    }
    let unreadable = |why: &dyn Display| vec![format!("could not open auth_claims_file {file}: {why}")];
    let text = read_file(file, limits::HBA_BYTES_MAX as u64).map_err(|why| unreadable(&why))?;
    let text = String::from_utf8(text).map_err(|_| unreadable(&"text must be UTF-8"))?;
    ClaimsMap::parse(&text, file).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// The rules of an entry.
///
/// # Errors
/// Everything that is wrong with its keys.
fn issuer(
    name: &Arc<str>,
    entry: &IssuerEntry,
    has_map: &dyn Fn(&str) -> bool,
    has_file: bool,
) -> Result<IssuerRules, Vec<Unfit>> {
    let mut wrong = Vec::new();
    let mut claim = |key, text: &str| {
        let named = ClaimName::named(text);
        named.map_err(|why| wrong.push((key, format!("{}: {why}", shown(text))))).ok()
    };
    let principal = claim("principal_claim", &entry.principal_claim);
    let audience_claim = claim("audience_claim", &entry.audience_claim);
    let audit = entry.audit_claims.iter().filter_map(|text| claim("audit_claims", text)).collect();
    let required = entry.required_claims.iter().filter_map(|text| {
        let (name, values) =
            text.split_once('=').map_or((&**text, None), |(name, values)| (name, Some(values)));
        let values = values.map(|values| values.split('|').map(str::to_owned).collect());
        claim("required_claims", name).map(|name| RequiredClaim { name, values })
    });
    let required = required.collect();
    let algorithms = entry.algorithms.iter().filter_map(|word| {
        let named = Algorithm::named(word);
        if named.is_none() {
            let accepted = Algorithm::ALL.map(Algorithm::name).join(", ");
            wrong
                .push(("algorithms", format!("{} is none that is taken; accepted: {accepted}", shown(word))));
        }
        named
    });
    let algorithms = algorithms.collect();
    if let Some(twice) = repeated(&entry.audit_claims) {
        wrong.push(("audit_claims", format!("{}: named twice", shown(twice))));
    }
    if let Some(map) = entry.map.as_deref().filter(|map| !has_map(map)) {
        wrong.push(("map", no_map(map, has_file).to_string()));
    }
    wrong.extend(keys_problem(entry));
    let (Some(principal), Some(audience_claim), true) = (principal, audience_claim, wrong.is_empty()) else {
        return Err(wrong);
    };
    Ok(IssuerRules {
        name: Arc::clone(name),
        issuer: Arc::clone(&entry.issuer),
        audience_claim,
        audiences: entry.audiences.to_vec(),
        algorithms,
        leeway_s: entry.clock_skew.0.into(),
        token_lifetime_max_s: entry.max_token_age.0.into(),
        required,
        principal,
        audit,
    })
}

/// The first of these words that stands there again.
fn repeated(words: &[Arc<str>]) -> Option<&str> {
    let again = |(at, word): (usize, &Arc<str>)| words[..at].contains(word);
    words.iter().enumerate().find(|one| again(*one)).map(|(_, word)| &**word)
}

/// What is wrong with the files that an entry names.
fn keys_problem(entry: &IssuerEntry) -> Option<Unfit> {
    if let Some(file) = &entry.keys.file {
        let keys = match read_file(file, limits::JWKS_BYTES_MAX as u64) {
            Ok(bytes) => KeySet::parse(&bytes).map(|_| ()).map_err(|why| why.to_string()),
            Err(why) => Err(why.to_string()),
        };
        return keys.err().map(|why| ("jwks_file", format!("{}: {why}", shown(file))));
    }
    let file = entry.ca_file.as_ref()?;
    let signers = match read_file(file, limits::TLS_FILE_BYTES_MAX) {
        Ok(pem) => signers_of_servers("jwks_ca_file", file, &pem).map(|_| ()).map_err(|why| why.to_string()),
        Err(why) => Err(why.to_string()),
    };
    signers.err().map(|why| ("jwks_ca_file", why))
}

fn entry_error(snapshot: &Snapshot, name: &Arc<str>, (key, why): Unfit) -> String {
    let nowhere = || Place { file: snapshot.path().to_string_lossy().into(), line: 0 };
    let place = snapshot.places.issuers.get(name).cloned().unwrap_or_else(nowhere);
    let problem = EntryProblem::Unfit { key, why };
    let problem = Problem::Entry { kind: "issuer", name: name.to_string(), problem };
    ConfigError { place, problem }.to_string()
}

fn rule_error(rule: &Rule, wrong: Wrong) -> String {
    FileError::Line { kind: FileKind::Hba, place: rule.place.clone(), wrong }.to_string()
}

/// Which names there are.
struct Names<'a> {
    has_issuer: &'a dyn Fn(&str) -> bool,
    has_map: &'a dyn Fn(&str) -> bool,
    /// `auth_claims_file` is set.
    has_file: bool,
}

/// That there is no map of that name.
fn no_map(name: &str, has_file: bool) -> Wrong {
    if has_file { Wrong::NoSuchClaimsMap(shown(name)) } else { Wrong::ClaimsMapWithoutFile(shown(name)) }
}

impl Names<'_> {
    /// What options name that is not there.
    fn problem_of(&self, options: &JwtOptions) -> Option<Wrong> {
        let issuer = options.issuer.as_deref().filter(|name| !(self.has_issuer)(name));
        let map = options.map.as_deref().filter(|name| !(self.has_map)(name));
        let issuer = issuer.map(|name| Wrong::NoSuchIssuer(shown(name)));
        issuer.or_else(|| map.map(|name| no_map(name, self.has_file)))
    }
}

fn options_of(settings: &Settings, names: &Names<'_>) -> Result<JwtOptions, String> {
    let told = |why: &dyn Display| format!("auth_jwt_options: {why}");
    let options = JwtOptions::parse(settings.auth_jwt_options.as_bytes()).map_err(|why| told(&why))?;
    names.problem_of(&options).map_or(Ok(options), |wrong| Err(told(&wrong)))
}
