//! TLS sessions' settings, made from files: everything towards clients, and the parts
//! that servers' side shares.
//!
//! Never opens a connection. Towards clients (PgBouncer, doc/config.md, `client_tls_sslmode`): a client's
//! certificate is asked for where a CA file is set; up to `require` it may have none, but one that it shows
//! must verify; `verify-ca` and `verify-full` demand one. Suites and key exchanges are the library's: forward
//! secrecy and AEAD always, no RSA key exchange.

use super::authorities::{Authorities, LeftOut};
use super::files::{
    TlsError, certificates, choose_curves, identity, private_key, provider, refused, versions,
};
use super::fitness::Role;
use super::tickets::TicketKeys;
use super::x509_compat;
use super::x509_compat::verify_signatures;
use crate::config::{AuthType, Settings, SslMode};
use crate::io::Clock;
use ::aws_lc_rs::digest::{self, SHA256};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use std::sync::Arc;

/// The protocol's name in TLS. Source: PostgreSQL documentation, "SSL Session Encryption".
pub(super) const ALPN: &[u8] = b"postgresql";

/// What takes clients' handshakes.
#[derive(Clone, Debug)]
pub struct Acceptor {
    /// For handshakes.
    pub config: Arc<ServerConfig>,
    /// Who vouches for clients, where they are asked for certificates.
    pub authorities: Option<Arc<Authorities>>,
    /// What of their file is of no use.
    pub left_out: Vec<LeftOut>,
    /// A digest of all that it was made from, where it gives tickets.
    pub(super) origin: Option<[u8; 32]>,
}

impl Acceptor {
    /// Of a configuration that asks nobody for a certificate.
    #[cfg(test)]
    pub fn without_certificates(config: ServerConfig) -> Self {
        Self { config: Arc::new(config), authorities: None, left_out: Vec::new(), origin: None }
    }

    /// `before`, where that was made from the same and gives tickets: those that clients have stay good. Any
    /// other change makes them worthless.
    pub fn or_before(self, before: Option<&Self>) -> Self {
        let is_as_before = |before: &&Self| self.origin.is_some() && self.origin == before.origin;
        before.filter(is_as_before).cloned().unwrap_or(self)
    }
}

/// What takes clients' handshakes; `None` = no TLS: `client_tls_sslmode=disable`, or no version to speak
/// where TLS is a client's choice.
///
/// # Errors
/// The first thing that is wrong with the settings or their files.
pub fn acceptor(settings: &Settings) -> Result<Option<Acceptor>, TlsError> {
    let mode = settings.client_tls_sslmode;
    if settings.auth_type == AuthType::Cert && mode != SslMode::VerifyFull {
        return Err(TlsError::CertWithoutVerification);
    }
    let Some(versions) = versions(mode, "client_tls_protocols", &settings.client_tls_protocols)? else {
        return Ok(None);
    };
    let (cert, key) = (&*settings.client_tls_cert_file, &*settings.client_tls_key_file);
    if cert.is_empty() || key.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let of_13 = settings.client_tls13_ciphers.as_ref();
    let mut provider = provider("client_tls13_ciphers", of_13, &settings.client_tls_ciphers)?;
    choose_curves(&mut provider, &settings.client_tls_ecdhcurve);
    let provider = Arc::new(provider);
    let (authorities, left_out) = authorities(settings, &provider)?.unzip();
    let authorities = authorities.map(Arc::new);
    let chain = certificates("client_tls_cert_file", cert)?;
    let key = private_key("client_tls_key_file", key)?;
    // A ticket would stand for a certificate that nobody has looked at again: its end, its authority.
    let gives_tickets = authorities.is_none();
    let origin = gives_tickets.then(|| origin(&versions, &provider, &chain, &key));
    let identity = identity("client", chain, key, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| refused("client", &error))?
        .with_client_cert_verifier(verifier(mode, authorities.as_ref()))
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {}); // tickets hold the sessions themselves
    config.send_tls13_tickets = usize::from(gives_tickets);
    if gives_tickets {
        config.ticketer = Arc::new(TicketKeys::new(Clock::new()));
    }
    let left_out = left_out.unwrap_or_default();
    Ok(Some(Acceptor { config: Arc::new(config), authorities, left_out, origin }))
}

/// A digest of what handshakes go by.
fn origin(
    versions: &[&SupportedProtocolVersion],
    provider: &CryptoProvider,
    chain: &[CertificateDer<'_>],
    key: &PrivateKeyDer<'_>,
) -> [u8; 32] {
    let spoken = format!("{versions:?} {:?}", provider.cipher_suites);
    let mut digest = digest::Context::new(&SHA256);
    let parts = [spoken.as_bytes(), key.secret_der()];
    for part in parts.into_iter().chain(chain.iter().map(|certificate| &**certificate)) {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut origin = [0; 32];
    origin.copy_from_slice(digest.finish().as_ref());
    origin
}

/// Who vouches for clients, and what of the file is left out; `None` where they are asked for nothing.
fn authorities(
    settings: &Settings,
    provider: &CryptoProvider,
) -> Result<Option<(Authorities, Vec<LeftOut>)>, TlsError> {
    let (mode, file) = (settings.client_tls_sslmode, &*settings.client_tls_ca_file);
    if file.is_empty() && mode == SslMode::VerifyFull {
        return Err(TlsError::NoAuthorities {
            mode: "client_tls_sslmode",
            authorities: "client_tls_ca_file",
        });
    }
    if file.is_empty() && mode < SslMode::VerifyCa {
        return Ok(None);
    }
    let algorithms = provider.signature_verification_algorithms;
    Authorities::load("client_tls_ca_file", file, Role::Client, algorithms).map(Some)
}

fn verifier(mode: SslMode, authorities: Option<&Arc<Authorities>>) -> Arc<dyn ClientCertVerifier> {
    match authorities {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(authorities) => {
            Arc::new(Clients { authorities: Arc::clone(authorities), is_demanded: mode >= SslMode::VerifyCa })
        }
    }
}

/// Takes clients' certificates of known authorities.
#[derive(Debug)]
struct Clients {
    authorities: Arc<Authorities>,
    is_demanded: bool,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_demanded
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.authorities.verify(end_entity, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    verify_signatures!(self => self.authorities.algorithms());
}

#[cfg(test)]
mod resumption;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, ConfigBuilder, ServerConnection, WantsVerifier};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// PEM files of one authority, removed when dropped.
    pub(super) struct Files(PathBuf);

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    impl Files {
        pub(super) fn path(&self, name: &str) -> String {
            self.0.join(name).display().to_string()
        }

        /// An authority in `ca.crt`, a certificate for localhost in `site.crt` with its key in `site.key`.
        pub(super) fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let files =
                Self(std::env::temp_dir().join(format!("pgweir-tls-{}-{number}", std::process::id())));
            std::fs::create_dir_all(&files.0).unwrap();
            let ca_key = KeyPair::generate().unwrap();
            let mut ca = CertificateParams::default();
            ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let site = CertificateParams::new(["localhost".to_owned()]).unwrap();
            let issuer = Issuer::from_params(&ca, &ca_key);
            let site = site.signed_by(&key, &issuer).unwrap();
            let ca = ca.self_signed(&ca_key).unwrap();
            for (name, text) in
                [("ca.crt", ca.pem()), ("site.crt", site.pem()), ("site.key", key.serialize_pem())]
            {
                std::fs::write(files.0.join(name), text).unwrap();
            }
            files
        }

        pub(super) fn settings(&self, more: &[(&str, &str)]) -> Settings {
            let files = [
                ("client_tls_sslmode", "require".to_owned()),
                ("client_tls_cert_file", self.path("site.crt")),
                ("client_tls_key_file", self.path("site.key")),
            ];
            let mut settings = Settings::default();
            let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
            for (name, value) in files.into_iter().chain(more) {
                Setting::named(name).unwrap().set(&mut settings, &value).unwrap();
            }
            settings
        }

        /// A client of this authority; with `own`, one that shows a certificate.
        pub(super) fn client(&self, own: Option<&Self>, alpn: &[&[u8]]) -> ClientConfig {
            let builder: ConfigBuilder<ClientConfig, WantsVerifier> = ClientConfig::builder();
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(certificates("x", &self.path("ca.crt")).unwrap());
            let builder = builder.with_root_certificates(roots);
            let mut config = match own {
                None => builder.with_no_client_auth(),
                Some(own) => {
                    let key = private_key("x", &own.path("site.key")).unwrap();
                    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.secret_der().to_vec()));
                    builder
                        .with_client_auth_cert(certificates("x", &own.path("site.crt")).unwrap(), key)
                        .unwrap()
                }
            };
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            config
        }
    }

    /// Shakes hands in memory; the suite agreed on.
    fn handshake(ours: &Settings, theirs: ClientConfig) -> Result<String, rustls::Error> {
        let ours = acceptor(ours).unwrap().unwrap().config;
        let mut server = ServerConnection::new(ours)?;
        let mut client = ClientConnection::new(Arc::new(theirs), ServerName::try_from("localhost").unwrap())?;
        for _ in 0..10 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(format!("{:?}", server.negotiated_cipher_suite().unwrap().suite()))
    }

    fn refusal(settings: &Settings) -> String {
        acceptor(settings).unwrap_err().to_string()
    }

    #[test]
    fn a_client_needs_a_certificate_only_where_it_is_demanded() {
        let (ours, strangers) = (Files::new(), Files::new());
        let ca = ours.path("ca.crt");
        for mode in ["allow", "prefer", "require", "verify-ca", "verify-full"] {
            let settings = ours.settings(&[("client_tls_sslmode", mode), ("client_tls_ca_file", &ca)]);
            let may_have_none = !mode.starts_with("verify");
            assert_eq!(handshake(&settings, ours.client(None, &[])).is_ok(), may_have_none, "{mode}, none");
            assert!(handshake(&settings, ours.client(Some(&ours), &[])).is_ok(), "{mode}, a good one");
            assert!(
                handshake(&settings, ours.client(Some(&strangers), &[])).is_err(),
                "{mode}, a stranger's"
            );
        }
        let settings = ours.settings(&[]);
        assert!(handshake(&settings, ours.client(Some(&strangers), &[])).is_ok(), "nobody asks for it");
    }

    #[test]
    fn a_protocol_name_is_optional_but_must_be_ours() {
        let files = Files::new();
        let settings = files.settings(&[]);
        assert!(handshake(&settings, files.client(None, &[b"h2", b"postgresql"])).is_ok());
        assert_eq!(
            handshake(&settings, files.client(None, &[b"h2"])),
            Err(rustls::Error::NoApplicationProtocol)
        );
    }

    #[test]
    fn versions_and_suites_are_those_that_are_asked_for() {
        let files = Files::new();
        let old = |mode| {
            acceptor(&files.settings(&[("client_tls_protocols", "tlsv1.0"), ("client_tls_sslmode", mode)]))
        };
        assert!(old("prefer").is_ok_and(|acceptor| acceptor.is_none()), "without TLS where that will do");
        let refusal_of_old = old("require").unwrap_err().to_string();
        assert_eq!(
            refusal_of_old,
            "client_tls_protocols: only TLS 1.2 and 1.3 are available in this version"
        );
        let suite =
            |more: &[(&str, &str)]| handshake(&files.settings(more), files.client(None, &[])).unwrap();
        assert!(suite(&[("client_tls_protocols", "tlsv1.2")]).starts_with("TLS_ECDHE_"));
        for name in ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"] {
            let agreed = suite(&[("client_tls13_ciphers", name)]);
            assert_eq!(agreed.replace("TLS13_", "TLS_"), name);
        }
        let by_default = suite(&[]);
        assert_eq!(suite(&[("client_tls13_ciphers", "")]), by_default, "an empty list is none");
        let of_12 = [("client_tls_protocols", "tlsv1.2"), ("client_tls_ciphers", "ALL:!AES")];
        assert!(suite(&of_12).contains("CHACHA20"), "{}", suite(&of_12));
        let unknown = refusal(&files.settings(&[("client_tls13_ciphers", "TLS_AES_128_GCM_SHA256:unknown")]));
        assert!(
            unknown.starts_with(
                "failed to set the TLSv1.3 cipher suites: client_tls13_ciphers: no suite unknown; "
            ),
            "{unknown}"
        );
    }

    #[test]
    fn curves_are_those_that_are_asked_for() {
        let files = Files::new();
        let curves = |value| {
            let acceptor = acceptor(&files.settings(&[("client_tls_ecdhcurve", value)])).unwrap().unwrap();
            let groups = &acceptor.config.crypto_provider().kx_groups;
            groups.iter().map(|group| format!("{:?}", group.name())).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(curves("secp384r1:prime256v1"), "secp384r1 secp256r1");
        assert_eq!(curves("X25519"), "X25519");
        assert_eq!(curves("auto"), curves("none"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_setting_and_file() {
        let (files, others) = (Files::new(), Files::new());
        assert!(acceptor(&Settings::default()).unwrap().is_none());
        let text = refusal(&files.settings(&[("client_tls_key_file", "")]));
        assert!(text.contains("client_tls_key_file and client_tls_cert_file must be set"), "{text}");
        let text = refusal(&files.settings(&[("client_tls_sslmode", "verify-full")]));
        assert_eq!(text, "client_tls_sslmode=verify-full needs client_tls_ca_file");
        let ca = files.path("ca.crt");
        for mode in ["disable", "prefer", "require", "verify-ca"] {
            let more = [("auth_type", "cert"), ("client_tls_sslmode", mode), ("client_tls_ca_file", &ca)];
            let text = refusal(&files.settings(&more));
            assert_eq!(text, "auth_type=cert requires client_tls_sslmode=verify-full", "{mode}");
        }
        let missing = files.path("missing");
        let text = refusal(&files.settings(&[("client_tls_cert_file", &missing)]));
        assert!(text.starts_with(&format!("client_tls_cert_file: {missing}: ")), "{text}");
        assert!(text.contains("No such file or directory"), "{text}");
        let key = files.path("site.key");
        let text = refusal(&files.settings(&[("client_tls_ca_file", &key)]));
        assert_eq!(text, format!("client_tls_ca_file: {key}: no certificate found"));
        let text = refusal(&files.settings(&[("client_tls_key_file", &others.path("site.key"))]));
        assert!(text.starts_with("client TLS: "), "a key of another certificate: {text}");
    }
}
