//! Makes certificates of X.509 version 1 for tests, which no library writes any more.

use rcgen::{KeyPair, SigningKey};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// The version and the extensions.
const NOT_IN_VERSION_1: [u8; 2] = [0xa0, 0xa3];

/// `certificate` as version 1 of X.509 has it, signed by its issuer's `key`.
pub fn version_1(certificate: &CertificateDer<'_>, key: &KeyPair) -> CertificateDer<'static> {
    let outer = values(content(certificate));
    let [signed, algorithm, _] = outer[..] else { panic!("a certificate has three parts") };
    let old: Vec<&[u8]> =
        values(content(signed)).into_iter().filter(|part| !NOT_IN_VERSION_1.contains(&part[0])).collect();
    let signed = der(SEQUENCE, &old.concat());
    let signature = der(BIT_STRING, &[&[0], &*key.sign(&signed).unwrap()].concat());
    der(SEQUENCE, &[&signed, algorithm, &signature].concat()).into()
}

fn content(der: &[u8]) -> &[u8] {
    Any::from_der(der).unwrap().1.data
}

/// The values that follow each other in `bytes`.
fn values(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        let (rest, _) = Any::from_der(bytes).unwrap();
        let (value, _) = bytes.split_at(bytes.len() - rest.len());
        values.push(value);
        bytes = rest;
    }
    values
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..=127 => &length[1..],
        128..=255 => &[0x81, length[1]],
        _ => &[0x82, length[0], length[1]],
    };
    [&[tag], length, content].concat()
}
