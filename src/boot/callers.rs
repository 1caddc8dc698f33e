//! `iam_caller_*` -> [`CallerPolicy`]: what logins by presigned requests of callers go by, judged as a whole.
//!
//! Whole or not at all. The maps are `tokens.rs`'s. Never reads anything where neither `auth_type` nor a rule
//! asks for such requests.

use crate::auth::Method;
use crate::auth::hba::{FileError, Hba};
use crate::config::{AuthType, Settings};
use crate::control::CallerPolicy;
use crate::iam::caller::CallerEndpoint;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What logins by `iam_caller` go by; `None`: there are none.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(settings: &Settings, hba: &Hba) -> Result<Option<Arc<CallerPolicy>>, Vec<FileError>> {
    let named = maps_named(settings, hba);
    if named.is_empty() {
        return Ok(None);
    }
    let mut errors = Vec::new();
    let endpoint = endpoint(settings).map_err(|why| errors.push(why)).ok();
    if settings.auth_claims_file.is_empty() {
        errors.push(FileError::NoClaimsFile);
    }
    if named.iter().any(|map| map.is_empty()) {
        errors.push(FileError::NoCallerMap);
    }
    match endpoint {
        Some(endpoint) if errors.is_empty() => {
            let map = Arc::clone(&settings.iam_caller_map);
            Ok(Some(Arc::new(CallerPolicy { endpoint: Arc::new(endpoint), map })))
        }
        _ => Err(errors),
    }
}

/// The maps of `auth_claims_file` that callers are let in by, each once; the empty name: nothing names one.
/// None: there are no such logins.
pub(super) fn maps_named<'a>(settings: &'a Settings, hba: &'a Hba) -> BTreeSet<&'a Arc<str>> {
    let own = &settings.iam_caller_map;
    let rules = hba.rules().iter().filter(|rule| rule.method == Method::IamCaller);
    rules.map(|rule| rule.claims_map().unwrap_or(own)).chain(is_of_setting(settings).then_some(own)).collect()
}

fn is_of_setting(settings: &Settings) -> bool {
    settings.auth_type == AuthType::IamCaller
}

fn endpoint(settings: &Settings) -> Result<CallerEndpoint, FileError> {
    let (url, server_id) = (&settings.iam_caller_endpoint, &settings.iam_caller_server_id);
    let region = settings.iam_sts_region.parse().ok();
    CallerEndpoint::new(url, region, server_id).map_err(|why| FileError::Caller(why.to_string()))
}
