//! The names that a peer's certificate is for, read from its bytes.
//!
//! Never verifies it: the handshake has. Source: RFC 5280 §4.1.2.6 and §4.2.1.6.

use super::authorities::Authorities;
use crate::auth::CertificateNames;
use crate::auth::certificate::BadName;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::parse_x509_certificate;

/// Why no name of a certificate counts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NamesError {
    /// It has none that can be read.
    #[error("names of the certificate cannot be read")]
    Unreadable,
    /// One that may not be there.
    #[error(transparent)]
    Bad(#[from] BadName),
}

/// The names that the first certificate of `shown`, a peer's, is for; `None` where it has shown none. Its
/// common name is none of them where `authorities` may have given only a part of all names away: nobody would
/// have looked whether it is within that part.
pub(crate) fn certificate_names(
    shown: &[CertificateDer<'_>],
    authorities: Option<&Authorities>,
) -> Option<Result<CertificateNames, NamesError>> {
    let may_be_common = !authorities.is_some_and(|authorities| authorities.may_constrain_names(shown));
    Some(names(shown.first()?, may_be_common))
}

fn names(certificate: &CertificateDer<'_>, may_be_common: bool) -> Result<CertificateNames, NamesError> {
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| NamesError::Unreadable)?;
    let common = certificate.subject().iter_common_name().next().filter(|_| may_be_common);
    let common = common.map(|name| name.attr_value().data.to_vec());
    let alternatives = certificate.subject_alternative_name().map_err(|_| NamesError::Unreadable)?;
    let (mut dns, mut addresses) = (Vec::new(), Vec::new());
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => dns.push(name.as_bytes().to_vec()),
            GeneralName::IPAddress(octets) => addresses.push(octets.to_vec()),
            GeneralName::Invalid(..) => return Err(NamesError::Unreadable),
            _ => {}
        }
    }
    Ok(CertificateNames::new(common, dns, addresses)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::authorities::tests::{Party, authorities};
    use crate::tls::fitness::Role;
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, GeneralSubtree, KeyPair, NameConstraints, SanType};

    fn names_of(common: &str, alternatives: Vec<SanType>) -> Result<CertificateNames, NamesError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "org");
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        names(params.self_signed(&key).unwrap().der(), true)
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(Ia5String::try_from(name).unwrap())
    }

    #[test]
    fn common_and_alternative_names_are_found() {
        let alone = names_of("al ice", vec![]).unwrap();
        assert!(alone.has("al ice") && !alone.has("org"));
        let mail = SanType::Rfc822Name(Ia5String::try_from("m").unwrap());
        let all =
            names_of("alice", vec![dns("bob"), mail, SanType::IpAddress([10, 0, 0, 1].into())]).unwrap();
        assert!(all.has("alice") && all.has("bob") && all.has("10.0.0.1") && !all.has("m"));
    }

    #[test]
    fn a_zero_byte_in_any_name_refuses_all() {
        let zero = Err(NamesError::Bad(BadName::ZeroByte));
        assert_eq!(names_of("alice\0.example", vec![]), zero);
        assert_eq!(names_of("alice", vec![dns("bob"), dns("alice\0.example")]), zero);
        let wide = {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            let text = rcgen::string::BmpString::try_from("al").unwrap();
            params.distinguished_name.push(DnType::CommonName, rcgen::DnValue::BmpString(text));
            names(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der(), true)
        };
        assert_eq!(wide, zero, "two bytes a letter");
        assert_eq!(names(&CertificateDer::from(vec![0x30, 0]), true), Err(NamesError::Unreadable));
    }

    #[test]
    fn name_constraints_leave_a_common_name_out() {
        let root = Party::authority("root", |_| ());
        let sub = Party::authority("sub", |params| {
            let permitted_subtrees = vec![GeneralSubtree::DnsName("good.example".to_owned())];
            params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        });
        let robot = |alternatives| Party::new("robot", |params| params.subject_alt_names = alternatives);
        let known = authorities(&[&root.own()], Role::Client);
        let has = |shown: &[CertificateDer<'_>], name: &str| {
            certificate_names(shown, Some(&known)).unwrap().unwrap().has(name)
        };
        assert!(has(&[root.signs(&robot(vec![]))], "robot"));
        let between = root.signs(&sub);
        for alternatives in [vec![], vec![dns("x.good.example")]] {
            let shown = [sub.signs(&robot(alternatives.clone())), between.clone()];
            assert!(!has(&shown, "robot"));
            assert_eq!(has(&shown, "x.good.example"), !alternatives.is_empty());
        }
    }
}
