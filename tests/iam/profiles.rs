//! Profiles of `~/.aws`: keys, programs, roles on top of each other, and where the
//! first credentials come from.

use crate::fake::SECRET_MARK;
use crate::fake::Service::{Container, Imds, Sts};
use crate::stage::{container, fetch, imds, no_imds, play, profile, profile_files, region, sts};
use pgweir::iam::{Reason, SourceKey, SourceKind, Sources, StaticStability, SystemClock};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Profiles, and no metadata service.
fn files(directory: &std::path::Path) -> Vec<(&'static str, String)> {
    [&profile_files(directory)[..], &[no_imds()]].concat()
}

#[test]
fn a_profile_is_read_anew_each_time() {
    play(
        |_, directory| files(directory),
        async |stage| {
            let write = |id: &str| {
                let keys = format!("aws_access_key_id = {id}\naws_secret_access_key = {SECRET_MARK}\n");
                stage.write("credentials", &format!("[prod]\n{keys}"));
            };
            let of_prod = profile(SourceKind::Profile, "prod");
            assert_eq!(fetch(&of_prod).await.err().unwrap().reason, Reason::Misconfigured);
            for id in ["AKIAOLD", "AKIANEW"] {
                write(id);
                let fetched = fetch(&of_prod).await.unwrap();
                assert_eq!((fetched.via, fetched.credentials.access_key_id()), (SourceKind::Profile, id));
            }
            let error = fetch(&profile(SourceKind::Process, "prod")).await.err().unwrap();
            assert_eq!(error.reason, Reason::Misconfigured, "a pinned process is a process: {error}");
            stage.write("config", "[profile broken]\nrole_arn = arn:aws:iam::1:role/x\n");
            assert_eq!(
                fetch(&profile(SourceKind::Profile, "broken")).await.err().unwrap().reason,
                Reason::Misconfigured
            );
        },
    );
}

#[test]
fn a_process_gives_credentials_and_its_words_stay_hidden() {
    play(
        |_, directory| files(directory),
        async |stage| {
            let of = |command: &str| {
                stage.write("config", &format!("[profile p]\ncredential_process = {command}\n"))
            };
            let process = profile(SourceKind::Process, "p");
            let answer = format!(
                "{{\"Version\": 1, \"AccessKeyId\": \"ASIAPROC\", \"SecretAccessKey\": \"{SECRET_MARK}\", \
                 \"SessionToken\": \"{SECRET_MARK}\", \"Expiration\": \"2999-01-01T00:00:00Z\"}}"
            );
            stage.write("answer.json", &answer);
            of(&format!("cat {}/answer.json", stage.directory.display()));
            let fetched = fetch(&process).await.unwrap();
            assert_eq!(fetched.credentials.access_key_id(), "ASIAPROC");
            for command in [
                format!("echo {SECRET_MARK} >&2; exit 3"),
                format!("echo {SECRET_MARK}"),
                format!("yes {SECRET_MARK}"),
                "/no/such/program".to_owned(),
            ] {
                of(&command);
                let error = fetch(&process).await.err().unwrap();
                assert_eq!(error.reason, Reason::Misconfigured, "{error}");
                assert!(!error.to_string().contains(SECRET_MARK), "{error}");
            }
        },
    );
}

#[test]
fn two_hundred_profiles_that_assume_roles_ask_sts_at_its_pace() {
    const PROFILES: usize = 200;
    play(
        |fake, directory| [&profile_files(directory)[..], &[no_imds(), sts(fake)]].concat(),
        async |stage| {
            let keys = format!("aws_access_key_id = AKIABASE\naws_secret_access_key = {SECRET_MARK}\n");
            let role = |number: usize| {
                let arn = format!("arn:aws:iam::123456789012:role/t{number}");
                format!("[profile t{number}]\nrole_arn = {arn}\nsource_profile = base\n")
            };
            let roles: String = (0..PROFILES).map(role).collect();
            stage.write("config", &format!("[profile base]\n{keys}{roles}"));
            let sources = Sources::new(Arc::new(SystemClock), StaticStability::On);
            let begun = Instant::now();
            let all: Vec<_> = (0..PROFILES)
                .map(|number| sources.source(&profile(SourceKind::Profile, &format!("t{number}")), &region()))
                .collect();
            let all_are_there = async {
                for source in &all {
                    while source.current().is_err() {
                        source.fetched_after(source.fetches()).await;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(60), all_are_there).await.expect("all have theirs");
            let (calls, took) = (stage.calls(Sts).len(), begun.elapsed());
            // A burst, and so many a second; a call that fails is made again at once.
            assert!(calls as f64 <= 24.0 * (took.as_secs_f64() + 1.0), "{calls} calls in {took:?}");
        },
    );
}

#[test]
fn what_a_profile_names_as_its_source_is_asked() {
    play(
        |fake, directory| {
            let keys =
                [("AWS_ACCESS_KEY_ID", "AKIAENV".into()), ("AWS_SECRET_ACCESS_KEY", SECRET_MARK.into())];
            [&profile_files(directory)[..], &[imds(fake), container(fake), sts(fake)], &keys].concat()
        },
        async |stage| {
            let role = "role_arn = arn:aws:iam::123456789012:role/on-top\nrole_session_name = named-there\n";
            for (name, service) in [
                ("Ec2InstanceMetadata", Some(Imds)),
                ("EcsContainer", Some(Container)),
                ("Environment", None),
            ] {
                stage.write("config", &format!("[profile p]\ncredential_source = {name}\n{role}"));
                let fetched = fetch(&profile(SourceKind::Profile, "p")).await.unwrap();
                assert_eq!(fetched.via, SourceKind::Profile);
                assert!(fetched.credentials.access_key_id().starts_with("ASIA"), "{name}: a role's");
                assert!(service.is_none_or(|service| !stage.calls(service).is_empty()), "{name}");
                let last = stage.calls(Sts).pop().unwrap();
                assert_eq!(last, "AssumeRole arn:aws:iam::123456789012:role/on-top named-there");
            }
            stage.set(Imds, "role=0");
            stage.write("config", &format!("[profile p]\ncredential_source = Ec2InstanceMetadata\n{role}"));
            let error = fetch(&profile(SourceKind::Profile, "p")).await.err().unwrap();
            assert_eq!(error.reason, Reason::NotConfigured, "{error}");
            stage.write("config", &format!("[profile p]\ncredential_source = Elsewhere\n{role}"));
            let error = fetch(&profile(SourceKind::Profile, "p")).await.err().unwrap();
            assert_eq!(error.reason, Reason::Misconfigured, "{error}");
        },
    );
}

#[test]
fn roles_of_profiles_are_assumed_one_after_the_other() {
    play(
        |fake, directory| [&profile_files(directory)[..], &[sts(fake), no_imds()]].concat(),
        async |stage| {
            stage.write(
                "config",
                &format!(
                    "[profile top]\nrole_arn = arn:aws:iam::123456789012:role/b\nsource_profile = middle\n\
                     external_id = tenant-7\n\
                     [profile middle]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = base\n\
                     external_id = tenant-7\n\
                     [profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = {SECRET_MARK}\n"
                ),
            );
            stage.set(Sts, "expects=tenant-7");
            fetch(&profile(SourceKind::Profile, "top")).await.unwrap();
            assert_eq!(
                stage.calls(Sts),
                [
                    "AssumeRole arn:aws:iam::123456789012:role/a pgweir tenant-7",
                    "AssumeRole arn:aws:iam::123456789012:role/b pgweir tenant-7",
                ]
            );
        },
    );
}

#[test]
fn a_profile_may_exchange_a_web_identity() {
    play(
        |fake, directory| [&profile_files(directory)[..], &[sts(fake), no_imds()]].concat(),
        async |stage| {
            stage.write("jwt", "ey");
            stage.set(Sts, "expects=ey");
            let file = stage.directory.join("jwt");
            let role = "role_arn = arn:aws:iam::123456789012:role/web";
            stage.write(
                "config",
                &format!("[profile w]\n{role}\nweb_identity_token_file = {}\n", file.display()),
            );
            let key = |name: &str| {
                SourceKey::new(SourceKind::Profile, Some("w"), None, name.parse().ok(), &region())
            };
            fetch(&key("")).await.unwrap();
            fetch(&key("pool")).await.unwrap();
            let call = "AssumeRoleWithWebIdentity arn:aws:iam::123456789012:role/web";
            assert_eq!(stage.calls(Sts), [format!("{call} pgweir"), format!("{call} pool")]);
        },
    );
}
