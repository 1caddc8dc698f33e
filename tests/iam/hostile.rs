//! Answers and settings that make no sense: each is an error, and none ends the process, though the AWS libraries panic over some.

use crate::fake::SECRET_MARK;
use crate::fake::Service::{Container, Imds, Sts};
use crate::stage::{Stage, container, fetch, imds, key, no_imds, play, profile, profile_files, region, sts};
use pgweir::iam::{Reason, Role, Source, SourceKey, SourceKind, Sources, StaticStability, SystemClock};
use std::sync::Arc;
use std::time::Duration;

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
                    // a name that makes a path is asked for, and is not there
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
        // as a file holds it, where JSON has escapes
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
