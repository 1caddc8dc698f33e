//! Why a source gave no credentials: read from the errors of the AWS libraries and from the
//! answers of AWS behind them.
//!
//! The errors of the libraries may hold whole answers, commands and request texts, so none of their text
//! is passed on. What is shown is ours, plus AWS's error code, plus AWS's message for the few codes
//! whose messages hold names only. Pure. Source: AWS STS API Reference, "Common Errors"; measured
//! behaviour of aws-config 1.13.

use super::denial::Class;
use super::source::SourceKind;
use super::tls_refusal;
use aws_config::imds::client::error::{ImdsError, TokenError};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use std::error::Error;
use std::fmt;
use std::io;

/// Most characters of an AWS message that are shown.
const MESSAGE_CHARS_MAX: usize = 300;

/// Most characters of an AWS error code; the longest known has some 40.
const CODE_CHARS_MAX: usize = 64;

/// Errors that are looked at behind one error; the libraries nest about six deep.
const CHAIN_MAX: usize = 32;

/// Why a refresh gave no credentials. The name is a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The source is not there: a variable that is not set, no role on the instance, an empty chain.
    NotConfigured,
    /// The source is there and wrong: a broken profile, a token file that cannot be read, a
    /// role that does not exist.
    Misconfigured,
    /// AWS said that this identity may not.
    Denied,
    /// AWS asked for fewer calls.
    Throttled,
    /// AWS finds our clock wrong.
    Clock,
    /// The identity that the source itself uses is invalid or has expired.
    Identity,
    /// Credentials came, and had expired already.
    ExpiredFromSource,
    /// What came could not be read.
    Garbage,
    /// AWS failed.
    Service,
    /// No connection.
    Unreachable,
    /// No answer in time.
    Timeout,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::NotConfigured,
        Self::Misconfigured,
        Self::Denied,
        Self::Throttled,
        Self::Clock,
        Self::Identity,
        Self::ExpiredFromSource,
        Self::Garbage,
        Self::Service,
        Self::Unreachable,
        Self::Timeout,
    ];

    /// The label of metrics and the word of SHOW IAM.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Misconfigured => "misconfigured",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Clock => "clock",
            Self::Identity => "identity",
            Self::ExpiredFromSource => "expired_from_source",
            Self::Garbage => "garbage",
            Self::Service => "service",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
        }
    }

    /// The class that decides how logins go on.
    pub fn class(self) -> Class {
        match self {
            Self::Denied => Class::Denied,
            Self::Throttled => Class::Throttled,
            Self::Clock => Class::Clock,
            Self::Service => Class::Service,
            Self::Unreachable | Self::Timeout => Class::Unreachable,
            Self::NotConfigured
            | Self::Misconfigured
            | Self::Identity
            | Self::ExpiredFromSource
            | Self::Garbage => Class::Credentials,
        }
    }

    /// In words, without what went before or what to do.
    pub fn text(self) -> &'static str {
        match self {
            Self::NotConfigured => "no credentials found",
            Self::Misconfigured => "the source is not properly configured",
            Self::Denied => "AWS denied access",
            Self::Throttled => "AWS asks for fewer calls",
            Self::Clock => "AWS finds this machine's clock wrong",
            Self::Identity => "the identity used to ask is invalid or has expired",
            Self::ExpiredFromSource => "the source returned expired credentials",
            Self::Garbage => "the answer could not be read",
            Self::Service => "the service failed",
            Self::Unreachable => "no connection",
            Self::Timeout => "no answer in time",
        }
    }
}

/// A host of AWS's whose address could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("{host}: {error}")]
pub(super) struct NoAddress {
    pub host: Box<str>,
    /// The system's words.
    pub error: io::Error,
}

/// One failed refresh. `Display` is fit for logs and SHOW: it holds no text of an answer
/// but AWS's codes and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// Why.
    pub reason: Reason,
    detail: Option<Box<str>>,
    /// It is the failure of the source whose credentials were to assume a role.
    is_of_base: bool,
    /// Of `default`, the source of its chain that has answered so; `None`: not known, or the only one.
    pub via: Option<SourceKind>,
}

impl FetchError {
    /// A failure without more to say.
    pub fn new(reason: Reason) -> Self {
        Self { reason, detail: None, is_of_base: false, via: None }
    }

    /// A failure with words of ours.
    pub fn with(reason: Reason, detail: impl Into<Box<str>>) -> Self {
        Self { reason, detail: Some(detail.into()), is_of_base: false, via: None }
    }

    /// The same, of the source whose credentials were to assume a role.
    pub(super) fn of_base(self) -> Self {
        Self { is_of_base: true, ..self }
    }

    /// Whether it is the failure of what was to be called with: nothing else was called.
    pub(crate) fn is_of_base(&self) -> bool {
        self.is_of_base
    }

    /// The same, of that source of the chain.
    pub(super) fn through(self, via: SourceKind) -> Self {
        Self { via: Some(via), ..self }
    }

    /// What to do about it, where a source of that kind has failed; `has_role`: its credentials were to
    /// assume a role.
    pub(crate) fn advice(&self, kind: SourceKind, has_role: bool) -> &'static str {
        self.reason.advice(kind, has_role && !self.is_of_base)
    }

    /// Reads an error of the AWS libraries.
    pub fn read(error: &CredentialsError) -> Self {
        if let Some(why) = chain(error).find_map(tls_refusal::refusal) {
            return Self::with(Reason::Unreachable, why);
        }
        if let Some(known) = find_known(error) {
            return known;
        }
        Self::new(match error {
            CredentialsError::CredentialsNotLoaded(_) => Reason::NotConfigured,
            CredentialsError::ProviderTimedOut(_) => Reason::Timeout,
            CredentialsError::InvalidConfiguration(_) => Reason::Misconfigured,
            _ => chain(error).find_map(|error| reason_of_text(&error.to_string())).unwrap_or(Reason::Garbage),
        })
    }

    /// Reads an error of the connector, where no client of the library is in between.
    pub(super) fn of_connector(error: &ConnectorError) -> Self {
        let usual = if error.is_timeout() { Reason::Timeout } else { Reason::Unreachable };
        let found =
            chain(error).find_map(tls_refusal::refusal).map(|why| Self::with(Reason::Unreachable, why));
        let found = found.or_else(|| find_known(error));
        found.unwrap_or_else(|| Self::new(usual))
    }

    /// Whether the next try will come to the same, although it says that there was no connection.
    pub(super) fn is_final(&self) -> bool {
        self.detail.is_some()
    }

    /// Reads AWS's error code and message, the status of HTTP where there is one.
    pub fn of_answer(code: Option<&str>, message: Option<&str>, status: Option<u16>) -> Self {
        let is_plain = |code: &&str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            (1..=CODE_CHARS_MAX).contains(&code.len()) && code.bytes().all(plain)
        };
        let Some(code) = code.filter(is_plain) else {
            let reason = status.map_or(Reason::Garbage, reason_of_status);
            let detail = status.map(|status| format!("HTTP {status}").into());
            return Self { detail, ..Self::new(reason) };
        };
        let message = message.unwrap_or_default();
        let reason = reason_of_code(code, message)
            .unwrap_or_else(|| status.map_or(Reason::Misconfigured, reason_of_status));
        // The messages of these name principals, roles and actions. Others may repeat what
        // was sent, tokens included.
        let is_safe = code.starts_with("AccessDenied") || code == "InvalidIdentityToken";
        let detail = match shown(message) {
            Some(message) if is_safe => format!("{code}: {message}"),
            _ => code.to_owned(),
        };
        Self::with(reason, detail)
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.text())?;
        self.detail.as_deref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

impl Error for FetchError {}

/// `error` and what lies behind it.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).take(CHAIN_MAX)
}

/// What the chain tells by its types: the deepest, that a host is not known, before what lies around it.
fn find_known(error: &(dyn Error + 'static)) -> Option<FetchError> {
    let unknown = chain(error).find_map(|error| error.downcast_ref::<NoAddress>());
    let unknown = unknown.map(|unknown| FetchError::with(Reason::Unreachable, unknown.to_string()));
    unknown.or_else(|| chain(error).find_map(known))
}

/// What one error of the chain tells by its type.
fn known(error: &(dyn Error + 'static)) -> Option<FetchError> {
    if let Some(ImdsError::ErrorResponse(answer)) = error.downcast_ref::<ImdsError>() {
        return Some(FetchError::of_answer(None, None, Some(answer.response().status().as_u16())));
    }
    if let Some(error) = error.downcast_ref::<SdkError<TokenError>>() {
        return match error {
            SdkError::ServiceError(answer) => {
                Some(FetchError::of_answer(None, None, Some(answer.raw().status().as_u16())))
            }
            SdkError::TimeoutError(_) => Some(FetchError::new(Reason::Timeout)),
            _ => None, // what lies behind it tells more
        };
    }
    if let Some(error) = error.downcast_ref::<ConnectorError>() {
        let reason = if error.is_timeout() { Reason::Timeout } else { Reason::Unreachable };
        return (error.is_timeout() || error.is_io()).then(|| FetchError::new(reason));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                Some(FetchError::with(Reason::Misconfigured, "a file of the source cannot be read"))
            }
            io::ErrorKind::TimedOut => Some(FetchError::new(Reason::Timeout)),
            _ => None,
        };
    }
    answered::<AssumeRoleError>(error)
        .or_else(|| answered::<AssumeRoleWithWebIdentityError>(error))
        .or_else(|| answered::<GetCallerIdentityError>(error))
}

/// What an operation of STS answered, or that it did not.
fn answered<E>(error: &(dyn Error + 'static)) -> Option<FetchError>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error.downcast_ref::<SdkError<E>>()? {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            Some(FetchError::of_answer(answer.err().code(), answer.err().message(), Some(status)))
        }
        SdkError::TimeoutError(_) => Some(FetchError::new(Reason::Timeout)),
        SdkError::ResponseError(_) => Some(FetchError::new(Reason::Garbage)),
        _ => None, // what lies behind it tells more
    }
}

/// What AWS means by its codes.
fn reason_of_code(code: &str, message: &str) -> Option<Reason> {
    Some(match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "RequestThrottled"
        | "RequestThrottledException" => Reason::Throttled,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedAccess"
        | "AssumeRoleUnauthorizedAccess"
        | "AuthFailure"
        | "IDPRejectedClaim"
        // A key that is deleted or switched off.
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "UnrecognizedClientException"
        | "NotAuthorized" => Reason::Denied,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Reason::Clock,
        // The same code for a wrong key and for a wrong clock; only the words differ.
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            let speaks_of_time = message.contains("expired") || message.contains("not yet current");
            if speaks_of_time { Reason::Clock } else { Reason::Identity }
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidIdentityToken"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => Reason::Identity,
        "InternalFailure"
        | "InternalError"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "ServiceFailure"
        | "IDPCommunicationError" => Reason::Service,
        _ => return None,
    })
}

fn reason_of_status(status: u16) -> Reason {
    match status {
        401 | 403 => Reason::Denied,
        404 => Reason::NotConfigured,
        408 | 504 => Reason::Timeout,
        429 => Reason::Throttled,
        500..=599 => Reason::Service,
        200..=299 => Reason::Garbage,
        _ => Reason::Misconfigured,
    }
}

/// What can be told from the words of an error whose type is the library's own: a status, or AWS's code in
/// brackets. For any text; used where the libraries keep nothing but words.
pub fn reason_of_text(text: &str) -> Option<Reason> {
    let number = |after: &str| {
        let rest = &text[text.find(after)? + after.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[..digits].parse::<u16>().ok().filter(|status| (100..600).contains(status))
    };
    if let Some(status) = number("StatusCode(").or_else(|| number("status: ")) {
        return Some(reason_of_status(status));
    }
    let bracketed = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let told = bracketed.and_then(|(code, message)| reason_of_code(code, message));
    let lower = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    told.or_else(|| has(&["timed out", "timeout"]).then_some(Reason::Timeout))
        .or_else(|| has(&["imds is disabled"]).then_some(Reason::Denied))
        .or_else(|| has(&["external process", "credential process"]).then_some(Reason::Misconfigured))
}

/// A message in one line of printable characters, or nothing.
fn shown(message: &str) -> Option<String> {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = message.chars().map(plain).take(MESSAGE_CHARS_MAX).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(code: &str, message: &str) -> FetchError {
        FetchError::of_answer(Some(code), Some(message), Some(400))
    }

    #[test]
    fn names_and_numbers_go_together() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{reason:?}");
        }
    }

    #[test]
    fn codes_of_aws_have_their_reasons() {
        for (code, reason) in [
            ("Throttling", Reason::Throttled),
            ("AccessDenied", Reason::Denied),
            ("ExpiredTokenException", Reason::Identity),
            ("InvalidClientTokenId", Reason::Denied),
            ("RequestTimeTooSkewed", Reason::Clock),
            ("ServiceUnavailable", Reason::Service),
            ("ValidationError", Reason::Misconfigured),
        ] {
            assert_eq!(of(code, "").reason, reason, "{code}");
        }
        assert_eq!(of("SignatureDoesNotMatch", "Signature expired: 2024").reason, Reason::Clock);
        assert_eq!(of("SignatureDoesNotMatch", "check your key").reason, Reason::Identity);
    }

    #[test]
    fn only_messages_without_secrets_are_shown() {
        let denied = of("AccessDenied", "User: arn:aws:sts::1:assumed-role/a/b is not\nauthorized");
        assert_eq!(
            denied.to_string(),
            "AWS denied access (AccessDenied: User: arn:aws:sts::1:assumed-role/a/b is not authorized)"
        );
        let wrong = of("SignatureDoesNotMatch", "the canonical string: x-amz-security-token:SECRET");
        assert!(!wrong.to_string().contains("SECRET"), "{wrong}");
        let odd = FetchError::of_answer(Some("not a code\u{1b}[31m"), Some("SECRET"), Some(503));
        assert_eq!(odd.to_string(), "the service failed (HTTP 503)");
    }

    #[test]
    fn words_tell_what_types_do_not() {
        for (text, reason) in [
            ("Non-success status from HTTP credential provider: StatusCode(429)", Some(Reason::Throttled)),
            ("StatusCode(500)", Some(Reason::Service)),
            ("failed to load credentials [AccessDenied]: no", Some(Reason::Denied)),
            ("operation timed out", Some(Reason::Timeout)),
            ("external process exited with code 1. Stderr: secret", Some(Reason::Misconfigured)),
            ("StatusCode(99999)", None),
            ("", None),
        ] {
            assert_eq!(reason_of_text(text), reason, "{text}");
        }
    }

    #[test]
    fn an_error_of_the_library_keeps_its_text_to_itself() {
        let error = CredentialsError::provider_error("Stderr: AKIASECRET");
        assert_eq!(FetchError::read(&error).to_string(), "the answer could not be read");
        let error = CredentialsError::not_loaded("nothing");
        assert_eq!(FetchError::read(&error).reason, Reason::NotConfigured);
    }

    proptest! {
        #[test]
        fn any_answer_is_told_in_one_short_line(code in ".{0,80}", message in ".{0,500}", status: u16) {
            let error = FetchError::of_answer(Some(&code), Some(&message), Some(status));
            let text = error.to_string();
            prop_assert!(text.chars().count() < MESSAGE_CHARS_MAX + 200);
            prop_assert!(!text.contains('\n'));
            let _ = reason_of_text(&message);
        }
    }
}
