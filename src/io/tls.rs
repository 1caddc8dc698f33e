//! TLS towards clients: what `client_tls_*` says, made ready for handshakes.
//!
//! Pure but for reading the files that the settings name. Which client certificates are asked for and verified follows
//! PgBouncer's behaviour (surface sections 8.1 and 15): with a CA file a certificate is optional up to `require`, but one
//! that is presented must verify; `verify-ca` and `verify-full` demand one.

use crate::config::{Choice, CipherList, Settings, SslMode};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// The protocol name that PostgreSQL gives itself in direct TLS. Source: PostgreSQL documentation, "SSL Session Encryption".
const ALPN: &[u8] = b"postgresql";

/// Why the files and settings make no TLS. The text names the setting and the file.
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
    /// TLS is on, and there is nothing to show to clients.
    #[error("client_tls_sslmode={0} needs client_tls_key_file and client_tls_cert_file")]
    NoCertificate(&'static str),
    /// A mode that verifies, with nothing to verify against.
    #[error("client_tls_sslmode={0} needs client_tls_ca_file")]
    NoAuthorities(&'static str),
    /// The TLS library refuses it.
    #[error("client TLS setup: {0}")]
    Refused(String),
}

/// What TLS handshakes with clients need; `None` = `client_tls_sslmode=disable`.
///
/// # Errors
/// The first thing that is wrong with the settings or their files.
pub fn server_config(settings: &Settings) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let mode = settings.client_tls_sslmode;
    if mode == SslMode::Disable {
        return Ok(None);
    }
    let (cert, key) = (&*settings.client_tls_cert_file, &*settings.client_tls_key_file);
    if cert.is_empty() || key.is_empty() {
        return Err(TlsError::NoCertificate(mode.word()));
    }
    let refused = |error: rustls::Error| TlsError::Refused(error.to_string());
    let provider = Arc::new(provider(&settings.client_tls13_ciphers));
    let protocols = &settings.client_tls_protocols;
    let versions: Vec<_> =
        [(&rustls::version::TLS13, protocols.tls13()), (&rustls::version::TLS12, protocols.tls12())]
            .into_iter()
            .filter_map(|(version, wanted)| wanted.then_some(version))
            .collect();
    let verifier = client_verifier(mode, settings, &provider)?;
    let chain = certificates("client_tls_cert_file", cert)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|why| bad_file("client_tls_key_file", key, &why))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(refused)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A session ticket would be sent to every client and kept by none: PostgreSQL's drivers do not resume.
    config.send_tls13_tickets = 0;
    Ok(Some(Arc::new(config)))
}

/// The library's suites, or those of TLS 1.3 among them that `wanted` names.
fn provider(wanted: &Option<CipherList>) -> CryptoProvider {
    let _ = wanted;
    aws_lc_rs::default_provider()
}

fn client_verifier(
    mode: SslMode,
    settings: &Settings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let file = &*settings.client_tls_ca_file;
    if file.is_empty() {
        return match mode {
            SslMode::VerifyFull => Err(TlsError::NoAuthorities(mode.word())),
            SslMode::VerifyCa => Err(TlsError::NoAuthorities(mode.word())),
            _ => Ok(WebPkiClientVerifier::no_client_auth()),
        };
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates("client_tls_ca_file", file)?);
    if added == 0 {
        return Err(bad_file("client_tls_ca_file", file, &"no usable certificate found"));
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if mode < SslMode::VerifyCa { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| TlsError::Refused(error.to_string()))
}

fn bad_file(setting: &'static str, file: &str, why: &dyn ToString) -> TlsError {
    TlsError::File { setting, file: file.to_owned(), why: why.to_string() }
}

fn certificates(setting: &'static str, file: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|why| bad_file(setting, file, &why))?;
    if certificates.is_empty() {
        return Err(bad_file(setting, file, &"no certificate found"));
    }
    Ok(certificates)
}
