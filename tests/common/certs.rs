//! Certificates made at run time: one authority with server certificates for `localhost`, for another host
//! and for an RDS endpoint, and another authority, which has signed none of them.

use super::{account, reaper};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair, SanType, SigningKey,
};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The endpoint that tests of IAM logins take PostgreSQL for.
pub const RDS_HOST: &str = "app.cluster-abc.eu-central-1.rds.amazonaws.com";

/// Where the PEM files lie; all readable by the account of the pooler.
pub struct Certs {
    directory: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate of nobody who may sign one.
pub struct Forged {
    /// A file of authorities that has the forger's certificate, too.
    pub authorities: PathBuf,
    /// The certificate and its key.
    pub own: (PathBuf, PathBuf),
}

impl Certs {
    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// The certificate of an authority that has nothing to do with the others.
    pub fn other_ca(&self) -> PathBuf {
        self.directory.join("other-ca.crt")
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

    /// The files of a new certificate of the authority and of its key, with this common name and these
    /// alternative ones.
    pub fn client(&self, common: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let file = format!("client-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        issue_as(&self.directory, &file, common, names, &self.ca);
        let path = |extension: &str| self.directory.join(format!("{file}.{extension}"));
        (path("crt"), path("key"))
    }

    /// What a user of the authority has signed for `name`, with the key of a certificate that may not sign.
    pub fn forged(&self, name: &str) -> Forged {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let file = format!("forged-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (user, key) = (params("carol", &[]), KeyPair::generate().expect("keys can be made"));
        let certificate = user.clone().signed_by(&key, &self.ca).expect("the parameters are sound");
        issue_as(&self.directory, &file, name, &[name], &Issuer::from_params(&user, &key));
        let path = |extension: &str| self.directory.join(format!("{file}.{extension}"));
        account::write(&path("ca.crt"), [self.ca.pem(), certificate.pem()].concat(), 0o644);
        Forged { authorities: path("ca.crt"), own: (path("crt"), path("key")) }
    }

    /// A certificate that names [`RDS_HOST`], and `localhost` as well.
    pub fn rds(&self) -> PathBuf {
        self.directory.join("rds.crt")
    }

    /// Its key.
    pub fn rds_key(&self) -> PathBuf {
        self.directory.join("rds.key")
    }
}

/// The certificates of this test process.
pub fn certs() -> &'static Certs {
    static CERTS: OnceLock<Certs> = OnceLock::new();
    CERTS.get_or_init(|| {
        let directory = reaper::directory().join("certs");
        std::fs::create_dir(&directory).expect("the parent is ours");
        account::hand_over(&directory, 0o755);
        let ca = authority("pgweir test authority");
        account::write(&directory.join("ca.crt"), ca.pem(), 0o644);
        account::write(&directory.join("other-ca.crt"), authority("another authority").pem(), 0o644);
        issue(&directory, "server", &["localhost"], &ca);
        issue(&directory, "stranger", &["elsewhere.example"], &ca);
        issue(&directory, "rds", &[RDS_HOST, "localhost"], &ca);
        Certs { directory, ca }
    })
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("keys can be made");
    CertifiedIssuer::self_signed(params, key).expect("the parameters are sound")
}

fn issue(directory: &Path, file: &str, names: &[&str], ca: &CertifiedIssuer<'_, KeyPair>) {
    issue_as(directory, file, names[0], names, ca);
}

fn issue_as(directory: &Path, file: &str, common: &str, names: &[&str], ca: &Issuer<'_, impl SigningKey>) {
    let key = KeyPair::generate().expect("keys can be made");
    let certificate = params(common, names).signed_by(&key, ca).expect("the parameters are sound");
    account::write(&directory.join(format!("{file}.crt")), certificate.pem(), 0o644);
    account::write(&directory.join(format!("{file}.key")), key.serialize_pem(), 0o600);
}

fn params(common: &str, names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    let dns = |name: &&str| SanType::DnsName(Ia5String::try_from(*name).expect("ASCII"));
    params.subject_alt_names = names.iter().map(dns).collect();
    params.distinguished_name.push(DnType::CommonName, common);
    params
}
