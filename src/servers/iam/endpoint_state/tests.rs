//! Tests of `endpoint_state.rs`.

use super::*;
use crate::iam::denial::{Asked, Stage};
use crate::iam::{SourceKey, SourceKind};
use crate::wire::sqlstate;

fn endpoint_state() -> EndpointState {
    let endpoint = Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 5432, None).unwrap();
    EndpointState::new(endpoint, 20, Clock::new(), Arc::default())
}

fn who(user: &str) -> Who {
    let region = "eu-west-1".parse().unwrap();
    Who { user: user.into(), source: SourceKey::new(SourceKind::Imds, None, None, None, &region) }
}

fn refused() -> Outcome<'static> {
    Outcome::Error { sqlstate: sqlstate::INVALID_AUTHORIZATION, message: "no", stage: Stage::TokenSent }
}

#[test]
fn a_login_without_an_answer_is_trouble_that_denies_nothing() {
    let (endpoint_state, app) = (Arc::new(endpoint_state()), who("app"));
    let suspicion = || endpoint_state.suspicion(&app, Patience::default());
    let hang = [endpoint_state.has_no_answer(&app), endpoint_state.has_no_answer(&app)];
    assert_eq!((suspicion(), endpoint_state.is_calm()), (Some(Suspicion::Unfounded), false));
    assert_eq!(endpoint_state.suspicion(&who("other"), Patience::default()), None);
    assert!(endpoint_state.trouble(&app).is_none(), "nobody is told that logins fail");
    let [one, other] = hang;
    drop(one);
    assert_eq!(suspicion(), Some(Suspicion::Unfounded), "one still has none");
    endpoint_state.failed(&app, &refused(), Evidence::default(), endpoint_state.clock.now(), None).unwrap();
    assert_eq!(suspicion(), Some(Suspicion::Founded), "what is known counts for more");
    endpoint_state.accepted(&app);
    drop(other);
    assert_eq!((suspicion(), endpoint_state.is_calm()), (None, true));
}

#[test]
fn how_long_a_login_may_take_goes_by_how_long_they_took() {
    let (endpoint_state, ms) = (endpoint_state(), Micros::from_millis);
    let patience = |age_s| endpoint_state.patience_with_logins(Micros::from_secs(age_s));
    assert_eq!([patience(900), patience(10)], [ms(limits::IAM_LOGIN_SLOW_MS), ms(500)]);
    (0..100).for_each(|_| _ = endpoint_state.login_took(ms(20)));
    assert_eq!([patience(900), patience(10)], [ms(limits::IAM_LOGIN_SLOW_MS), ms(500)]);
    (0..100).for_each(|_| _ = endpoint_state.login_took(ms(3_000)));
    assert_eq!([patience(900), patience(10)], [ms(6_000); 2]);
}

#[test]
fn failures_are_counted_explained_and_told_once() {
    let (endpoint_state, app, other) = (endpoint_state(), who("app"), who("other"));
    let fail = |outcome: Outcome<'_>| {
        endpoint_state.failed(&app, &outcome, Evidence::default(), endpoint_state.clock.now(), None).unwrap()
    };
    let first = fail(refused());
    assert_eq!((first.judgement.step, first.is_news), (Step::Again, false), "it may pass at once");
    assert!(!fail(refused()).is_news);
    assert!(fail(refused()).is_news, "nothing helped");
    assert!(!fail(refused()).is_news, "the same again");
    assert!(fail(Outcome::Asked(Asked::Scram)).is_news, "another reason");
    let suspicion = || endpoint_state.suspicion(&app, Patience::default());
    let (text, class) = endpoint_state.trouble(&app).unwrap();
    assert!(text.contains("not a member of rds_iam") && !text.contains("source"), "for clients: {text}");
    assert_eq!((class, suspicion()), (Class::Denied, Some(Suspicion::Proven)));
    assert!(endpoint_state.may_try(&app).is_err() && endpoint_state.may_try(&other).is_ok());
    let report = endpoint_state.report_of(&app).unwrap();
    assert_eq!((report.tally.failed[Class::Denied as usize], report.trouble), (5, Some(Class::Denied)));
    assert!(report.tally.last_error.unwrap().contains("source imds"), "for operators");
    assert!(report.tally.accepted_at.is_none() && endpoint_state.report_of(&other).is_none());
    assert!(endpoint_state.accepted(&app) && !endpoint_state.accepted(&app));
    assert!(endpoint_state.trouble(&app).is_none() && endpoint_state.may_try(&app).is_ok());
    let report = endpoint_state.report_of(&app).unwrap();
    assert_eq!((report.tally.accepted, report.tally.last_error, report.trouble), (2, None, None));
    assert!(report.tally.accepted_at.is_some());
    let again = fail(refused());
    assert_eq!((again.judgement.class, again.is_news), (Class::Throttled, true), "it was fine in between");
}

#[test]
fn credentials_that_let_another_in_are_no_excuse() {
    let (endpoint_state, app, reader) = (endpoint_state(), who("app"), who("reader"));
    let stale = Evidence { backing: Backing::Stale, ..Evidence::default() };
    let fail = || {
        endpoint_state
            .failed(&app, &refused(), stale, endpoint_state.clock.now(), None)
            .unwrap()
            .judgement
            .class
    };
    assert_eq!(fail(), Class::Credentials);
    let other = SourceKey::new(SourceKind::Env, None, None, None, &"eu-west-1".parse().unwrap());
    endpoint_state.accepted(&Who { source: other, ..reader.clone() });
    assert_eq!(fail(), Class::Credentials, "those are others");
    endpoint_state.accepted(&reader);
    assert_eq!(fail(), Class::Denied);
}

#[test]
fn whoever_was_heard_of_longest_ago_makes_room_unless_it_is_in_trouble() {
    let (endpoint_state, denied) = (endpoint_state(), who("denied"));
    endpoint_state.failed(
        &denied,
        &Outcome::Asked(Asked::Scram),
        Evidence::default(),
        endpoint_state.clock.now(),
        None,
    );
    for number in 0..=limits::IAM_LOGINS_PER_ENDPOINT_MAX {
        endpoint_state.state().tally(&who(&format!("user{number}")), Micros(1 << 40) + Micros(number as u64));
    }
    let is_counted = |user: &str| endpoint_state.report_of(&who(user)).is_some();
    assert_eq!(endpoint_state.state().tallies.len(), limits::IAM_LOGINS_PER_ENDPOINT_MAX);
    assert!(is_counted("denied") && !is_counted("user1") && is_counted("user2"));
}

#[test]
fn the_pauses_of_one_principal_are_ended_and_counted_apart_from_anothers() {
    let (endpoint_state, acme) = (endpoint_state(), who("app"));
    let region = "eu-west-1".parse().unwrap();
    let of_profile = SourceKey::new(SourceKind::Profile, Some("sso"), None, None, &region);
    let globex = Who { source: of_profile, ..acme.clone() };
    for who in [&acme, &globex] {
        endpoint_state.failed(who, &Outcome::Asked(Asked::Scram), Evidence::default(), Micros::NEVER, None);
    }
    assert_eq!((endpoint_state.forgive(&acme), endpoint_state.forgive(&acme)), (1, 0));
    assert!(endpoint_state.may_try(&acme).is_ok() && endpoint_state.may_try(&globex).is_err());
    assert_eq!((endpoint_state.forgive_all(), endpoint_state.forgive_all()), (1, 0));
    assert!(endpoint_state.may_try(&globex).is_ok());
}

#[test]
fn the_time_that_logins_take_is_known() {
    let endpoint_state = endpoint_state();
    assert_eq!(endpoint_state.login_spans(), None);
    let ms = Micros::from_millis;
    (1..100).for_each(|_| assert_eq!(endpoint_state.login_took(ms(20)), ms(20)));
    assert_eq!(endpoint_state.login_took(ms(900)), ms(20), "one slow one of a hundred");
    assert_eq!(endpoint_state.login_took(ms(900)), ms(900));
    assert_eq!(endpoint_state.login_spans(), Some([ms(20), ms(900)]));
}

#[test]
fn a_proxy_that_asks_for_fewer_logins_gets_fewer() {
    let endpoint_state = endpoint_state();
    let message = "The IAM authentication failed because of too many competing requests";
    let sqlstate = sqlstate::INVALID_AUTHORIZATION;
    let outcome = Outcome::Error { sqlstate, message, stage: Stage::TokenSent };
    let judged =
        endpoint_state.failed(&who("app"), &outcome, Evidence::default(), endpoint_state.clock.now(), None);
    assert_eq!(judged.unwrap().judgement.class, Class::Throttled);
    assert_eq!(endpoint_state.turns.state().rate, 10);
}
