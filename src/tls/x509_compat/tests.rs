//! What is taken and what is not: certificates of version 1 and of authorities themselves, and
//! what may be wrong with them.

use super::version_1::version_1;
use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use std::time::Duration;

struct Authority {
    key: KeyPair,
    params: CertificateParams,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self { key: KeyPair::generate().unwrap(), params }
    }

    fn own(&self) -> CertificateDer<'static> {
        self.params.clone().self_signed(&self.key).unwrap().der().clone()
    }

    fn issue(&self, params: CertificateParams) -> CertificateDer<'static> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone()
    }

    fn old(&self) -> CertificateDer<'static> {
        version_1(&self.issue(CertificateParams::new(["x".to_owned()]).unwrap()), &self.key)
    }

    fn judge_at(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.own()).unwrap();
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let issuers = Issuers { roots: Arc::new(roots), algorithms, role: Role::Server };
        issuers.second_opinion(unreadable(), certificate, now).map_err(|error| match error {
            Error::InvalidCertificate(why) => why,
            other => panic!("{other}"),
        })
    }

    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), CertificateError> {
        self.judge_at(certificate, UnixTime::now())
    }
}

/// The library's refusal that stands for "I do not read such ones".
fn unreadable() -> Error {
    CertificateError::Other(rustls::OtherError(Arc::new(std::fmt::Error))).into()
}

#[test]
fn version_1_is_taken_from_a_known_authority_only() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let old = authority.old();
    assert_eq!(authority.judge(&old), Ok(()));
    assert_eq!(stranger.judge(&old), Err(CertificateError::UnknownIssuer), "the same name, another key");
    let mut renamed = Authority { key: authority.key, params: authority.params.clone() };
    renamed.params.distinguished_name.push(DnType::CommonName, "another");
    assert_eq!(renamed.judge(&old), Err(CertificateError::UnknownIssuer), "the same key, another name");
}

#[test]
fn no_bit_of_it_may_be_changed() {
    let authority = Authority::new();
    let good = authority.old();
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        assert!(authority.judge(&bad.into()).is_err(), "byte {at}");
    }
    assert!(authority.judge(&[&*good, &[0]].concat().into()).is_err(), "something behind it");
}

#[test]
fn it_is_good_only_in_its_time() {
    let authority = Authority::new();
    let mut params = CertificateParams::new(["x".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let old = version_1(&authority.issue(params), &authority.key);
    let at = |seconds| authority.judge_at(&old, UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
    assert_eq!(at(1_577_836_799), Err(CertificateError::NotValidYet));
    assert_eq!(at(1_577_836_800), Ok(()));
    assert_eq!(at(1_609_459_200), Ok(()));
    assert_eq!(at(1_609_459_201), Err(CertificateError::Expired));
}

#[test]
fn an_authority_may_show_its_own_certificate_but_none_below_it() {
    let authority = Authority::new();
    assert_eq!(authority.judge(&authority.own()), Ok(()));
    assert_eq!(Authority::new().judge(&authority.own()), Err(CertificateError::UnknownIssuer));
    let mut below = CertificateParams::default();
    below.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    below.distinguished_name.push(DnType::CommonName, "below");
    let refusal = authority.judge(&authority.issue(below.clone())).unwrap_err();
    assert!(matches!(refusal, CertificateError::Other(_)), "the library's refusal stays: {refusal:?}");
    // it carries the authority's name and signature, but not its key
    below.distinguished_name = authority.params.distinguished_name.clone();
    assert_eq!(authority.judge(&authority.issue(below)), Err(CertificateError::UnknownIssuer));
}

#[test]
fn its_extensions_must_allow_what_it_is_used_for() {
    let with = |change: fn(&mut CertificateParams)| {
        let mut authority = Authority::new();
        change(&mut authority.params);
        authority.judge(&authority.own())
    };
    let wrong = Err(CertificateError::InvalidPurpose);
    assert_eq!(with(|p| p.key_usages = vec![KeyUsagePurpose::KeyCertSign]), wrong);
    assert_eq!(with(|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]), Ok(()));
    assert_eq!(with(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]), wrong);
    assert_eq!(with(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]), Ok(()));
    let unknown = with(|p| {
        let mut extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        p.custom_extensions.push(extension);
    });
    assert_eq!(unknown, Err(CertificateError::UnhandledCriticalExtension));
}

#[test]
fn what_the_library_can_read_is_the_librarys_to_judge() {
    let authority = Authority::new();
    let plain = authority.issue(CertificateParams::new(["x".to_owned()]).unwrap());
    assert!(matches!(authority.judge(&plain), Err(CertificateError::Other(_))));
    let issuers = Issuers {
        roots: Arc::new(RootCertStore::empty()),
        algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        role: Role::Client,
    };
    let refusal = Error::from(CertificateError::Revoked);
    let outcome = issuers.second_opinion(refusal.clone(), &authority.old(), UnixTime::now());
    assert_eq!(outcome, Err(refusal));
}
