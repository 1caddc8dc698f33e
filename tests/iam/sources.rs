//! Each source of credentials: that it works, and that each way to fail is recognised in bounded time.

use crate::fake::Service::{self, Container, Imds, Sts};
use crate::fake::{FakeAws, SECRET_MARK};
use crate::stage::{Stage, container, fetch, imds, key, no_imds, play, region, sts};
use pgweir::iam::{
    FetchError, Fetched, Reason, Role, SourceKey, SourceKind, Sources, StaticStability, SystemClock,
};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// No fetch may take longer, whatever happens; the keeper gives up at 15 s.
const LONGEST: Duration = Duration::from_secs(12);

/// The reason for which a fetch fails while `service` behaves so.
async fn reason(stage: &Stage, key: &SourceKey, service: Service, behaviour: &str) -> Reason {
    failure(stage, key, service, behaviour).await.reason
}

async fn failure(stage: &Stage, key: &SourceKey, service: Service, behaviour: &str) -> FetchError {
    stage.set(service, behaviour);
    let began = Instant::now();
    let error = fetch(key).await.err().unwrap_or_else(|| panic!("{behaviour}: it worked"));
    assert!(began.elapsed() < LONGEST, "{behaviour}: {:?}", began.elapsed());
    assert!(!error.to_string().contains(SECRET_MARK), "{error}");
    eprintln!("{} {behaviour:?}: {:?} after {:?}: {error}", key, error.reason, began.elapsed());
    error
}

fn lives_s(fetched: &Fetched) -> u64 {
    let expiry = fetched.credentials.expiry().expect("temporary ones");
    expiry.duration_since(SystemTime::now()).expect("ahead").as_secs()
}

#[test]
fn imds_version_2_works_and_version_1_is_never_tried() {
    play(
        |fake, _| vec![imds(fake)],
        async |stage| {
            let fetched = fetch(&key(SourceKind::Imds)).await.unwrap();
            assert_eq!(fetched.via, SourceKind::Imds);
            assert!((3500..=3600).contains(&lives_s(&fetched)));
            let calls = stage.calls(Imds);
            assert_eq!(calls[0], "PUT /latest/api/token");
            assert_eq!(calls.len(), 3, "{calls:?}");
            let version_1 = stage.raw("GET /latest/meta-data/iam/security-credentials/", "");
            assert!(version_1.contains(" 401 "), "{version_1}");
        },
    );
}

#[test]
fn failures_of_imds_are_told_apart() {
    play(
        |fake, _| vec![imds(fake)],
        async |stage| {
            let imds = key(SourceKind::Imds);
            assert_eq!(reason(&stage, &imds, Imds, "status=500").await, Reason::Service);
            assert_eq!(reason(&stage, &imds, Imds, "status=403").await, Reason::Denied);
            assert_eq!(reason(&stage, &imds, Imds, "role=0").await, Reason::NotConfigured);
            assert_eq!(reason(&stage, &imds, Imds, "delay_ms=20000").await, Reason::Timeout);
            assert_eq!(reason(&stage, &imds, Imds, "garbage=1").await, Reason::Garbage);
        },
    );
}

#[test]
fn no_metadata_service_is_told() {
    play(
        |_, _| vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1".into())],
        async |_| {
            let error = fetch(&key(SourceKind::Imds)).await.err().unwrap();
            assert_eq!(error.reason, Reason::Unreachable, "{error}");
        },
    );
}

#[test]
fn expired_credentials_of_imds_come_out_expired() {
    play(
        |fake, _| vec![imds(fake)],
        async |stage| {
            stage.set(Imds, "life_s=-600");
            let fetched = fetch(&key(SourceKind::Imds)).await.unwrap();
            let since = SystemTime::now().duration_since(fetched.credentials.expiry().unwrap()).unwrap();
            assert!((590..620).contains(&since.as_secs()), "{since:?}");
        },
    );
}

#[test]
fn the_containers_endpoint_works_and_its_token_file_is_read_anew() {
    play(
        |fake, directory| {
            let file = directory.join("token").display().to_string();
            vec![container(fake), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)]
        },
        async |stage| {
            let container = key(SourceKind::Container);
            stage.write("token", "first");
            stage.set(Container, "expects=first");
            assert_eq!(fetch(&container).await.unwrap().via, SourceKind::Container);
            assert_eq!(reason(&stage, &container, Container, "expects=second").await, Reason::Denied);
            stage.write("token", "second");
            fetch(&container).await.unwrap();
            std::fs::remove_file(stage.directory.join("token")).unwrap();
            assert_eq!(fetch(&container).await.err().unwrap().reason, Reason::Misconfigured);
        },
    );
}

#[test]
fn failures_of_the_containers_endpoint_are_told_apart() {
    play(
        |fake, _| vec![container(fake)],
        async |stage| {
            let key = key(SourceKind::Container);
            assert_eq!(reason(&stage, &key, Container, "status=500").await, Reason::Service);
            assert_eq!(reason(&stage, &key, Container, "status=429").await, Reason::Throttled);
            assert_eq!(reason(&stage, &key, Container, "garbage=1").await, Reason::Garbage);
            stage.set(Container, "life_s=-600");
            let fetched = fetch(&key).await.unwrap();
            assert!(fetched.credentials.expiry() < Some(SystemTime::now()));
        },
    );
}

#[test]
fn a_hanging_container_endpoint_is_given_up() {
    play(
        |fake, _| vec![container(fake)],
        async |stage| {
            stage.set(Container, "delay_ms=60000");
            let sources = Sources::new(Arc::new(SystemClock), StaticStability::On);
            let source = sources.source(&key(SourceKind::Container), &region());
            let began = Instant::now();
            source.fetched_after(0).await;
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
            assert_eq!(source.report().state.reason(), Some(Reason::Timeout));
        },
    );
}

#[test]
fn a_container_uri_that_makes_no_sense_is_an_error() {
    for variable in ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
        play(
            move |_, _| vec![(variable, "no uri at all".into()), no_imds()],
            async |_| {
                for kind in [SourceKind::Container, SourceKind::Default] {
                    assert_eq!(fetch(&key(kind)).await.err().unwrap().reason, Reason::Misconfigured);
                }
            },
        );
    }
}

fn web_identity(fake: &FakeAws, directory: &std::path::Path) -> Vec<(&'static str, String)> {
    vec![
        sts(fake),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", directory.join("jwt").display().to_string()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app".into()),
    ]
}

#[test]
fn a_web_identity_is_exchanged_under_our_name() {
    play(web_identity, async |stage| {
        stage.write("jwt", &format!("ey.{SECRET_MARK}.1"));
        stage.set(Sts, &format!("expects=ey.{SECRET_MARK}.1\nlife_s=900"));
        let fetched = fetch(&key(SourceKind::WebIdentity)).await.unwrap();
        assert!((800..=900).contains(&lives_s(&fetched)));
        let named = "auditors-see-this".parse().unwrap();
        fetch(&SourceKey::new(SourceKind::WebIdentity, None, None, Some(named), &region())).await.unwrap();
        assert_eq!(
            stage.calls(Sts),
            [
                "AssumeRoleWithWebIdentity arn:aws:iam::123456789012:role/app pgweir",
                "AssumeRoleWithWebIdentity arn:aws:iam::123456789012:role/app auditors-see-this",
            ]
        );
    });
}

#[test]
fn the_environment_names_the_session_unless_a_setting_does() {
    play(
        |fake, directory| {
            let mut environment = web_identity(fake, directory);
            environment.push(("AWS_ROLE_SESSION_NAME", "from-env".into()));
            environment
        },
        async |stage| {
            stage.write("jwt", "ey");
            stage.set(Sts, "expects=ey");
            fetch(&key(SourceKind::WebIdentity)).await.unwrap();
            let named = "from-settings".parse().ok();
            fetch(&SourceKey::new(SourceKind::WebIdentity, None, None, named, &region())).await.unwrap();
            let names: Vec<String> =
                stage.calls(Sts).iter().filter_map(|call| call.rsplit(' ').next()).map(Into::into).collect();
            assert_eq!(names, ["from-env", "from-settings"]);
        },
    );
}

#[test]
fn failures_of_sts_are_told_apart() {
    play(web_identity, async |stage| {
        let key = key(SourceKind::WebIdentity);
        let error = fetch(&key).await.err().unwrap();
        assert_eq!(error.reason, Reason::Misconfigured, "no token file: {error}");
        let told = error.to_string();
        assert!(told.contains("/jwt (AWS_WEB_IDENTITY_TOKEN_FILE) cannot be read"), "{told}");
        stage.write("jwt", &format!("ey.{SECRET_MARK}"));
        assert_eq!(reason(&stage, &key, Sts, "status=400\ncode=Throttling").await, Reason::Throttled);
        assert_eq!(
            reason(&stage, &key, Sts, "status=400\ncode=ExpiredTokenException").await,
            Reason::Identity
        );
        assert_eq!(reason(&stage, &key, Sts, "status=403\ncode=RequestTimeTooSkewed").await, Reason::Clock);
        assert_eq!(reason(&stage, &key, Sts, "status=503\ncode=ServiceUnavailable").await, Reason::Service);
        assert_eq!(reason(&stage, &key, Sts, "garbage=1").await, Reason::Garbage);
        assert_eq!(reason(&stage, &key, Sts, "delay_ms=20000").await, Reason::Timeout);
        let denied = failure(&stage, &key, Sts, "status=403\ncode=AccessDenied").await;
        assert_eq!(denied.reason, Reason::Denied);
        assert!(denied.to_string().contains("the-role/me is not authorized"), "{denied}");
    });
}

#[test]
fn a_web_identity_that_is_not_set_up_names_the_variable() {
    play(
        |_, _| vec![],
        async |_| {
            let error = fetch(&key(SourceKind::WebIdentity)).await.err().unwrap();
            assert_eq!(error.to_string(), "no credentials found (AWS_WEB_IDENTITY_TOKEN_FILE is not set)");
        },
    );
}

#[test]
fn a_role_is_assumed_on_top_with_external_id_and_session_name() {
    play(
        |fake, _| vec![imds(fake), sts(fake)],
        async |stage| {
            let key = |id| {
                let role = Role::new("arn:aws:iam::123456789012:role/db-ro", id).unwrap();
                let name = "tenant-7".parse().unwrap();
                SourceKey::new(SourceKind::Imds, None, Some(role), Some(name), &region())
            };
            stage.set(Sts, "expects=tenant:7");
            let fetched = fetch(&key(Some("tenant:7"))).await.unwrap();
            assert_eq!(fetched.via, SourceKind::Imds);
            assert_eq!(
                stage.calls(Sts),
                ["AssumeRole arn:aws:iam::123456789012:role/db-ro tenant-7 tenant:7"]
            );
            assert_eq!(fetch(&key(None)).await.err().unwrap().reason, Reason::Denied);
            stage.set(Sts, "status=400\ncode=Throttling");
            assert_eq!(fetch(&key(None)).await.err().unwrap().reason, Reason::Throttled);
            stage.set(Imds, "role=0");
            assert_eq!(fetch(&key(None)).await.err().unwrap().reason, Reason::NotConfigured);
        },
    );
}

#[test]
fn the_environment_gives_what_it_has() {
    play(
        |_, _| {
            vec![
                ("AWS_ACCESS_KEY_ID", "AKIAENV".into()),
                ("AWS_SECRET_ACCESS_KEY", SECRET_MARK.into()),
                ("AWS_SESSION_TOKEN", format!("{SECRET_MARK}-session")),
            ]
        },
        async |_| {
            for kind in [SourceKind::Env, SourceKind::Default] {
                let fetched = fetch(&key(kind)).await.unwrap();
                assert_eq!((fetched.via, fetched.credentials.expiry()), (SourceKind::Env, None));
                assert_eq!(fetched.credentials.access_key_id(), "AKIAENV");
            }
            assert_eq!(fetch(&key(SourceKind::Container)).await.err().unwrap().reason, Reason::NotConfigured);
        },
    );
}

#[test]
fn the_chain_ends_at_imds_and_does_not_step_over_what_is_broken() {
    play(
        |fake, _| vec![imds(fake)],
        async |_| {
            assert_eq!(fetch(&key(SourceKind::Default)).await.unwrap().via, SourceKind::Imds);
            assert_eq!(
                fetch(&key(SourceKind::WebIdentity)).await.err().unwrap().reason,
                Reason::NotConfigured
            );
        },
    );
    play(
        |fake, directory| {
            let mut environment = web_identity(fake, directory);
            environment.push(imds(fake));
            environment
        },
        async |stage| {
            stage.write("jwt", "ey");
            stage.set(Sts, "status=403\ncode=AccessDenied");
            let error = fetch(&key(SourceKind::Default)).await.err().unwrap();
            assert_eq!((error.reason, error.via), (Reason::Denied, Some(SourceKind::WebIdentity)));
            assert_eq!(stage.calls(Imds), [""; 0], "the instance's own role is not taken instead");
            let error = fetch(&key(SourceKind::WebIdentity)).await.err().unwrap();
            assert_eq!((error.reason, error.via), (Reason::Denied, None), "there is only one");
        },
    );
    play(
        |_, _| vec![no_imds()],
        async |_| {
            let error = fetch(&key(SourceKind::Default)).await.err().unwrap();
            assert_eq!((error.reason, error.via), (Reason::NotConfigured, None));
        },
    );
}

/// Environments in which a source is half there, and what is missing.
const HALVES: [(&[(&str, &str)], &str); 7] = [
    (&[("AWS_ACCESS_KEY_ID", "AKIAENV")], "AWS_SECRET_ACCESS_KEY is not set"),
    (&[("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", " ")], "AWS_SECRET_ACCESS_KEY is not set"),
    (&[("AWS_SECRET_ACCESS_KEY", SECRET_MARK)], "AWS_ACCESS_KEY_ID is not set"),
    (&[("AWS_SESSION_TOKEN", SECRET_MARK)], "AWS_ACCESS_KEY_ID is not set"),
    (
        &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_SESSION_TOKEN", SECRET_MARK)],
        "AWS_ACCESS_KEY_ID is not set",
    ),
    (&[("AWS_PROFILE", "nobody")], "no such profile"),
    (&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/there")], "AWS_ROLE_ARN is not set"),
];

#[test]
fn half_a_source_is_an_error_of_the_chain_and_no_other_identity_is_taken() {
    for (half, missing) in HALVES {
        play(
            |fake, _| {
                let half = half.iter().map(|(name, value)| (*name, (*value).to_owned()));
                half.chain([imds(fake), container(fake)]).collect()
            },
            async |stage| {
                let error = fetch(&key(SourceKind::Default)).await.err().unwrap();
                assert_eq!(error.reason, Reason::Misconfigured, "{half:?}: {error}");
                assert!(error.to_string().contains(missing), "{half:?}: {error}");
                assert_eq!((stage.calls(Imds), stage.calls(Container)), (vec![], vec![]), "{half:?}");
            },
        );
    }
}

#[test]
fn what_is_set_to_nothing_is_not_there() {
    play(
        |fake, _| {
            let empty = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"];
            let more = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
            let empty = empty.into_iter().chain(more).map(|name| (name, String::new()));
            empty.chain([imds(fake)]).collect()
        },
        async |_| assert_eq!(fetch(&key(SourceKind::Default)).await.unwrap().via, SourceKind::Imds),
    );
}

#[test]
fn a_host_that_cannot_be_looked_up_is_named() {
    const NOWHERE: &str = "nowhere.invalid";
    let environments: [&[(&str, &str)]; 3] = [
        &[("AWS_ENDPOINT_URL_STS", "https://nowhere.invalid")],
        &[("AWS_ENDPOINT_URL_STS", "http://nowhere.invalid:8080")],
        &[("HTTPS_PROXY", "http://ada:hush@nowhere.invalid:3128")],
    ];
    for environment in environments {
        play(
            |_, _| {
                let keys = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", SECRET_MARK)];
                keys.iter().chain(environment).map(|(name, value)| (*name, (*value).to_owned())).collect()
            },
            async |_| {
                let role = Role::new("arn:aws:iam::123456789012:role/db", None).unwrap();
                let key = SourceKey::new(SourceKind::Env, None, Some(role), None, &region());
                let error = fetch(&key).await.err().expect("no credentials");
                let text = error.to_string();
                assert_eq!(error.reason, Reason::Unreachable, "{text}");
                assert!(text.starts_with(&format!("no connection ({NOWHERE}: ")), "{text}");
                assert!(!text.contains("hush"), "{text}");
            },
        );
    }
}
