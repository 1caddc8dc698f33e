//! What refusals mean, case by case.

mod crowd;
mod lasting;
mod properties;

use super::cause::GRACE;
use super::*;
use crate::config::AllDenied;
use crate::iam::SourceKind;
use crate::wire::sqlstate;

const MINUTES_15: Patience = Patience { all_denied: AllDenied::MaxAge, max_age: s(900) };

const CALM: Evidence = Evidence {
    is_strained: false,
    let_in: LetIn::Never,
    backing: Backing::Sound,
    skew_s: None,
    patience: MINUTES_15,
};

impl Reactions {
    /// Under the default of `iam_max_age`.
    fn suspects(&self, user: &str, now: Micros) -> Suspicion {
        self.suspicion(&who(user), now, MINUTES_15).unwrap()
    }
}

/// Who logs in as `user`, by the credentials of `source`.
fn by(user: &str, source: &str) -> Who {
    let region = "eu-west-1".parse().unwrap();
    let source = SourceKey::new(SourceKind::Profile, Some(source), None, None, &region);
    Who { user: user.into(), source }
}

fn who(user: &str) -> Who {
    by(user, "one")
}

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
    all.failed(&who(user), &outcome, &CALM, at, at, 1.0).unwrap()
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
    let class = |evidence, others| Refusals::default().add(&evidence, others, s(1)).class();
    assert_eq!(class(CALM, Others::None), Class::Denied);
    assert_eq!(class(CALM, Others::Fine), Class::Denied);
    assert_eq!(class(CALM, Others::Refused), Class::Service);
    assert_eq!(class(Evidence { backing: Backing::Stale, ..CALM }, Others::Fine), Class::Credentials);
    let denied = Evidence { backing: Backing::Denied, let_in: LetIn::Lately, ..CALM };
    assert_eq!(class(denied, Others::Refused), Class::Denied, "AWS has said so itself");
    for others in [Others::None, Others::Refused] {
        assert_eq!(class(Evidence { skew_s: Some(-1200), ..CALM }, others), Class::Clock);
    }
    for others in [Others::Fine, Others::Mixed] {
        let class = class(Evidence { skew_s: Some(-1200), ..CALM }, others);
        assert_eq!(class, Class::Denied, "others' tokens are taken, by the same clock");
    }
    assert_eq!(class(Evidence { skew_s: Some(20), ..CALM }, Others::Fine), Class::Denied);
    let strained = Evidence { is_strained: true, ..CALM };
    assert_eq!(class(strained, Others::Refused), Class::Throttled);
    assert_eq!(class(strained, Others::None), Class::Throttled);
    let strange = Refusals::default().add(&strained, Others::Fine, s(1));
    assert_eq!(strange, Cause::Moment, "others get in, this one never did");
    let let_in = Evidence { let_in: LetIn::Lately, ..strained };
    assert_eq!(class(let_in, Others::Fine), Class::Throttled);
    assert_eq!(
        class(Evidence { backing: Backing::Stale, ..strained }, Others::None),
        Class::Credentials,
        "no pace helps"
    );
    let mut lasting = Refusals::default();
    let mut class = |at| lasting.add(&CALM, Others::Refused, s(at)).class();
    assert_eq!([0, 599, 600].map(&mut class), [Class::Service, Class::Service, Class::Denied]);
    assert_eq!(Kind::EndedInLogin.class(), Some(Class::Unreachable));
    assert_eq!(Kind::NotMember(Asked::Md5).class(), Some(Class::Denied));
}

#[test]
fn a_fresh_token_then_fresh_credentials_then_patience() {
    let mut all = Reactions::default();
    assert_eq!(fail(&mut all, "app", refused(), s(10)).step, Step::Again);
    assert_eq!(all.may_try(&who("app"), s(10)), Ok(()));
    assert_eq!(fail(&mut all, "app", refused(), s(11)).step, Step::RefreshThenAgain);
    let mut now = s(12);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let Step::BackOff(until) = fail(&mut all, "app", refused(), now).step else { panic!("no pause") };
        assert_eq!(all.may_try(&who("app"), now), Err(until));
        assert_eq!(all.may_try(&who("other"), now), Ok(()), "each user apart");
        pauses.push(until.since(now).as_secs());
        now = until;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    all.accepted(&who("app"), now);
    assert_eq!(all.trouble(&who("app")), None);
    assert_eq!(fail(&mut all, "app", refused(), now).step, Step::Again, "success starts anew");
}

/// Refuses `app`, which was let in before, at `at`.
fn refuse_known(all: &mut Reactions, at: Micros, jitter: f64) -> Judgement {
    let known = Evidence { let_in: LetIn::Once, ..CALM };
    all.failed(&who("app"), &refused(), &known, at, at, jitter).unwrap()
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
    assert_eq!(all.suspects("app", now), Suspicion::Founded);
    refuse_known(&mut all, s(160), 1.0);
    assert_eq!(all.suspects("app", s(160)), Suspicion::Proven, "the proof counts from the first refusal");
    all.accepted(&who("app"), s(161));
    assert_eq!(refuse_known(&mut all, s(162), 1.0).class, Class::Service, "a trouble of its own");
    let said = all.failed(
        &who("new"),
        &Outcome::Asked(Asked::Scram),
        &Evidence { let_in: LetIn::Once, ..CALM },
        s(1),
        s(1),
        1.0,
    );
    assert_eq!(said.unwrap().class, Class::Denied, "the server said so itself");
}

#[test]
fn some_that_pass_and_some_that_do_not_are_too_many_and_no_denial() {
    let mut all = Reactions::default();
    let known = Evidence { let_in: LetIn::Lately, ..CALM };
    let refuse = |all: &mut Reactions, evidence: &Evidence, at| {
        all.failed(&who("app"), &refused(), evidence, at, at, 1.0).unwrap()
    };
    assert_eq!(refuse(&mut all, &known, s(100)).class, Class::Service, "nothing tells yet");
    all.accepted(&who("app"), s(101));
    for at in [102, 104, 106] {
        let judged = refuse(&mut all, &known, s(at));
        assert_eq!(judged.class, Class::Throttled);
        assert_eq!(
            all.suspects("app", s(at)),
            Suspicion::Founded,
            "a server is not lent beyond its age for it"
        );
        let Step::BackOff(until) = judged.step else { panic!("another token does not help") };
        assert!(until.since(s(at)) <= SHORT_PAUSE, "the pace holds back enough");
        all.accepted(&who("app"), s(at + 1));
    }
    let mut quiet = all.clone();
    assert_eq!(
        refuse(&mut quiet, &known, s(107) + HEALING_SPAN).class,
        Class::Service,
        "it has long been well"
    );
    let stranger = all.failed(&who("new"), &refused(), &CALM, s(108), s(108), 1.0).unwrap();
    assert_eq!(stranger.class, Class::Throttled, "it may be one of those");
    all.accepted(&who("app"), s(109));
    let classes: Vec<_> = (110..=170)
        .step_by(10)
        .map(|at| {
            refuse(&mut all, &known, s(at));
            (0..3).for_each(|_| all.accepted(&who("app"), s(at)));
            all.failed(&who("new"), &refused(), &CALM, s(at), s(at), 1.0).unwrap().class
        })
        .collect();
    assert_eq!(classes[..5], [Class::Service; 5], "it may be chance: one of four is refused");
    assert_eq!(classes.last(), Some(&Class::Denied), "others get in again and again, this one never did");
}

#[test]
fn a_principal_that_is_denied_is_no_trouble_of_another_that_has_its_user_too() {
    let (acme, globex) = (by("app", "acme"), by("app", "globex"));
    let mut all = Reactions::default();
    let refuse = |all: &mut Reactions, at| {
        let judged = all.failed(&acme, &refused(), &CALM, s(at), s(at), 1.0).unwrap();
        all.accepted(&globex, s(at));
        judged
    };
    for at in [0, 1, 2, 40] {
        refuse(&mut all, at);
        assert_eq!((all.trouble(&globex), all.suspicion(&globex, s(at), MINUTES_15)), (None, None));
    }
    assert!(all.may_try(&acme, s(40)).is_err() && all.may_try(&globex, s(40)).is_ok());
    let judged = refuse(&mut all, 60);
    assert_eq!(judged.class, Class::Denied, "logins of the other heal nothing of this one's");
    assert_eq!(all.suspicion(&acme, s(60), MINUTES_15), Some(Suspicion::Proven));
    all.forgive(&globex);
    assert!(all.may_try(&acme, s(60)).is_err());
    all.forgive_user("app");
    assert_eq!(all.may_try(&acme, s(60)), Ok(()));
}

#[test]
fn logins_that_fail_together_are_one_failure() {
    let mut all = Reactions::default();
    let steps: Vec<Step> = (0..50)
        .map(|count| {
            let judged = all.failed(&who("app"), &refused(), &CALM, s(1), s(2) + Micros(count), 0.5);
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
    let judged = all.failed(&who("app"), &refused(), &strained, s(0), s(0), 1.0).unwrap();
    assert_eq!((judged.class, judged.step), (Class::Throttled, Step::BackOff(s(1))));
    let unknown = Outcome::Error { sqlstate: "", message: "", stage: Stage::Authenticated };
    assert_eq!(all.failed(&who("new"), &unknown, &CALM, s(0), s(0), 1.0), None);
    assert_eq!(all.may_try(&who("new"), s(0)), Ok(()));
}

#[test]
fn a_denial_is_proven_by_patience() {
    let mut all = Reactions::default();
    for at in [0, 1, 2, 40] {
        fail(&mut all, "app", refused(), s(at));
        assert_eq!(all.suspects("app", s(at)), Suspicion::Founded, "no proof yet");
    }
    assert_eq!(all.suspects("app", s(61)), Suspicion::Founded, "time alone proves nothing");
    fail(&mut all, "app", refused(), s(61));
    assert_eq!(all.suspects("app", s(61)), Suspicion::Proven);
    fail(&mut all, "ro", Outcome::Asked(Asked::Scram), s(0));
    assert_eq!(all.suspects("ro", s(0)), Suspicion::Proven, "the server said so itself");
}

#[test]
fn a_proof_fits_into_what_is_left_of_the_shortest_age() {
    for max_age in [10, 20, 60, 300, 600, 900, 86_400] {
        let patience = Patience { max_age: s(max_age), ..MINUTES_15 };
        let mut all = Reactions::default();
        let (mut now, mut next) = (s(1000), s(1000));
        while all.suspicion(&who("app"), now, patience) != Some(Suspicion::Proven) {
            now = next;
            let judged = all.failed(&who("app"), &refused(), &Evidence { patience, ..CALM }, now, now, 1.0);
            if let Step::BackOff(until) = judged.unwrap().step {
                next = until;
            }
        }
        let left = s(max_age - max_age * 9 / 10);
        assert_eq!(now.since(s(1000)), left.min(s(60)), "of {max_age} s");
    }
}

#[test]
fn what_explains_refusals_takes_the_suspicion_away() {
    let mut all = Reactions::default();
    let fail_under = |all: &mut Reactions, evidence: Evidence, at| {
        all.failed(&who("app"), &refused(), &evidence, s(at), s(at), 1.0).unwrap();
        all.suspects("app", s(at))
    };
    let off = Evidence { skew_s: Some(1200), ..CALM };
    assert_eq!(fail_under(&mut all, CALM, 0), Suspicion::Founded);
    assert_eq!(fail_under(&mut all, off, 10), Suspicion::Unfounded);
    assert_eq!(fail_under(&mut all, CALM, 80), Suspicion::Founded, "the proof begins anew");
    let stale = Evidence { backing: Backing::Stale, ..CALM };
    assert_eq!(fail_under(&mut all, stale, 100), Suspicion::Unfounded);
    assert_eq!(fail_under(&mut all, CALM, 139), Suspicion::Founded, "a fetch that fails is no clock");
    assert_eq!(fail_under(&mut all, CALM, 140), Suspicion::Proven, "but what it explains proves nothing");
}

#[test]
fn who_was_refused_often_is_not_cleared_by_a_server_that_cannot_be_reached() {
    let mut all = Reactions::default();
    fail(&mut all, "app", refused(), s(0));
    fail(&mut all, "app", Outcome::Unreachable, s(1));
    assert_eq!(all.suspects("app", s(1)), Suspicion::Unfounded, "one refusal tells little");
    fail(&mut all, "app", refused(), s(2));
    fail(&mut all, "app", refused(), s(3));
    fail(&mut all, "app", Outcome::Unreachable, s(4));
    assert_eq!(all.suspects("app", s(4)), Suspicion::Founded);
    fail(&mut all, "new", Outcome::Unreachable, s(4));
    assert_eq!(all.suspects("new", s(4)), Suspicion::Unfounded);
}

#[test]
fn when_all_are_refused_it_is_the_service() {
    let mut all = Reactions::default();
    for at in [0, 30, 70] {
        fail(&mut all, "a", refused(), s(at));
        assert_eq!(fail(&mut all, "b", refused(), s(at + 1)).class, Class::Service);
    }
    assert_eq!(all.suspects("b", s(100)), Suspicion::Founded);
    all.accepted(&who("a"), s(101));
    for at in [102, 120, 161] {
        assert_eq!(fail(&mut all, "b", refused(), s(at)).class, Class::Denied, "others are fine");
        assert_eq!(
            all.suspects("b", s(at)),
            Suspicion::Founded,
            "what the service may have caused proves nothing"
        );
    }
    fail(&mut all, "b", refused(), s(162));
    assert_eq!(all.suspects("b", s(162)), Suspicion::Proven);
}

/// `a` and `b` are refused, each every 15 s, for as long as `until`; what is made of
/// `b` then under each choice.
fn all_refused(patience: Patience, until: u64) -> (Class, Suspicion) {
    let mut all = Reactions::default();
    let evidence = Evidence { patience, ..CALM };
    let mut class = None;
    for at in (0..=until).step_by(15) {
        for user in ["a", "b"] {
            class =
                all.failed(&who(user), &refused(), &evidence, s(at), s(at), 1.0).map(|judged| judged.class);
        }
    }
    (class.unwrap(), all.suspicion(&who("b"), s(until), patience).unwrap())
}

#[test]
fn the_operator_chooses_what_it_means_that_all_are_refused() {
    use Suspicion::{Founded, Proven, Unfounded};
    let of = |all_denied, max_age| Patience { all_denied, max_age: s(max_age) };
    for (patience, until, expected) in [
        (of(AllDenied::MaxAge, 900), 585, (Class::Service, Founded)),
        (of(AllDenied::MaxAge, 900), 600, (Class::Denied, Proven)),
        (of(AllDenied::MaxAge, 60), 45, (Class::Service, Founded)),
        (of(AllDenied::MaxAge, 60), 60, (Class::Denied, Proven)),
        (of(AllDenied::DenyAfter(s(120)), 60), 105, (Class::Service, Unfounded)),
        (of(AllDenied::DenyAfter(s(120)), 60), 120, (Class::Denied, Proven)),
        (of(AllDenied::DenyAfter(s(0)), 900), 45, (Class::Denied, Founded)),
        (of(AllDenied::DenyAfter(s(0)), 900), 60, (Class::Denied, Proven)),
        (of(AllDenied::Service, 60), 6000, (Class::Service, Unfounded)),
    ] {
        assert_eq!(all_refused(patience, until), expected, "{patience:?} after {until} s");
    }
}

#[test]
fn a_role_that_is_alone_at_its_endpoint_is_all_of_them_where_that_was_chosen() {
    let refuse = |all_denied, let_in| {
        let patience = Patience { all_denied, ..MINUTES_15 };
        let mut all = Reactions::default();
        let evidence = Evidence { patience, let_in, ..CALM };
        for at in [0, 30, 60] {
            all.failed(&who("app"), &refused(), &evidence, s(at), s(at), 1.0).unwrap();
        }
        (all.trouble(&who("app")).unwrap().class, all.suspicion(&who("app"), s(60), patience).unwrap())
    };
    assert_eq!(refuse(AllDenied::MaxAge, LetIn::Once), (Class::Denied, Suspicion::Proven));
    assert_eq!(refuse(AllDenied::Service, LetIn::Once), (Class::Service, Suspicion::Unfounded));
    assert_eq!(refuse(AllDenied::DenyAfter(s(61)), LetIn::Once), (Class::Service, Suspicion::Unfounded));
    assert_eq!(refuse(AllDenied::DenyAfter(s(60)), LetIn::Once), (Class::Denied, Suspicion::Proven));
    let never_let_in = refuse(AllDenied::Service, LetIn::Never);
    assert_eq!(never_let_in.0, Class::Denied, "its clients are told so: it is most likely set up wrongly");
}

#[test]
fn a_refusal_of_long_ago_says_nothing_of_others() {
    let mut all = Reactions::default();
    fail(&mut all, "typo", refused(), s(0));
    assert_eq!(fail(&mut all, "app", refused(), s(59)).class, Class::Service);
    assert_eq!(fail(&mut all, "app", refused(), s(60)).class, Class::Denied);
    assert!(!all.is_calm(s(600)));
    assert_eq!(all.trouble(&who("typo")), None, "nobody has tried for ten minutes");
    assert!(all.is_calm(s(660)));
}

#[test]
fn who_is_forgiven_is_tried_at_once_and_known_all_the_same() {
    let mut all = Reactions::default();
    for at in [0, 1, 2, 60] {
        fail(&mut all, "app", refused(), s(at));
    }
    assert!(all.may_try(&who("app"), s(60)).is_err());
    all.forgive(&who("app"));
    assert_eq!(all.may_try(&who("app"), s(60)), Ok(()));
    assert_eq!(all.suspects("app", s(60)), Suspicion::Proven, "servers that work go by what is known");
    assert_eq!(fail(&mut all, "app", refused(), s(66)).step, Step::Again, "from the beginning");
    assert_eq!(all.suspects("app", s(66)), Suspicion::Proven);
}

#[test]
fn memory_is_bounded_and_denials_stay_in_it_longest() {
    let mut all = Reactions::default();
    fail(&mut all, "denied", Outcome::Asked(Asked::Scram), Micros(0));
    for number in 0..REMEMBERED_MAX + 9 {
        fail(&mut all, &format!("user{number}"), refused(), Micros(number as u64));
    }
    assert_eq!(all.all.len(), REMEMBERED_MAX);
    assert!(all.trouble(&who("user9")).is_none() && all.trouble(&who("user10")).is_some());
    assert!(all.trouble(&who("denied")).is_some());
}
