//! What a certificate may be used for, read from its bytes: to sign others, from when till when and how deep;
//! to shake hands with.
//!
//! As OpenSSL has it, where the TLS library asks less: that keeps only name, key and name constraints of an
//! authority, and looks at no keyUsage. Never looks at a signature. Source: RFC 5280 §4.1.2.5, §4.2.1.3,
//! §4.2.1.9, §4.2.1.12.

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::Error as Refusal;
use x509_parser::extensions::{ExtendedKeyUsage, ParsedExtension};
use x509_parser::prelude::{ASN1Time, X509Certificate, X509Version, parse_x509_certificate};

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client's, shown to us.
    Client,
    /// A server's, shown to us.
    Server,
}

/// Why a certificate may sign no other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The TLS library, or this module, cannot read it.
    #[error("it cannot be read")]
    Unreadable,
    /// No basicConstraints, or they say so.
    #[error("its basicConstraints do not say CA:TRUE")]
    EndEntity,
    /// Only what is version 1 and self-signed may be taken for an authority without basicConstraints.
    #[error("it is of version 1 and not self-signed")]
    Version1,
    /// It has a keyUsage.
    #[error("its keyUsage has no keyCertSign")]
    KeyUsage,
    /// It has an extendedKeyUsage.
    #[error("its extendedKeyUsage is another one")]
    Purpose,
    /// Whoever does not know it must not use the certificate.
    #[error("its critical extension {0} is not known")]
    Critical(String),
}

/// When an authority may sign, and how deep below it others may.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    not_before: UnixTime,
    not_after: UnixTime,
    /// The most authorities between it and whom it vouches for.
    depth_max: Option<u32>,
}

impl Terms {
    /// Of what may sign the certificates of `role`.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn of(certificate: &X509Certificate<'_>, role: Role) -> Result<Self, Unfit> {
        let depth_max = match certificate.basic_constraints() {
            _ if certificate.version() == X509Version::V1 => {
                if !is_self_signed(certificate) {
                    return Err(Unfit::Version1);
                }
                None
            }
            Ok(Some(constraints)) if constraints.value.ca => constraints.value.path_len_constraint,
            _ => return Err(Unfit::EndEntity),
        };
        if !may_sign(certificate) {
            return Err(Unfit::KeyUsage);
        }
        match certificate.extended_key_usage() {
            Ok(None) => {}
            Ok(Some(usage)) if is_for(usage.value, role) => {}
            _ => return Err(Unfit::Purpose),
        }
        match unknown_of_authority(certificate) {
            Some(extension) => Err(Unfit::Critical(extension)),
            None => Ok(Self { depth_max, ..Self::in_time(certificate) }),
        }
    }

    /// Only of its time.
    pub(super) fn in_time(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self { not_before: time(validity.not_before), not_after: time(validity.not_after), depth_max: None }
    }

    /// Whether the certificate counts at `now`, with so many authorities below it.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn allow(&self, now: UnixTime, depth: usize) -> Result<(), Refusal> {
        if now < self.not_before {
            return Err(Refusal::CertNotValidYet { time: now, not_before: self.not_before });
        }
        if now > self.not_after {
            return Err(Refusal::CertExpired { time: now, not_after: self.not_after });
        }
        match self.depth_max {
            Some(most) if depth as u64 > u64::from(most) => Err(Refusal::PathLenConstraintViolated),
            _ => Ok(()),
        }
    }
}

/// Reads a certificate and nothing behind it.
pub(super) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    parse_x509_certificate(certificate).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, parsed)| parsed)
}

/// Whether its subject has issued it, by the names.
pub(super) fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// Whether its keyUsage, if it has one, lets it sign certificates.
pub(super) fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    match certificate.key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Err(_) => false,
    }
}

/// Whether it, or nobody knows whether it, constrains the names of whom it vouches for.
pub(super) fn may_constrain_names(certificate: &X509Certificate<'_>) -> bool {
    !matches!(certificate.name_constraints(), Ok(None))
}

/// Whether its keyUsage, if it has one, lets its holder shake hands. A server may do so with one that was
/// meant for the exchange of keys by RSA, which is not spoken here: OpenSSL takes that, too, and many
/// self-made certificates have no other.
///
/// # Errors
/// It does not.
pub(super) fn check_key_usage(leaf: &X509Certificate<'_>, role: Role) -> Result<(), CertificateError> {
    let is_fitting = match leaf.key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => {
            let usage = usage.value;
            let by_encryption = role == Role::Server && usage.key_encipherment();
            usage.digital_signature() || usage.key_agreement() || by_encryption
        }
        Err(_) => false,
    };
    if is_fitting { Ok(()) } else { Err(CertificateError::InvalidPurpose) }
}

/// All extensions of a certificate that the library does not judge.
///
/// # Errors
/// One does not allow what it is used for.
pub(super) fn check_extensions(leaf: &X509Certificate<'_>, role: Role) -> Result<(), CertificateError> {
    check_key_usage(leaf, role)?;
    for extension in leaf.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::ExtendedKeyUsage(usage) if !is_for(usage, role) => {
                return Err(CertificateError::InvalidPurpose);
            }
            ParsedExtension::BasicConstraints(_)
            | ParsedExtension::SubjectAlternativeName(_)
            | ParsedExtension::ExtendedKeyUsage(_)
            | ParsedExtension::KeyUsage(_) => {}
            _ if extension.critical => return Err(CertificateError::UnhandledCriticalExtension),
            _ => {}
        }
    }
    Ok(())
}

fn is_for(usage: &ExtendedKeyUsage<'_>, role: Role) -> bool {
    match role {
        Role::Client => usage.client_auth,
        Role::Server => usage.server_auth,
    }
}

/// The first critical extension that nobody looks at here. Policies count for nothing unless somebody asks
/// for one, and nobody does.
fn unknown_of_authority(certificate: &X509Certificate<'_>) -> Option<String> {
    let is_known = |extension: &ParsedExtension<'_>| {
        matches!(
            extension,
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::NameConstraints(_)
                | ParsedExtension::CRLDistributionPoints(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::PolicyMappings(_)
                | ParsedExtension::PolicyConstraints(_)
                | ParsedExtension::InhibitAnyPolicy(_)
        )
    };
    let mut all = certificate.extensions().iter();
    let unknown = all.find(|extension| extension.critical && !is_known(extension.parsed_extension()))?;
    Some(unknown.oid.to_id_string())
}

fn time(time: ASN1Time) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0)))
}
