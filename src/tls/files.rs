//! The files and lists that settings of TLS name: certificates, keys, authorities, versions, suites.
//!
//! Each error names its setting and its file. Never prints a key.

use super::describe::openssl_name;
use super::x509_compat;
use crate::base::limits;
use crate::config::{CipherList, Curve, Curves, SslMode, Tls13Suites, TlsProtocols, Value, read_file};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, SupportedCipherSuite, SupportedProtocolVersion};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Why settings and their files make no TLS. The text names the setting, and the file where there is one.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read, or holds nothing of its kind.
    #[error("{setting}: {file}: {why}")]
    File {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A certificate needs a key, and a key a certificate.
    #[error("{cert} and {key} must be set together")]
    HalfAPair {
        /// The setting of the certificate.
        cert: &'static str,
        /// The setting of the key.
        key: &'static str,
    },
    /// TLS towards clients is on, with nothing to show them.
    #[error(
        "to allow TLS connections from clients, client_tls_key_file and client_tls_cert_file must be set"
    )]
    NoCertificate,
    /// Certificates are to prove who clients are, and nobody verifies them.
    #[error("auth_type=cert requires client_tls_sslmode=verify-full")]
    CertWithoutVerification,
    /// Direct TLS where a server may do without TLS.
    #[error(
        "server_tls_negotiation=direct needs server_tls_sslmode=require, verify-ca or verify-full, not {mode}"
    )]
    DirectButOptional {
        /// The mode in force.
        mode: &'static str,
    },
    /// `verify-full` with nothing to verify against.
    #[error("{mode}=verify-full needs {authorities}")]
    NoAuthorities {
        /// The setting of the mode.
        mode: &'static str,
        /// The setting of the file that is missing.
        authorities: &'static str,
    },
    /// No suite of that name.
    #[error("failed to set the TLSv1.3 cipher suites: {setting}: {why}")]
    Suites {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// TLS is demanded, with no version that the library speaks.
    #[error("{setting}: only TLS 1.2 and 1.3 are available in this version")]
    NoVersion {
        /// The setting.
        setting: &'static str,
    },
    /// The TLS library refuses it.
    #[error("{side} TLS: {why}")]
    Refused {
        /// `client` or `server`.
        side: &'static str,
        /// Its reason.
        why: String,
    },
}

impl TlsError {
    /// Whether it is a setting that is not there; else what is there is wrong, whatever else the files say.
    pub fn is_of_absence(&self) -> bool {
        matches!(
            self,
            Self::NoCertificate
                | Self::CertWithoutVerification
                | Self::DirectButOptional { .. }
                | Self::NoAuthorities { .. }
                | Self::HalfAPair { .. }
        )
    }
}

/// What our side (`client` or `server` TLS) shows of itself: `chain`, of any version of X.509, with the `key`
/// of its first certificate.
///
/// # Errors
/// The library does not know such a key, or it is another certificate's.
pub fn identity(
    side: &'static str,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Arc<SingleCertAndKey>, TlsError> {
    let key = provider.key_provider.load_private_key(key).map_err(|error| refused(side, &error))?;
    let certified = chain.first().and_then(x509_compat::public_key);
    match key.public_key() {
        Some(public) if certified.as_ref() != Some(&public) => {
            Err(refused(side, &rustls::Error::from(InconsistentKeys::KeyMismatch)))
        }
        _ => Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))),
    }
}

/// The TLS library's refusal, on the `client` or the `server` side.
pub fn refused(side: &'static str, why: &dyn ToString) -> TlsError {
    TlsError::Refused { side, why: why.to_string() }
}

/// The library's cryptography, with only those suites that `of_13` and `of_12` name, in their order.
///
/// # Errors
/// [`TlsError::Suites`] where `of_13`, the value of `setting`, names one that there is not, or none.
pub fn provider(
    setting: &'static str,
    of_13: Option<&Tls13Suites>,
    of_12: &CipherList,
) -> Result<CryptoProvider, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    let (mut suites, mut older): (Vec<_>, Vec<_>) =
        provider.cipher_suites.iter().copied().partition(|suite| suite.tls13().is_some());
    if let Some(wanted) = of_13.filter(|list| list.is_given()) {
        let unknown = |name: &str| TlsError::Suites {
            setting,
            why: format!("no suite {name}; {}", Tls13Suites::accepted()),
        };
        let named = |name| suites.iter().copied().find(|suite| is_named(suite, name));
        suites =
            wanted.names().map(|name| named(name).ok_or_else(|| unknown(name))).collect::<Result<_, _>>()?;
        if suites.is_empty() {
            return Err(unknown("named"));
        }
    }
    if let Some(names) = of_12.names() {
        let named = |name: &&str| older.iter().copied().find(|suite| is_named(suite, name));
        older = names.iter().filter_map(named).collect();
    }
    suites.append(&mut older);
    provider.cipher_suites = suites;
    Ok(provider)
}

/// Leaves only key exchanges over these curves, in their order.
pub fn choose_curves(provider: &mut CryptoProvider, curves: &Curves) {
    let group = |curve: &Curve| match curve {
        Curve::P256 => kx_group::SECP256R1,
        Curve::P384 => kx_group::SECP384R1,
        Curve::X25519 => kx_group::X25519,
    };
    if let Some(named) = curves.named() {
        provider.kx_groups = named.iter().map(group).collect();
    }
}

/// Whether OpenSSL calls the suite `name`.
fn is_named(suite: &SupportedCipherSuite, name: &str) -> bool {
    openssl_name(&format!("{:?}", suite.suite())) == name
}

/// The versions spoken, newest first; `None` = no TLS: because of the mode, or because there is no version
/// and the mode leaves TLS open. `setting` names the protocols.
///
/// # Errors
/// [`TlsError::NoVersion`] where the mode demands TLS.
pub fn versions(
    mode: SslMode,
    setting: &'static str,
    protocols: &TlsProtocols,
) -> Result<Option<Vec<&'static SupportedProtocolVersion>>, TlsError> {
    let spoken: Vec<_> =
        [(&rustls::version::TLS13, protocols.tls13()), (&rustls::version::TLS12, protocols.tls12())]
            .into_iter()
            .filter_map(|(version, is_wanted)| is_wanted.then_some(version))
            .collect();
    match mode {
        SslMode::Disable => Ok(None),
        SslMode::Allow | SslMode::Prefer if spoken.is_empty() => Ok(None),
        _ if spoken.is_empty() => Err(TlsError::NoVersion { setting }),
        _ => Ok(Some(spoken)),
    }
}

/// The file of the system's authorities.
pub(super) fn system_authorities() -> &'static str {
    SYSTEM_AUTHORITIES.into_iter().find(|file| Path::new(file).exists()).unwrap_or(SYSTEM_AUTHORITIES[0])
}

/// The certificates of a PEM file, in order; at least one.
///
/// # Errors
/// [`TlsError::File`].
pub fn certificates(setting: &'static str, file: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates_of(setting, file, &read(setting, file)?)
}

/// The certificates of `pem`, which is what `file` has; at least one.
///
/// # Errors
/// [`TlsError::File`].
pub(super) fn certificates_of(
    setting: &'static str,
    file: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if certificates.is_empty() => Err(bad_file(setting, file, &"no certificate found")),
        Ok(certificates) => Ok(certificates),
        Err(why) => Err(bad_file(setting, file, &why)),
    }
}

/// The first private key of a PEM file.
///
/// # Errors
/// [`TlsError::File`].
pub fn private_key(setting: &'static str, file: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = Zeroizing::new(read(setting, file)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|why| bad_file(setting, file, &why))
}

fn read(setting: &'static str, file: &str) -> Result<Vec<u8>, TlsError> {
    read_file(file, limits::TLS_FILE_BYTES_MAX).map_err(|why| bad_file(setting, file, &why))
}

pub(super) fn bad_file(setting: &'static str, file: &str, why: &dyn ToString) -> TlsError {
    TlsError::File { setting, file: file.to_owned(), why: why.to_string() }
}

/// Where systems keep the certificates of well-known authorities; the first that exists counts.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
