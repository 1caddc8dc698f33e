//! The names that a client's certificate is for, and whether a name is one of them.
//!
//! As PgBouncer compares them (lib/usual/tls/tls_verify.c, tls_check_name()): the alternative names and then
//! the common name, upper and lower case alike, `*.` for one label, addresses by their bytes. A certificate
//! with a name that holds a zero byte has no names at all: what shows the part in front of it would take it
//! for another's. Source: RFC 5280 §4.2.1.6; PostgreSQL documentation, "Certificate Authentication".

use std::net::IpAddr;

/// The names of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    common: Option<Vec<u8>>,
    dns: Vec<Vec<u8>>,
    addresses: Vec<Vec<u8>>,
}

/// Why a certificate has no names that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// A zero byte.
    #[error("zero byte in a name of the certificate")]
    ZeroByte,
    /// A DNS name of one blank, which must not be used.
    #[error("blank as a DNS name of the certificate")]
    Blank,
}

impl CertificateNames {
    /// The first common name of the subject, and the alternative names: of DNS, and addresses.
    ///
    /// # Errors
    /// A name that may not be there.
    pub fn new(common: Option<Vec<u8>>, dns: Vec<Vec<u8>>, addresses: Vec<Vec<u8>>) -> Result<Self, BadName> {
        if dns.iter().chain(&common).any(|name| name.contains(&0)) {
            return Err(BadName::ZeroByte);
        }
        if dns.iter().any(|name| name == b" ") {
            return Err(BadName::Blank);
        }
        Ok(Self { common, dns, addresses })
    }

    /// Whether the certificate is for `name`.
    pub fn has(&self, name: &str) -> bool {
        let own = self.common.as_deref();
        match name.parse() {
            Ok(IpAddr::V4(ip)) => self.has_address(&ip.octets()) || own == Some(name.as_bytes()),
            Ok(IpAddr::V6(ip)) => self.has_address(&ip.octets()) || own == Some(name.as_bytes()),
            Err(_) => {
                let mut names = self.dns.iter().map(Vec::as_slice).chain(own);
                names.any(|own| is_name(own, name.as_bytes()))
            }
        }
    }

    fn has_address(&self, octets: &[u8]) -> bool {
        self.addresses.iter().any(|own| own == octets)
    }
}

/// Whether the name `own` of a certificate stands for `name`.
fn is_name(own: &[u8], name: &[u8]) -> bool {
    own.eq_ignore_ascii_case(name) || own.strip_prefix(b"*").is_some_and(|domain| is_below(name, domain))
}

/// Whether `name` is one label and `domain`, which begins with a dot and has two labels at the least.
fn is_below(name: &[u8], domain: &[u8]) -> bool {
    let [b'.', rest @ ..] = domain else { return false };
    let Some(dot) = rest.iter().position(|byte| *byte == b'.') else { return false };
    if dot == 0 || rest.get(dot + 1) == Some(&b'.') {
        return false;
    }
    match name.iter().position(|byte| *byte == b'.') {
        None | Some(0) => false,
        Some(dot) => name.len() > dot + 1 && domain.eq_ignore_ascii_case(&name[dot..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(common: &str, dns: &[&str]) -> CertificateNames {
        let dns = dns.iter().map(|name| name.as_bytes().to_vec()).collect();
        let addresses = vec![vec![10, 0, 0, 1], vec![0; 16], vec![1]];
        CertificateNames::new(Some(common.into()), dns, addresses).unwrap()
    }

    #[test]
    fn a_name_is_the_common_one_or_an_alternative() {
        let both = names("alice", &["Bob", "*.corp.example"]);
        for name in ["alice", "ALICE", "bob", "carol.corp.example", "CAROL.Corp.Example"] {
            assert!(both.has(name), "{name}");
        }
        for name in
            ["", "alic", "alice2", "corp.example", ".corp.example", "a.b.corp.example", "carol.corp.example."]
        {
            assert!(!both.has(name), "{name}");
        }
        assert!(both.has("10.0.0.1") && both.has("::") && !both.has("10.0.0.2") && !both.has("0.0.0.1"));
        assert!(names("10.9.9.9", &[]).has("10.9.9.9") && !names("x", &["10.9.9.9"]).has("10.9.9.9"));
        assert!(!CertificateNames::default().has("") && !CertificateNames::default().has("x"));
    }

    #[test]
    fn wildcards_stand_for_one_label_of_a_domain_of_two() {
        for pattern in ["*", "*foo", "*.", "*..", "*.tld", "*.a..b", "*..b.c", "a*.b.c", "a.*.c"] {
            for name in ["x", "foo", "xfoo", "x.", "x.tld", "x.a..b", "x..b.c", "ab.b.c", "a.b.c"] {
                assert!(!names(pattern, &[pattern]).has(name), "{pattern} {name}");
            }
        }
        assert!(names("*.a.b", &[]).has("x.a.b"));
    }

    #[test]
    fn a_name_with_a_zero_byte_or_of_one_blank_spoils_all_of_them() {
        let zero = b"alice\0.example".to_vec();
        assert_eq!(CertificateNames::new(Some(zero.clone()), vec![], vec![]), Err(BadName::ZeroByte));
        let dns = vec![b"alice".to_vec(), zero];
        assert_eq!(CertificateNames::new(Some(b"alice".to_vec()), dns, vec![]), Err(BadName::ZeroByte));
        assert_eq!(CertificateNames::new(None, vec![b" ".to_vec()], vec![]), Err(BadName::Blank));
    }

    proptest! {
        #[test]
        fn a_pattern_is_its_labels(pattern in "[ab*.]{0,6}", name in "[aAb.]{0,7}") {
            let labels: Vec<_> = name.split('.').collect();
            let expected = pattern.eq_ignore_ascii_case(&name)
                || pattern.strip_prefix("*.").is_some_and(|domain| {
                    let parts: Vec<_> = domain.split('.').collect();
                    parts.len() >= 2
                        && !parts[0].is_empty()
                        && (!parts[1].is_empty() || parts.len() == 2)
                        && !labels[0].is_empty()
                        && labels[1..].join(".").eq_ignore_ascii_case(domain)
                });
            prop_assert_eq!(names(&pattern, &[]).has(&name), expected);
            prop_assert_eq!(names("-", &[&pattern]).has(&name), expected);
        }
    }
}
