//! Whatever refusals come, in whatever order: what holds of the verdicts.

use super::*;
use crate::config::AllDenied;
use crate::iam::age;
use crate::iam::denial::cause::{GRACE, PROOF_REFUSALS};
use crate::iam::denial::*;
use crate::wire::sqlstate;
use proptest::prelude::*;

/// What becomes of a login that is tried in vain.
#[derive(Clone, Copy, Debug)]
pub(super) enum Vain {
    Refused,
    Unreachable,
    Ended,
    Busy,
}

impl Vain {
    pub(super) fn outcome(self) -> Outcome<'static> {
        match self {
            Self::Refused => refused(),
            Self::Unreachable => Outcome::Unreachable,
            Self::Ended => Outcome::Ended(Stage::TokenSent),
            Self::Busy => error(sqlstate::TOO_MANY_CONNECTIONS, Stage::Greeting),
        }
    }
}

proptest! {
    /// A role is revoked after its server's login. However often and when logins are tried, whatever becomes
    /// of them besides, and however the others fare: three fresh tokens are refused before the hard age
    /// comes, or the server says so itself once, and none is lent beyond it.
    #[test]
    fn no_transaction_begins_beyond_the_age_after_a_revocation(
        (max_age, soft_percent, jitter) in (10u64..2000, 20u64..=85, 0.0..1.0f64),
        vain in prop::collection::vec(
            (
                prop_oneof![
                    4 => Just(Vain::Refused),
                    1 => Just(Vain::Unreachable),
                    1 => Just(Vain::Ended),
                    1 => Just(Vain::Busy)
                ],
                0u64..5,
            ),
            3..60
        ),
        (let_in, others, strict) in (
            prop_oneof![Just(LetIn::Never), Just(LetIn::Once), Just(LetIn::Lately)], 0u8..3, any::<bool>()
        ),
        (is_told, backing) in (any::<bool>(), prop_oneof![Just(Backing::Sound), Just(Backing::Denied)]),
    ) {
        let login = s(1000);
        let soft_at = login + Micros(s(max_age).0 / 100 * soft_percent);
        let hard_at = login + s(max_age);
        let rules = age::AgeRules {
            max_age: s(max_age),
            on_denied: age::OnDenied::Drain,
            all_denied: AllDenied::MaxAge,
            lifetime: if strict { age::Lifetime::Strict } else { age::Lifetime::Lenient },
        };
        let evidence = Evidence { patience: rules.patience(), let_in, backing, ..CALM };
        let mut all = Reactions::default();
        // Renewals begin at the soft age, and are refused as often as fresh tokens are tried at once.
        let mut now = soft_at;
        for _ in 0..if is_told { 0 } else { PROOF_REFUSALS } {
            all.failed(&who("app"), &refused(), &evidence, now, now, jitter);
        }
        if is_told {
            all.failed(&who("app"), &Outcome::Asked(Asked::Scram), &evidence, now, now, jitter);
        }
        for (outcome, late_s) in vain {
            match others {
                0 => {}
                1 => all.accepted(&who("other"), now),
                _ => { all.failed(&who("other"), &refused(), &evidence, now, now, jitter); }
            }
            // What keeps a server beyond its hard age: a trouble that is no denial, unless ages are strict.
            let suspicion = all.suspicion(&who("app"), now, rules.patience());
            let is_kept_on = suspicion == Some(Suspicion::Unfounded) && !strict;
            prop_assert!(!is_kept_on || now < hard_at, "{suspicion:?} at {:?}", now.since(login));
            now = all.may_try(&who("app"), now).err().unwrap_or(now) + s(late_s);
            all.failed(&who("app"), &outcome.outcome(), &evidence, now, now, jitter);
        }
    }

    /// However the dice fall, a client of a pool without servers is served within a second of the end of a
    /// brief refusal.
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
            prop_assert!(next.since(now) <= SHORT_PAUSE);
            now = next;
        }
    }

    #[test]
    fn any_words_of_a_server_are_judged(
        state in ".{0,6}",
        message in ".{0,60}",
        at: u64,
        begun: u64,
        jitter: f64,
    ) {
        let mut all = Reactions::default();
        for stage in [Stage::Greeting, Stage::TokenSent, Stage::Authenticated] {
            let outcome = Outcome::Error { sqlstate: &state, message: &message, stage };
            let judged = all.failed(&who("u"), &outcome, &CALM, Micros(begun), Micros(at), jitter);
            if let Some(Judgement { step: Step::BackOff(until), .. }) = judged {
                prop_assert!(until.since(Micros(at)) <= BACK_OFF_MAX);
            }
        }
    }
}
