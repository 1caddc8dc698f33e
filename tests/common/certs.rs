//! Certificates made at run time: one authority, a server certificate for `localhost`, a client certificate.

use super::{account, reaper};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where the PEM files lie; all readable by the account of the pooler.
#[derive(Debug)]
pub struct Certs {
    directory: PathBuf,
}

impl Certs {
    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// The certificate of the name `localhost`.
    pub fn server(&self) -> PathBuf {
        self.directory.join("server.crt")
    }

    /// Its key.
    pub fn server_key(&self) -> PathBuf {
        self.directory.join("server.key")
    }

    /// A certificate of the authority that names another host.
    pub fn stranger(&self) -> PathBuf {
        self.directory.join("stranger.crt")
    }

    /// Its key.
    pub fn stranger_key(&self) -> PathBuf {
        self.directory.join("stranger.key")
    }
}

/// The certificates of this test process.
pub fn certs() -> &'static Certs {
    static CERTS: OnceLock<Certs> = OnceLock::new();
    CERTS.get_or_init(|| {
        let directory = reaper::directory().join("certs");
        std::fs::create_dir(&directory).expect("the parent is ours");
        account::hand_over(&directory, 0o755);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "pgweir test authority");
        let key = KeyPair::generate().expect("keys can be made");
        let ca = CertifiedIssuer::self_signed(params, key).expect("the parameters are sound");
        account::write(&directory.join("ca.crt"), ca.pem(), 0o644);
        issue(&directory, "server", "localhost", &ca);
        issue(&directory, "stranger", "elsewhere.example", &ca);
        Certs { directory }
    })
}

fn issue(directory: &Path, file: &str, name: &str, ca: &CertifiedIssuer<'_, KeyPair>) {
    let mut params = CertificateParams::new(vec![name.into()]).expect("a plain host name");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("keys can be made");
    let certificate = params.signed_by(&key, ca).expect("the parameters are sound");
    account::write(&directory.join(format!("{file}.crt")), certificate.pem(), 0o644);
    account::write(&directory.join(format!("{file}.key")), key.serialize_pem(), 0o600);
}
