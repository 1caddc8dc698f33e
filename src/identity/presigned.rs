//! Presigned requests of AWS (Signature Version 4, "query string authentication") as clients send them for a
//! password: what they say, and whether they may be shown to the one service that can verify them.
//!
//! The signature itself is nobody's to verify but AWS's, who alone knows the key. What is read here decides
//! whether a request is shown to it at all: so a reading that AWS would not share must not pass. One spelling
//! of everything: parameters by their exact names, each once, none that is not known; percent encoding as RFC
//! 3986 section 2.3 has it, in capitals, for what needs it and nothing else; the host, letter by letter; the
//! path `/`. Never holds or shows more of a token than its access key's id, region and dates. Sources: AWS
//! General Reference, "Signature Version 4"; AWS Security Token Service API Reference, GetCallerIdentity;
//! Amazon RDS User Guide, "IAM database authentication".

mod caller;
mod rds;

pub use caller::{Caller, CallerRules, EKS_PREFIX, SERVER_ID_HEADER};
pub use rds::{RdsRules, RdsToken};

use std::borrow::Cow;

/// How far ahead of ours the signer's clock may be, in seconds.
pub const AHEAD_S_MAX: u64 = 300;

/// What a presigned request says of its own lifetime at the most, in seconds.
pub const LIFETIME_S_MAX: u64 = 900;

/// Most parameters: those that there are, and one to be refused for.
const PARAMETERS_MAX: usize = 12;

/// Longest id of an access key: that of IAM's own API.
const KEY_ID_BYTES_MAX: usize = 128;

/// Why a text is no presigned request that may be shown to anybody. Holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than any.
    #[error("it is too long")]
    TooLong,
    /// No `HOST/?NAME=VALUE&…`.
    #[error("it is no presigned request")]
    NotPresigned,
    /// Of another scheme than the endpoint's.
    #[error("its scheme is not the endpoint's")]
    OtherScheme,
    /// For somebody else.
    #[error("it is for another host")]
    OtherHost,
    /// Not `/`.
    #[error("its path is not /")]
    OtherPath,
    /// One that is not allowed.
    #[error("it has a parameter that is not allowed")]
    UnknownParameter,
    /// The same name, whatever its case.
    #[error("it has {0} twice")]
    Duplicate(&'static str),
    /// Missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// Bytes that must be encoded, or encoded ones that need not be.
    #[error("its percent encoding is not the one of Signature Version 4")]
    Encoding,
    /// Another value than the only one.
    #[error("its {0} is not the one that is asked for")]
    OtherValue(&'static str),
    /// No value of that form.
    #[error("its {0} is malformed")]
    Malformed(&'static str),
    /// For another user.
    #[error("it is for another user")]
    OtherUser,
    /// Signed for another region.
    #[error("it is signed for another region")]
    OtherRegion,
    /// Signed for another service.
    #[error("it is signed for another service")]
    OtherService,
    /// Too long a life.
    #[error("X-Amz-Expires is not 1 to 900 seconds")]
    Lifetime,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it was signed in the future: a clock is wrong")]
    InFuture,
}

/// What every presigned request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The id of the access key.
    pub key_id: String,
    /// Whether the key is a temporary one, with a session.
    pub has_session: bool,
    /// When it was signed, in seconds since the epoch.
    pub at_epoch_s: u64,
    /// When it ends, in seconds since the epoch.
    pub expires_at_epoch_s: u64,
}

/// The scope that a signature must have.
#[derive(Clone, Copy)]
struct Scope<'a> {
    service: &'static str,
    region: &'a str,
    /// The headers that are signed, as the parameter lists them.
    headers: &'a str,
}

/// Parameters of Signature Version 4, by which every presigned request is signed.
const OF_SIGNATURE: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// A request cut into its parts: authority and parameters, values as they are.
struct Request<'a> {
    authority: &'a str,
    /// Each name is one of those allowed, and stands here once.
    parameters: Vec<(&'static str, &'a str)>,
}

impl<'a> Request<'a> {
    /// Cuts `AUTHORITY/?NAME=VALUE&…`, whose parameters are those of a signature and `own` ones.
    fn cut(text: &'a str, own: &[&'static str]) -> Result<Self, Refusal> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
            return Err(Refusal::NotPresigned);
        }
        let (place, query) = text.split_once('?').ok_or(Refusal::NotPresigned)?;
        let (authority, path) = place.split_once('/').ok_or(Refusal::OtherPath)?;
        if !path.is_empty() {
            return Err(Refusal::OtherPath);
        }
        let mut parameters: Vec<(&'static str, &str)> = Vec::with_capacity(PARAMETERS_MAX);
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').ok_or(Refusal::NotPresigned)?;
            let twice = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            if let Some((known, _)) = twice {
                return Err(Refusal::Duplicate(known));
            }
            let known = OF_SIGNATURE.iter().chain(own).find(|known| **known == name);
            parameters.push((known.ok_or(Refusal::UnknownParameter)?, value));
        }
        Ok(Self { authority, parameters })
    }

    /// The value of a parameter as it stands.
    fn raw(&self, name: &'static str) -> Result<&'a str, Refusal> {
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value).ok_or(Refusal::Missing(name))
    }

    /// The value of a parameter, decoded.
    fn value(&self, name: &'static str) -> Result<Cow<'a, str>, Refusal> {
        decode(self.raw(name)?)
    }

    /// Whether a parameter has the only value that it may have.
    fn must_be(&self, name: &'static str, expected: &str) -> Result<(), Refusal> {
        if self.value(name)? == expected { Ok(()) } else { Err(Refusal::OtherValue(name)) }
    }

    /// What its signature says, as far as it can be told without the key.
    fn signed(&self, scope: Scope<'_>, now_epoch_s: u64) -> Result<Signed, Refusal> {
        self.must_be("X-Amz-Algorithm", "AWS4-HMAC-SHA256")?;
        self.must_be("X-Amz-SignedHeaders", scope.headers)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let signature = self.raw("X-Amz-Signature")?;
        if signature.len() != 64 || !signature.bytes().all(is_digit) {
            return Err(Refusal::Malformed("X-Amz-Signature"));
        }
        let has_session = match self.value("X-Amz-Security-Token") {
            Err(Refusal::Missing(_)) => false,
            Ok(session) if !session.is_empty() => true,
            Ok(_) => return Err(Refusal::Malformed("X-Amz-Security-Token")),
            Err(refusal) => return Err(refusal),
        };
        let date = self.raw("X-Amz-Date")?;
        let at_epoch_s = epoch_s(date).ok_or(Refusal::Malformed("X-Amz-Date"))?;
        let key_id = self.key_id(scope, &date[..8])?;
        let expires_at_epoch_s = at_epoch_s + self.lifetime_s()?;
        if at_epoch_s > now_epoch_s.saturating_add(AHEAD_S_MAX) {
            return Err(Refusal::InFuture);
        }
        if expires_at_epoch_s <= now_epoch_s {
            return Err(Refusal::Expired);
        }
        Ok(Signed { key_id, has_session, at_epoch_s, expires_at_epoch_s })
    }

    /// The id of the key in `KEY/DATE/REGION/SERVICE/aws4_request`, which must be of that `scope`.
    fn key_id(&self, scope: Scope<'_>, date: &str) -> Result<String, Refusal> {
        const NAME: &str = "X-Amz-Credential";
        let credential = self.value(NAME)?;
        let mut parts = credential.split('/');
        let mut part = || parts.next().ok_or(Refusal::Malformed(NAME));
        let [id, of_date, region, service, end] = [part()?, part()?, part()?, part()?, part()?];
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fits = (1..=KEY_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_id);
        if !fits || of_date != date || end != "aws4_request" || parts.next().is_some() {
            return Err(Refusal::Malformed(NAME));
        }
        if service != scope.service {
            return Err(Refusal::OtherService);
        }
        if region != scope.region {
            return Err(Refusal::OtherRegion);
        }
        Ok(id.to_owned())
    }

    fn lifetime_s(&self) -> Result<u64, Refusal> {
        let text = self.raw("X-Amz-Expires")?;
        let is_number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = text.parse().ok().filter(|_| is_number).ok_or(Refusal::Lifetime)?;
        if (1..=LIFETIME_S_MAX).contains(&seconds) { Ok(seconds) } else { Err(Refusal::Lifetime) }
    }
}

/// The scheme in front of `text`, if there is one, must be `scheme`: what stands behind it.
fn without_scheme<'a>(text: &'a str, scheme: &str) -> Result<&'a str, Refusal> {
    match text.split_once("://") {
        Some((its, rest)) if its == scheme => Ok(rest),
        // what has a colon and slashes further back is no scheme; the host tells
        Some((its, _)) if its.bytes().all(|byte| byte.is_ascii_alphabetic()) => Err(Refusal::OtherScheme),
        _ => Ok(text),
    }
}

/// A value, decoded: unreserved characters as they are, all others as `%XX` in capitals; so no two texts
/// mean the same.
fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if text.bytes().all(is_unreserved) {
        return Ok(Cow::Borrowed(text));
    }
    let digit = |byte: Option<u8>| match byte {
        Some(byte @ b'0'..=b'9') => Ok(byte - b'0'),
        Some(byte @ b'A'..=b'F') => Ok(byte - b'A' + 10),
        _ => Err(Refusal::Encoding),
    };
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if is_unreserved(byte) {
            out.push(byte);
            continue;
        }
        if byte != b'%' {
            return Err(Refusal::Encoding);
        }
        let decoded = digit(bytes.next())? << 4 | digit(bytes.next())?;
        if is_unreserved(decoded) || decoded == 0 {
            return Err(Refusal::Encoding);
        }
        out.push(decoded);
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| Refusal::Encoding)
}

/// `YYYYMMDDTHHMMSSZ` in seconds since the epoch; `None`: it is no such time, or one before 1970.
fn epoch_s(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if date.len() != 8 || time.len() != 6 || !is_number(date) || !is_number(time) {
        return None;
    }
    let two = |text: &str, at: usize| text[at..at + 2].parse::<i8>().ok();
    let date = jiff::civil::Date::new(date[..4].parse().ok()?, two(date, 4)?, two(date, 6)?).ok()?;
    let time = jiff::civil::Time::new(two(time, 0)?, two(time, 2)?, two(time, 4)?, 0).ok()?;
    let zoned = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    u64::try_from(zoned.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests;
