//! Credentials that come late, run out, are dead, or are denied by AWS: what clients notice of
//! it (cases 8 to 12 and 21).

use crate::cases::{Case, Server};
use crate::common::story::{SOME, Story, Told};
use crate::common::{Pooler, PoolerSetup, account, reaper, wait_until};
use crate::fake::{FakeAws, Service, Service::Container, Service::Imds, Service::Sts};
use crate::rig::{KEY, Rds, SECRET, attempt, refused_with, whoami};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A rig and an AWS whose credentials it takes.
fn stage() -> Option<(Rds, FakeAws)> {
    let (rds, fake) = (Rds::start()?, FakeAws::start());
    fake.note_to(rds.keys());
    Some((rds, fake))
}

/// A pooler that has nothing but the fake, with this source.
fn pooler(rds: &Rds, fake: &FakeAws, source: &str) -> PoolerSetup {
    rds.bare_pooler()
        .database_at("app", &format!("{} iam_credential_source={source}", rds.database()))
        .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", fake.url()))
        .environment("AWS_ENDPOINT_URL_STS", fake.url())
}

/// All is well, and AWS has told the time.
const FINE: Story<'static> = Story { skew_s: Some(-2..=2), ..Story::FINE };

/// There is nothing to sign with; `last_error`, `unfetched` and `not_ready` tell why.
const DEAD: Story<'static> = Story {
    class: "credentials",
    ok: 0..=0,
    failed: &[("credentials", SOME)],
    stance: "keep_on",
    credentials: "dead",
    ..Story::FINE
};

/// Seconds that the credentials have yet.
#[track_caller]
fn left_s(told: &Told) -> f64 {
    told.of_source("pgweir_iam_credentials_expire_seconds").expect("they expire")
}

/// Lets clients come for `span`, each to a server that is logged in to anew, and counts them;
/// every one has to be served.
fn visits(pooler: &Pooler, span: Duration) -> usize {
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < span {
        assert_eq!(pooler.ask("reconnect").commands, ["RECONNECT"]);
        assert_eq!(whoami(pooler, "app"), "app", "after {:?}", begun.elapsed());
        count += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    count
}

#[test]
fn every_source_that_is_named_is_used() {
    let Some((rds, fake)) = stage() else { return };
    let identity = reaper::directory().join("web-identity");
    account::write(&identity, "the.web.identity", 0o644);
    fake.set(Sts, "expects=the.web.identity");
    for (source, service) in [("imds", Imds), ("container", Container), ("web_identity", Sts)] {
        let pooler = pooler(&rds, &fake, source)
            .environment("AWS_WEB_IDENTITY_TOKEN_FILE", identity.display())
            .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/db")
            .start();
        assert_eq!(whoami(&pooler, "app"), "app", "{source}");
        assert!(!fake.calls(service).is_empty(), "{source}");
    }
    fake.set(Sts, "");
    let text = format!(
        "{} iam_credential_source=container iam_role_arn=arn:aws:iam::123456789012:role/other \
         iam_session_name=me",
        rds.database()
    );
    let pooler = pooler(&rds, &fake, "imds").database_at("app", &text).start();
    assert_eq!(whoami(&pooler, "app"), "app", "a role on top");
    let calls = fake.calls(Sts);
    assert!(calls.contains(&"AssumeRole arn:aws:iam::123456789012:role/other me".to_owned()), "{calls:?}");
    assert_eq!(rds.codes("app"), [200; 4]);
}

#[test]
fn clients_wait_for_credentials_that_are_not_there_yet() {
    let Some((rds, fake)) = stage() else { return };
    fake.set(Imds, "status=500");
    let pooler = pooler(&rds, &fake, "imds").set("query_wait_timeout", 60).start();
    let case = Case::of(&rds, &pooler);
    let (failed, unfetched) = (DEAD.failed, &[("service", SOME)][..]);
    std::thread::scope(|scope| {
        let early: Vec<_> = (0..5).map(|_| scope.spawn(|| attempt(&pooler, "app", "app"))).collect();
        wait_until("the source was asked in vain", || !fake.calls(Imds).is_empty());
        wait_until("they wait", || pooler.log().matches("login attempt: db=app user=app").count() == 5);
        let story = Story {
            last_error: "fetching credentials failed: the service failed (HTTP 500)",
            unfetched,
            not_ready: "no AWS credentials from source imds: the service failed",
            ..DEAD
        };
        case.is(&story, &Server::FINE);
        assert!(rds.verdicts().is_empty(), "nothing was signed with nothing");
        fake.set(Imds, "");
        for client in early {
            assert_eq!(client.join().expect("it came back").as_deref(), Ok("app"));
        }
    });
    case.is(&Story { failed, unfetched, ..FINE }, &Server::FINE);
}

/// A source that gives credentials once, then has this fault while half of their life is
/// over, then is well again.
fn fails_later(service: Service, fault: &str, reason: &str, words: &str) {
    let Some((rds, fake)) = stage() else { return };
    fake.set(service, "life_s=24");
    let pooler = pooler(&rds, &fake, service.name()).start();
    let case = Case::of(&rds, &pooler);
    assert_eq!(whoami(&pooler, "app"), "app");
    let at_first = left_s(&case.is(&FINE, &Server::FINE));
    let before = fake.calls(service).len();
    fake.set(service, fault);
    // Half of their life they are kept, in the other half the source fails.
    let count = visits(&pooler, Duration::from_secs(20));
    let calls = fake.calls(service).len() - before;
    assert!(count > 10, "{count} visits");
    assert!((1..=30).contains(&calls), "{calls} calls in vain");
    let (unfetched, last_error) =
        (&[(reason, 1..=10)][..], &*format!("fetching credentials failed: {words}"));
    let told = case.is(&Story { credentials: "stale", last_error, unfetched, ..FINE }, &Server::FINE);
    assert!(left_s(&told) < at_first - 15.0, "they run out: {at_first} s were left at first, {told:?}");
    fake.set(service, "");
    // Nobody logs in meanwhile: the old ones run out.
    let told = case.is(&Story { unfetched, ..FINE }, &Server::FINE);
    assert!(left_s(&told) > at_first, "{told:?}");
    visits(&pooler, Duration::from_millis(1));
    let verdicts = rds.verdicts();
    assert_ne!(verdicts[0].key, verdicts[verdicts.len() - 1].key, "new ones sign");
}

#[test]
fn a_source_that_fails_later_is_not_noticed_while_its_credentials_are_good() {
    fails_later(Container, "status=500", "service", "the service failed");
}

#[test]
fn nor_is_one_that_does_not_answer() {
    fails_later(Imds, "delay_ms=20000", "timeout", "no answer in time");
}

#[test]
fn nothing_is_signed_with_credentials_that_came_dead() {
    let Some((rds, fake)) = stage() else { return };
    fake.set(Container, "life_s=-600");
    let pooler = pooler(&rds, &fake, "container").set("iam_static_stability", 0).start();
    let case = Case::of(&rds, &pooler);
    const WHY: &str = "the source returned expired credentials";
    pooler.wait_for_log(WHY);
    let error = attempt(&pooler, "app", "app").unwrap_err();
    assert!(
        error.starts_with(&format!("FATAL 08006: query_wait_timeout: no AWS credentials: {WHY}")),
        "{error}"
    );
    let (failed, unfetched) = (DEAD.failed, &[("expired_from_source", SOME)][..]);
    let story = Story { last_error: WHY, unfetched, not_ready: WHY, skew_s: FINE.skew_s, ..DEAD };
    assert!(left_s(&case.is(&story, &Server::FINE)) <= -600.0, "it is told how dead they are");
    assert!(rds.verdicts().is_empty(), "{:?}", rds.verdicts());
    fake.set(Container, "");
    wait_until("good ones come", || attempt(&pooler, "app", "app").is_ok());
    case.is(&Story { failed, unfetched, ..FINE }, &Server::FINE);
}

#[test]
fn dead_credentials_of_the_platform_may_sign_while_there_are_no_others_but_aws_decides() {
    let Some((rds, fake)) = stage() else { return };
    fake.set(Container, "life_s=-600");
    let pooler = pooler(&rds, &fake, "container").start();
    let case = Case::of(&rds, &pooler);
    refused_with(
        &pooler,
        "app",
        "app",
        "FATAL 08006: query_wait_timeout: the token for role app was refused",
    );
    pooler.wait_for_log("the source returned expired credentials");
    pooler.wait_for_log("because the credentials could not be renewed");
    let server = Server { refused: &["ExpiredToken: credentials"], ..Server::FINE };
    let (failed, unfetched) = (DEAD.failed, &[("expired_from_source", SOME)][..]);
    let stale = Story {
        credentials: "stale",
        last_error: "because the credentials could not be renewed",
        unfetched,
        skew_s: FINE.skew_s,
        ..DEAD
    };
    case.is(&stale, &server);
    fake.set(Container, "");
    // Nobody logs in meanwhile: a refusal of the old ones would be put down to the new ones.
    case.is(&Story { credentials: "fresh", ..stale.clone() }, &server);
    wait_until("good ones sign", || attempt(&pooler, "app", "app").is_ok());
    case.is(&Story { failed, unfetched, ..FINE }, &server);
}

#[test]
fn a_refusal_of_dead_credentials_is_not_put_down_to_those_that_came_meanwhile() {
    let Some((rds, fake)) = stage() else { return };
    fake.set(Container, "life_s=-600");
    rds.behave("delay_ms=7000");
    let pooler = pooler(&rds, &fake, "container").set("query_wait_timeout", 40).start();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| attempt(&pooler, "app", "app"));
        wait_until("the verifier looks at a token", || rds.asked("app") > 0);
        fake.set(Container, "");
        rds.behave("");
        let shown = || pooler.ask("show iam").records().remove(0);
        wait_until("good credentials are there", || shown()["cred_state"] == "fresh");
        assert!(rds.verdicts().is_empty(), "the first token is still looked at");
        assert_eq!(client.join().expect("it came back").as_deref(), Ok("app"));
    });
    let codes: Vec<_> = rds.verdicts().iter().map(|verdict| verdict.code).collect();
    assert_eq!(codes, [400, 200]);
    assert_eq!(pooler.ask("show iam").records()[0]["logins_denied"], "0");
}

#[test]
fn a_session_token_logs_in_at_any_length_that_servers_read_and_beyond_it_costs_its_source_alone() {
    let Some((rds, fake)) = stage() else { return };
    let (longest, too_long) = ("+".repeat(21_000), "+".repeat(22_000));
    fake.set(Container, &format!("session={too_long}"));
    let env = format!("{} iam_credential_source=env", rds.database());
    let pooler = pooler(&rds, &fake, "container")
        .database_at("other", &env)
        .environment("AWS_ACCESS_KEY_ID", KEY)
        .environment("AWS_SECRET_ACCESS_KEY", SECRET)
        .start();
    pooler.wait_for_log("or is too long to sign with");
    refused_with(&pooler, "app", "app", "FATAL 08006: query_wait_timeout: no AWS credentials");
    assert_eq!(attempt(&pooler, "app", "other").as_deref(), Ok("app"), "the pooler lives");
    fake.set(Container, &format!("session={longest}"));
    wait_until("a sensible answer signs", || attempt(&pooler, "app", "app").is_ok());
    assert_eq!(rds.codes("app"), [200, 200]);
}

#[test]
fn one_throttled_source_is_one_caller_however_many_databases_share_it() {
    const DATABASES: usize = 50;
    let Some((rds, fake)) = stage() else { return };
    let identity = reaper::directory().join("throttled-identity");
    account::write(&identity, "the.web.identity", 0o644);
    fake.set(Sts, "status=400\ncode=Throttling");
    let text = format!("{} iam_credential_source=web_identity", rds.database());
    let mut setup = pooler(&rds, &fake, "web_identity")
        .environment("AWS_WEB_IDENTITY_TOKEN_FILE", identity.display())
        .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/db");
    for number in 0..DATABASES {
        setup = setup.database_at(&format!("app{number}"), &text);
    }
    let pooler = setup.set("query_wait_timeout", 60).start();
    let case = Case::of(&rds, &pooler);
    let (failed, unfetched) = (DEAD.failed, &[("throttled", 1..=3)][..]);
    let databases = ["app0", "app49"];
    std::thread::scope(|scope| {
        let visit = |number: usize| {
            let pooler = &pooler;
            move || attempt(pooler, "app", &format!("app{number}"))
        };
        let clients: Vec<_> = (0..DATABASES).map(|number| scope.spawn(visit(number))).collect();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(6) {
            // First pause 2 to 4 s, second 4 to 8 s; a call is repeated once.
            let calls = fake.calls(Sts).len();
            assert!(calls <= 6, "{calls} calls in {:?}", begun.elapsed());
            std::thread::sleep(Duration::from_millis(100));
        }
        const WHY: &str = "AWS asks for fewer calls (Throttling)";
        for database in databases {
            case.is(&Story { database, last_error: WHY, unfetched, not_ready: WHY, ..DEAD }, &Server::FINE);
        }
        fake.set(Sts, "expects=the.web.identity");
        for client in clients {
            assert_eq!(client.join().expect("it came back").as_deref(), Ok("app"));
        }
    });
    assert!(pooler.log().contains("AWS asks for fewer calls"));
    for database in databases {
        let ok = DATABASES as u64..=u64::MAX;
        case.is(&Story { database, ok, failed, unfetched, ..FINE }, &Server::FINE);
    }
}

#[test]
fn tokens_never_outlive_the_credentials_that_signed_them() {
    let Some((rds, fake)) = stage() else { return };
    fake.set(Container, "life_s=8");
    let pooler = pooler(&rds, &fake, "container").start();
    let case = Case::of(&rds, &pooler);
    visits(&pooler, Duration::from_secs(14));
    // The verifier knows their end, and has refused none.
    let told = case.is(&FINE, &Server::FINE);
    assert!((0.0..=8.0).contains(&left_s(&told)), "{told:?}");
    let verdicts = rds.verdicts();
    let keys: BTreeSet<_> = verdicts.iter().map(|verdict| verdict.key.as_str()).collect();
    assert!(keys.len() >= 3, "{keys:?}");
}

#[test]
fn a_pinned_source_does_not_fall_through_to_another() {
    let Some((rds, fake)) = stage() else { return };
    let setup = |source: &str| {
        rds.bare_pooler()
            .database_at("app", &format!("{} iam_credential_source={source}", rds.database()))
            .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())
    };
    let pinned = setup("web_identity").start();
    const WHY: &str = "no credentials found";
    let error = attempt(&pinned, "app", "app").unwrap_err();
    assert!(error.ends_with(&format!("no AWS credentials: {WHY}, source web_identity")), "{error}");
    pinned.wait_for_log(WHY);
    let unfetched = &[("not_configured", SOME)][..];
    Case::of(&rds, &pinned).is(&Story { last_error: WHY, unfetched, not_ready: WHY, ..DEAD }, &Server::FINE);
    assert!(fake.calls(Imds).is_empty(), "the node's role is another identity");
    assert!(rds.verdicts().is_empty());
    let chain = setup("default").start();
    let case = Case::of(&rds, &chain);
    assert_eq!(whoami(&chain, "app"), "app");
    assert_eq!(case.is(&FINE, &Server::FINE).row["source"], "default");
    chain.wait_for_log("set iam_credential_source=imds, or another source may take its place unnoticed");
}
