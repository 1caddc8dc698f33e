//! The files of `auth_type=hba` -> [`Hba`]: rules, and the maps that they name; and what `auth_type=ldap`, or
//! a rule with `ldap`, goes by.
//!
//! Whole or not at all. Never reads them where `auth_type` is another one, as PgBouncer (src/main.c,
//! load_config()); a reload reads them again each time.

use super::{callers, in_clear};
use crate::auth::Method;
use crate::auth::hba::{Doubt, FileError, FileKind, Hba, IdentMaps, Rule, Unsupported, Wrong};
use crate::auth::ldap::{LdapEncryption, LdapOptions};
use crate::base::limits;
use crate::config::{AuthType, ClientIamMode, Settings, SslMode, read_file};
use crate::control::{CallerPolicy, Ldap, Policy};
use crate::tls::ldap::LdapTls;
use std::io;
use std::sync::Arc;

/// Who has to prove themselves in which way.
#[derive(Default)]
pub(super) struct Rules {
    /// The rules of `auth_hba_file`.
    pub hba: Hba,
    /// Directories.
    pub ldap: Ldap,
    /// What logins by presigned requests of callers go by.
    pub callers: Option<Arc<CallerPolicy>>,
    /// What is to be said about them.
    pub doubts: Vec<Doubt>,
}

/// Whether who has to prove themselves in which way hangs on the setting `key`.
pub(super) fn hang_on(key: &str, before: &Policy) -> bool {
    let of_callers = ["iam_sts_region", "auth_claims_file"].contains(&key) || key.starts_with("iam_caller");
    matches!(key, "auth_type" | "auth_hba_file" | "auth_ident_file" | "auth_ldap_options")
        || (of_callers && before.callers.is_some())
        || (key == "client_tls_sslmode" && in_clear::concerns(before))
        || (key == "client_iam_mode" && before.snapshot.settings.client_iam_mode != ClientIamMode::Off)
}

/// The rules that `settings` name.
///
/// # Errors
/// Everything that is wrong with the files.
pub(super) fn read(settings: &Settings) -> Result<Rules, Vec<FileError>> {
    let mut rules = read_files(settings)?;
    let mut errors = in_clear::check(settings, &rules.hba);
    match callers::read(settings, &rules.hba) {
        Ok(callers) => rules.callers = callers,
        Err(wrong) => errors.extend(wrong),
    }
    errors.extend(may_pass_tokens_through(settings, &rules.hba).err());
    if !errors.is_empty() {
        return Err(errors);
    }
    let is_clear = rules.callers.as_ref().is_some_and(|callers| callers.endpoint.is_clear());
    rules.doubts.extend(is_clear.then_some(Doubt::CallersInClear));
    Ok(rules)
}

/// Whether what logins by `rds_iam` need is set, where there are any.
fn may_pass_tokens_through(settings: &Settings, hba: &Hba) -> Result<(), FileError> {
    let is_of_setting = settings.auth_type == AuthType::RdsIam;
    let is_of_rules = hba.rules().iter().any(|rule| rule.method == Method::RdsIam);
    let is_off = settings.client_iam_mode == ClientIamMode::Off;
    if (is_of_setting || is_of_rules) && is_off { Err(FileError::NoClientIamMode) } else { Ok(()) }
}

fn read_files(settings: &Settings) -> Result<Rules, Vec<FileError>> {
    match settings.auth_type {
        AuthType::Hba => {
            let (hba, mut doubts) = hba(settings)?;
            doubts.extend(hba.rules().is_empty().then_some(Doubt::NoRules));
            with_ldap_tls(Rules { hba, doubts, ..Rules::default() })
        }
        AuthType::Ldap => {
            let text = settings.auth_ldap_options.as_ref().ok_or_else(|| vec![FileError::NoLdapOptions])?;
            let options = LdapOptions::parse(text.as_str().as_bytes());
            let options = Some(options.map_err(|why| vec![FileError::LdapOptions(why)])?.into());
            with_ldap_tls(Rules { ldap: Ldap { options, ..Ldap::default() }, ..Rules::default() })
        }
        AuthType::Pam if !cfg!(feature = "pam") => Err(vec![FileError::NoPam]),
        _ => Ok(Rules::default()),
    }
}

/// `rules`, with what handshakes need where a directory is asked over TLS.
fn with_ldap_tls(mut rules: Rules) -> Result<Rules, Vec<FileError>> {
    let of_rules = rules.hba.rules().iter().filter_map(|rule| rule.ldap());
    let mut all = of_rules.chain(&rules.ldap.options);
    if all.any(|options| options.encryption != LdapEncryption::None) {
        let tls = LdapTls::load(|name| std::env::var(name).ok());
        rules.ldap.tls = tls.map_err(|why| vec![FileError::LdapTls(why.to_string())])?;
        rules.doubts.extend(rules.ldap.tls.is_unverified.then_some(Doubt::UnverifiedLdap));
        rules.doubts.extend(rules.ldap.tls.ignored.iter().copied().map(Doubt::LdapConf));
    }
    Ok(rules)
}

/// The rules of `auth_hba_file`, and what is to be said about them.
fn hba(settings: &Settings) -> Result<(Hba, Vec<Doubt>), Vec<FileError>> {
    if settings.auth_hba_file.is_empty() {
        return Err(vec![FileError::NotNamed]);
    }
    let maps = match settings.auth_ident_file.as_deref() {
        None | Some("") => Ok(Default::default()),
        Some(file) => IdentMaps::load(file, &file_text),
    };
    let (maps, mut doubts, mut errors) = match maps {
        Ok((maps, doubts)) => (maps, doubts, Vec::new()),
        Err(errors) => (IdentMaps::default(), Vec::new(), errors),
    };
    let are_maps_known = errors.is_empty();
    match Hba::load(&settings.auth_hba_file, &maps, &file_text) {
        Ok((hba, more)) if errors.is_empty() => {
            doubts.extend(more);
            doubts.extend(without_tls(&hba, settings));
            Ok((hba, doubts))
        }
        Ok(_) => Err(errors),
        Err(more) => {
            errors.extend(more.into_iter().filter(|error| are_maps_known || !is_of_map(error)));
            Err(errors)
        }
    }
}

fn file_text(name: &str) -> io::Result<Vec<u8>> {
    read_file(name, limits::HBA_BYTES_MAX as u64)
}

fn is_of_map(error: &FileError) -> bool {
    matches!(error, FileError::Line { wrong: Wrong::RejectLeftOut(Unsupported::UnknownMap(_)), .. })
}

/// Whether there is nothing wrong but that the file of rules cannot be read. PgBouncer starts without rules
/// then: they let nobody in.
pub(super) fn is_only_missing(errors: &[FileError]) -> bool {
    matches!(errors, [FileError::Unreadable { kind: FileKind::Hba, .. }])
}

/// Rules that fit nobody, or take what nobody shows, as TLS towards clients is set.
fn without_tls(hba: &Hba, settings: &Settings) -> Vec<Doubt> {
    let has_tls = settings.client_tls_sslmode != SslMode::Disable;
    let are_certificates_asked_for = has_tls && !settings.client_tls_ca_file.is_empty();
    let doubt = |rule: &Rule| {
        let place = || rule.place.clone();
        if rule.is_for_tls() && !has_tls {
            Some(Doubt::NoTls { place: place() })
        } else if rule.method == Method::Cert && !are_certificates_asked_for {
            Some(Doubt::NoCertificates { place: place() })
        } else {
            None
        }
    };
    let mut doubts: Vec<_> =
        hba.rules().iter().filter_map(doubt).take(limits::CONFIG_ERRORS_MAX + 1).collect();
    if let Some(last) = doubts.get_mut(limits::CONFIG_ERRORS_MAX) {
        *last = Doubt::More;
    }
    doubts
}
