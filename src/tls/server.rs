//! TLS towards servers: what `server_tls_*` says, made ready for handshakes.
//!
//! Never opens a connection. What of a certificate is verified: nothing up to `require`, its chain with
//! `verify-ca`, chain and name with `verify-full`. Source: PgBouncer, doc/config.md ("TLS settings");
//! PostgreSQL documentation, "SSL Support" (a name is looked for in the common name only where the
//! certificate has no alternative names).

use super::authorities::{Authorities, LeftOut};
use super::client::ALPN;
use super::files::{self, TlsError};
use super::fitness::Role;
use super::x509_compat;
use super::x509_compat::verify_signatures;
use crate::config::{Choice, Settings, SslMode, TlsNegotiation};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;

/// What TLS handshakes with servers need.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// `server_tls_sslmode`.
    pub mode: SslMode,
    /// `server_tls_negotiation`.
    pub negotiation: TlsNegotiation,
    /// `None` with `disable` only, which stands for a mode without a version to speak, too.
    pub config: Option<Arc<ClientConfig>>,
    /// What of the file of the authorities is of no use.
    pub left_out: Vec<LeftOut>,
}

impl ServerTls {
    /// No TLS at all.
    pub fn disabled() -> Self {
        Self {
            mode: SslMode::Disable,
            negotiation: TlsNegotiation::Postgres,
            config: None,
            left_out: Vec::new(),
        }
    }

    /// Reads the files that `settings` name.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn from_settings(settings: &Settings) -> Result<Self, TlsError> {
        let (mode, negotiation) = (settings.server_tls_sslmode, settings.server_tls_negotiation);
        let is_direct = negotiation == TlsNegotiation::Direct;
        if is_direct && mode < SslMode::Require {
            return Err(TlsError::DirectButOptional { mode: mode.word() });
        }
        let versions = files::versions(mode, "server_tls_protocols", &settings.server_tls_protocols)?;
        let Some(versions) = versions else { return Ok(Self::disabled()) };
        let of_13 = settings.server_tls13_ciphers.as_ref();
        let provider = files::provider("server_tls13_ciphers", of_13, &settings.server_tls_ciphers)?;
        let provider = Arc::new(provider);
        let (verifier, left_out) = verifier(mode, settings, Arc::clone(&provider))?;
        let refused = |error: rustls::Error| files::refused("server", &error);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(refused)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let (cert, key) = (&*settings.server_tls_cert_file, &*settings.server_tls_key_file);
        let mut config = match (cert.is_empty(), key.is_empty()) {
            (true, true) => builder.with_no_client_auth(),
            (false, false) => {
                let chain = files::certificates("server_tls_cert_file", cert)?;
                let key = files::private_key("server_tls_key_file", key)?;
                builder.with_client_cert_resolver(files::identity("server", chain, key, &provider)?)
            }
            _ => {
                return Err(TlsError::HalfAPair { cert: "server_tls_cert_file", key: "server_tls_key_file" });
            }
        };
        if is_direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(Self { mode, negotiation, config: Some(Arc::new(config)), left_out })
    }

    /// Whether the server has agreed on what is spoken, where that is demanded: with direct TLS it might be a
    /// server of something else. Source: PostgreSQL documentation, "SSL Session Encryption".
    pub fn is_agreed(&self, session: &rustls::ClientConnection) -> bool {
        self.negotiation == TlsNegotiation::Postgres || session.alpn_protocol() == Some(ALPN)
    }
}

/// Whether certificates can be for `name`.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), String> {
    ServerName::try_from(name).map(|_| ()).map_err(|error| error.to_string())
}

/// What takes servers' certificates, and what of the file of the authorities is left out.
type Verifier = (Arc<dyn ServerCertVerifier>, Vec<LeftOut>);

fn verifier(mode: SslMode, settings: &Settings, provider: Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
    if mode < SslMode::VerifyCa {
        return Ok((anyone(provider), Vec::new()));
    }
    let file = &*settings.server_tls_ca_file;
    if file.is_empty() && mode == SslMode::VerifyFull {
        return Err(TlsError::NoAuthorities {
            mode: "server_tls_sslmode",
            authorities: "server_tls_ca_file",
        });
    }
    verified("server_tls_ca_file", file, &provider, mode == SslMode::VerifyFull)
}

/// What takes any certificate.
pub(super) fn anyone(provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Anyone(provider))
}

/// What takes certificates of the authorities in `file`, which `setting` names; with `names` only those for
/// the host that was connected to.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn verified(
    setting: &'static str,
    file: &str,
    provider: &CryptoProvider,
    names: bool,
) -> Result<Verifier, TlsError> {
    let algorithms = provider.signature_verification_algorithms;
    let (authorities, left_out) = Authorities::load(setting, file, Role::Server, algorithms)?;
    Ok((Arc::new(Servers { authorities, names }), left_out))
}

/// Takes any certificate; that its owner holds the key is still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!(self => self.0.signature_verification_algorithms);
}

/// Takes certificates of known authorities; with `names` only those for the host that was connected to.
#[derive(Debug)]
struct Servers {
    authorities: Authorities,
    names: bool,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.authorities.verify(end_entity, intermediates, now)?;
        if self.names {
            self.check_name(end_entity, intermediates, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!(self => self.authorities.algorithms());
}

impl Servers {
    /// Whether one of the certificate's names is the server's.
    fn check_name(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
    ) -> Result<(), rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let library = ParsedCertificate::try_from(end_entity);
        let Err(refusal) = library.and_then(|parsed| verify_server_name(&parsed, server_name)) else {
            return Ok(());
        };
        let is_common = common_name_is(end_entity, server_name)
            && !self.authorities.may_constrain_names(std::slice::from_ref(end_entity))
            && !self.authorities.may_constrain_names(intermediates);
        match refusal {
            _ if is_common => Ok(()),
            rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
                Err(refusal)
            }
            // It reads no certificate of version 1, which has only a common name.
            _ => Err(NotValidForName.into()),
        }
    }
}

/// Whether the certificate has no alternative names at all, and a common name that is the server's.
fn common_name_is(certificate: &CertificateDer<'_>, server_name: &ServerName<'_>) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    if !matches!(certificate.subject_alternative_name(), Ok(None)) {
        return false;
    }
    let name = server_name.to_str();
    let mut names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    names.any(|common| common.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;
    use crate::tls::authorities::tests::{Party, authorities};
    use crate::tls::x509_compat::version_1::version_1;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use rcgen::{CertificateParams, DnType, GeneralSubtree, Issuer, KeyPair, NameConstraints};
    use rustls::{ClientConnection, ServerConnection};
    use std::path::Path;

    fn root() -> Party {
        Party::authority("test authority", |_| ())
    }

    fn verifier(authority: &Party, names: bool) -> Servers {
        Servers { authorities: authorities(&[&authority.own()], Role::Server), names }
    }

    fn issue(authority: &Party, common: &str, alternatives: &[&str]) -> CertificateDer<'static> {
        let dns = |name: &&str| (*name).to_owned();
        let named = CertificateParams::new(alternatives.iter().map(dns).collect::<Vec<_>>()).unwrap();
        authority.signs(&Party::new(common, |params| params.subject_alt_names = named.subject_alt_names))
    }

    fn accepts(verifier: &Servers, certificate: &CertificateDer<'_>, host: &str) -> bool {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn verify_full_looks_at_the_name_and_verify_ca_does_not() {
        let authority = root();
        let certificate = issue(&authority, "x", &["db.example", "127.0.0.1"]);
        let (full, ca) = (verifier(&authority, true), verifier(&authority, false));
        assert!(accepts(&full, &certificate, "db.example") && accepts(&full, &certificate, "127.0.0.1"));
        assert!(!accepts(&full, &certificate, "other.example"));
        assert!(accepts(&ca, &certificate, "other.example"));
        let stranger = issue(&root(), "x", &["db.example"]);
        assert!(!accepts(&full, &stranger, "db.example") && !accepts(&ca, &stranger, "db.example"));
    }

    #[test]
    fn the_common_name_counts_only_without_alternative_names() {
        let authority = root();
        let full = verifier(&authority, true);
        let plain = issue(&authority, "localhost", &[]);
        assert!(accepts(&full, &plain, "localhost") && accepts(&full, &plain, "LOCALHOST"));
        assert!(!accepts(&full, &plain, "localhos") && !accepts(&full, &plain, "127.0.0.1"));
        assert!(!accepts(&full, &issue(&authority, "localhost", &["db.example"]), "localhost"));
    }

    #[test]
    fn a_common_name_counts_only_where_no_name_constraints_are() {
        let root = root();
        let full = verifier(&root, true);
        let sub = Party::authority("sub", |params| {
            let permitted_subtrees = vec![GeneralSubtree::DnsName("good.example".to_owned())];
            params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        });
        let between = [root.signs(&sub)];
        let accepts = |common: &str, alternatives: &[&str], host: &'static str| {
            let (shown, name) = (issue(&sub, common, alternatives), ServerName::try_from(host).unwrap());
            full.verify_server_cert(&shown, &between, &name, &[], UnixTime::now()).is_ok()
        };
        assert!(accepts("x", &["db.good.example"], "db.good.example"));
        assert!(!accepts("x", &["db.evil.example"], "db.evil.example"));
        assert!(!accepts("db.evil.example", &[], "db.evil.example"));
        assert!(
            !accepts("db.good.example", &[], "db.good.example"),
            "nobody looks whether it is within them"
        );
    }

    /// Who reads a name as a string of C takes what stands before the zero for all of it.
    #[test]
    fn a_name_with_a_zero_byte_is_nobodys() {
        let authority = root();
        let full = verifier(&authority, true);
        let mut params = CertificateParams::default();
        let name = rcgen::string::Ia5String::try_from("db.example\0.other.example").unwrap();
        params.subject_alt_names.push(rcgen::SanType::DnsName(name));
        let issuer = Issuer::from_params(&authority.params, &authority.key);
        let alternative = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
        for certificate in [alternative, issue(&authority, "db.example\0.other.example", &[])] {
            assert!(!accepts(&full, &certificate, "db.example"));
            assert!(accepts(&verifier(&authority, false), &certificate, "db.example"), "but for its name");
        }
    }

    /// The files of a pooler and a PostgreSQL whose certificates, for localhost, are of version 1.
    fn settings_of_version_1(directory: &Path, protocols: &str) -> Settings {
        let authority = root();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let site = params.signed_by(&key, &Issuer::from_params(&authority.params, &authority.key)).unwrap();
        let site = version_1(site.der(), &authority.key);
        let pem = |der: &[u8]| {
            let text = BASE64_STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        let ca = authority.params.self_signed(&authority.key).unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (ca, site) = (file("ca.crt", &ca.pem()), file("site.crt", &pem(&site)));
        let key = file("site.key", &key.serialize_pem());
        let mut settings = Settings::default();
        for side in ["client", "server"] {
            for (name, value) in [
                ("sslmode", "verify-full"),
                ("ca_file", &ca),
                ("cert_file", &site),
                ("key_file", &key),
                ("protocols", protocols),
            ] {
                Setting::named(&format!("{side}_tls_{name}")).unwrap().set(&mut settings, value).unwrap();
            }
        }
        settings
    }

    #[test]
    fn both_sides_shake_hands_with_certificates_of_version_1() {
        let directory = std::env::temp_dir().join(format!("pgweir-tls-v1-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for protocols in ["tlsv1.2", "tlsv1.3"] {
            let settings = settings_of_version_1(&directory, protocols);
            let us = ServerTls::from_settings(&settings).unwrap().config.unwrap();
            let postgres = crate::tls::client::acceptor(&settings).unwrap().unwrap().config;
            let outcome = |host: &'static str| {
                let mut us = ClientConnection::new(us.clone(), ServerName::try_from(host).unwrap())?;
                let mut postgres = ServerConnection::new(postgres.clone())?;
                while us.is_handshaking() || postgres.is_handshaking() {
                    let mut bytes = Vec::new();
                    while us.wants_write() {
                        us.write_tls(&mut bytes).unwrap();
                    }
                    postgres.read_tls(&mut &bytes[..]).unwrap();
                    postgres.process_new_packets()?;
                    bytes.clear();
                    while postgres.wants_write() {
                        postgres.write_tls(&mut bytes).unwrap();
                    }
                    us.read_tls(&mut &bytes[..]).unwrap();
                    us.process_new_packets()?;
                }
                Ok(())
            };
            assert_eq!(outcome("localhost"), Ok(()), "{protocols}");
            assert_eq!(
                outcome("127.0.0.1"),
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName)),
                "{protocols}"
            );
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            ServerTls::from_settings(&settings)
        };
        assert!(with(|_| ()).is_ok_and(|tls| tls.config.is_some()));
        assert!(with(|s| s.server_tls_sslmode = SslMode::Disable).is_ok_and(|tls| tls.config.is_none()));
        let full = with(|s| s.server_tls_sslmode = SslMode::VerifyFull);
        assert!(matches!(full, Err(TlsError::NoAuthorities { .. })));
        assert!(matches!(with(|s| s.server_tls_cert_file = "x".into()), Err(TlsError::HalfAPair { .. })));
        for mode in [SslMode::Disable, SslMode::Allow, SslMode::Prefer, SslMode::Require] {
            let mut settings = Settings { server_tls_sslmode: mode, ..Settings::default() };
            settings.server_tls_negotiation = TlsNegotiation::Direct;
            match ServerTls::from_settings(&settings) {
                Ok(tls) => assert!(mode == SslMode::Require && tls.config.unwrap().alpn_protocols == [ALPN]),
                Err(error) => assert_eq!(
                    error.to_string(),
                    format!(
                        "server_tls_negotiation=direct needs server_tls_sslmode=require, verify-ca or \
                         verify-full, not {}",
                        mode.word()
                    )
                ),
            }
        }
        let missing = with(|s| {
            s.server_tls_sslmode = SslMode::VerifyCa;
            s.server_tls_ca_file = "no/such/file".into();
        });
        assert!(
            missing.is_err_and(|error| error.to_string().starts_with("server_tls_ca_file: no/such/file: "))
        );
    }
}
