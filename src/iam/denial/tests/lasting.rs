//! What lasts and what does not: the server's word, AWS's own, the pauses, what others hear,
//! and how long a proof takes.

use super::*;
use crate::wire::sqlstate;

#[test]
fn the_servers_own_word_holds_until_a_login_succeeds() {
    let words = [
        Outcome::Asked(Asked::Scram),
        error(sqlstate::INVALID_AUTHORIZATION, Stage::Greeting),
        error(sqlstate::INVALID_AUTHORIZATION, Stage::Authenticated),
    ];
    for word in words {
        let mut all = Reactions::default();
        fail(&mut all, "app", word, s(10));
        let busy = error(sqlstate::TOO_MANY_CONNECTIONS, Stage::Greeting);
        for (at, other) in [(20, busy), (30, Outcome::Unreachable), (40, Outcome::Untrusted)] {
            assert_eq!(fail(&mut all, "app", other, s(at)).class, Class::Unreachable);
            assert_eq!(all.suspects("app", s(at)), Suspicion::Proven, "{word:?}, then {other:?}");
        }
        assert!(all.is_calm(s(40) + MEMORY_SPAN), "nobody tries");
        assert_eq!(all.suspects("app", s(40) + MEMORY_SPAN), Suspicion::Proven);
        all.is_calm(s(40) + DENIAL_MEMORY_SPAN);
        assert_eq!(all.trouble(&who("app")), None, "no server of before is left");
        fail(&mut all, "app", word, s(100_000));
        all.accepted(&who("app"), s(100_001));
        assert_eq!(all.suspicion(&who("app"), s(100_001), MINUTES_15), None);
    }
    let mut all = Reactions::default();
    fail(&mut all, "app", Outcome::Asked(Asked::Scram), s(10));
    fail(&mut all, "app", error(sqlstate::TOO_MANY_CONNECTIONS, Stage::Authenticated), s(11));
    assert_eq!(all.suspects("app", s(11)), Suspicion::Unfounded, "the token was taken meanwhile");
}

#[test]
fn a_denial_that_aws_itself_tells_of_is_one_whatever_the_operator_makes_of_outages() {
    for all_denied in [AllDenied::MaxAge, AllDenied::DenyAfter(s(300)), AllDenied::Service] {
        let patience = Patience { all_denied, ..MINUTES_15 };
        let mut all = Reactions::default();
        let known = Evidence { let_in: LetIn::Once, patience, ..CALM };
        let denied = Evidence { backing: Backing::Denied, ..known };
        let mut refuse = |evidence: &Evidence, at| {
            all.failed(&who("other"), &refused(), &known, s(at), s(at), 1.0);
            let judged = all.failed(&who("app"), &refused(), evidence, s(at), s(at), 1.0);
            (judged.unwrap().class, all.suspicion(&who("app"), s(at), patience).unwrap())
        };
        refuse(&known, 0);
        refuse(&known, 1);
        assert_eq!(refuse(&denied, 2), (Class::Denied, Suspicion::Founded), "{all_denied:?}");
        refuse(&denied, 30);
        assert_eq!(refuse(&denied, 62), (Class::Denied, Suspicion::Proven), "{all_denied:?}");
    }
}

#[test]
fn a_fetch_that_fails_now_and_then_does_not_begin_an_outage_anew() {
    let patience = Patience { all_denied: AllDenied::DenyAfter(s(120)), ..MINUTES_15 };
    let sound = Evidence { let_in: LetIn::Once, patience, ..CALM };
    let stale = Evidence { backing: Backing::Stale, ..sound };
    let mut all = Reactions::default();
    for at in (0..=135).step_by(15) {
        let evidence = if at % 45 == 30 { &stale } else { &sound };
        all.failed(&who("app"), &refused(), evidence, s(at), s(at), 1.0).unwrap();
    }
    assert_eq!(all.suspicion(&who("app"), s(135), patience), Some(Suspicion::Proven));
}

#[test]
fn fresh_credentials_are_asked_for_whatever_went_wrong_before() {
    let mut all = Reactions::default();
    let steps: Vec<_> = [Outcome::Unreachable, Outcome::Unreachable, refused(), refused(), refused()]
        .into_iter()
        .zip([0, 10, 20, 21, 22])
        .map(|(outcome, at)| fail(&mut all, "app", outcome, s(at)).step)
        .collect();
    assert_eq!(steps[2..4], [Step::Again, Step::RefreshThenAgain]);
    assert!(matches!(steps[4], Step::BackOff(_)), "{steps:?}");
    let mut all = Reactions::default();
    let strained = Evidence { is_strained: true, ..CALM };
    let throttled = all.failed(&who("app"), &refused(), &strained, s(0), s(0), 1.0).unwrap();
    assert!(matches!(throttled.step, Step::BackOff(_)), "no token helps where there are too many");
    assert_eq!(fail(&mut all, "app", refused(), s(60)).step, Step::Again);
    assert_eq!(fail(&mut all, "app", refused(), s(61)).step, Step::RefreshThenAgain);
}

#[test]
fn fresh_credentials_are_asked_for_once_a_minute_while_it_lasts() {
    let mut all = Reactions::default();
    let mut asked_at = Vec::new();
    for at in (0..600).step_by(10) {
        let judged = fail(&mut all, "app", refused(), s(at));
        if judged.step == Step::RefreshThenAgain {
            asked_at.push(at);
        }
    }
    assert_eq!(asked_at, [10, 70, 130, 190, 250, 310, 370, 430, 490, 550]);
}

#[test]
fn one_login_of_another_long_ago_does_not_make_an_outage_a_denial() {
    let patience = Patience { all_denied: AllDenied::Service, ..MINUTES_15 };
    let evidence = Evidence { let_in: LetIn::Once, patience, ..CALM };
    let mut all = Reactions::default();
    let refuse = |all: &mut Reactions, user: &str, at| {
        all.failed(&who(user), &refused(), &evidence, s(at), s(at), 1.0).unwrap();
        all.suspicion(&who(user), s(at), patience).unwrap()
    };
    refuse(&mut all, "a", 0);
    all.accepted(&who("b"), s(1));
    for at in (15..=300).step_by(15) {
        refuse(&mut all, "b", at);
        let suspicion = refuse(&mut all, "a", at);
        assert_eq!(suspicion == Suspicion::Unfounded, at > 60, "{suspicion:?} at {at} s");
    }
}

#[test]
fn a_brief_refusal_of_a_known_role_proves_nothing_however_short_the_age_is() {
    for (max_age, all_denied) in
        [(10, AllDenied::MaxAge), (20, AllDenied::MaxAge), (20, AllDenied::DenyAfter(s(0)))]
    {
        let patience = Patience { all_denied, max_age: s(max_age) };
        let evidence = Evidence { let_in: LetIn::Lately, patience, ..CALM };
        let mut all = Reactions::default();
        let mut now = s(100);
        while now < s(100) + GRACE {
            let judged = all.failed(&who("app"), &refused(), &evidence, now, now, 1.0).unwrap();
            let suspicion = all.suspicion(&who("app"), now, patience).unwrap();
            assert!(suspicion < Suspicion::Proven, "{max_age} s, {:?} after the first", now.since(s(100)));
            now = if let Step::BackOff(until) = judged.step { until } else { now + Micros(30_000) };
        }
        all.failed(&who("app"), &refused(), &evidence, now, now, 1.0).unwrap();
        assert_eq!(all.suspicion(&who("app"), now, patience), Some(Suspicion::Proven), "it lasts");
    }
}

#[test]
fn a_proof_takes_as_long_where_all_are_refused_as_where_one_is() {
    let patience = Patience { all_denied: AllDenied::DenyAfter(s(0)), ..MINUTES_15 };
    let evidence = Evidence { patience, ..CALM };
    let mut all = Reactions::default();
    for at in [0, 0, 0, 30, 59] {
        all.failed(&who("app"), &refused(), &evidence, s(at), s(at), 1.0).unwrap();
        assert_eq!(all.suspicion(&who("app"), s(at), patience), Some(Suspicion::Founded), "at {at} s");
    }
    all.failed(&who("app"), &refused(), &evidence, s(60), s(60), 1.0).unwrap();
    assert_eq!(all.suspicion(&who("app"), s(60), patience), Some(Suspicion::Proven));
}

#[test]
fn refused_logins_go_one_at_a_time_and_others_as_they_like() {
    let mut all = Reactions::default();
    let app = who("app");
    assert_eq!(all.admission(&app, s(0)), Admission::Open);
    fail(&mut all, "app", Outcome::Unreachable, s(0));
    assert_eq!(all.admission(&app, s(0)), Admission::Open, "another host may do better");
    fail(&mut all, "app", refused(), s(10));
    assert_eq!(all.admission(&app, s(10)), Admission::OneByOne);
    fail(&mut all, "app", refused(), s(11));
    let Step::BackOff(until) = fail(&mut all, "app", refused(), s(12)).step else { panic!("no pause") };
    assert_eq!(all.admission(&app, s(12)), Admission::Closed(until));
    assert_eq!(all.admission(&app, until), Admission::OneByOne);
    assert_eq!(all.admission(&who("other"), s(12)), Admission::Open);
    all.accepted(&app, until);
    assert_eq!(all.admission(&app, until), Admission::Open);
    fail(&mut all, "app", Outcome::Asked(Asked::Scram), s(60));
    assert!(matches!(all.admission(&app, s(60)), Admission::Closed(_)));
}

#[test]
fn one_that_is_refused_again_while_only_others_get_in_is_not_throttled() {
    let mut all = Reactions::default();
    let strained = Evidence { is_strained: true, let_in: LetIn::Lately, ..CALM };
    let mut classes = Vec::new();
    for at in 0..10 {
        let judged = all.failed(&who("app"), &refused(), &strained, s(at), s(at), 1.0).unwrap();
        classes.push(judged.class);
        all.accepted(&who("reader"), s(at));
    }
    assert_eq!(classes[0], Class::Throttled, "it may be one of some that do not pass");
    assert_eq!(classes[1..], [Class::Service; 9], "the pace is the others' too");
}
