//! `[issuers]`: who may vouch for clients by tokens (JWT), and where its keys are.
//!
//! Values only, as they are written: what the names of claims and algorithms mean is the `identity` room's.
//! Keys come over TLS, but for addresses of this machine. Sources: RFC 7519 (claims), RFC 7517 (key sets),
//! OpenID Connect Discovery 1.0.

use super::choices::{AuthType, Choice};
use super::errors::EntryProblem;
use super::value::{BadValue, Value, not_accepted};
use crate::base::{Micros, limits};
use std::sync::Arc;

/// One entry of `[issuers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerEntry {
    /// What tokens say in `iss`, to the letter; never empty.
    pub issuer: Arc<str>,
    /// One of them must stand in `aud`; never empty.
    pub audiences: Words,
    /// The claim that says for whom a token is.
    pub audience_claim: Arc<str>,
    /// Where the keys are; `None`: what the issuer's discovery document says.
    pub keys: KeysAt,
    /// Authorities that vouch for whoever serves keys, in place of the system's.
    pub ca_file: Option<Arc<str>>,
    /// Signatures that count, by their names of RFC 7518.
    pub algorithms: Words,
    /// By how much clocks may differ.
    pub clock_skew: Seconds,
    /// Longest life of a token; 0: no bound.
    pub max_token_age: Seconds,
    /// `name`, or `name=value|value`, separated by commas.
    pub required_claims: Words,
    /// Who the client is.
    pub principal_claim: Arc<str>,
    /// Claims that the audit log is given.
    pub audit_claims: Words,
    /// The map of `auth_claims_file` that says which roles a token is good for.
    pub map: Option<Arc<str>>,
    /// What clients are told to ask the issuer for.
    pub scope: Option<Arc<str>>,
    /// For how long keys count that cannot be fetched anew.
    pub keys_max_age: Micros,
    /// Between two fetches.
    pub refresh: Micros,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysAt {
    /// In a file.
    pub file: Option<Arc<str>>,
    /// At an address.
    pub url: Option<WebAddress>,
}

impl Default for IssuerEntry {
    fn default() -> Self {
        let words = |text: &str| Words(text.split_terminator(',').map(Arc::from).collect());
        Self {
            issuer: "".into(),
            audiences: words(""),
            audience_claim: "aud".into(),
            keys: KeysAt::default(),
            ca_file: None,
            algorithms: words("RS256,ES256"),
            clock_skew: Seconds(30),
            max_token_age: Seconds(3_600),
            required_claims: words(""),
            principal_claim: "sub".into(),
            audit_claims: words(""),
            map: None,
            scope: None,
            keys_max_age: Micros::from_secs(86_400),
            refresh: Micros::from_secs(300),
        }
    }
}

/// Words that mean something else than an issuer in the file of `deny_principals`, beside those of
/// `auth_type`: a line with one would deny others than it seems to.
const RESERVED: [&str; 3] = ["all", "password", "reject"];

impl IssuerEntry {
    /// Whether no entry can be called so.
    pub(super) fn is_reserved(name: &str) -> bool {
        let methods = AuthType::WORDS.iter().map(|(word, _)| *word);
        methods.chain(RESERVED).any(|word| word.eq_ignore_ascii_case(name))
    }

    /// What only the entry as a whole tells.
    pub(super) fn problem(&self) -> Option<EntryProblem> {
        let unfit = |key, why: &str| Some(EntryProblem::Unfit { key, why: why.to_owned() });
        if self.issuer.is_empty() {
            return unfit("issuer", "it must be given");
        }
        if self.audiences.is_empty() {
            return unfit("audience", "it must be given: tokens for others would be taken, too");
        }
        if self.keys.file.is_some() && self.keys.url.is_some() {
            return unfit("jwks_file", "it cannot be used together with jwks_url");
        }
        let is_discovered = self.keys.file.is_none() && self.keys.url.is_none();
        if is_discovered && WebAddress::parse(&self.issuer).is_err() {
            return unfit(
                "issuer",
                "it is no https address: jwks_url or jwks_file must say where the keys are",
            );
        }
        if self.ca_file.is_some() && self.keys.file.is_some() {
            return unfit("jwks_ca_file", "it cannot be used together with jwks_file");
        }
        if self.keys_max_age < self.refresh {
            return unfit("keys_max_age", "it is less than refresh");
        }
        None
    }

    /// The entry as it would be written, without keys at their defaults. Nothing in it is secret but,
    /// perhaps, what an address asks for behind its `?`, which is left out.
    pub fn shown(&self) -> String {
        let changed = self.values().into_iter().zip(Self::default().values());
        let changed = changed.filter(|(own, usual)| own != usual).map(|(own, _)| own);
        let pairs = changed.filter_map(|(key, value)| value.map(|value| format!("{key}={}", quoted(&value))));
        pairs.collect::<Vec<_>>().join(" ")
    }

    /// Every key with its value, in the order of the reference.
    fn values(&self) -> [(&'static str, Option<String>); 16] {
        let optional = |text: &Option<Arc<str>>| text.as_ref().and_then(Value::show);
        let address = |url: &WebAddress| match url.0.split_once('?') {
            Some((address, _)) => format!("{address}?(hidden)"),
            None => url.0.to_string(),
        };
        [
            ("issuer", self.issuer.show()),
            ("audience", self.audiences.show()),
            ("audience_claim", self.audience_claim.show()),
            ("jwks_file", optional(&self.keys.file)),
            ("jwks_url", self.keys.url.as_ref().map(address)),
            ("jwks_ca_file", optional(&self.ca_file)),
            ("algorithms", self.algorithms.show()),
            ("clock_skew", self.clock_skew.show()),
            ("max_token_age", self.max_token_age.show()),
            ("required_claims", self.required_claims.show()),
            ("principal_claim", self.principal_claim.show()),
            ("audit_claims", self.audit_claims.show()),
            ("map", optional(&self.map)),
            ("scope", optional(&self.scope)),
            ("keys_max_age", self.keys_max_age.show()),
            ("refresh", self.refresh.show()),
        ]
    }

    /// Whether keys are asked for without TLS.
    pub fn is_plain_http(&self) -> bool {
        let address = match (&self.keys.file, &self.keys.url) {
            (Some(_), _) => return false,
            (None, Some(url)) => &url.0,
            (None, None) => &self.issuer,
        };
        address.starts_with(HTTP)
    }
}

/// Words separated by commas, none of them empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Box<[Arc<str>]>);

impl std::ops::Deref for Words {
    type Target = [Arc<str>];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Value for Words {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let words: Box<[Arc<str>]> = text.split(',').map(|word| Arc::from(word.trim())).collect();
        let is_sound = words.len() <= limits::ISSUER_WORDS_MAX && words.iter().all(|word| !word.is_empty());
        if is_sound { Ok(Self(words)) } else { Err(not_accepted::<Self>()) }
    }
    fn show(&self) -> Option<String> {
        Some(self.0.join(","))
    }
    fn accepted() -> String {
        format!("1 to {} words separated by commas", limits::ISSUER_WORDS_MAX)
    }
}

/// Whole seconds up to a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Seconds {
    const MOST: u32 = 31_536_000;
}

impl Value for Seconds {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let seconds = u32::parse(text).ok().filter(|seconds| *seconds <= Self::MOST);
        seconds.map(Self).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        self.0.show()
    }
    fn accepted() -> String {
        format!("whole seconds from 0 to {}", Self::MOST)
    }
}

/// A pause between two fetches, or how long keys count: from one second to a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period(pub Micros);

impl Value for Period {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let span = Micros::parse(text).ok();
        let fits = |span: &Micros| {
            (Micros::from_secs(1)..=Micros::from_secs(u64::from(Seconds::MOST))).contains(span)
        };
        span.filter(fits).map(Self).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        self.0.show()
    }
    fn accepted() -> String {
        format!("seconds from 1 to {}", Seconds::MOST)
    }
}

/// A value as it stands in an entry.
fn quoted(value: &str) -> String {
    if value.contains([' ', '\'']) { format!("'{}'", value.replace('\'', "''")) } else { value.to_owned() }
}

const HTTPS: &str = "https://";
const HTTP: &str = "http://";

/// The address of a document: `https://…`, or `http://…` of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress(pub Arc<str>);

impl Value for WebAddress {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
        let rest = match (text.strip_prefix(HTTPS), text.strip_prefix(HTTP)) {
            (Some(rest), _) => Some(rest),
            (None, Some(rest)) if is_this_machine(host_of(rest)) => Some(rest),
            _ => None,
        };
        let is_sound = |rest: &&str| {
            // Who is asked would not be who seems to be named.
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            !authority.is_empty() && !authority.contains('@') && text.bytes().all(is_plain)
        };
        let is_short = text.len() <= limits::ISSUER_TEXT_BYTES_MAX;
        rest.filter(is_sound).filter(|_| is_short).map(|_| Self(text.into())).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
    fn accepted() -> String {
        "https://, or http:// of a loopback address".to_owned()
    }
}

/// The host of an address without its scheme.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::keys::ISSUER_KEYS;
    use super::*;
    use crate::config::Snapshot;

    #[test]
    fn addresses_are_under_tls_or_of_this_machine() {
        for good in [
            "https://issuer.example.org",
            "https://issuer.example.org:8443/realms/x?y=1",
            "http://127.0.0.1:8080/keys",
            "http://[::1]:8080/keys",
            "http://localhost/",
        ] {
            assert_eq!(WebAddress::parse(good).map(|url| url.0), Ok(good.into()), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///keys",
            "http://issuer.example.org/keys",
            "http://127.0.0.1.example.org/",
            "http://127.0.0.1@example.org/",
            "https://a@example.org/",
            "ftp://example.org/",
            "HTTPS://example.org/#x",
            "https://exa mple.org/",
            "https://example.org/\u{e9}",
        ] {
            assert!(WebAddress::parse(bad).is_err(), "{bad}");
        }
        let of_bytes = |bytes: usize| format!("{:x<bytes$}", "https://example.org/");
        assert!(WebAddress::parse(&of_bytes(limits::ISSUER_TEXT_BYTES_MAX)).is_ok());
        assert!(WebAddress::parse(&of_bytes(limits::ISSUER_TEXT_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn no_more_issuers_are_kept_than_the_bound_says() {
        let read = |count: usize| {
            let entries: String =
                (0..count).map(|n| format!("i{n} = issuer=https://{n}.example.org audience=a\n")).collect();
            let text = format!("[pgbouncer]\n[issuers]\n{entries}");
            let loaded = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes()));
            loaded.map(|snapshot| snapshot.issuers.len()).map_err(|errors| errors.to_string())
        };
        let most = limits::ISSUERS_MAX;
        assert_eq!(read(most), Ok(most));
        let told = read(most + 1).unwrap_err();
        assert!(told.starts_with(&format!("issuer \"i{most}\" is one too many")), "{told}");
    }

    #[test]
    fn an_entry_is_shown_with_every_key_that_is_not_at_its_default() {
        let texts = [
            "https://idp.example.org/a'b",
            "a,b",
            "client_id",
            "keys.json",
            "https://idp.example.org/keys?key=0123",
            "ca.pem",
            "RS512",
            "1",
            "2",
            "typ=Bearer",
            "username",
            "email,team",
            "staff",
            "openid groups",
            "7200",
            "60.5",
        ];
        let mut entry = IssuerEntry::default();
        assert_eq!(entry.shown(), "");
        for (key, text) in ISSUER_KEYS.iter().zip(texts) {
            key.set(&mut entry, text).unwrap();
        }
        let names: Vec<_> = ISSUER_KEYS.iter().map(|key| key.name).collect();
        assert_eq!(entry.values().map(|(name, _)| name).to_vec(), names);
        assert_eq!(
            entry.shown(),
            "issuer='https://idp.example.org/a''b' audience=a,b audience_claim=client_id jwks_file=keys.json \
             jwks_url=https://idp.example.org/keys?(hidden) jwks_ca_file=ca.pem algorithms=RS512 \
             clock_skew=1 max_token_age=2 required_claims=typ=Bearer principal_claim=username \
             audit_claims=email,team map=staff scope='openid groups' keys_max_age=7200 refresh=60.5"
        );
    }

    #[test]
    fn words_and_periods_are_bounded() {
        assert_eq!(Words::parse("a, b,c").unwrap().show().as_deref(), Some("a,b,c"));
        for bad in ["", "a,", ",", "a,,b", &"a,".repeat(limits::ISSUER_WORDS_MAX + 1)] {
            assert!(Words::parse(bad).is_err(), "{bad}");
        }
        for bad in ["0", "0.5", "-1", "31536001", "x"] {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
        assert!(Seconds::parse("31536001").is_err() && Seconds::parse("0").is_ok());
    }
}
