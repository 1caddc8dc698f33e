//! Peers' certificates that OpenSSL takes and the TLS library does not read: those of X.509 version 1, which
//! `openssl ca` and `openssl x509` write unless they are told to add extensions.
//!
//! Only what reading them takes: who vouches for them is another's to judge. Never takes a signature by an
//! algorithm that the library itself does not trust. Source: RFC 5280 §4.1; PostgreSQL documentation,
//! "Creating Certificates".

use super::fitness::parse;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, TrustAnchor,
};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::prelude::{X509Certificate, X509Version};

/// Whether `leaf` is of version 1, and nothing else.
pub(super) fn is_version_1(leaf: &X509Certificate<'_>) -> bool {
    leaf.version() == X509Version::V1 && leaf.extensions().is_empty()
}

/// Whether the key of `root` has signed `leaf`, whose bytes are `der`.
pub(super) fn has_signed(
    root: &TrustAnchor<'_>,
    leaf: &X509Certificate<'_>,
    der: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let Some((algorithm, signature)) = signature(der) else { return false };
    let suits = |known: &&&dyn SignatureVerificationAlgorithm| *known.signature_alg_id() == *algorithm;
    // The algorithm is named twice, and only one of the two names is signed.
    leaf.tbs_certificate.signature == leaf.signature_algorithm
        && algorithms.all.iter().filter(suits).any(|known| {
            is_signed(&[*known], &root.subject_public_key_info, leaf.tbs_certificate.as_ref(), signature)
        })
}

/// The library's check of a handshake's signature in TLS 1.2, which reads certificates of version 1, too.
///
/// # Errors
/// The peer does not hold the certificate's key.
pub fn verify_tls12_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let Some(key) = key_of_version_1(certificate) else {
        return rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms);
    };
    let known = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let (_, known) = known.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let key = content(&key).ok_or(CertificateError::BadEncoding)?;
    if is_signed(known, key, message, signed.signature()) {
        return Ok(HandshakeSignatureValid::assertion());
    }
    Err(CertificateError::BadSignature.into())
}

/// The library's check of a handshake's signature in TLS 1.3, which reads certificates of version 1, too.
///
/// # Errors
/// The peer does not hold the certificate's key.
pub fn verify_tls13_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match key_of_version_1(certificate) {
        Some(key) => rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, algorithms),
        None => rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms),
    }
}

/// The public key of a certificate of any version, as its SubjectPublicKeyInfo.
pub fn public_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    parse(certificate).map(|leaf| leaf.public_key().raw.to_vec().into())
}

fn key_of_version_1(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    parse(certificate).filter(|leaf| leaf.version() == X509Version::V1)?;
    public_key(certificate)
}

/// Whether one of the `algorithms` that is for such a key finds `message` signed by it. `key` = a
/// SubjectPublicKeyInfo without its outer tag and length.
fn is_signed(
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Ok((bits, kind)) = Any::from_der(key) else { return false };
    let Some((0, bits)) = content(bits).and_then(|bits| bits.split_first()).map(|(n, bits)| (*n, bits))
    else {
        return false;
    };
    algorithms.iter().any(|algorithm| {
        *algorithm.public_key_alg_id() == *kind.data
            && algorithm.verify_signature(bits, message, signature).is_ok()
    })
}

/// The outer AlgorithmIdentifier's content and the signature of a certificate.
fn signature(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, _signed) = Any::from_der(content(certificate)?).ok()?;
    let (rest, algorithm) = Any::from_der(rest).ok()?;
    match content(rest)?.split_first()? {
        (0, signature) => Some((algorithm.data, signature)),
        _ => None,
    }
}

/// What the one DER value that `der` is holds.
pub(super) fn content(der: &[u8]) -> Option<&[u8]> {
    Any::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, value)| value.data)
}

/// The methods of a verifier that look at signatures: by the algorithms that `$own` keeps, with certificates
/// of version 1 taken as here.
macro_rules! verify_signatures {
    ($own:ident => $algorithms:expr) => {
        fn verify_tls12_signature(
            &$own,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            x509_compat::verify_tls12_signature(message, certificate, signed, &$algorithms)
        }

        fn verify_tls13_signature(
            &$own,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            x509_compat::verify_tls13_signature(message, certificate, signed, &$algorithms)
        }

        fn supported_verify_schemes(&$own) -> Vec<SignatureScheme> {
            $algorithms.supported_schemes()
        }
    };
}
pub(super) use verify_signatures;

#[cfg(test)]
pub mod version_1;
