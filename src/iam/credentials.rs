//! The credentials of one source as they lie in memory, and how they stand.
//!
//! Invariant: nothing secret is printed, not even by `Debug`; the keys are wiped on drop (by the AWS
//! library's own type, which holds them).

use super::denial::Backing;
use super::failure::{FetchError, Reason};
use super::uri_encoding;
use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Characters of an access key's id that are shown; enough to tell two apart, not enough to be one.
const KEY_TAIL_CHARS: usize = 4;

/// An access key, its secret, and a session token where they are temporary.
#[derive(Clone)]
pub struct Credentials {
    aws: AwsCredentials,
    generation: u64,
    usable_until: Option<SystemTime>,
}

impl Credentials {
    /// Credentials that came from a source as the `generation`th different ones.
    pub(super) fn new(aws: AwsCredentials, generation: u64) -> Self {
        Self { usable_until: aws.expiry(), aws, generation }
    }

    /// Credentials from their parts, for tests and measurements.
    #[doc(hidden)]
    pub fn made_of(
        key_id: &str,
        secret: &str,
        session: Option<String>,
        expires_at: Option<SystemTime>,
    ) -> Self {
        Self::new(AwsCredentials::new(key_id, secret, session, expires_at, "given"), 0)
    }

    /// Which of the different credentials of its source these are, counted from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When AWS stops taking them; `None` if they do not expire.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.aws.expiry()
    }

    /// Until when they may sign: [`Self::expires_at`], or later where AWS itself takes expired ones
    /// during an outage of its own.
    pub fn usable_until(&self) -> Option<SystemTime> {
        self.usable_until
    }

    /// Whether they may still sign.
    pub fn are_usable(&self, now: SystemTime) -> bool {
        self.usable_until.is_none_or(|until| now < until)
    }

    /// The last characters of the access key's id, for SHOW IAM and logs.
    pub fn key_tail(&self) -> String {
        let id = self.aws.access_key_id();
        let skip = id.chars().count().saturating_sub(KEY_TAIL_CHARS);
        id.chars().skip(skip).collect()
    }

    /// Whether a session token belongs to them, as to all temporary ones.
    pub fn are_temporary(&self) -> bool {
        self.aws.session_token().is_some()
    }

    /// The access key's id, for the signer.
    pub(super) fn key_id(&self) -> &str {
        self.aws.access_key_id()
    }

    /// The secret key, for the signer.
    pub(super) fn secret(&self) -> &str {
        self.aws.secret_access_key()
    }

    /// The session token of temporary ones, for the signer.
    pub(super) fn session(&self) -> Option<&str> {
        self.aws.session_token()
    }

    /// For calls of AWS's services.
    pub(super) fn provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(self.aws.clone())
    }

    /// A copy for STS, which gives a role's for them.
    pub(super) fn lent(&self) -> AwsCredentials {
        self.aws.clone()
    }

    /// Whether keys and session token are those of `aws`.
    pub(super) fn have_keys_of(&self, aws: &AwsCredentials) -> bool {
        self.aws.access_key_id() == aws.access_key_id()
            && self.aws.secret_access_key() == aws.secret_access_key()
            && self.aws.session_token() == aws.session_token()
    }

    /// The same, usable until `until` although they expire before.
    pub(super) fn extended(&self, until: SystemTime) -> Self {
        Self { usable_until: Some(until), ..self.clone() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(#{}, ****{})", self.generation, self.key_tail())
    }
}

/// How the credentials of a source stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// None are usable yet and no fetch has failed: the first is on its way.
    Empty,
    /// Usable, and the last fetch went well.
    Fresh,
    /// Usable, but the last fetch failed.
    Stale(Reason),
    /// None are usable and the last fetch failed.
    Dead(Reason),
}

impl CredentialState {
    /// The word of SHOW IAM and of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Fresh => "fresh",
            Self::Stale(_) => "stale",
            Self::Dead(_) => "dead",
        }
    }

    /// Why the last fetch failed, if it did.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Empty | Self::Fresh => None,
            Self::Stale(reason) | Self::Dead(reason) => Some(reason),
        }
    }

    /// What it makes of a refused token that they have signed. AWS says no by a word, or by having nothing
    /// there any more, as where an instance has lost its role; where `were_any` before.
    pub fn backing(self, were_any: bool) -> Backing {
        match self.reason() {
            None => Backing::Sound,
            Some(Reason::Denied | Reason::NotConfigured) if were_any => Backing::Denied,
            Some(_) => Backing::Stale,
        }
    }

    /// The state of `credentials` after a last fetch that failed with `failure`, if it did.
    pub(super) fn of(credentials: Option<&Credentials>, failure: Option<Reason>, now: SystemTime) -> Self {
        let usable = credentials.is_some_and(|credentials| credentials.are_usable(now));
        match (usable, failure) {
            (true, None) => Self::Fresh,
            (true, Some(reason)) => Self::Stale(reason),
            (false, None) => Self::Empty,
            (false, Some(reason)) => Self::Dead(reason),
        }
    }
}

impl fmt::Display for CredentialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.reason().map_or(Ok(()), |reason| write!(f, " ({})", reason.text()))
    }
}

/// Whether credentials that came are as good as none: they expire within the time that a
/// login takes at the least.
pub(super) fn came_expired(aws: &AwsCredentials, now: SystemTime) -> bool {
    const LEAST: Duration = Duration::from_secs(5);
    aws.expiry().is_some_and(|expiry| expiry <= now + LEAST)
}

/// An access key's id is letters and digits at AWS, a session token such as a URL can hold. What cannot
/// be one is refused before anything is signed with it: tokens made with it would be refused one by
/// one, or not be sent at all.
pub(super) fn checked(credentials: AwsCredentials) -> Result<AwsCredentials, FetchError> {
    let garbage = |why: &str| Err(FetchError::with(Reason::Garbage, why));
    let id = credentials.access_key_id();
    if !(1..=128).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return garbage("access key id contains invalid characters");
    }
    // A line's end that came with it, most often: what it signs is refused, and looks like a denial.
    let secret = credentials.secret_access_key();
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return garbage("secret access key contains invalid characters");
    }
    match credentials.session_token() {
        // Programs that print keys which need none write it so.
        Some("") => Ok(without_session(&credentials)),
        Some(session) if !uri_encoding::is_session_token(session) => {
            garbage("session token contains invalid characters, or is too long to sign with")
        }
        _ => Ok(credentials),
    }
}

/// The same keys, without a session token.
fn without_session(credentials: &AwsCredentials) -> AwsCredentials {
    let (id, secret) = (credentials.access_key_id(), credentials.secret_access_key());
    AwsCredentials::new(id, secret, None, credentials.expiry(), "without session")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn until(seconds: u64) -> Credentials {
        Credentials::made_of("AKIDEXAMPLE", "sEcReT", Some("SeSsIoN".into()), Some(at(seconds)))
    }

    #[test]
    fn nothing_secret_is_printed() {
        let shown = format!("{:?} {:#?}", until(5), Some(until(5)));
        assert!(shown.starts_with("Credentials(#0, ****MPLE)"), "{shown}");
        for secret in ["AKIDEXAMPLE", "sEcReT", "SeSsIoN"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(Credentials::made_of("ab", "", None, None).key_tail(), "ab");
    }

    #[test]
    fn keys_that_cannot_be_any_are_no_credentials() {
        let told = |id: &str, secret: &str, session: Option<&str>| {
            let given = AwsCredentials::new(id, secret, session.map(Into::into), None, "test");
            checked(given).err().map(|error| error.to_string())
        };
        assert_eq!(told("AKIA", "s/+=", Some("t")), None);
        for odd in ["", " ", "x\n", "\r\n", "x y", "\0", "é"] {
            let id = told(odd, "s", None).expect(odd);
            assert!(id.contains("access key id"), "{id}");
            let secret = told("AKIA", odd, None).expect(odd);
            assert!(secret.contains("secret access key contains invalid"), "{secret}");
            let session = told("AKIA", "s", Some(odd));
            assert_eq!(session.is_none(), odd.is_empty(), "{session:?}");
        }
    }

    #[test]
    fn they_may_sign_until_they_expire_or_are_extended() {
        let credentials = until(100);
        assert!(credentials.are_usable(at(99)) && !credentials.are_usable(at(100)));
        let extended = credentials.extended(at(700));
        assert!(extended.are_usable(at(699)) && !extended.are_usable(at(700)));
        assert_eq!(extended.expires_at(), Some(at(100)));
        assert!(Credentials::made_of("a", "b", None, None).are_usable(at(u32::MAX.into())));
    }

    #[test]
    fn states_tell_what_is_there_and_what_failed() {
        let (good, bad) = (until(100), until(10));
        for (credentials, failure, state, text) in [
            (None, None, CredentialState::Empty, "empty"),
            (Some(&good), None, CredentialState::Fresh, "fresh"),
            (
                Some(&good),
                Some(Reason::Timeout),
                CredentialState::Stale(Reason::Timeout),
                "stale (no answer in time)",
            ),
            (
                Some(&bad),
                Some(Reason::Service),
                CredentialState::Dead(Reason::Service),
                "dead (the service failed)",
            ),
            (None, Some(Reason::Denied), CredentialState::Dead(Reason::Denied), "dead (AWS denied access)"),
            (Some(&bad), None, CredentialState::Empty, "empty"),
        ] {
            assert_eq!(CredentialState::of(credentials, failure, at(50)), state);
            assert_eq!(state.to_string(), text);
        }
    }
}
