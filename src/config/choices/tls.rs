//! Which TLS versions and suites are spoken: values of settings whose words are lists.
//!
//! Pure; whether the TLS library has such suites is looked at where TLS is set up. Source: PgBouncer,
//! doc/config.md ("TLS settings").

use crate::config::value::{BadValue, Value, not_accepted};
use std::sync::Arc;

/// Which TLS versions are spoken (`client_tls_protocols`, `server_tls_protocols`). Lists of TLS 1.0 and 1.1
/// alone are valid files of PgBouncer's: with one, nothing is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsProtocols {
    text: Arc<str>,
    bits: u8,
}

impl TlsProtocols {
    const TLS10: u8 = 1;
    const TLS11: u8 = 2;
    const TLS12: u8 = 4;
    const TLS13: u8 = 8;
    const SECURE: u8 = Self::TLS12 | Self::TLS13;
    const OLD: u8 = Self::TLS10 | Self::TLS11;
    const WORDS: &'static [(&'static str, u8)] = &[
        ("tlsv1.0", Self::TLS10),
        ("tlsv1.1", Self::TLS11),
        ("tlsv1.2", Self::TLS12),
        ("tlsv1.3", Self::TLS13),
        ("tlsv1", Self::SECURE | Self::OLD),
        ("all", Self::SECURE | Self::OLD),
        ("legacy", Self::SECURE | Self::OLD),
        ("secure", Self::SECURE),
        ("default", Self::SECURE),
    ];

    /// Whether TLS 1.2 is spoken.
    pub fn tls12(&self) -> bool {
        self.bits & Self::TLS12 != 0
    }

    /// Whether TLS 1.3 is spoken.
    pub fn tls13(&self) -> bool {
        self.bits & Self::TLS13 != 0
    }
}

impl Value for TlsProtocols {
    /// `!x` takes away; a list that begins so starts from all.
    fn parse(text: &str) -> Result<Self, BadValue> {
        let mut bits = None;
        for word in text.split([',', ':']).map(str::trim).filter(|word| !word.is_empty()) {
            let (negated, name) = word.strip_prefix('!').map_or((false, word), |name| (true, name));
            let named = Self::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
            let (_, named) = named.ok_or_else(not_accepted::<Self>)?;
            bits = Some(match (negated, bits) {
                (true, before) => before.unwrap_or(Self::SECURE | Self::OLD) & !named,
                (false, before) => before.unwrap_or(0) | named,
            });
        }
        match bits.unwrap_or(Self::SECURE) {
            0 => Err(not_accepted::<Self>()),
            bits => Ok(Self { text: text.into(), bits }),
        }
    }
    fn show(&self) -> Option<String> {
        Some(self.text.as_ref().to_owned())
    }
    fn accepted() -> String {
        "secure, default, or a list of tlsv1.2, tlsv1.3, tlsv1, all, !tlsv1.x, separated by commas or colons"
            .to_owned()
    }
    fn caveat(&self) -> Option<&'static str> {
        if self.bits & Self::SECURE == 0 {
            return Some("only TLS 1.2 and 1.3 are available in this version: without them there is no TLS");
        }
        // `all` and `tlsv1` ask for nothing in particular; naming an old version does
        let text = self.text.to_ascii_lowercase();
        let names_old = |old: &str| text.split([',', ':']).any(|word| word.trim() == old);
        (names_old("tlsv1.0") || names_old("tlsv1.1"))
            .then_some("TLS 1.0 and 1.1 are not available in this version")
    }
}

/// Suites of TLS 1.3 (`client_tls13_ciphers`, `server_tls13_ciphers`), by OpenSSL's names. Whether there are
/// such suites is known only to the TLS library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls13Suites(Arc<str>);

impl Tls13Suites {
    /// Whether there is a list; an empty value is as good as none.
    pub fn is_given(&self) -> bool {
        !self.0.is_empty()
    }

    /// The names, in order of preference.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split([':', ',']).map(str::trim).filter(|name| !name.is_empty())
    }
}

impl Value for Tls13Suites {
    fn parse(text: &str) -> Result<Self, BadValue> {
        Ok(Self(text.into()))
    }
    fn show(&self) -> Option<String> {
        Some(self.0.as_ref().to_owned())
    }
    fn accepted() -> String {
        "a list of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, separated \
         by colons"
            .to_owned()
    }
}
