//! Peers' certificates that OpenSSL takes and the TLS library does not: those of X.509 version 1, which
//! `openssl ca` and `openssl x509` write unless they are told to add extensions, and self-signed ones that
//! are an authority themselves, which `openssl req -x509` writes.
//!
//! Never takes one that is not signed, with an algorithm the library itself trusts, by an authority of the CA
//! file: no intermediates, no authority with name constraints. Everything else stays the library's to judge.
//! Names are the caller's. Source: RFC 5280 §4.1 and §4.2; PostgreSQL documentation, "Creating Certificates".

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore};
use std::sync::Arc;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{ASN1Time, X509Certificate, X509Version, parse_x509_certificate};

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client's, shown to us.
    Client,
    /// A server's, shown to us.
    Server,
}

/// The authorities of a CA file, as this module asks them.
#[derive(Clone, Debug)]
pub struct Issuers {
    /// The authorities.
    pub roots: Arc<RootCertStore>,
    /// The library's.
    pub algorithms: WebPkiSupportedAlgorithms,
    /// Whose certificates they judge.
    pub role: Role,
}

impl Issuers {
    /// Judges a certificate again that the library refused with `refusal`.
    ///
    /// # Errors
    /// `refusal` where it is none of this module's, or what is wrong with it.
    pub fn second_opinion(
        &self,
        refusal: Error,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let Error::InvalidCertificate(CertificateError::Other(_)) = refusal else { return Err(refusal) };
        let Some(leaf) = parse(certificate) else { return Err(refusal) };
        let is_first_version = leaf.version() == X509Version::V1 && leaf.extensions().is_empty();
        let is_own_authority = leaf.is_ca() && leaf.subject().as_raw() == leaf.issuer().as_raw();
        if !is_first_version && !is_own_authority {
            return Err(refusal);
        }
        let bad_encoding = || Error::from(CertificateError::BadEncoding);
        let issuer = content(leaf.issuer().as_raw()).ok_or_else(bad_encoding)?;
        let own_key = content(leaf.public_key().raw).ok_or_else(bad_encoding)?;
        let mut candidates = self.roots.roots.iter().filter(|root| {
            let is_itself = is_first_version || *root.subject_public_key_info == *own_key;
            *root.subject == *issuer && is_itself && root.name_constraints.is_none()
        });
        if !candidates.any(|root| self.has_signed(root, &leaf, certificate)) {
            return Err(CertificateError::UnknownIssuer.into());
        }
        self.check_time(&leaf, now)?;
        self.check_extensions(&leaf)
    }

    fn has_signed(&self, root: &TrustAnchor<'_>, leaf: &X509Certificate<'_>, der: &[u8]) -> bool {
        let Some((algorithm, signature)) = signature(der) else { return false };
        let suits = |known: &&&dyn SignatureVerificationAlgorithm| *known.signature_alg_id() == *algorithm;
        // the algorithm is named twice, and only one of the two names is signed
        leaf.tbs_certificate.signature == leaf.signature_algorithm
            && self.algorithms.all.iter().filter(suits).any(|known| {
                is_signed(&[*known], &root.subject_public_key_info, leaf.tbs_certificate.as_ref(), signature)
            })
    }

    fn check_time(&self, leaf: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
        let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
        let now = now.ok_or(Error::FailedToGetCurrentTime)?;
        match leaf.validity() {
            validity if now < validity.not_before => Err(CertificateError::NotValidYet.into()),
            validity if now > validity.not_after => Err(CertificateError::Expired.into()),
            _ => Ok(()),
        }
    }

    fn check_extensions(&self, leaf: &X509Certificate<'_>) -> Result<(), Error> {
        for extension in leaf.extensions() {
            let is_fitting = match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(_) | ParsedExtension::SubjectAlternativeName(_) => true,
                ParsedExtension::KeyUsage(usage) => {
                    usage.digital_signature() || usage.key_agreement() || usage.key_encipherment()
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    let role = match self.role {
                        Role::Client => usage.client_auth,
                        Role::Server => usage.server_auth,
                    };
                    role || usage.any
                }
                _ if extension.critical => {
                    return Err(CertificateError::UnhandledCriticalExtension.into());
                }
                _ => true,
            };
            if !is_fitting {
                return Err(CertificateError::InvalidPurpose.into());
            }
        }
        Ok(())
    }
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
fn content(der: &[u8]) -> Option<&[u8]> {
    Any::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, value)| value.data)
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    parse_x509_certificate(certificate).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, leaf)| leaf)
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

#[cfg(test)]
mod tests;
