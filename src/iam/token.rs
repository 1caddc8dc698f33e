//! IAM tokens: the password that RDS takes from a role which is a member of `rds_iam`,
//! and Aurora DSQL from any.
//!
//! A token is a presigned request in words, `HOST:PORT/?Action=connect&DBUser=…&X-Amz-Signature=…` to RDS,
//! `HOST/?Action=DbConnect&X-Amz-Signature=…` to Aurora DSQL, made by local arithmetic alone: no service is
//! asked, and making one says nothing about whether it will be accepted. It dies 15 minutes after it was made
//! or with the credentials that signed it, whichever is earlier. It is made when it is needed and sent at
//! once. Invariants: the text is wiped on drop, [`Token`] has no `Debug`, and [`Token::expose`] is called
//! where it is sent only. Source: Amazon RDS User Guide, "Connecting to your DB instance using IAM
//! authentication"; Signature Version 4; RFC 3986.

use super::credentials::Credentials;
use super::endpoint::Endpoint;
use super::service::Service;
use super::uri_encoding::{encoded_len, percent_encode};
use crate::base::limits;
use aws_lc_rs::digest;
use aws_sigv4::sign::v4;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// What a token says of its own lifetime: the most that RDS takes, and what it applies whatever smaller
/// number is said. Aurora DSQL takes more; nothing is gained by that.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// The oldest token that may be sent. Making one costs some 25 us at the most, so there is no
/// reason to send an old one.
pub(super) const TOKEN_AGE_MAX: Duration = Duration::from_secs(60);

/// The method of the signature.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The only header that is signed.
const SIGNED_HEADERS: &str = "&X-Amz-SignedHeaders=host";

/// The SHA-256 of no bytes: the request has no body.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Longest name of a role: PostgreSQL's own bound is 63, PgBouncer's is taken here.
const USER_BYTES_MAX: usize = limits::NAME_BYTES_MAX;

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
    /// For how long behind `minted_at` it may be sent.
    age_max: Duration,
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
    /// No server would read so long a password.
    #[error("the session token of the credentials makes the token too long")]
    TooLong,
    /// The clock shows a time that has no date.
    #[error("this machine's clock is out of range")]
    Date,
}

impl Token {
    /// Makes a token with which `user` may log in at `endpoint`. Takes some 10 us, 25 with a session token of
    /// 1 KiB (`benches/token.rs`).
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
        let query = action(endpoint.service(), user);
        let text = presign(endpoint, &query, credentials, now)?;
        Ok(Self { text, minted_at: now, expires_at, age_max: TOKEN_AGE_MAX })
    }

    /// A token that somebody else has made and that has come `now`: it may be sent until it expires. Whoever
    /// sends it on has looked at what it says.
    pub fn received(text: &str, now: SystemTime, expires_at: SystemTime) -> Self {
        let text = Zeroizing::new(text.to_owned());
        Self { text, minted_at: now, expires_at, age_max: TOKEN_LIFETIME }
    }

    /// The token itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// When it was made, or came.
    pub fn minted_at(&self) -> SystemTime {
        self.minted_at
    }

    /// When RDS stops taking it: 15 minutes after it was made, or when its credentials
    /// run out if that is earlier.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Whether it may still be sent: made less than [`TOKEN_AGE_MAX`] ago and not expired. A clock that was
    /// set back makes it stale, since its age is unknown then.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        now < self.expires_at && now.duration_since(self.minted_at).is_ok_and(|age| age <= self.age_max)
    }
}

/// What is asked for, as whom.
fn action(service: Service, user: &str) -> String {
    match service {
        Service::Rds => {
            let mut query = "Action=connect&DBUser=".to_owned();
            percent_encode(&mut query, user);
            query
        }
        Service::Dsql => format!("Action={}", Service::dsql_action(user)),
    }
}

/// The whole text: host, port, `query` and what the signature adds to it, the signature last.
///
/// The request is put together here, since the library's own signer makes a URI of it, whose length is
/// bounded, and panics where that is not one. The key and the signature are the library's.
fn presign(
    endpoint: &Endpoint,
    query: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<Zeroizing<String>, MintError> {
    let at = jiff::Timestamp::try_from(now).map_err(|_| MintError::Date)?;
    let time = at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let region = endpoint.region().as_str();
    let service = endpoint.service();
    let scope = format!("{}/{region}/{}/aws4_request", &time[..8], service.scope());
    let mut signer = String::new();
    percent_encode(&mut signer, &format!("{}/{scope}", credentials.key_id()));
    let lifetime = TOKEN_LIFETIME.as_secs();
    let query = format!(
        "{query}&X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={signer}&X-Amz-Date={time}\
         &X-Amz-Expires={lifetime}"
    );
    let session = session_parameter(credentials);
    let signature = {
        let request = hash_of_request(endpoint, &query, &session);
        let text = format!("{ALGORITHM}\n{time}\n{scope}\n{request}");
        let key = v4::generate_signing_key(credentials.secret(), now, region, service.scope());
        format!("&X-Amz-Signature={}", v4::calculate_signature(key, text.as_bytes()))
    };
    let authority = service.authority(endpoint);
    // The verifier does not mind the order; this one is that of AWS's other tools.
    let parts = [&authority, "/?", &query, SIGNED_HEADERS, &session, &signature];
    let bytes = parts.iter().map(|part| part.len()).sum();
    if bytes > limits::TOKEN_BYTES_MAX {
        return Err(MintError::TooLong);
    }
    // At once as long as it gets: a text that has to grow leaves its beginning behind in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(bytes));
    parts.iter().for_each(|part| text.push_str(part));
    Ok(text)
}

/// The parameter that belongs to temporary credentials, or nothing.
fn session_parameter(credentials: &Credentials) -> Zeroizing<String> {
    const NAME: &str = "&X-Amz-Security-Token=";
    let Some(session) = credentials.session() else { return Zeroizing::default() };
    let mut text = Zeroizing::new(String::with_capacity(NAME.len() + encoded_len(session)));
    text.push_str(NAME);
    percent_encode(&mut text, session);
    text
}

/// The hash of the request in its canonical form, in which the parameters stand in the order of their names.
fn hash_of_request(endpoint: &Endpoint, query: &str, session: &str) -> String {
    let host = match endpoint.port() {
        443 => endpoint.host().into(), // the port of https is no part of a host's name
        _ => endpoint.service().authority(endpoint),
    };
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in ["GET\n/\n", query, session, SIGNED_HEADERS, "\nhost:", &host, "\n\nhost\n", NO_BODY] {
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // into a String: nothing can fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::uri_encoding::is_session_token;
    use std::time::UNIX_EPOCH;

    const VECTORS: &str = include_str!("../../tests/data/rds-iam-tokens.tsv");
    const DSQL_VECTORS: &str = include_str!("../../tests/data/dsql-tokens.tsv");

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
    fn known_answers_of_dsql_are_reproduced_byte_for_byte() {
        let mut seen = 0;
        for line in DSQL_VECTORS.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [key, secret, session, seconds, region, host, user, expected] = fields[..] else {
                panic!("eight fields: {line}");
            };
            let session = (session != "-").then(|| session.to_owned());
            let credentials = Credentials::made_of(key, secret, session, None);
            let endpoint = Endpoint::of(Service::Dsql, host, 5432, region.parse().ok()).unwrap();
            let token =
                Token::mint(&endpoint, user, &credentials, at(seconds.parse().unwrap())).ok().unwrap();
            assert_eq!(token.expose(), expected, "{host} {user}");
            seen += 1;
        }
        assert_eq!(seen, 6);
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
    fn a_token_of_somebody_else_may_be_sent_until_it_expires() {
        let token = Token::received("host:5432/?Action=connect", at(1000), at(1700));
        assert_eq!(token.expose(), "host:5432/?Action=connect");
        assert!(token.is_fresh(at(1000)) && token.is_fresh(at(1699)));
        assert!(!token.is_fresh(at(1700)) && !token.is_fresh(at(999)));
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

    /// A token of the longest names that there may be, signed with this session token.
    fn mint_longest(session: &str) -> Result<Token, MintError> {
        let host = format!("{}.com", vec!["a".repeat(63); 3].join("."));
        let region = "r".repeat(32).parse().unwrap();
        let endpoint = Endpoint::new(&host, u16::MAX, Some(region)).unwrap();
        let credentials = Credentials::made_of(&"+".repeat(128), "secret", Some(session.to_owned()), None);
        Token::mint(&endpoint, &"/".repeat(USER_BYTES_MAX), &credentials, at(1000))
    }

    #[test]
    fn every_session_token_that_may_be_signs() {
        let longest = limits::SESSION_TOKEN_BYTES_MAX;
        for session in ["x".to_owned(), "/+=".repeat(1100), "+".repeat(longest / 3), "x".repeat(longest)] {
            assert!(is_session_token(&session));
            let token = mint_longest(&session).expect("it signs");
            assert!(token.expose().len() > encoded_len(&session));
            assert!(token.expose().len() <= limits::TOKEN_BYTES_MAX, "{}", token.expose().len());
        }
    }

    #[test]
    fn a_session_token_that_may_not_be_makes_no_token_and_no_panic() {
        let longest = limits::SESSION_TOKEN_BYTES_MAX;
        for session in ["a b", "\u{7}", "\u{200b}", &"+".repeat(longest / 3 + 1), &"x".repeat(longest + 1)] {
            assert!(!is_session_token(session));
        }
        for session in ["+".repeat(22_000), "x".repeat(70_000), "\0".repeat(1_000_000)] {
            assert_eq!(mint_longest(&session).err(), Some(MintError::TooLong));
        }
        assert!(mint_longest(" \n\u{200b}").is_ok(), "what a signer signs is not its business");
    }

    #[test]
    fn a_clock_without_a_date_makes_no_token() {
        let credentials = Credentials::made_of("AKIDEXAMPLE", "secret", None, None);
        let beyond = at(400_000_000_000);
        assert_eq!(Token::mint(&endpoint(), "app", &credentials, beyond).err(), Some(MintError::Date));
    }
}
