//! Answers and settings that make no sense: each is an error, and none ends the process, though the AWS
//! libraries panic over some.

use crate::fake::SECRET_MARK;
use crate::fake::Service::{self, Container, Imds, Sts};
use crate::stage::{Stage, container, fetch, imds, key, no_imds, play, profile, profile_files, region, sts};
use pgweir::iam::{
    Endpoint, Reason, Role, Source, SourceKey, SourceKind, Sources, StaticStability, SystemClock, Token,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What a captive proxy may say where a role's name is expected, and worse.
const NO_ROLES: [&str; 5] =
    ["<html><body>Log in to this network</body></html>", "a b", "\u{1}", "a\\b", "%zz{}|^\"<>"];

/// Access keys' ids as JSON may hold them: a control character, one that nobody sees, none at all.
const NO_KEYS: [&str; 3] = ["AKIA\\u0007BELL", "AKIA\u{200b}ZERO", " "];

const ON_TOP: &str = "role_arn = arn:aws:iam::123456789012:role/on-top\n";

fn sources() -> Sources {
    Sources::new(Arc::new(SystemClock), StaticStability::On)
}

/// One whole round of a keeper: the fetch and what follows it.
async fn round(key: &SourceKey) -> Arc<Source> {
    let source = sources().source(key, &region());
    let round = async {
        source.fetched_after(0).await;
        source.identified().await;
    };
    tokio::time::timeout(Duration::from_secs(20), round).await.expect("the keeper lives");
    source
}

#[test]
fn a_metadata_service_that_names_no_role_is_an_error() {
    play(
        |fake, directory| [&profile_files(directory)[..], &[imds(fake), sts(fake)]].concat(),
        async |stage| {
            stage.write("config", &format!("[profile p]\ncredential_source = Ec2InstanceMetadata\n{ON_TOP}"));
            for name in NO_ROLES {
                stage.set(Imds, &format!("names={name}"));
                for key in
                    [key(SourceKind::Imds), key(SourceKind::Default), profile(SourceKind::Profile, "p")]
                {
                    let source = round(&key).await;
                    // A name that makes a path is asked for, and is not there.
                    let expected = if name == "a\\b" { Reason::NotConfigured } else { Reason::Garbage };
                    assert_eq!(source.report().state.reason(), Some(expected), "{key} {name:?}");
                }
            }
            assert_eq!(stage.calls(Sts), [""; 0]);
        },
    );
}

#[test]
fn an_access_key_that_makes_no_header_is_an_error() {
    play(
        |fake, directory| [&profile_files(directory)[..], &[imds(fake), container(fake), sts(fake)]].concat(),
        async |stage| {
            let role = || Role::new("arn:aws:iam::123456789012:role/db", None).ok();
            for id in NO_KEYS {
                for (kind, service) in [(SourceKind::Imds, Imds), (SourceKind::Container, Container)] {
                    stage.set(service, &format!("key={id}"));
                    for role in [None, role()] {
                        let key = SourceKey::new(kind, None, role, None, &region());
                        let source = round(&key).await;
                        assert_eq!(source.report().state.reason(), Some(Reason::Garbage), "{key} {id:?}");
                    }
                }
            }
            assert_eq!(stage.calls(Sts), [""; 0], "no such key was used");
            keys_of_profiles(&stage).await;
        },
    );
}

/// The same where a profile holds them, or what it runs gives them out, with and without a role on top.
async fn keys_of_profiles(stage: &Stage) {
    let program = format!("credential_process = cat {}/answer.json\n", stage.directory.display());
    for id in NO_KEYS {
        stage.write(
            "answer.json",
            &format!(
                "{{\"Version\": 1, \"AccessKeyId\": \"{id}\", \"SecretAccessKey\": \"{SECRET_MARK}\", \
                 \"SessionToken\": \"{SECRET_MARK}\", \"Expiration\": \"2999-01-01T00:00:00Z\"}}"
            ),
        );
        // As a file holds it, where JSON has escapes.
        let keys = format!(
            "aws_access_key_id = {}\naws_secret_access_key = {SECRET_MARK}\n",
            id.replace("\\u0007", "\u{7}")
        );
        for base in [&program, &keys] {
            stage.write(
                "config",
                &format!("[profile base]\n{base}[profile p]\nsource_profile = base\n{ON_TOP}"),
            );
            for name in ["base", "p"] {
                let source = round(&profile(SourceKind::Profile, name)).await;
                assert!(source.current().is_err(), "{id:?} {name}");
            }
        }
    }
    assert_eq!(stage.calls(Sts), [""; 0], "no such key was used");
}

#[test]
fn an_access_key_in_the_environment_that_makes_no_header_is_an_error() {
    play(
        |fake, directory| {
            let keys = [
                ("AWS_ACCESS_KEY_ID", "AKIA\u{200b}ZERO".into()),
                ("AWS_SECRET_ACCESS_KEY", SECRET_MARK.into()),
            ];
            [&profile_files(directory)[..], &keys, &[sts(fake), no_imds()]].concat()
        },
        async |stage| {
            stage.write("config", &format!("[profile p]\ncredential_source = Environment\n{ON_TOP}"));
            for key in [key(SourceKind::Env), key(SourceKind::Default), profile(SourceKind::Profile, "p")] {
                assert_eq!(round(&key).await.report().state.reason(), Some(Reason::Garbage), "{key}");
            }
            assert_eq!(stage.calls(Sts), [""; 0], "no such key was used");
        },
    );
}

#[test]
fn an_access_key_of_sts_that_makes_no_header_is_an_error() {
    play(
        |fake, directory| [&profile_files(directory)[..], &[imds(fake), sts(fake)]].concat(),
        async |stage| {
            stage.set(Sts, "key=AKIA\u{200b}ZERO");
            let role = Role::new("arn:aws:iam::123456789012:role/db", None).ok();
            stage.write(
                "config",
                &format!(
                    "[profile base]\ncredential_source = Ec2InstanceMetadata\n{ON_TOP}\
                     [profile p]\nsource_profile = base\n{ON_TOP}"
                ),
            );
            let on_top = SourceKey::new(SourceKind::Imds, None, role, None, &region());
            for key in [on_top, profile(SourceKind::Profile, "p")] {
                assert_eq!(round(&key).await.report().state.reason(), Some(Reason::Garbage), "{key}");
            }
        },
    );
}

/// Session tokens that cannot sign, as JSON and XML hold them: too long, or too long once they are encoded,
/// or with signs that no URL holds.
fn no_sessions() -> Vec<String> {
    let (long, encoded) = ("x".repeat(70_000), "+".repeat(22_000));
    vec![long, encoded, "a b".into(), "AKIA\u{200b}ZERO".into(), "caf\u{e9}".into(), "a\tb".into()]
}

/// What asks each of the services for a session token: each alone, and as what a role is assumed with.
fn with_sessions() -> Vec<(Service, SourceKey)> {
    let on_top = |kind| {
        SourceKey::new(kind, None, Role::new("arn:aws:iam::123456789012:role/x", None).ok(), None, &region())
    };
    vec![
        (Imds, key(SourceKind::Imds)),
        (Container, key(SourceKind::Container)),
        (Imds, on_top(SourceKind::Imds)),
        (Sts, on_top(SourceKind::Container)),
    ]
}

#[test]
fn a_session_token_that_cannot_sign_is_an_error_and_the_next_one_signs() {
    play(
        |fake, _| vec![imds(fake), container(fake), sts(fake)],
        async |stage| {
            let endpoint = Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 5432, None).unwrap();
            for (service, key) in with_sessions() {
                for session in no_sessions() {
                    stage.set(service, &format!("session={session}"));
                    let source = round(&key).await;
                    let state = source.report().state;
                    assert_eq!(state.reason(), Some(Reason::Garbage), "{key}: {} bytes", session.len());
                    assert!(source.current().is_err());
                }
                for session in ["+".repeat(20_000), "x".repeat(60_000), String::new()] {
                    stage.set(service, &format!("session={session}"));
                    let source = round(&key).await;
                    let credentials = source.current().unwrap_or_else(|state| panic!("{key}: {state}"));
                    let token = Token::mint(&endpoint, "app", &credentials, SystemTime::now());
                    assert!(token.is_ok(), "{key}");
                }
            }
        },
    );
}

#[test]
fn keys_that_need_no_session_token_may_have_an_empty_one() {
    play(
        |_, directory| [&profile_files(directory)[..], &[no_imds()]].concat(),
        async |stage| {
            stage.write(
                "answer.json",
                &format!(
                    "{{\"Version\": 1, \"AccessKeyId\": \"AKIAPROC\", \"SecretAccessKey\": \
                     \"{SECRET_MARK}\", \"SessionToken\": \"\"}}"
                ),
            );
            let program = format!("credential_process = cat {}/answer.json\n", stage.directory.display());
            let keys = format!(
                "aws_access_key_id = A\naws_secret_access_key = {SECRET_MARK}\naws_session_token =\n"
            );
            for base in [program, keys] {
                stage.write("config", &format!("[profile p]\n{base}"));
                let fetched = fetch(&profile(SourceKind::Profile, "p")).await.unwrap();
                assert_eq!(fetched.credentials.session_token(), None, "{base}");
            }
        },
    );
}

#[test]
fn an_answer_of_any_length_is_not_taken_in() {
    play(
        |fake, _| vec![imds(fake), container(fake), sts(fake)],
        async |stage| {
            for (padding, fits) in [(10_000, true), (1_000_000, false)] {
                for service in [Container, Sts] {
                    stage.set(service, &format!("padding={padding}"));
                }
                let role = Role::new("arn:aws:iam::123456789012:role/db", None).ok();
                let on_top = SourceKey::new(SourceKind::Imds, None, role, None, &region());
                for key in [key(SourceKind::Container), on_top] {
                    let source = round(&key).await;
                    let state = source.report().state;
                    assert_eq!(source.current().is_ok(), fits, "{key} {padding}: {state:?}");
                    assert!(fits || state.reason() == Some(Reason::Garbage), "{key} {padding}: {state:?}");
                }
            }
        },
    );
}

/// Endpoints that are none.
const NO_ENDPOINTS: [&str; 9] = [
    "no uri at all",
    "/",
    "localhost",
    "localhost:1",
    "http://",
    "http:///path",
    "https:x",
    "file:///etc",
    "http://ex\u{e4}mple/",
];

#[test]
fn an_endpoint_that_is_none_is_an_error() {
    for endpoint in NO_ENDPOINTS {
        play(
            |_, _| vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.into())],
            async |_| assert!(fetch(&key(SourceKind::Imds)).await.is_err(), "{endpoint}"),
        );
        play(
            |_, _| vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.into()), no_imds()],
            async |_| assert!(fetch(&key(SourceKind::Container)).await.is_err(), "{endpoint}"),
        );
    }
}

#[test]
fn a_relative_uri_that_is_none_is_an_error() {
    for uri in ["//", "//a:99999/", "/a b", "/%zz", "/?#"] {
        play(
            |_, _| vec![("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", uri.into()), no_imds()],
            async |_| assert!(fetch(&key(SourceKind::Container)).await.is_err(), "{uri}"),
        );
    }
}

#[test]
fn an_endpoint_of_sts_that_is_none_leaves_only_the_principal_unknown() {
    for endpoint in NO_ENDPOINTS {
        play(
            |_, _| {
                vec![
                    ("AWS_ACCESS_KEY_ID", "AKIAENV".into()),
                    ("AWS_SECRET_ACCESS_KEY", SECRET_MARK.into()),
                    ("AWS_ENDPOINT_URL_STS", endpoint.into()),
                ]
            },
            async |_| {
                let source = round(&key(SourceKind::Env)).await;
                assert!(source.current().is_ok() && source.report().principal.is_none(), "{endpoint}");
            },
        );
    }
}
