//! What refusals mean, case by case.

use super::*;
use proptest::prelude::*;

const CALM: Evidence =
    Evidence { is_strained: false, was_let_in: false, is_known: false, are_stale: false, skew_s: None };

const fn s(seconds: u64) -> Micros {
    Micros::from_secs(seconds)
}

fn error(sqlstate: &'static str, stage: Stage) -> Outcome<'static> {
    Outcome::Error { sqlstate, message: "PAM authentication failed for user \"app\"", stage }
}

fn refused() -> Outcome<'static> {
    error(sqlstate::INVALID_AUTHORIZATION, Stage::TokenSent)
}

/// Fails as `user` at `at`, begun in the same moment.
fn fail(all: &mut Reactions, user: &str, outcome: Outcome<'_>, at: Micros) -> Judgement {
    all.failed(user, &outcome, &CALM, at, at, 1.0).unwrap()
}

#[test]
fn servers_tell_what_they_tell() {
    for (outcome, kind) in [
        (refused(), Some(Kind::TokenRefused)),
        (error(sqlstate::INVALID_PASSWORD, Stage::TokenSent), Some(Kind::TokenRefused)),
        (error(sqlstate::INVALID_AUTHORIZATION, Stage::Greeting), Some(Kind::NoRule)),
        (error(sqlstate::INVALID_AUTHORIZATION, Stage::Authenticated), Some(Kind::RoleForbidden)),
        (error(sqlstate::CANNOT_CONNECT_NOW, Stage::Greeting), Some(Kind::Busy)),
        (error(sqlstate::TOO_MANY_CONNECTIONS, Stage::Authenticated), Some(Kind::Busy)),
        (error("3D" /* of no such database */, Stage::Authenticated), None),
        (
            Outcome::Error {
                sqlstate: sqlstate::INVALID_AUTHORIZATION,
                message: "The IAM authentication failed because of too many competing requests",
                stage: Stage::TokenSent,
            },
            Some(Kind::TooMany),
        ),
        (error("", Stage::TokenSent), None),
        (Outcome::Asked(Asked::Scram), Some(Kind::NotMember(Asked::Scram))),
        (Outcome::Asked(Asked::Nothing), Some(Kind::NoProofAsked)),
        (Outcome::Ended(Stage::TokenSent), Some(Kind::EndedInLogin)),
        (Outcome::Ended(Stage::Greeting), Some(Kind::Unreachable)),
        (Outcome::Unreachable, Some(Kind::Unreachable)),
        (Outcome::Untrusted, Some(Kind::Untrusted)),
    ] {
        assert_eq!(Kind::of(&outcome), kind, "{outcome:?}");
    }
}

#[test]
fn a_refusal_is_classed_by_what_is_known_here() {
    let class = |evidence, others| class_of(Kind::TokenRefused, &evidence, others, s(1));
    assert_eq!(class(CALM, Others::None), Class::Denied);
    assert_eq!(class(CALM, Others::Fine), Class::Denied);
    assert_eq!(class(CALM, Others::Refused), Class::Service);
    assert_eq!(class(Evidence { are_stale: true, ..CALM }, Others::Fine), Class::Credentials);
    assert_eq!(class(Evidence { skew_s: Some(-1200), ..CALM }, Others::Fine), Class::Clock);
    assert_eq!(class(Evidence { skew_s: Some(20), ..CALM }, Others::Fine), Class::Denied);
    let strained = Evidence { is_strained: true, ..CALM };
    assert_eq!(class(strained, Others::Refused), Class::Throttled);
    assert_eq!(class(strained, Others::None), Class::Throttled);
    assert_eq!(class(strained, Others::Fine), Class::Denied, "others get in, this one never did");
    assert_eq!(class(Evidence { was_let_in: true, ..strained }, Others::Fine), Class::Throttled);
    assert_eq!(
        class(Evidence { are_stale: true, ..strained }, Others::None),
        Class::Credentials,
        "no pace helps"
    );
    assert_eq!(class_of(Kind::TokenRefused, &CALM, Others::Refused, s(600)), Class::Denied);
    assert_eq!(class_of(Kind::EndedInLogin, &CALM, Others::None, s(0)), Class::Unreachable);
    assert_eq!(class_of(Kind::NotMember(Asked::Md5), &CALM, Others::None, s(0)), Class::Denied);
}

#[test]
fn a_fresh_token_then_fresh_credentials_then_patience() {
    let mut all = Reactions::default();
    assert_eq!(fail(&mut all, "app", refused(), s(10)).step, Step::Again);
    assert_eq!(all.may_try("app", s(10)), Ok(()));
    assert_eq!(fail(&mut all, "app", refused(), s(11)).step, Step::RefreshThenAgain);
    let mut now = s(12);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let Step::BackOff(until) = fail(&mut all, "app", refused(), now).step else { panic!("no pause") };
        assert_eq!(all.may_try("app", now), Err(until));
        assert_eq!(all.may_try("other", now), Ok(()), "each user apart");
        pauses.push(until.since(now).as_secs());
        now = until;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    all.accepted("app", now);
    assert_eq!(all.trouble("app"), None);
    assert_eq!(fail(&mut all, "app", refused(), now).step, Step::Again, "success starts anew");
}

/// Refuses `app`, which was let in before, at `at`.
fn refuse_known(all: &mut Reactions, at: Micros, jitter: f64) -> Judgement {
    let known = Evidence { is_known: true, ..CALM };
    all.failed("app", &refused(), &known, at, at, jitter).unwrap()
}

#[test]
fn who_was_let_in_before_is_not_denied_for_a_moment() {
    let mut all = Reactions::default();
    let mut now = s(100);
    while now < s(100) + GRACE {
        let judged = refuse_known(&mut all, now, 1.0);
        assert_eq!(judged.class, Class::Service, "{:?} after the first refusal", now.since(s(100)));
        now = match judged.step {
            Step::Again | Step::RefreshThenAgain => now + Micros::from_millis(30),
            Step::BackOff(until) => until,
        };
    }
    let judged = refuse_known(&mut all, now, 1.0);
    assert_eq!(judged.class, Class::Denied, "it lasts");
    assert!(!all.proven_denied("app", now));
    refuse_known(&mut all, s(160), 1.0);
    assert!(all.proven_denied("app", s(160)), "the proof counts from the first refusal");
    all.accepted("app", s(161));
    assert_eq!(refuse_known(&mut all, s(162), 1.0).class, Class::Service, "a trouble of its own");
    let said = all.failed(
        "new",
        &Outcome::Asked(Asked::Scram),
        &Evidence { is_known: true, ..CALM },
        s(1),
        s(1),
        1.0,
    );
    assert_eq!(said.unwrap().class, Class::Denied, "the server said so itself");
}

#[test]
fn logins_that_fail_together_are_one_failure() {
    let mut all = Reactions::default();
    let steps: Vec<Step> = (0..50)
        .map(|count| {
            let judged = all.failed("app", &refused(), &CALM, s(1), s(2) + Micros(count), 0.5);
            judged.unwrap().step
        })
        .collect();
    assert!(steps.iter().all(|step| *step == Step::Again), "{steps:?}");
    assert_eq!(fail(&mut all, "app", refused(), s(3)).step, Step::RefreshThenAgain);
}

#[test]
fn what_a_new_token_cannot_cure_is_not_tried_at_once() {
    for outcome in [Outcome::Asked(Asked::Scram), Outcome::Untrusted, Outcome::Unreachable] {
        let mut all = Reactions::default();
        assert_eq!(fail(&mut all, "app", outcome, s(0)).step, Step::BackOff(s(1)), "{outcome:?}");
    }
    let mut all = Reactions::default();
    let strained = Evidence { is_strained: true, ..CALM };
    let judged = all.failed("app", &refused(), &strained, s(0), s(0), 1.0).unwrap();
    assert_eq!((judged.class, judged.step), (Class::Throttled, Step::BackOff(s(1))));
    let unknown = Outcome::Error { sqlstate: "", message: "", stage: Stage::Authenticated };
    assert_eq!(all.failed("new", &unknown, &CALM, s(0), s(0), 1.0), None);
    assert_eq!(all.may_try("new", s(0)), Ok(()));
}

#[test]
fn a_denial_is_proven_by_patience() {
    let mut all = Reactions::default();
    for at in [0, 1, 2, 40] {
        fail(&mut all, "app", refused(), s(at));
        assert!(!all.proven_denied("app", s(at)));
        assert_eq!(all.class("app", s(at)), Some(Class::Service), "not yet a denial to servers that work");
    }
    fail(&mut all, "app", refused(), s(61));
    assert!(all.proven_denied("app", s(61)));
    assert_eq!(all.class("app", s(61)), Some(Class::Denied));
    fail(&mut all, "ro", Outcome::Asked(Asked::Scram), s(0));
    assert!(all.proven_denied("ro", s(0)), "the server said so itself");
}

#[test]
fn when_all_are_refused_it_is_the_service() {
    let mut all = Reactions::default();
    for at in [0, 30, 70] {
        fail(&mut all, "a", refused(), s(at));
        assert_eq!(fail(&mut all, "b", refused(), s(at + 1)).class, Class::Service);
    }
    assert!(!all.proven_denied("b", s(100)));
    all.accepted("a", s(101));
    for at in [102, 120, 161] {
        assert_eq!(fail(&mut all, "b", refused(), s(at)).class, Class::Denied, "others are fine");
        assert!(!all.proven_denied("b", s(at)), "what the service may have caused proves nothing");
    }
    fail(&mut all, "b", refused(), s(162));
    assert!(all.proven_denied("b", s(162)));
}

#[test]
fn a_refusal_of_long_ago_says_nothing_of_others() {
    let mut all = Reactions::default();
    fail(&mut all, "typo", refused(), s(0));
    assert_eq!(fail(&mut all, "app", refused(), s(59)).class, Class::Service);
    assert_eq!(fail(&mut all, "app", refused(), s(60)).class, Class::Denied);
    assert!(!all.is_calm(s(600)));
    assert_eq!(all.trouble("typo"), None, "nobody has tried for ten minutes");
    assert!(all.is_calm(s(660)));
}

#[test]
fn everybody_may_be_denied_as_well() {
    let mut all = Reactions::default();
    for at in (0..600).step_by(15) {
        fail(&mut all, "a", refused(), s(at));
        fail(&mut all, "b", refused(), s(at));
        assert_eq!(all.class("b", s(at)), Some(Class::Service), "after {at} s");
    }
    fail(&mut all, "a", refused(), s(600));
    fail(&mut all, "b", refused(), s(600));
    assert!(all.proven_denied("a", s(600)) && all.proven_denied("b", s(600)));
}

#[test]
fn who_is_forgiven_is_tried_at_once_and_known_all_the_same() {
    let mut all = Reactions::default();
    for at in [0, 1, 2, 65] {
        fail(&mut all, "app", refused(), s(at));
    }
    assert!(all.may_try("app", s(65)).is_err());
    all.forgive("app");
    assert_eq!(all.may_try("app", s(65)), Ok(()));
    assert_eq!(all.class("app", s(65)), Some(Class::Denied), "servers that work go by what is known");
    assert_eq!(fail(&mut all, "app", refused(), s(66)).step, Step::Again, "from the beginning");
    assert!(all.proven_denied("app", s(66)));
}

#[test]
fn memory_is_bounded() {
    let mut all = Reactions::default();
    for number in 0..USERS_MAX + 10 {
        fail(&mut all, &format!("user{number}"), refused(), Micros(number as u64));
    }
    assert_eq!(all.users.len(), USERS_MAX);
    assert!(all.trouble("user9").is_none() && all.trouble("user10").is_some());
}

proptest! {
    /// However the dice fall, a client of a pool without servers is served within a second of the end of a brief refusal.
    #[test]
    fn a_brief_refusal_is_tried_again_within_a_second(jitters in prop::collection::vec(0.0..1.0f64, 1..40)) {
        let mut all = Reactions::default();
        let mut now = s(100);
        for jitter in jitters {
            if now >= s(100) + GRACE {
                break;
            }
            let judged = refuse_known(&mut all, now, jitter);
            prop_assert_eq!(judged.class, Class::Service);
            let next = if let Step::BackOff(until) = judged.step { until } else { now + Micros(1) };
            prop_assert!(next.since(now) <= GRACE_PAUSE);
            now = next;
        }
    }

    #[test]
    fn any_words_of_a_server_are_judged(state in ".{0,6}", message in ".{0,60}", at: u64, begun: u64, jitter: f64) {
        let mut all = Reactions::default();
        for stage in [Stage::Greeting, Stage::TokenSent, Stage::Authenticated] {
            let outcome = Outcome::Error { sqlstate: &state, message: &message, stage };
            let judged = all.failed("u", &outcome, &CALM, Micros(begun), Micros(at), jitter);
            if let Some(Judgement { step: Step::BackOff(until), .. }) = judged {
                prop_assert!(until.since(Micros(at)) <= BACK_OFF_MAX);
            }
        }
    }
}
