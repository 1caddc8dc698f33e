//! RDS IAM tokens: the password that RDS takes from a role which is a member of `rds_iam`.
//!
//! A token is a presigned request in words, `HOST:PORT/?Action=connect&DBUser=…&X-Amz-Signature=…`, made by local arithmetic
//! alone: no service is asked, and making one says nothing about whether it will be accepted. It dies 15 minutes after it was
//! made or with the credentials that signed it, whichever is earlier. It is made when it is needed and sent at once.
//! Invariants: the text is wiped on drop, [`Token`] has no `Debug`, and [`Token::expose`] is called where it is sent only.
//! Source: Amazon RDS User Guide, "Connecting to your DB instance using IAM authentication"; Signature Version 4; RFC 3986.

use super::credentials::Credentials;
use super::endpoint::Endpoint;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// What a token says of its own lifetime: the most that RDS takes, and what it applies whatever smaller number is said.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// The oldest token that may be sent. Making one costs some 25 us at the most, so there is no reason to send an old one.
pub const TOKEN_AGE_MAX: Duration = Duration::from_secs(60);

/// The service in the scope of the signature.
const SERVICE: &str = "rds-db";

/// Longest name of a role: PostgreSQL's own bound is 63, PgBouncer's is taken here.
const USER_BYTES_MAX: usize = crate::base::limits::NAME_BYTES_MAX;

/// A token ready to be sent. It cannot be printed:
///
/// ```compile_fail,E0277
/// fn show(token: pgweir::iam::Token) {
///     println!("{token:?}");
/// }
/// ```
pub struct Token {
    text: Zeroizing<String>,
    minted_at: SystemTime,
    expires_at: SystemTime,
}

/// Why no token was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The credentials have run out, so the token would be dead at birth.
    #[error("the credentials have expired")]
    CredentialsExpired,
    /// An empty user, one that is too long, or one with a zero byte.
    #[error("no token can be made for this user name")]
    User,
    /// The signer refused its input.
    #[error("the token could not be signed")]
    Signing,
}

impl Token {
    /// Makes a token with which `user` may log in at `endpoint`. Takes some 10 us, 25 with a session token of 1 KiB
    /// (`benches/token.rs`).
    ///
    /// # Errors
    /// `MintError`; never holds anything secret.
    pub fn mint(
        endpoint: &Endpoint,
        user: &str,
        credentials: &Credentials,
        now: SystemTime,
    ) -> Result<Self, MintError> {
        if user.is_empty() || user.len() > USER_BYTES_MAX || user.contains('\0') {
            return Err(MintError::User);
        }
        let expires_at =
            credentials.usable_until().map_or(now + TOKEN_LIFETIME, |until| until.min(now + TOKEN_LIFETIME));
        if expires_at <= now {
            return Err(MintError::CredentialsExpired);
        }
        let mut query = String::with_capacity("/?Action=connect&DBUser=".len() + 3 * user.len());
        query.push_str("/?Action=connect&DBUser=");
        percent_encode(&mut query, user);
        let text = presign(endpoint, &query, credentials, now)?;
        Ok(Self { text, minted_at: now, expires_at })
    }

    /// The token itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// When it was made.
    pub fn minted_at(&self) -> SystemTime {
        self.minted_at
    }

    /// When RDS stops taking it: 15 minutes after it was made, or when its credentials run out if that is earlier.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Whether it may still be sent: made less than [`TOKEN_AGE_MAX`] ago and not expired. A clock that was set back makes it
    /// stale, since its age is unknown then.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        now < self.expires_at && now.duration_since(self.minted_at).is_ok_and(|age| age <= TOKEN_AGE_MAX)
    }
}

/// The whole text: host, port, `query` and what the signature adds to it, the signature last.
fn presign(
    endpoint: &Endpoint,
    query: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<Zeroizing<String>, MintError> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.expires_in = Some(TOKEN_LIFETIME);
    let params = v4::SigningParams::builder()
        .identity(credentials.identity())
        .region(endpoint.region().as_str())
        .name(SERVICE)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|_| MintError::Signing)?
        .into();
    let url = format!("https://{endpoint}{query}");
    let body = SignableBody::Bytes(&[]);
    let request =
        SignableRequest::new("GET", url, std::iter::empty(), body).map_err(|_| MintError::Signing)?;
    let (instructions, _) = sign(request, &params).map_err(|_| MintError::Signing)?.into_parts();
    let (_, mut added) = instructions.into_parts();
    // The verifier does not mind the order; with the signature last the text equals that of AWS's other tools.
    added.sort_by_key(|(name, _)| *name == "X-Amz-Signature");
    // Each byte may become three, and a text that has to grow would leave its beginning behind in freed memory.
    let bytes_max = added.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum::<usize>();
    let mut text = Zeroizing::new(String::with_capacity(endpoint.host().len() + 8 + query.len() + bytes_max));
    let room = text.capacity();
    text.push_str(endpoint.host());
    text.push(':');
    text.push_str(&endpoint.port().to_string());
    text.push_str(query);
    for (name, value) in added {
        let value = Zeroizing::new(value.into_owned());
        text.push('&');
        text.push_str(name);
        text.push('=');
        percent_encode(&mut text, &value);
    }
    debug_assert_eq!(text.capacity(), room, "a token's text does not move");
    Ok(text)
}

/// Appends `text`, all but RFC 3986's unreserved characters as `%XX`.
fn percent_encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const VECTORS: &str = include_str!("../../tests/data/rds-iam-tokens.tsv");

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn endpoint() -> Endpoint {
        Endpoint::new("db.abc.us-east-1.rds.amazonaws.com", 5432, None).unwrap()
    }

    fn mint(user: &str, credentials_until: Option<u64>) -> Result<Token, MintError> {
        let credentials = Credentials::made_of("AKIDEXAMPLE", "secret", None, credentials_until.map(at));
        Token::mint(&endpoint(), user, &credentials, at(1000))
    }

    #[test]
    fn known_answers_are_reproduced_byte_for_byte() {
        let mut seen = 0;
        for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [key, secret, session, seconds, region, host, port, user, expected] = fields[..] else {
                panic!("nine fields: {line}");
            };
            let session = (session != "-").then(|| session.to_owned());
            let credentials = Credentials::made_of(key, secret, session, None);
            let endpoint = Endpoint::new(host, port.parse().unwrap(), region.parse().ok()).unwrap();
            let now = at(seconds.parse().unwrap());
            let token = Token::mint(&endpoint, user, &credentials, now).ok().unwrap();
            assert_eq!(token.expose(), expected, "{host} {user}");
            seen += 1;
        }
        assert_eq!(seen, 13);
    }

    #[test]
    fn a_token_dies_with_its_credentials() {
        assert_eq!(mint("app", None).ok().unwrap().expires_at(), at(1900));
        assert_eq!(mint("app", Some(5000)).ok().unwrap().expires_at(), at(1900));
        assert_eq!(mint("app", Some(1020)).ok().unwrap().expires_at(), at(1020));
        assert_eq!(mint("app", Some(1000)).err(), Some(MintError::CredentialsExpired));
        assert_eq!(mint("app", Some(10)).err(), Some(MintError::CredentialsExpired));
    }

    #[test]
    fn an_old_token_is_not_fresh() {
        let token = mint("app", Some(1030)).ok().unwrap();
        assert!(token.is_fresh(at(1000)) && token.is_fresh(at(1029)));
        assert!(!token.is_fresh(at(1030)), "its credentials have expired");
        let token = mint("app", None).ok().unwrap();
        assert!(token.is_fresh(at(1060)) && !token.is_fresh(at(1061)));
        assert!(!token.is_fresh(at(999)), "the clock was set back");
    }

    #[test]
    fn users_are_encoded_or_refused() {
        for user in ["a&b", "a=b#c", "ä", "a b", "%41", &"u".repeat(63)] {
            let token = mint(user, None).ok().unwrap();
            let text = token.expose();
            let parameters = text.split_once("/?").unwrap().1.split('&').count();
            assert_eq!(parameters, 8, "{text}");
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        }
        assert!(mint("ä", None).ok().unwrap().expose().contains("DBUser=%C3%A4&"));
        for user in ["", "a\0b", &"u".repeat(128)] {
            assert_eq!(mint(user, None).err(), Some(MintError::User));
        }
    }

    #[test]
    fn long_session_tokens_fit() {
        let session = Some("/+=".repeat(1100));
        let credentials = Credentials::made_of("ASIA", "secret", session, None);
        let token = Token::mint(&endpoint(), "app", &credentials, at(1000)).ok().unwrap();
        assert!(token.expose().len() > 7000);
    }
}
