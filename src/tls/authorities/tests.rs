//! Who may vouch for whom: certificates of authorities that may not sign, what lies between them and a peer,
//! peers' own certificates, those of version 1 and those that are pinned.

use super::*;
use crate::tls::x509_compat::version_1::version_1;
use Role::{Client, Server};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::crypto::aws_lc_rs;
use std::time::Duration;

/// What one certificate says, and its key.
pub(crate) struct Party {
    pub(crate) key: KeyPair,
    pub(crate) params: CertificateParams,
}

impl Party {
    /// Somebody who is no authority.
    pub(crate) fn new(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        Self { key: KeyPair::generate().unwrap(), params }
    }

    /// An authority.
    pub(crate) fn authority(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::new(name, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            change(params);
        })
    }

    /// Its certificate, signed by itself.
    pub(crate) fn own(&self) -> CertificateDer<'static> {
        self.params.clone().self_signed(&self.key).unwrap().der().clone()
    }

    /// The certificate of `other`, signed by this one.
    pub(crate) fn signs(&self, other: &Self) -> CertificateDer<'static> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        other.params.clone().signed_by(&other.key, &issuer).unwrap().der().clone()
    }
}

pub(crate) fn authorities(file: &[&CertificateDer<'static>], role: Role) -> Authorities {
    of(file, role).0
}

fn of(file: &[&CertificateDer<'static>], role: Role) -> (Authorities, Vec<(usize, String, Unfit)>) {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    Authorities::of(file.iter().map(|certificate| (*certificate).clone()).collect(), role, algorithms)
}

fn somebody() -> Party {
    Party::new("alice", |_| ())
}

/// What becomes of somebody whom `authority` has signed, as a client and as a server.
fn of_somebody(authority: &Party) -> [Result<(), Error>; 2] {
    let (own, shown) = (authority.own(), authority.signs(&somebody()));
    [Client, Server].map(|role| authorities(&[&own], role).verify(&shown, &[], UnixTime::now()))
}

fn unknown() -> Error {
    CertificateError::UnknownIssuer.into()
}

fn critical(extension: u64, is_critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, extension], vec![5, 0]);
    extension.set_criticality(is_critical);
    extension
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

const YEAR_2020: u64 = 1_577_836_800;
const YEAR_2021: u64 = 1_609_459_200;

fn in_2020(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

/// Changes of an authority, after which it may not sign.
type Change = (fn(&mut CertificateParams), Unfit);

#[test]
fn who_may_not_sign_vouches_for_nobody() {
    let changes: [Change; 5] = [
        (|params| params.is_ca = IsCa::ExplicitNoCa, Unfit::EndEntity),
        (|params| params.is_ca = IsCa::NoCa, Unfit::EndEntity),
        (|params| params.key_usages = vec![KeyUsagePurpose::CrlSign], Unfit::KeyUsage),
        (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning], Unfit::Purpose),
        (|params| params.custom_extensions = vec![critical(4, true)], Unfit::Critical("1.2.3.4".to_owned())),
    ];
    let root = Party::authority("root", |_| ());
    for (change, why) in changes {
        let unfit = Party::authority("carol", change);
        assert_eq!(of_somebody(&unfit), [Err(unknown()), Err(unknown())], "{why}");
        // As a user's certificate in the file: another has signed it.
        let (own, root, shown) = (root.signs(&unfit), root.own(), unfit.signs(&somebody()));
        for role in [Client, Server] {
            let (authorities, left_out) = of(&[&root, &own], role);
            assert_eq!(left_out, [(1, "CN=carol".to_owned(), why.clone())]);
            for between in [&[][..], std::slice::from_ref(&own)] {
                assert!(authorities.verify(&shown, between, UnixTime::now()).is_err(), "{why}");
            }
        }
    }
}

#[test]
fn who_may_sign_is_known_by_what_its_certificate_says() {
    let good: [fn(&mut CertificateParams); 5] = [
        |_| (),
        |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
        |params| {
            let both = [ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
            params.extended_key_usages = both.to_vec();
        },
        |params| params.custom_extensions = vec![critical(4, false)],
        |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
    ];
    for (at, change) in good.into_iter().enumerate() {
        assert_eq!(of_somebody(&Party::authority("root", change)), [Ok(()), Ok(())], "{at}");
    }
    let of_clients = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    assert_eq!(of_somebody(&Party::authority("root", of_clients)), [Ok(()), Err(unknown())]);
}

#[test]
fn an_authority_counts_in_its_time_alone() {
    let root = Party::authority("root", in_2020);
    let (own, shown) = (root.own(), root.signs(&somebody()));
    let between = Party::authority("between", |_| ());
    let (sub, below) = (root.signs(&between), between.signs(&somebody()));
    let old = version_1(&shown, &root.key);
    let known = authorities(&[&own], Client);
    for (shown, between) in [(&shown, &[][..]), (&below, std::slice::from_ref(&sub)), (&old, &[])] {
        let verified = |seconds| known.verify(shown, between, at(seconds));
        let not_before = at(YEAR_2020);
        let early = CertificateError::NotValidYetContext { time: at(YEAR_2020 - 1), not_before };
        assert_eq!(verified(YEAR_2020 - 1), Err(early.into()));
        assert_eq!((verified(YEAR_2020), verified(YEAR_2021)), (Ok(()), Ok(())));
        let not_after = at(YEAR_2021);
        let late = CertificateError::ExpiredContext { time: at(YEAR_2021 + 1), not_after };
        assert_eq!(verified(YEAR_2021 + 1), Err(late.into()));
    }
}

#[test]
fn one_that_was_renewed_takes_the_place_of_the_expired_one() {
    let mut root = Party::authority("root", in_2020);
    let (expired, shown) = (root.own(), root.signs(&somebody()));
    root.params.not_after = rcgen::date_time_ymd(4000, 1, 1);
    let renewed = root.own();
    for file in [[&expired, &renewed], [&renewed, &expired]] {
        for shown in [&shown, &version_1(&shown, &root.key)] {
            assert_eq!(authorities(&file, Server).verify(shown, &[], UnixTime::now()), Ok(()));
        }
    }
}

#[test]
fn an_authority_is_no_deeper_than_it_may_be() {
    let verified = |depth| {
        let root = Party::authority("root", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
        });
        let (first, second) = (Party::authority("first", |_| ()), Party::authority("second", |_| ()));
        let between = [first.signs(&second), root.signs(&first)];
        let own = root.own();
        let known = authorities(&[&own], Server);
        [
            known.verify(&root.signs(&somebody()), &[], UnixTime::now()),
            known.verify(&first.signs(&somebody()), &between[1..], UnixTime::now()),
            known.verify(&second.signs(&somebody()), &between, UnixTime::now()),
        ]
    };
    let outcomes = |depth| verified(depth).map(|outcome| outcome.map_err(|error| error.to_string()));
    let deep = Err(error_of(Refusal::PathLenConstraintViolated).to_string());
    assert_eq!(outcomes(0), [Ok(()), deep.clone(), deep.clone()]);
    assert_eq!(outcomes(1), [Ok(()), Ok(()), deep]);
    assert_eq!(outcomes(2), [Ok(()), Ok(()), Ok(())]);
}

#[test]
fn one_between_must_be_allowed_to_sign() {
    let root = Party::authority("root", |_| ());
    let own = root.own();
    let by = |usages: Vec<KeyUsagePurpose>| {
        let between = Party::authority("between", |params| params.key_usages = usages);
        let (sub, shown) = (root.signs(&between), between.signs(&somebody()));
        [Client, Server].map(|role| {
            authorities(&[&own], role).verify(&shown, std::slice::from_ref(&sub), UnixTime::now()).is_ok()
        })
    };
    assert_eq!(by(vec![]), [true; 2]);
    assert_eq!(by(vec![KeyUsagePurpose::KeyCertSign]), [true; 2]);
    assert_eq!(by(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]), [false; 2]);
}

#[test]
fn an_intermediate_alone_in_the_file_is_an_authority() {
    let (root, between) = (Party::authority("root", |_| ()), Party::authority("between", |_| ()));
    let known = authorities(&[&root.signs(&between)], Client);
    assert_eq!(known.verify(&between.signs(&somebody()), &[], UnixTime::now()), Ok(()));
    assert_eq!(known.verify(&root.signs(&somebody()), &[], UnixTime::now()), Err(unknown()));
}

#[test]
fn its_key_usage_must_let_a_peer_shake_hands() {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyAgreement, KeyCertSign, KeyEncipherment};
    let root = Party::authority("root", |_| ());
    let own = root.own();
    let shown = |usages: &[KeyUsagePurpose]| {
        let shown = root.signs(&Party::new("alice", |params| params.key_usages = usages.to_vec()));
        [Client, Server].map(|role| authorities(&[&own], role).verify(&shown, &[], UnixTime::now()))
    };
    let wrong = || Err(CertificateError::InvalidPurpose.into());
    assert_eq!(shown(&[DigitalSignature]), [Ok(()), Ok(())]);
    assert_eq!(shown(&[KeyAgreement]), [Ok(()), Ok(())]);
    assert_eq!(shown(&[KeyEncipherment]), [wrong(), Ok(())]);
    assert_eq!(shown(&[CrlSign, KeyCertSign]), [wrong(), wrong()]);
}

#[test]
fn a_self_signed_certificate_stands_for_itself_alone() {
    let changes: [fn(&mut CertificateParams); 3] = [
        |params| params.is_ca = IsCa::ExplicitNoCa,
        |params| params.is_ca = IsCa::NoCa,
        |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
    ];
    for change in changes {
        let pinned = Party::authority("db", change);
        let own = pinned.own();
        let (known, left_out) = of(&[&own], Server);
        assert_eq!(left_out, []);
        assert_eq!(known.verify(&own, &[], UnixTime::now()), Ok(()));
        assert_eq!(known.verify(&pinned.signs(&somebody()), &[], UnixTime::now()), Err(unknown()));
        assert!(
            known.verify(&pinned.signs(&somebody()), std::slice::from_ref(&own), UnixTime::now()).is_err()
        );
        assert!(
            known.verify(&pinned.own(), &[], UnixTime::now()).is_err(),
            "another of the same name and key"
        );
        assert!(
            authorities(&[&Party::authority("db", |_| ()).own()], Server)
                .verify(&own, &[], UnixTime::now())
                .is_err()
        );
    }
    let mut wrong = Party::new("db", in_2020);
    let own = wrong.own();
    let known = authorities(&[&own], Server);
    assert_eq!(known.verify(&own, &[], at(YEAR_2020)), Ok(()));
    assert!(
        known.verify(&own, &[], at(YEAR_2020 - 1)).is_err()
            && known.verify(&own, &[], UnixTime::now()).is_err()
    );
    wrong.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = wrong.own();
    assert_eq!(of(&[&own], Server).1, [(0, "CN=db".to_owned(), Unfit::EndEntity)], "it stands for nobody");
}

#[test]
fn an_authority_may_show_its_own_certificate_but_none_below_it() {
    let authority = Party::authority("authority", |_| ());
    let own = authority.own();
    let known = authorities(&[&own], Server);
    assert_eq!(known.verify(&own, &[], UnixTime::now()), Ok(()));
    assert!(known.verify(&Party::authority("authority", |_| ()).own(), &[], UnixTime::now()).is_err());
    let below = Party::authority("below", |_| ());
    assert!(known.verify(&authority.signs(&below), &[], UnixTime::now()).is_err());
    // It carries the authority's name and signature, but not its key.
    let double = Party::authority("authority", |_| ());
    assert!(known.verify(&authority.signs(&double), &[], UnixTime::now()).is_err());
}

#[test]
fn version_1_is_taken_from_a_known_authority_only() {
    let (authority, stranger) = (Party::authority("a", |_| ()), Party::authority("a", |_| ()));
    let old = version_1(&authority.signs(&somebody()), &authority.key);
    let judge = |party: &Party| authorities(&[&party.own()], Client).verify(&old, &[], UnixTime::now());
    assert_eq!(judge(&authority), Ok(()));
    assert_eq!(judge(&stranger), Err(unknown()), "the same name, another key");
    let mut changed = Party { key: authority.key, params: authority.params.clone() };
    changed.params.distinguished_name.push(DnType::OrganizationName, "another");
    assert_eq!(judge(&changed), Err(unknown()), "the same key, another name");
    changed.params = authority.params;
    changed.params.name_constraints = Some(within("good.example"));
    assert_eq!(judge(&changed), Err(unknown()), "nobody looks whether the name is within them");
}

#[test]
fn no_bit_of_version_1_may_be_changed() {
    let authority = Party::authority("a", |_| ());
    let known = authorities(&[&authority.own()], Client);
    let good = version_1(&authority.signs(&somebody()), &authority.key);
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        assert!(known.verify(&bad.into(), &[], UnixTime::now()).is_err(), "byte {at}");
    }
    let longer = [&*good, &[0]].concat().into();
    assert!(known.verify(&longer, &[], UnixTime::now()).is_err(), "something behind it");
}

#[test]
fn version_1_is_good_only_in_its_time() {
    let authority = Party::authority("a", |_| ());
    let old = version_1(&authority.signs(&Party::new("alice", in_2020)), &authority.key);
    let known = authorities(&[&authority.own()], Client);
    let is_good = |seconds| known.verify(&old, &[], at(seconds)).is_ok();
    assert!(!is_good(YEAR_2020 - 1) && is_good(YEAR_2020) && is_good(YEAR_2021) && !is_good(YEAR_2021 + 1));
}

#[test]
fn version_1_is_an_authority_only_where_it_is_self_signed() {
    let (root, old) = (Party::authority("root", |_| ()), Party::new("old", |_| ()));
    let (own, shown) = (version_1(&old.own(), &old.key), old.signs(&somebody()));
    let known = authorities(&[&own], Client);
    assert_eq!(known.verify(&shown, &[], UnixTime::now()), Ok(()));
    assert_eq!(known.verify(&own, &[], UnixTime::now()), Ok(()));
    let signed = version_1(&root.signs(&old), &root.key);
    let (known, left_out) = of(&[&root.own(), &signed], Client);
    assert_eq!(left_out, [(1, "CN=old".to_owned(), Unfit::Version1)]);
    assert_eq!(known.verify(&shown, &[], UnixTime::now()), Err(unknown()));
    assert_eq!(known.verify(&signed, &[], UnixTime::now()), Ok(()), "the root has signed it");
}

fn within(domain: &str) -> NameConstraints {
    let permitted_subtrees = vec![GeneralSubtree::DnsName(domain.to_owned())];
    NameConstraints { permitted_subtrees, excluded_subtrees: vec![] }
}

#[test]
fn name_constraints_are_found_between_and_in_the_file() {
    let constrain = |params: &mut CertificateParams| params.name_constraints = Some(within("good.example"));
    let (root, strict) = (Party::authority("root", |_| ()), Party::authority("strict", constrain));
    let known = authorities(&[&root.own(), &strict.own()], Client);
    let plain = root.signs(&somebody());
    assert!(!known.may_constrain_names(&[plain.clone(), root.own()]));
    assert!(known.may_constrain_names(&[strict.signs(&somebody())]), "the authority of the file");
    let between = Party::authority("between", |_| ());
    let by = [between.signs(&somebody()), strict.signs(&between)];
    assert!(known.may_constrain_names(&by), "above one that is shown");
    let between = Party::authority("between", constrain);
    assert!(known.may_constrain_names(&[between.signs(&somebody()), root.signs(&between)]));
    assert!(known.may_constrain_names(&[plain, CertificateDer::from(vec![0x30, 0])]), "who knows");
}

#[test]
fn what_is_left_out_is_told_with_its_place() {
    let directory = std::env::temp_dir().join(format!("pgweir-authorities-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (root, carol) = (Party::authority("root", |_| ()), Party::new("ca\nrol", |_| ()));
    let issuer = Issuer::from_params(&root.params, &root.key);
    let user = carol.params.clone().signed_by(&carol.key, &issuer).unwrap().pem();
    let root = root.params.self_signed(&root.key).unwrap().pem();
    let load = |text: &str| {
        let file = directory.join("ca.crt");
        std::fs::write(&file, text).unwrap();
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let path = file.display().to_string();
        let loaded = Authorities::load("client_tls_ca_file", &path, Client, algorithms);
        let strip = |error: &dyn ToString| error.to_string().replace(&path, "F");
        match loaded {
            Ok((_, left_out)) => left_out.iter().map(|left| strip(left)).collect::<Vec<_>>(),
            Err(error) => vec!["refused".to_owned(), strip(&error)],
        }
    };
    let why = r"certificate (CN=ca\nrol) is no authority: its basicConstraints do not say CA:TRUE";
    assert_eq!(load(&root), [""; 0]);
    let told = |place| format!("client_tls_ca_file: F: the {place} {why}");
    assert_eq!(load(&format!("{root}{user}{root}{user}")), [told("2nd"), told("4th")]);
    let refusal = format!("client_tls_ca_file: F: no usable certificate found: the 1st {why}");
    assert_eq!(load(&format!("{user}{user}")), ["refused".to_owned(), refusal]);
    std::fs::remove_dir_all(&directory).unwrap();
    let ordinals = [1, 2, 3, 4, 11, 12, 13, 21, 22, 103, 111, 112].map(ordinal);
    let expected =
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "103rd", "111th", "112th"];
    assert_eq!(ordinals, expected);
}
