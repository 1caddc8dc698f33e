//! Credentials of a profile of IAM Identity Center: the token that `aws sso login` has left in
//! `~/.aws/sso/cache`, shown to the portal of the profile's region.
//!
//! The token is read anew each time and never renewed here: that takes a person, or the AWS CLI. A token
//! that is missing or has run out is reported as what it is, with the command that brings another. The AWS
//! library's own way (`aws-config`, feature `sso`) would compile two more of its clients and write to the
//! cache; this is one request. Never logs, never shows the token, nor a text of the portal's. Source: AWS
//! SDKs and Tools Reference Guide, "IAM Identity Center credential provider"; IAM Identity Center Portal API
//! Reference, "GetRoleCredentials".

use super::clock::WallClock;
use super::credentials::checked;
use super::endpoint::Region;
use super::environment::{ATTEMPT_TIMEOUT, env};
use super::failure::{FetchError, Reason};
use super::file::{self, Unread};
use super::http::Http;
use crate::base::limits;
use aws_config::profile::{Profile, ProfileSet};
use aws_credential_types::Credentials as AwsCredentials;
use aws_lc_rs::digest;
use aws_smithy_json::deserialize::{Token, json_token_iter};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Says which of the portal's errors it is.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// A profile's role, as IAM Identity Center knows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SsoRole {
    /// Of whose token the name of the cache's file is made: the session's name, else the portal's address.
    pub cached_as: String,
    /// Where the portal is.
    pub region: Region,
    /// The account.
    pub account: String,
    /// The role's name there.
    pub role: String,
}

impl SsoRole {
    /// What `profile` says of IAM Identity Center; `None`: nothing.
    ///
    /// # Errors
    /// It says too little, or two things.
    pub(super) fn of(profile: &Profile, profiles: &ProfileSet) -> Option<Result<Self, FetchError>> {
        const KEYS: [&str; 5] =
            ["sso_session", "sso_start_url", "sso_region", "sso_account_id", "sso_role_name"];
        KEYS.iter().any(|key| profile.get(key).is_some()).then(|| Self::read(profile, profiles))
    }

    fn read(profile: &Profile, profiles: &ProfileSet) -> Result<Self, FetchError> {
        let [of_profile_url, of_profile_region] = ["sso_start_url", "sso_region"].map(|key| profile.get(key));
        let (cached_as, url, region) = match profile.get("sso_session") {
            Some(name) => {
                let session = profiles.sso_session(name).ok_or_else(|| wrong("no such sso-session"))?;
                let [url, region] = ["sso_start_url", "sso_region"].map(|key| session.get(key));
                let differs = |own: Option<&str>, its| own.is_some() && own != its;
                if differs(of_profile_url, url) || differs(of_profile_region, region) {
                    return Err(wrong("the profile and its sso-session name two portals"));
                }
                (Some(name), url, region)
            }
            None => (of_profile_url, of_profile_url, of_profile_region),
        };
        let told = |value: Option<&str>, key: &str| {
            let missing = || wrong(&format!("{key} is not given"));
            value.filter(|text| !text.is_empty()).map(ToOwned::to_owned).ok_or_else(missing)
        };
        told(url, "sso_start_url")?;
        let region = told(region, "sso_region")?.parse().map_err(|_| wrong("sso_region is not a region"))?;
        let account = told(profile.get("sso_account_id"), "sso_account_id")?;
        let role = told(profile.get("sso_role_name"), "sso_role_name")?;
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong("sso_account_id is not a number of 12 digits"));
        }
        if role.len() > 64
            || !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
        {
            return Err(wrong("sso_role_name is not the name of a role"));
        }
        Ok(Self { cached_as: told(cached_as, "sso_start_url")?, region, account, role })
    }

    /// The file of the cached token.
    fn file(&self, home: &str) -> PathBuf {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.cached_as.as_bytes());
        let name = hash.as_ref().iter().fold(String::with_capacity(45), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // into a String: nothing can fail
            text
        });
        PathBuf::from(home).join(".aws/sso/cache").join(name + ".json")
    }

    /// What the portal is asked. Nothing in it has to be escaped but what a role's name may hold.
    fn url(&self) -> String {
        let set = env("AWS_ENDPOINT_URL_SSO").or_else(|_| env("AWS_ENDPOINT_URL"));
        let usual = |_| format!("https://portal.sso.{}.{}", self.region, self.region.dns_suffix());
        let portal = set.unwrap_or_else(usual);
        let role = self.role.replace('+', "%2B").replace('=', "%3D").replace(',', "%2C").replace('@', "%40");
        let portal = portal.trim_end_matches('/');
        format!("{portal}/federation/credentials?role_name={role}&account_id={}", self.account)
    }
}

/// Credentials of `role`.
///
/// # Errors
/// There is no token that is good, or the portal gives none for it.
/// # Cancel safety
/// Nothing is lost.
pub(super) async fn fetch(
    role: &SsoRole,
    clock: &dyn WallClock,
    http: &Http,
) -> Result<AwsCredentials, FetchError> {
    let home = env("HOME").map_err(|_| wrong("HOME is not set: the cached token is not found"))?;
    let token = cached_token(&read_cache(&role.file(&home)).await?, clock.now())?;
    let mut request = HttpRequest::new(SdkBody::empty());
    let fits = request.set_uri(role.url()).is_ok()
        && request.headers_mut().try_insert("x-amz-sso_bearer_token", token.as_str().to_owned()).is_ok();
    if !fits {
        return Err(wrong("the portal's address or the cached token cannot be sent"));
    }
    let call = async {
        let answer = http.connector().await?.call(request).await;
        answer_of(answer.map_err(|error| FetchError::of_connector(&error))?).await
    };
    tokio::time::timeout(ATTEMPT_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| Err(FetchError::new(Reason::Timeout)))
}

async fn read_cache(path: &std::path::Path) -> Result<Zeroizing<Vec<u8>>, FetchError> {
    file::read_wiped(path, limits::SSO_CACHE_BYTES_MAX).await.map_err(|why| match why {
        Unread::Missing => {
            FetchError::with(Reason::Identity, "no token of IAM Identity Center is cached: run aws sso login")
        }
        why => wrong(&format!("the cached token {why}")),
    })
}

/// The token in the cache's file, if it is still good.
fn cached_token(text: &[u8], now: SystemTime) -> Result<Zeroizing<String>, FetchError> {
    const WHAT: &str = "the cached file holds no token";
    let [token, expiry] = texts(text, 1, ["accesstoken", "expiresat"]).ok_or_else(|| wrong(WHAT))?;
    let (Some(token), Some(expiry)) = (token, expiry) else { return Err(wrong(WHAT)) };
    let expiry: jiff::Timestamp =
        expiry.parse().map_err(|_| wrong("the expiresAt of the cached token is not a time"))?;
    if SystemTime::from(expiry) <= now {
        let why = "the cached token of IAM Identity Center has expired: run aws sso login";
        return Err(FetchError::with(Reason::Identity, why));
    }
    Ok(token)
}

async fn answer_of(answer: HttpResponse) -> Result<AwsCredentials, FetchError> {
    let status = answer.status().as_u16();
    let code =
        answer.headers().get(ERROR_TYPE).map(|code| code.split(':').next().unwrap_or_default().to_owned());
    if !answer.status().is_success() {
        return Err(refusal(code.as_deref(), status));
    }
    let body = answer.into_body().collect().await.map_err(|_| FetchError::new(Reason::Garbage))?;
    credentials(&Zeroizing::new(body.to_bytes().to_vec()))
}

/// What the portal has against it. It is there, so nothing of it hands over to another source.
fn refusal(code: Option<&str>, status: u16) -> FetchError {
    let error = FetchError::of_answer(code, None, Some(status));
    match (error.reason, status) {
        (_, 401) => {
            FetchError::with(Reason::Identity, "the portal refuses the cached token: run aws sso login")
        }
        (Reason::NotConfigured, _) => wrong("the portal knows no such account or role"),
        _ => error,
    }
}

fn credentials(text: &[u8]) -> Result<AwsCredentials, FetchError> {
    let garbage = || FetchError::new(Reason::Garbage);
    let names = ["accesskeyid", "secretaccesskey", "sessiontoken", "expiration"];
    let [id, secret, session, expiry] = texts(text, 2, names).ok_or_else(garbage)?;
    let (Some(id), Some(secret), Some(session), Some(expiry)) = (id, secret, session, expiry) else {
        return Err(garbage());
    };
    let expiry = expiry.parse().ok().map(Duration::from_millis);
    let expiry = expiry.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)).ok_or_else(garbage)?;
    checked(AwsCredentials::new(id.as_str(), secret.as_str(), Some(session.to_string()), Some(expiry), "sso"))
}

/// The texts and whole numbers of those names, in lower case, `depth` objects deep;
/// `None`: that is no object.
fn texts<const N: usize>(
    text: &[u8],
    depth: usize,
    names: [&str; N],
) -> Option<[Option<Zeroizing<String>>; N]> {
    let (mut found, mut name, mut at) = ([const { None }; N], String::new(), 0_usize);
    let mut is_object = false;
    for token in json_token_iter(text) {
        let value = match token.ok()? {
            Token::StartObject { .. } => {
                is_object |= at == 0;
                at += 1;
                continue;
            }
            Token::StartArray { .. } => {
                at += 1;
                continue;
            }
            Token::EndObject { .. } | Token::EndArray { .. } => {
                at = at.checked_sub(1)?;
                continue;
            }
            Token::ObjectKey { key, .. } => {
                name = key.to_unescaped().ok()?.to_ascii_lowercase();
                continue;
            }
            Token::ValueString { value, .. } => value.to_unescaped().ok()?.into_owned(),
            Token::ValueNumber { value: aws_smithy_types::Number::PosInt(number), .. } => number.to_string(),
            _ => continue,
        };
        if let Some(place) = names.iter().position(|known| *known == name).filter(|_| at == depth) {
            found[place] = Some(Zeroizing::new(value));
        }
    }
    (is_object && at == 0).then_some(found)
}

fn wrong(why: &str) -> FetchError {
    FetchError::with(Reason::Misconfigured, why)
}

#[cfg(test)]
mod tests;
