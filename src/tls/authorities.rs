//! The authorities of a CA file, and whether one of them vouches for a peer: the one place that judges
//! certificates of clients, of servers and of directories.
//!
//! The TLS library finds the path from the peer to an authority and verifies it; what it does not look at is
//! looked at here, for each path that it finds: that the authority may sign, now and so deep, and that each
//! certificate between may. Names are the caller's, but for which of them may count. Invariant: a certificate
//! that may not sign stands for nobody but, where it is self-signed, itself. Costs no query anything, and a
//! handshake the reading of the certificates that are shown.
//!
//! Source: RFC 5280 §6.1 and §4.2.1.

use super::files::{TlsError, bad_file, certificates, certificates_of, system_authorities};
use super::fitness::{
    Role, Terms, Unfit, check_extensions, check_key_usage, is_self_signed, may_constrain_names, may_sign,
    parse,
};
use super::x509_compat;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use std::sync::Arc;
use webpki::{EndEntityCert, Error as Refusal, KeyUsage, VerifiedPath, anchor_from_trusted_cert};
use x509_parser::prelude::X509Certificate;

/// A certificate of a CA file that is of no use there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {file}: the {place} certificate ({subject}) is no authority: {why}")]
pub struct LeftOut {
    setting: &'static str,
    file: String,
    place: String,
    subject: String,
    why: Unfit,
}

/// Who vouches for peers.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// As the library wants them.
    anchors: Vec<TrustAnchor<'static>>,
    /// Of each anchor.
    terms: Vec<Terms>,
    /// The self-signed certificates of the file: whoever shows one of them is vouched for by the file itself.
    own: Vec<CertificateDer<'static>>,
    subjects: Vec<DistinguishedName>,
    role: Role,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Authorities {
    /// Those of `file`, or of the system where it is empty, for certificates of `role`; and what is left out.
    ///
    /// # Errors
    /// [`TlsError::File`]: it cannot be read, or none is left.
    pub fn load(
        setting: &'static str,
        file: &str,
        role: Role,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<(Self, Vec<LeftOut>), TlsError> {
        let file = if file.is_empty() { system_authorities() } else { file };
        let (authorities, unfit) = Self::of(certificates(setting, file)?, role, algorithms);
        let left_out = left_out(setting, file, unfit);
        if authorities.is_empty() {
            Err(none_is_left(setting, file, &left_out))
        } else {
            Ok((authorities, left_out))
        }
    }

    /// Those among `certificates`; and which of them, counted from 0, are of no use, with subject and reason.
    fn of(
        certificates: Vec<CertificateDer<'static>>,
        role: Role,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> (Self, Vec<(usize, String, Unfit)>) {
        let (anchors, terms, own, subjects) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut authorities = Self { anchors, terms, own, subjects, role, algorithms };
        let mut unfit = Vec::new();
        for (at, certificate) in certificates.into_iter().enumerate() {
            if let Err((subject, why)) = authorities.add(&certificate) {
                unfit.push((at, subject, why));
            }
        }
        (authorities, unfit)
    }

    fn add(&mut self, certificate: &CertificateDer<'static>) -> Result<(), (String, Unfit)> {
        let (anchor, parsed, terms) = judge(certificate, self.role)?;
        let stands_for_itself = is_self_signed(&parsed) && check_extensions(&parsed, self.role).is_ok();
        if let Err(why) = &terms
            && !stands_for_itself
        {
            return Err((subject(&parsed), why.clone()));
        }
        self.subjects.push(DistinguishedName::in_sequence(&anchor.subject));
        if stands_for_itself {
            self.own.push(certificate.clone());
        }
        if let Ok(terms) = terms {
            self.anchors.push(anchor.to_owned());
            self.terms.push(terms);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.anchors.is_empty() && self.own.is_empty()
    }

    /// The library's, by which handshakes are signed, too.
    pub(super) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    /// Their names, for clients that have several certificates to choose from.
    pub(super) fn subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    /// Whether they vouch for whoever holds the key of `shown`, with the certificates `between`.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn verify(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let leaf = parse(shown).ok_or(CertificateError::BadEncoding)?;
        if self.own.iter().any(|own| **own == **shown) {
            Terms::in_time(&leaf).allow(now, 0).map_err(error_of)?;
            return Ok(check_extensions(&leaf, self.role)?);
        }
        match self.verify_path(shown, between, now) {
            // The library does not read it.
            Err(Refusal::UnsupportedCertVersion) => self.verify_version_1(&leaf, shown, now),
            Err(refusal) => Err(error_of(refusal)),
            Ok(()) => Ok(check_key_usage(&leaf, self.role)?),
        }
    }

    fn verify_path(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let usage = match self.role {
            Role::Client => KeyUsage::client_auth(),
            Role::Server => KeyUsage::server_auth(),
        };
        let look = |path: &VerifiedPath<'_>| self.look_at(path, now);
        let (leaf, algorithms) = (EndEntityCert::try_from(shown)?, self.algorithms.all);
        leaf.verify_for_usage(algorithms, &self.anchors, between, now, usage, None, Some(&look)).map(|_| ())
    }

    /// What the library does not look at on the way from the peer to an authority.
    fn look_at(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<(), Refusal> {
        let is_it = |anchor: &TrustAnchor<'_>| std::ptr::eq(anchor, path.anchor());
        let at = self.anchors.iter().position(is_it).ok_or(Refusal::UnknownIssuer)?;
        self.terms[at].allow(now, path.intermediate_certificates().count())?;
        for between in path.intermediate_certificates() {
            if !parse(&between.der()).is_some_and(|parsed| may_sign(&parsed)) {
                return Err(Refusal::EndEntityUsedAsCa);
            }
        }
        Ok(())
    }

    /// Takes a certificate of version 1 that an authority without name constraints has signed itself.
    fn verify_version_1(
        &self,
        leaf: &X509Certificate<'_>,
        shown: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if !x509_compat::is_version_1(leaf) {
            return Err(error_of(Refusal::UnsupportedCertVersion));
        }
        let issuer = x509_compat::content(leaf.issuer().as_raw()).ok_or(CertificateError::BadEncoding)?;
        let mut outcome = Err(Refusal::UnknownIssuer);
        for (anchor, terms) in self.anchors.iter().zip(&self.terms) {
            let may_be_it = *anchor.subject == *issuer && anchor.name_constraints.is_none();
            if may_be_it && x509_compat::has_signed(anchor, leaf, shown, &self.algorithms) {
                outcome = terms.allow(now, 0);
                if outcome.is_ok() {
                    break;
                }
            }
        }
        outcome.and_then(|()| Terms::in_time(leaf).allow(now, 0)).map_err(error_of)
    }

    /// Whether name constraints may lie on the certificates that a peer has shown: theirs, or those of an
    /// authority that may have signed one. No common name is under them: they are about alternative ones.
    pub(crate) fn may_constrain_names(&self, shown: &[CertificateDer<'_>]) -> bool {
        shown.iter().any(|certificate| {
            let Some(parsed) = parse(certificate) else { return true };
            let issuer = x509_compat::content(parsed.issuer().as_raw());
            let is_issuer = |anchor: &TrustAnchor<'_>| {
                anchor.name_constraints.is_some() && issuer.is_some_and(|issuer| *anchor.subject == *issuer)
            };
            may_constrain_names(&parsed) || self.anchors.iter().any(is_issuer)
        })
    }
}

/// The certificates of `pem`, which is what `file` has, that may sign those of servers: for a library that
/// takes each one that it is given for an authority.
///
/// # Errors
/// [`TlsError::File`]: there is none.
pub fn signers_of_servers(
    setting: &'static str,
    file: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (mut signers, mut unfit) = (Vec::new(), Vec::new());
    for (at, certificate) in certificates_of(setting, file, pem)?.into_iter().enumerate() {
        match judge(&certificate, Role::Server) {
            Ok((_, _, Ok(_))) => signers.push(certificate),
            Ok((_, parsed, Err(why))) => unfit.push((at, subject(&parsed), why)),
            Err((subject, why)) => unfit.push((at, subject, why)),
        }
    }
    if signers.is_empty() {
        Err(none_is_left(setting, file, &left_out(setting, file, unfit)))
    } else {
        Ok(signers)
    }
}

/// A certificate as the library wants it, as it is read, and on which terms it may sign.
type Judged<'a> = (TrustAnchor<'a>, X509Certificate<'a>, Result<Terms, Unfit>);

/// # Errors
/// It cannot be read: its subject, if that can, and so much.
fn judge<'a>(certificate: &'a CertificateDer<'_>, role: Role) -> Result<Judged<'a>, (String, Unfit)> {
    let Some(parsed) = parse(certificate) else { return Err(("?".to_owned(), Unfit::Unreadable)) };
    match anchor_from_trusted_cert(certificate) {
        Ok(anchor) => {
            let terms = Terms::of(&parsed, role);
            Ok((anchor, parsed, terms))
        }
        Err(_) => Err((subject(&parsed), Unfit::Unreadable)),
    }
}

fn subject(certificate: &X509Certificate<'_>) -> String {
    certificate.subject().to_string().escape_debug().to_string()
}

fn left_out(setting: &'static str, file: &str, unfit: Vec<(usize, String, Unfit)>) -> Vec<LeftOut> {
    let named =
        |(at, subject, why)| LeftOut { setting, file: file.to_owned(), place: ordinal(at + 1), subject, why };
    unfit.into_iter().map(named).collect()
}

/// Of a file that has certificates, and none that is of use.
fn none_is_left(setting: &'static str, file: &str, left_out: &[LeftOut]) -> TlsError {
    let first = left_out.first().map_or_else(String::new, |LeftOut { place, subject, why, .. }| {
        format!(": the {place} certificate ({subject}) is no authority: {why}")
    });
    bad_file(setting, file, &format!("no usable certificate found{first}"))
}

/// The TLS library's word for a refusal: it decides what the peer is told.
fn error_of(refusal: Refusal) -> Error {
    let why = match refusal {
        Refusal::BadDer | Refusal::BadDerTime | Refusal::TrailingData(_) => CertificateError::BadEncoding,
        Refusal::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Refusal::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Refusal::InvalidCertValidity => CertificateError::Expired,
        Refusal::UnknownIssuer => CertificateError::UnknownIssuer,
        Refusal::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Refusal::UnsupportedSignatureAlgorithmContext(context) => {
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: context.signature_algorithm_id,
                supported_algorithms: context.supported_algorithms,
            }
        }
        Refusal::UnsupportedSignatureAlgorithmForPublicKeyContext(context) => {
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: context.signature_algorithm_id,
                public_key_algorithm_id: context.public_key_algorithm_id,
            }
        }
        Refusal::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        Refusal::UnsupportedCriticalExtension => CertificateError::UnhandledCriticalExtension,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    why.into()
}

/// `1st`, `2nd`, `11th`.
fn ordinal(number: usize) -> String {
    let end = match (number % 10, number % 100) {
        (1, hundredth) if hundredth != 11 => "st",
        (2, hundredth) if hundredth != 12 => "nd",
        (3, hundredth) if hundredth != 13 => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

#[cfg(test)]
pub(crate) mod tests;
