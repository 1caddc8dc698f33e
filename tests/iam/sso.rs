//! Profiles of IAM Identity Center: the cached token and the portal, which is a fake on this machine.

use crate::endpoints::certificate;
use crate::fake::Service::{Sso, Sts};
use crate::fake::{FakeAws, SECRET_MARK};
use crate::stage::{Stage, fetch, no_imds, play, play_with, profile, profile_files, sts};
use crate::tunnel;
use pgweir::iam::{Reason, SourceKind};
use std::path::Path;

/// sha1("dev"): the name of the cache's file.
const CACHED: &str = "34c6fceca75e456f25e7e99531e2425c6c1de443.json";

const SESSION: &str = "[profile p]\n\
    sso_session = dev\n\
    sso_account_id = 123456789012\n\
    sso_role_name = Ops\n\
    [sso-session dev]\n\
    sso_region = eu-west-1\n\
    sso_start_url = https://d-1.awsapps.com/start\n";

fn on_stage(body: impl AsyncFnOnce(Stage)) {
    play(
        |fake, directory| {
            let home = [("HOME", directory.display().to_string()), ("AWS_ENDPOINT_URL_SSO", fake.url())];
            [&profile_files(directory)[..], &home, &[sts(fake), no_imds()]].concat()
        },
        body,
    );
}

/// What `aws sso login` leaves behind in the home `directory`.
fn log_in(directory: &Path, token: &str, expires_at: &str) {
    let directory = directory.join(".aws/sso/cache");
    std::fs::create_dir_all(&directory).expect("the directory is ours");
    let text = format!(
        "{{\"startUrl\": \"https://d-1.awsapps.com/start\", \"region\": \"eu-west-1\", \"accessToken\": \
         \"{token}\", \"expiresAt\": \"{expires_at}\", \"clientSecret\": \"{SECRET_MARK}\"}}"
    );
    std::fs::write(directory.join(CACHED), text).expect("the directory is ours");
}

async fn refused(reason: Reason, words: &str) {
    for kind in [SourceKind::Profile, SourceKind::Default] {
        let error = fetch(&profile(kind, "p")).await.err().expect("no credentials");
        assert_eq!(error.reason, reason, "{kind}: {error}");
        assert!(error.to_string().contains(words) && !error.to_string().contains(SECRET_MARK), "{error}");
    }
}

#[test]
fn a_cached_token_gives_credentials_and_roles_on_top() {
    on_stage(async |stage| {
        let token = format!("{SECRET_MARK}-token");
        stage.write("config", SESSION);
        stage.set(Sso, &format!("expects={token}"));
        log_in(&stage.directory, &token, "2999-01-01T00:00:00Z");
        let fetched = fetch(&profile(SourceKind::Profile, "p")).await.unwrap();
        assert_eq!(fetched.via, SourceKind::Profile);
        assert!(fetched.credentials.session_token().is_some() && fetched.credentials.expiry().is_some());
        assert_eq!(stage.calls(Sso), ["GET /federation/credentials?role_name=Ops&account_id=123456789012"]);
        let top = "[profile top]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = p\n";
        stage.write("config", &format!("{top}{SESSION}"));
        fetch(&profile(SourceKind::Profile, "top")).await.unwrap();
        assert_eq!(stage.calls(Sts), ["AssumeRole arn:aws:iam::123456789012:role/a pgweir"]);
    });
}

#[test]
fn a_token_that_is_missing_or_has_expired_is_told_as_that_and_hands_over_to_nobody() {
    on_stage(async |stage| {
        stage.write("config", SESSION);
        refused(Reason::Identity, "no token of IAM Identity Center is cached: run aws sso login").await;
        log_in(&stage.directory, "t", "2020-01-01T00:00:00Z");
        refused(Reason::Identity, "has expired: run aws sso login").await;
        assert_eq!(stage.calls(Sso), [""; 0], "nobody was asked");
        log_in(&stage.directory, "t", "soon");
        refused(Reason::Misconfigured, "the expiresAt of the cached token is not a time").await;
        log_in(&stage.directory, &"x".repeat(70_000), "2999-01-01T00:00:00Z");
        refused(Reason::Misconfigured, "the cached token is too long").await;
        log_in(&stage.directory, "a\u{7f}b", "2999-01-01T00:00:00Z");
        refused(Reason::Misconfigured, "cannot be sent").await;
    });
}

#[test]
fn what_the_portal_says_has_its_class() {
    on_stage(async |stage| {
        stage.write("config", SESSION);
        log_in(&stage.directory, "t", "2999-01-01T00:00:00Z");
        for (behaviour, reason, words) in [
            ("expects=another", Reason::Identity, "refuses the cached token: run aws sso login"),
            ("status=403", Reason::Denied, "HTTP 403"),
            ("status=404", Reason::Misconfigured, "no such account or role"),
            ("status=429", Reason::Throttled, ""),
            ("status=500", Reason::Service, ""),
            ("garbage=1", Reason::Garbage, ""),
        ] {
            stage.set(Sso, behaviour);
            refused(reason, words).await;
        }
    });
}

#[test]
fn a_portal_that_cannot_be_reached_is_told_as_that() {
    for (portal, words) in
        [("http://127.0.0.1:1", "no connection"), ("https://nowhere.invalid", "(nowhere.invalid: ")]
    {
        play(
            |_, directory| {
                let home =
                    [("HOME", directory.display().to_string()), ("AWS_ENDPOINT_URL_SSO", portal.to_owned())];
                [&profile_files(directory)[..], &home, &[no_imds()]].concat()
            },
            async |stage| {
                stage.write("config", SESSION);
                log_in(&stage.directory, "t", "2999-01-01T00:00:00Z");
                refused(Reason::Unreachable, words).await;
            },
        );
    }
}

#[test]
fn the_portal_of_the_region_is_called_over_verified_tls_and_through_the_proxy() {
    const HOST: &str = "portal.sso.eu-west-1.amazonaws.com";
    for (of, reason) in [(HOST, None), ("elsewhere", Some(Reason::Unreachable))] {
        let (tls, pem) = certificate(of);
        play_with(
            move || FakeAws::start_tls(tls),
            move |fake, directory| {
                std::fs::write(directory.join("roots.pem"), pem).expect("the directory is ours");
                std::fs::write(directory.join("config"), SESSION).expect("the directory is ours");
                fake.set(Sso, "expects=t");
                log_in(directory, "t", "2999-01-01T00:00:00Z");
                let proxy = tunnel::start(Some(fake.port()), directory.join("asked"));
                let roots = directory.join("roots.pem").display().to_string();
                let more = [("AWS_CA_BUNDLE", roots), ("HTTPS_PROXY", proxy), no_imds()];
                profile_files(directory).into_iter().chain(more).collect()
            },
            async |stage| {
                let error = fetch(&profile(SourceKind::Profile, "p")).await.err();
                assert_eq!(error.as_ref().map(|error| error.reason), reason, "{error:?}");
                assert!(error.is_none_or(|error| error.to_string().contains("it is for another host")));
                let asked =
                    std::fs::read_to_string(stage.directory.join("asked")).expect("the proxy was asked");
                assert_eq!(asked, format!("{HOST}:443\n"));
            },
        );
    }
}
