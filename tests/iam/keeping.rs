//! The keeping of credentials, against the fakes: what logins see while AWS comes and goes.

use crate::fake::SECRET_MARK;
use crate::fake::Service::{Imds, Sts};
use crate::stage::{Stage, imds, key, play, region, sts};
use pgweir::iam::{
    CredentialState, Endpoint, Reason, Role, Source, SourceKey, SourceKind, Sources, StaticStability,
    SystemClock, Token,
};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

fn sources(stability: StaticStability) -> Sources {
    Sources::new(Arc::new(SystemClock), stability)
}

/// Waits until `source` is in a state for which `wanted` holds.
async fn until(source: &Source, what: &str, wanted: impl Fn(CredentialState) -> bool) {
    let began = Instant::now();
    while !wanted(source.report().state) {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: {:?}", source.report());
        let _ = tokio::time::timeout(Duration::from_millis(20), source.fetched_after(source.fetches())).await;
    }
}

fn token_of(source: &Source) -> Token {
    let endpoint = Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 5432, None).expect("RDS's own name");
    let credentials = source.current().expect("some that may sign");
    Token::mint(&endpoint, "app", &credentials, SystemTime::now()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_thousand_databases_make_one_fetch_and_know_their_principal() {
    play(
        |fake, _| vec![imds(fake), sts(fake)],
        async |stage: Stage| {
            let sources = sources(StaticStability::On);
            let all: Vec<_> = (0..1000).map(|_| sources.source(&key(SourceKind::Imds), &region())).collect();
            assert_eq!(all[0].current().unwrap_err(), CredentialState::Empty, "nobody waits for AWS");
            all[999].fetched_after(0).await;
            assert_eq!(all[500].report().state, CredentialState::Fresh);
            assert_eq!(stage.calls(Imds).len(), 3, "one fetch: a token, a role, its credentials");
            let began = Instant::now();
            while all[0].report().principal.is_none() {
                assert!(began.elapsed() < Duration::from_secs(10));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let principal = all[0].report().principal.unwrap();
            assert_eq!(&*principal, "arn:aws:sts::123456789012:assumed-role/the-role/me");
            let text = token_of(&all[3]);
            assert!(text.expose().contains("&X-Amz-Security-Token="));
        },
    );
}

#[test]
fn an_outage_costs_no_login_while_the_credentials_live() {
    play(
        |fake, _| vec![imds(fake), sts(fake)],
        async |stage: Stage| {
            let sources = sources(StaticStability::Off);
            stage.set(Imds, "life_s=14");
            let source = sources.source(&key(SourceKind::Imds), &region());
            source.fetched_after(0).await;
            let first = source.current().unwrap();
            stage.set(Imds, "status=500");
            until(&source, "stale", |state| state == CredentialState::Stale(Reason::Service)).await;
            assert_eq!(source.current().unwrap().generation(), first.generation());
            assert!(token_of(&source).expires_at() <= first.expires_at().unwrap(), "no token outlives them");
            until(&source, "dead", |state| state == CredentialState::Dead(Reason::Service)).await;
            assert!(first.expires_at().unwrap() <= SystemTime::now(), "not before their end");
            stage.set(Imds, "life_s=3600");
            source.force_refresh();
            until(&source, "fresh", |state| state == CredentialState::Fresh).await;
            assert_eq!(source.current().unwrap().generation(), first.generation() + 1);
            let failed: u64 = source.report().failures.iter().sum();
            assert_eq!(source.report().failures[Reason::Service as usize], failed);
        },
    );
}

#[test]
fn a_throttled_sts_is_left_alone() {
    play(
        |fake, _| vec![imds(fake), sts(fake)],
        async |stage: Stage| {
            stage.set(Sts, "status=400\ncode=Throttling");
            let role = Role::new("arn:aws:iam::123456789012:role/x", None).unwrap();
            let key = SourceKey::new(SourceKind::Imds, None, Some(role), None, &region());
            let sources = sources(StaticStability::On);
            let source = sources.source(&key, &region());
            source.fetched_after(0).await;
            let calls = stage.calls(Sts).len();
            assert!(calls <= 2, "{calls} calls in one fetch");
            for _ in 0..100 {
                source.force_refresh();
                tokio::task::yield_now().await;
            }
            let report = source.report();
            assert_eq!(report.state, CredentialState::Dead(Reason::Throttled));
            let pause = report.next_refresh_at.unwrap().duration_since(SystemTime::now()).unwrap();
            assert!(pause > Duration::from_secs(1), "{pause:?}");
            assert_eq!(stage.calls(Sts).len(), calls);
        },
    );
}

/// The source of a tenant's role, assumed with the instance's own.
fn tenant(number: usize) -> SourceKey {
    let role = Role::new(&format!("arn:aws:iam::123456789012:role/tenant-{number}"), None).expect("a role");
    SourceKey::new(SourceKind::Imds, None, Some(role), None, &region())
}

#[test]
fn any_number_of_roles_share_what_assumes_them() {
    const TENANTS: usize = 30;
    play(
        |fake, _| vec![imds(fake), sts(fake)],
        async |stage: Stage| {
            let sources = sources(StaticStability::On);
            let all: Vec<_> = (0..TENANTS).map(|n| sources.source(&tenant(n), &region())).collect();
            for (number, source) in all.iter().enumerate() {
                source.fetched_after(0).await;
                let report = source.report();
                assert_eq!((report.state, report.via), (CredentialState::Fresh, Some(SourceKind::Imds)));
                let principal = format!("arn:aws:sts::123456789012:assumed-role/tenant-{number}/pgweir");
                assert_eq!(report.principal.as_deref(), Some(&*principal));
            }
            assert_eq!(stage.calls(Imds).len(), 3, "one fetch: a token, a role, its credentials");
            let calls = stage.calls(Sts);
            assert!(calls.len() == TENANTS && calls.iter().all(|call| call.starts_with("AssumeRole ")));
            assert_eq!(sources.all().len(), TENANTS, "no entry names what assumes them");
            let base = sources.source(&key(SourceKind::Imds), &region());
            base.identified().await;
            assert_eq!(base.report().state, CredentialState::Fresh);
            assert!(base.report().principal.is_some() && sources.all().len() == TENANTS + 1);
            assert_eq!(stage.calls(Imds).len(), 3, "an entry that does finds it there");
        },
    );
}

#[test]
fn roles_tell_why_what_assumes_them_has_no_credentials() {
    play(
        |fake, _| {
            fake.set(Imds, "status=500");
            vec![imds(fake), sts(fake)]
        },
        async |stage: Stage| {
            let sources = sources(StaticStability::On);
            let all: Vec<_> = (0..5).map(|n| sources.source(&tenant(n), &region())).collect();
            for source in &all {
                until(source, "dead", |state| state == CredentialState::Dead(Reason::Service)).await;
            }
            stage.set(Imds, "");
            for source in &all {
                until(source, "fresh", |state| state == CredentialState::Fresh).await;
            }
        },
    );
}

#[test]
fn a_role_that_is_throttled_is_asked_for_once_in_a_fetch() {
    const TENANTS: usize = 10;
    play(
        |fake, _| {
            fake.set(Sts, "status=400\ncode=Throttling");
            vec![imds(fake), sts(fake)]
        },
        async |stage: Stage| {
            let sources = sources(StaticStability::On);
            let all: Vec<_> = (0..TENANTS).map(|n| sources.source(&tenant(n), &region())).collect();
            for source in &all {
                source.fetched_after(0).await;
                assert_eq!(source.report().state, CredentialState::Dead(Reason::Throttled));
            }
            let fetches: u64 = all.iter().map(|source| source.report().failures.iter().sum::<u64>()).sum();
            let calls = stage.calls(Sts).len() as u64;
            assert!(
                calls <= fetches + TENANTS as u64,
                "{calls} calls in {fetches} fetches and those under way"
            );
        },
    );
}

#[test]
fn expired_credentials_sign_only_with_static_stability() {
    for (stability, state) in [
        (StaticStability::Off, CredentialState::Dead(Reason::ExpiredFromSource)),
        (StaticStability::On, CredentialState::Stale(Reason::ExpiredFromSource)),
    ] {
        play(
            |fake, _| {
                fake.set(Imds, "life_s=-600");
                vec![imds(fake), sts(fake)]
            },
            async move |_: Stage| {
                let sources = sources(stability);
                let source = sources.source(&key(SourceKind::Imds), &region());
                source.fetched_after(0).await;
                assert_eq!(source.report().state, state);
                assert_eq!(source.current().is_ok(), stability == StaticStability::On);
            },
        );
    }
}

#[test]
fn a_program_that_takes_its_time_is_started_once_and_has_not_failed() {
    play(
        |_, directory| {
            let config = format!(
                "[default]\ncredential_process = echo x >> {0}/started; sleep 16; cat {0}/answer.json\n",
                directory.display()
            );
            let answer =
                format!("{{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"{SECRET_MARK}\"}}");
            std::fs::write(directory.join("answer.json"), answer).unwrap();
            std::fs::write(directory.join("config"), config).unwrap();
            vec![("AWS_CONFIG_FILE", directory.join("config").display().to_string())]
        },
        async |stage: Stage| {
            let sources = sources(StaticStability::On);
            let source = sources.source(&key(SourceKind::Process), &region());
            let fetched = tokio::time::timeout(Duration::from_secs(60), source.fetched_after(0)).await;
            fetched.expect("the first fetch ends with the program");
            let report = source.report();
            assert_eq!((report.state, report.failures), (CredentialState::Fresh, [0; Reason::ALL.len()]));
            let started = std::fs::read_to_string(stage.directory.join("started")).unwrap();
            assert_eq!(started.lines().count(), 1);
        },
    );
}

#[test]
fn a_clock_that_is_off_is_noticed() {
    play(
        |fake, _| {
            fake.set(Imds, "ahead_s=600");
            vec![imds(fake), sts(fake)]
        },
        async |_: Stage| {
            let sources = sources(StaticStability::On);
            assert_eq!(sources.skew().seconds(SystemTime::now()), None);
            let source = sources.source(&key(SourceKind::Imds), &region());
            source.fetched_after(0).await;
            let seconds = sources.skew().seconds(SystemTime::now()).unwrap();
            assert!((598..=602).contains(&seconds), "{seconds}");
        },
    );
}
