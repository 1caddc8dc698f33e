//! Lists of suites and curves as OpenSSL writes them, read for what there is of them here: the six suites of
//! TLS 1.2 with ECDHE and AEAD, and three curves.
//!
//! Pure; which of them the TLS library has under which name is `tls`'s knowledge. Source: OpenSSL's
//! openssl-ciphers(1); PgBouncer, doc/config.md (`client_tls_ciphers`, `client_tls_ecdhcurve`).

use super::value::{BadValue, Value};
use std::sync::Arc;

/// A suite of TLS 1.2: OpenSSL's name and the words of lists that stand for it, beside those for all.
struct Suite {
    name: &'static str,
    words: &'static [&'static str],
    has_256_bits: bool,
}

/// Every suite, the library's first choice first.
const SUITES: [Suite; 6] = [
    suite("ECDHE-ECDSA-AES256-GCM-SHA384", &["AECDSA", "ECDSA", "AES", "AES256", "AESGCM", "FIPS"], true),
    suite("ECDHE-ECDSA-AES128-GCM-SHA256", &["AECDSA", "ECDSA", "AES", "AES128", "AESGCM", "FIPS"], false),
    suite("ECDHE-ECDSA-CHACHA20-POLY1305", &["AECDSA", "ECDSA", "CHACHA20"], true),
    suite("ECDHE-RSA-AES256-GCM-SHA384", &["ARSA", "AES", "AES256", "AESGCM", "FIPS"], true),
    suite("ECDHE-RSA-AES128-GCM-SHA256", &["ARSA", "AES", "AES128", "AESGCM", "FIPS"], false),
    suite("ECDHE-RSA-CHACHA20-POLY1305", &["ARSA", "CHACHA20"], true),
];

/// Words that stand for each of them.
const FOR_ALL: [&str; 8] = ["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "KECDHE", "KEECDH", "TLSV1.2"];

/// PgBouncer's names for what the library likes best.
const LIBRARYS_OWN: [&str; 5] = ["", "default", "secure", "fast", "normal"];

const fn suite(name: &'static str, words: &'static [&'static str], has_256_bits: bool) -> Suite {
    Suite { name, words, has_256_bits }
}

impl Suite {
    /// Whether a word of a list, several words joined by `+` among them, stands for it.
    fn is_meant(&self, word: &str) -> bool {
        word.split('+').all(|word| {
            let upper = word.to_ascii_uppercase();
            word == self.name || FOR_ALL.contains(&&*upper) || self.words.contains(&&*upper)
        })
    }
}

/// Suites of TLS 1.2 (`client_tls_ciphers`, `server_tls_ciphers`): a name for the library's own choice, or an
/// OpenSSL list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherList {
    text: Arc<str>,
    /// In the list's order; none where it is the library's own, or has none of ours.
    names: Vec<&'static str>,
    caveat: Option<&'static str>,
}

impl CipherList {
    /// OpenSSL's names of the suites to use, in order; `None` = all that the library has.
    pub fn names(&self) -> Option<&[&'static str]> {
        (!self.names.is_empty()).then_some(&*self.names)
    }
}

/// What an OpenSSL list makes of [`SUITES`], in its order.
fn chosen(text: &str) -> Vec<&'static Suite> {
    let (mut list, mut killed): (Vec<&Suite>, Vec<&str>) = (Vec::new(), Vec::new());
    for word in text.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let (operator, name) = match word.split_at_checked(1) {
            Some((operator @ ("!" | "-" | "+" | "@"), name)) => (operator, name),
            _ => ("", word),
        };
        let meant = |suite: &&Suite| suite.is_meant(name);
        match operator {
            "@" if name == "STRENGTH" => list.sort_by_key(|suite| !suite.has_256_bits),
            "@" => {}
            "+" => list.sort_by_key(meant),
            "-" => list.retain(|suite| !meant(suite)),
            "!" => {
                killed.extend(SUITES.iter().filter(meant).map(|suite| suite.name));
                list.retain(|suite| !meant(suite));
            }
            _ => {
                let is_fresh = |suite: &&Suite| !killed.contains(&suite.name) && !is_in(&list, suite);
                let fresh: Vec<_> = SUITES.iter().filter(meant).filter(is_fresh).collect();
                list.extend(fresh);
            }
        }
    }
    list
}

fn is_in(list: &[&Suite], suite: &Suite) -> bool {
    list.iter().any(|one| one.name == suite.name)
}

/// Whether the list asks by its own name for a suite that there is not.
fn names_another(text: &str) -> bool {
    let words = text.split([':', ',', ' ']).filter(|word| !word.starts_with(['!', '-', '@', '+']));
    let mut whole = words.filter(|word| word.contains('-'));
    whole.any(|word| SUITES.iter().all(|suite| suite.name != word))
}

impl Value for CipherList {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let is_librarys = LIBRARYS_OWN.iter().any(|name| name.eq_ignore_ascii_case(text));
        let names: Vec<_> =
            if is_librarys { Vec::new() } else { chosen(text).iter().map(|suite| suite.name).collect() };
        let caveat = if is_librarys {
            None
        } else if names.is_empty() {
            Some("it has none of the suites that there are, all with ECDHE and AEAD: all of those are used")
        } else {
            names_another(text).then_some("some of its suites are not available: those that are, are used")
        };
        Ok(Self { text: text.into(), names, caveat })
    }
    fn show(&self) -> Option<String> {
        Some(self.text.as_ref().to_owned())
    }
    fn accepted() -> String {
        "default, secure, fast, normal, or an OpenSSL cipher list".to_owned()
    }
    fn caveat(&self) -> Option<&'static str> {
        self.caveat
    }
}

/// A curve of ECDHE key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// NIST's P-256.
    P256,
    /// NIST's P-384.
    P384,
    /// Curve25519.
    X25519,
}

/// Names of curves, OpenSSL's, NIST's and the RFCs'.
const CURVES: [(&str, Curve); 6] = [
    ("prime256v1", Curve::P256),
    ("secp256r1", Curve::P256),
    ("P-256", Curve::P256),
    ("secp384r1", Curve::P384),
    ("P-384", Curve::P384),
    ("X25519", Curve::X25519),
];

/// Curves of key exchanges (`client_tls_ecdhcurve`): `auto`, `none`, or names separated by colons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curves {
    text: Arc<str>,
    curves: Vec<Curve>,
}

impl Curves {
    /// The curves to use, in order; `None` = all that the library has.
    pub fn named(&self) -> Option<&[Curve]> {
        (!self.curves.is_empty()).then_some(&*self.curves)
    }

    fn is_auto(&self) -> bool {
        self.text.is_empty() || self.text.eq_ignore_ascii_case("auto")
    }
}

impl Value for Curves {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let known = |word: &str| CURVES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let curves = text.split([':', ',']).filter_map(|word| known(word.trim())).map(|(_, curve)| *curve);
        Ok(Self { text: text.into(), curves: curves.collect() })
    }
    fn show(&self) -> Option<String> {
        Some(self.text.as_ref().to_owned())
    }
    fn accepted() -> String {
        "auto, none, or a list of prime256v1, secp384r1, X25519, separated by colons".to_owned()
    }
    fn caveat(&self) -> Option<&'static str> {
        let is_heard = self.is_auto() || self.curves.len() == self.text.split([':', ',']).count();
        (!is_heard).then_some(
            "of curves there are prime256v1, secp384r1 and X25519, and one is always used: those of them \
             that it names, else all",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list by the last letters of its suites: key and cipher.
    fn list(text: &str) -> String {
        let short = |name: &&str| {
            let key = if name.contains("ECDSA") { "e" } else { "r" };
            let cipher = ["256-GCM", "128-GCM", "CHACHA"].iter().position(|part| name.contains(part));
            format!("{key}{}", ["256", "128", "cc"][cipher.unwrap()])
        };
        let parsed = CipherList::parse(text).unwrap();
        parsed.names().unwrap_or_default().iter().map(short).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn openssls_lists_choose_of_what_there_is() {
        for (text, chosen) in [
            ("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384", "r128 r256"),
            ("HIGH:!aNULL:!MD5", "e256 e128 ecc r256 r128 rcc"),
            ("ECDHE+AESGCM", "e256 e128 r256 r128"),
            ("HIGH:!aECDSA:@SECLEVEL=2", "r256 r128 rcc"),
            ("aRSA+CHACHA20:aRSA", "rcc r256 r128"),
            ("AES128:ALL:+CHACHA20", "e128 r128 e256 r256 ecc rcc"),
            ("AES128:ALL:@STRENGTH", "e256 ecc r256 rcc e128 r128"),
            ("ALL:-AES:AES256", "ecc rcc e256 r256"),
            ("!AES128:ALL:AES128", "e256 ecc r256 rcc"),
            ("AES256-SHA:kRSA", ""),
            ("default", ""),
        ] {
            assert_eq!(list(text), chosen, "{text}");
        }
    }

    #[test]
    fn what_a_list_asks_for_in_vain_is_told() {
        let caveat = |text| CipherList::parse(text).unwrap().caveat();
        assert_eq!([caveat(""), caveat("Fast"), caveat("HIGH:!aNULL:!DHE-RSA-AES256-SHA")], [None; 3]);
        assert!(caveat("AES256-SHA").is_some_and(|text| text.contains("none of the suites")));
        assert!(caveat("HIGH:DHE-RSA-AES256-SHA").is_some_and(|text| text.contains("some of its suites")));
    }

    #[test]
    fn curves_have_several_names() {
        let named = |text| Curves::parse(text).unwrap().named().map(<[_]>::to_vec);
        let caveat = |text| Curves::parse(text).unwrap().caveat();
        assert_eq!((named("auto"), caveat("auto")), (None, None));
        assert_eq!(named("secp384r1:P-256"), Some(vec![Curve::P384, Curve::P256]));
        assert_eq!((named("x25519"), caveat("x25519")), (Some(vec![Curve::X25519]), None));
        assert!(named("none").is_none() && caveat("none").is_some());
        assert!(named("secp521r1").is_none() && caveat("X25519:secp521r1").is_some());
    }
}
