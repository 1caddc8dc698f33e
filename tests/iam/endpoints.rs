//! Where STS is called, for which region, through which proxy, and whom is trusted there.

use crate::fake::Service::{Imds, Sts};
use crate::fake::{FakeAws, SECRET_MARK};
use crate::stage::{fetch, imds, key, no_imds, play, play_with, profile_files, region, sts};
use crate::tunnel;
use pgweir::iam::{Reason, Role, SourceKey, SourceKind};
use std::path::Path;

/// A web identity that has to be exchanged.
fn web_identity(directory: &Path) -> Vec<(&'static str, String)> {
    std::fs::write(directory.join("jwt"), "ey").expect("the directory is ours");
    vec![
        ("AWS_WEB_IDENTITY_TOKEN_FILE", directory.join("jwt").display().to_string()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app".into()),
    ]
}

/// The environment, what the settings say, what the profile says, and which host is called. The databases are
/// in eu-west-1.
type Called = (&'static [(&'static str, &'static str)], &'static str, &'static str, &'static str);

const CALLED: [Called; 15] = [
    (&[], "", "", "sts.eu-west-1.amazonaws.com"),
    (&[("AWS_REGION", "us-west-2")], "", "", "sts.us-west-2.amazonaws.com"),
    (&[("AWS_DEFAULT_REGION", "us-west-2")], "", "", "sts.us-west-2.amazonaws.com"),
    (&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-west-2")], "", "", "sts.us-west-2.amazonaws.com"),
    (&[("AWS_REGION", "us-west-2"), ("AWS_DEFAULT_REGION", "x")], "", "", "sts.us-west-2.amazonaws.com"),
    (&[("AWS_REGION", "us-west-2")], "eu-central-1", "region = ap-south-1", "sts.eu-central-1.amazonaws.com"),
    (&[("AWS_REGION", "us-west-2")], "", "region = ap-south-1", "sts.us-west-2.amazonaws.com"),
    (&[], "", "region = ap-south-1", "sts.ap-south-1.amazonaws.com"),
    (&[("AWS_REGION", "cn-north-1")], "", "", "sts.cn-north-1.amazonaws.com.cn"),
    (&[("AWS_USE_FIPS_ENDPOINT", "true")], "us-east-2", "", "sts-fips.us-east-2.amazonaws.com"),
    (&[], "us-east-2", "use_fips_endpoint = true", "sts-fips.us-east-2.amazonaws.com"),
    (&[("AWS_USE_DUALSTACK_ENDPOINT", "true")], "", "", "sts.eu-west-1.api.aws"),
    (&[("AWS_STS_REGIONAL_ENDPOINTS", "legacy")], "", "", "sts.amazonaws.com"),
    (&[("AWS_STS_REGIONAL_ENDPOINTS", "regional")], "", "", "sts.eu-west-1.amazonaws.com"),
    (&[], "", "sts_regional_endpoints = legacy", "sts.amazonaws.com"),
];

#[test]
fn sts_is_called_where_settings_environment_and_profile_say() {
    for (environment, set, of_profile, host) in CALLED {
        play(
            |_, directory| {
                std::fs::write(directory.join("config"), format!("[default]\n{of_profile}\n")).unwrap();
                let proxy = tunnel::start(None, directory.join("asked"));
                let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned()));
                let environment = environment.chain(web_identity(directory)).chain(profile_files(directory));
                environment.chain([("HTTPS_PROXY", proxy), no_imds()]).collect()
            },
            async |stage| {
                let key = key(SourceKind::WebIdentity).at_sts_of(set.parse().ok());
                let error = fetch(&key).await.err().unwrap();
                assert_eq!(error.reason, Reason::Unreachable, "{host}: {error}");
                let asked = std::fs::read_to_string(stage.directory.join("asked")).unwrap_or_default();
                assert_eq!(asked.lines().next(), Some(&*format!("{host}:443")), "{error}");
            },
        );
    }
}

#[test]
fn requests_are_signed_for_the_region_that_is_called() {
    for (name, of_environment, set, signed_for) in [
        ("AWS_ENDPOINT_URL_STS", "eu-north-1", "", "eu-north-1"),
        ("AWS_ENDPOINT_URL", "eu-north-1", "", "eu-north-1"),
        ("AWS_ENDPOINT_URL", "eu-north-1", "eu-south-1", "eu-south-1"),
        ("AWS_ENDPOINT_URL_STS", "", "", "eu-west-1"),
    ] {
        play(
            |fake, _| vec![imds(fake), (name, fake.url()), ("AWS_REGION", of_environment.into())],
            async |stage| {
                stage.set(Sts, &format!("region={signed_for}"));
                let role = Role::new("arn:aws:iam::123456789012:role/db", None).ok();
                let key = SourceKey::new(SourceKind::Imds, None, role, None, &region());
                let fetched = fetch(&key.at_sts_of(set.parse().ok())).await;
                assert!(fetched.is_ok(), "{name} {of_environment} {set}: {:?}", fetched.err());
                assert!(!stage.calls(Imds).is_empty());
            },
        );
    }
}

#[test]
fn a_region_or_endpoint_that_makes_no_sense_is_an_error() {
    for (name, value) in [
        ("AWS_REGION", "Ireland"),
        ("AWS_DEFAULT_REGION", "{\"region\": 1}"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "nearby"),
    ] {
        play(
            |fake, directory| {
                let more = [sts(fake), (name, value.into())];
                web_identity(directory).into_iter().chain(more).collect()
            },
            async |stage| {
                let error = fetch(&key(SourceKind::WebIdentity)).await.err().unwrap();
                assert_eq!(error.reason, Reason::Misconfigured, "{name}: {error}");
                assert_eq!(stage.calls(Sts), [""; 0]);
            },
        );
    }
}

/// A server's certificate for `host`, and the PEM of who issued it.
pub fn certificate(host: &str) -> (rustls::ServerConfig, String) {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let signing_key = rcgen::KeyPair::generate().expect("a key");
    let name = format!("authority {:?}", &signing_key.public_key_raw()[1..9]);
    authority.distinguished_name.push(rcgen::DnType::CommonName, name);
    let roots = authority.self_signed(&signing_key).expect("a certificate").pem();
    let key = rcgen::KeyPair::generate().expect("a key");
    let site = rcgen::CertificateParams::new([host.to_owned()]).expect("a plain host name");
    let site = site.signed_by(&key, &rcgen::Issuer::new(authority, signing_key)).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![site.der().clone()], key)
        .expect("they belong together");
    (config, roots)
}

/// STS is called at `url` or at its own name; whom we trust is told by the variable `trust`.
fn call_over_tls(trust: &'static str, host: &str, trusted: bool, words: &str) {
    let (tls, pem) = certificate(host);
    let (_, other) = certificate(host);
    play_with(
        move || FakeAws::start_tls(tls),
        move |fake, directory| {
            std::fs::write(directory.join("roots.pem"), if trusted { pem } else { other })
                .expect("the directory is ours");
            fake.set(Sts, "expects=ey");
            let roots = directory.join("roots.pem").display().to_string();
            web_identity(directory).into_iter().chain([sts(fake), (trust, roots)]).collect()
        },
        async |_| {
            let error = fetch(&key(SourceKind::WebIdentity)).await.err();
            assert_eq!(error.is_none(), words.is_empty(), "{trust}: {error:?}");
            if let Some(error) = error {
                assert_eq!(error.reason, Reason::Unreachable, "{trust}");
                assert!(error.to_string().contains(words), "{trust}: {error}");
            }
        },
    );
}

#[test]
fn sts_is_called_over_verified_tls() {
    for trust in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        call_over_tls(trust, "localhost", true, "");
        call_over_tls(trust, "localhost", false, "the issuer is not trusted");
        call_over_tls(trust, "elsewhere", true, "it is for another host");
    }
}

/// The certificate of the other side itself, whose key would then sign for any host.
#[test]
fn who_may_not_sign_is_no_authority_of_aws_either() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a plain host name");
    let pem = made.cert.pem();
    play(
        move |fake, directory| {
            let file = directory.join("bundle.pem");
            std::fs::write(&file, &pem).unwrap();
            let bundle = ("AWS_CA_BUNDLE", file.display().to_string());
            web_identity(directory).into_iter().chain([sts(fake), bundle]).collect()
        },
        async |stage| {
            let error = fetch(&key(SourceKind::WebIdentity)).await.err().unwrap();
            assert_eq!(error.reason, Reason::Misconfigured, "{error}");
            let why = "bundle.pem: no usable certificate found: the 1st certificate (CN=rcgen self signed \
                       cert) is no authority: its basicConstraints do not say CA:TRUE";
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(stage.calls(Sts), [""; 0]);
        },
    );
}

#[test]
fn what_the_environment_says_of_trust_and_proxies_is_read_with_care() {
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n";
    for (name, value, content) in [
        ("AWS_CA_BUNDLE", "gone.pem", None),
        ("AWS_CA_BUNDLE", "bundle.pem", Some("")),
        ("AWS_CA_BUNDLE", "bundle.pem", Some("no PEM")),
        ("AWS_CA_BUNDLE", "bundle.pem", Some(CERTIFICATE)),
        (
            "AWS_CA_BUNDLE",
            "bundle.pem",
            Some("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n"),
        ),
        ("HTTPS_PROXY", "ftp://proxy", None),
        ("https_proxy", "a b", None),
        ("HTTPS_PROXY", "http://", None),
    ] {
        play(
            |fake, directory| {
                let at = |file: &str| directory.join(file).display().to_string();
                let value = if name == "AWS_CA_BUNDLE" { at(value) } else { value.to_owned() };
                if let Some(content) = content {
                    std::fs::write(directory.join("bundle.pem"), content).unwrap();
                }
                web_identity(directory).into_iter().chain([sts(fake), (name, value)]).collect()
            },
            async |stage| {
                let error = fetch(&key(SourceKind::WebIdentity)).await.err().unwrap();
                assert_eq!(error.reason, Reason::Misconfigured, "{name}={value}: {error}");
                assert!(error.to_string().contains(&name.to_ascii_uppercase()), "{error}");
                assert_eq!(stage.calls(Sts), [""; 0]);
            },
        );
    }
}

#[test]
fn calls_over_tls_go_through_the_proxy_and_others_through_none() {
    const HOST: &str = "sts.eu-west-1.amazonaws.com";
    for scheme in ["http://", ""] {
        let (tls, pem) = certificate(HOST);
        play_with(
            move || FakeAws::start_tls(tls),
            move |fake, directory| {
                std::fs::write(directory.join("roots.pem"), pem).unwrap();
                fake.set(Sts, "expects=ey");
                let proxy = tunnel::start(Some(fake.port()), directory.join("asked"));
                let proxy = proxy.replace("http://", &format!("{scheme}user:{SECRET_MARK}@"));
                let roots = directory.join("roots.pem").display().to_string();
                let more = [("AWS_CA_BUNDLE", roots), ("HTTPS_PROXY", proxy)];
                web_identity(directory).into_iter().chain(more).collect()
            },
            async |stage| {
                fetch(&key(SourceKind::WebIdentity)).await.unwrap();
                let asked = std::fs::read_to_string(stage.directory.join("asked")).unwrap();
                assert_eq!(asked, format!("{HOST}:443\n"));
            },
        );
    }
    play(
        |fake, _| {
            let dead = || "http://127.0.0.1:1".to_owned();
            let proxies = [("HTTPS_PROXY", dead()), ("HTTP_PROXY", dead()), ("ALL_PROXY", dead())];
            [imds(fake), sts(fake)].into_iter().chain(proxies).collect()
        },
        async |_| {
            let role = Role::new("arn:aws:iam::123456789012:role/db", None).ok();
            fetch(&SourceKey::new(SourceKind::Imds, None, role, None, &region())).await.unwrap();
        },
    );
}

#[test]
fn no_proxy_is_gone_through_where_none_is_wanted() {
    let (tls, pem) = certificate("localhost");
    play_with(
        move || FakeAws::start_tls(tls),
        move |fake, directory| {
            std::fs::write(directory.join("roots.pem"), pem).unwrap();
            fake.set(Sts, "expects=ey");
            let roots = directory.join("roots.pem").display().to_string();
            let dead = || "http://127.0.0.1:1".to_owned();
            let more = [sts(fake), ("AWS_CA_BUNDLE", roots), ("HTTPS_PROXY", dead())];
            let exempt = [("NO_PROXY", "example.com,localhost".to_owned())];
            web_identity(directory).into_iter().chain(more).chain(exempt).collect()
        },
        async |_| drop(fetch(&key(SourceKind::WebIdentity)).await.unwrap()),
    );
}
