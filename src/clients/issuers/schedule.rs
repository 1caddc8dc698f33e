//! When the keys of an issuer are fetched again: at an even pace while all is well, with growing pauses while
//! it is not, and early where a token names a key that is not known.
//!
//! Pure: the time and the dice come in as arguments. Invariant: what tokens name, however many, causes one
//! fetch in [`EARLY_GAP`] at the most.

use crate::base::Micros;

/// Between two fetches that tokens have asked for by naming keys that are not known: anybody can write such a
/// token, and an issuer that takes a new key into use shows it earlier, as a rule.
pub(super) const EARLY_GAP: Micros = Micros::from_secs(30);

/// The first pause after a failure; each further one is twice as long.
const RETRY_MIN: Micros = Micros::from_secs(1);

/// The longest pause after a failure.
const RETRY_MAX: Micros = Micros::from_secs(30);

/// When the next fetch begins.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    refresh: Micros,
    next_at: Micros,
    failures: u32,
    /// A token names a key that is not known.
    is_asked_for: bool,
    /// Before that, no token brings the next fetch forward.
    early_at: Micros,
}

impl Schedule {
    /// A first fetch at once, then one each `refresh`.
    pub(super) fn new(refresh: Micros, now: Micros) -> Self {
        Self { refresh, next_at: now, failures: 0, is_asked_for: false, early_at: now }
    }

    /// When the next fetch is due, as things stand.
    pub(super) fn due_at(&self) -> Micros {
        if self.is_asked_for { self.next_at.min(self.early_at) } else { self.next_at }
    }

    /// A token names a key that is not known.
    pub(super) fn ask(&mut self) {
        self.is_asked_for = true;
    }

    /// The next fetch is due at once, whoever has asked before: the configuration was read again.
    pub(super) fn hurry(&mut self, now: Micros) {
        self.next_at = now;
    }

    /// A fetch begins.
    pub(super) fn begin(&mut self, now: Micros) {
        if self.is_asked_for && now < self.next_at {
            self.early_at = now + EARLY_GAP;
        }
        self.is_asked_for = false;
    }

    /// It has brought keys. `dice` is from 0 to 1: processes that have started together shall not fetch
    /// together for ever.
    pub(super) fn succeeded(&mut self, now: Micros, dice: f64) {
        self.failures = 0;
        self.next_at = now + part(self.refresh, 0.9 + 0.2 * dice);
    }

    /// It has brought none.
    pub(super) fn failed(&mut self, now: Micros, dice: f64) {
        let doubled = RETRY_MIN.0 << self.failures.min(5);
        let pause = Micros(doubled.min(RETRY_MAX.0).min(self.refresh.0));
        self.failures += 1;
        self.next_at = now + part(pause, 0.75 + 0.5 * dice);
    }
}

fn part(span: Micros, factor: f64) -> Micros {
    Micros((span.0 as f64 * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REFRESH: Micros = Micros::from_secs(300);

    fn s(seconds: u64) -> Micros {
        Micros::from_secs(seconds)
    }

    /// A schedule whose first fetch, at `now`, went well.
    fn running(now: Micros) -> Schedule {
        let mut schedule = Schedule::new(REFRESH, now);
        assert_eq!(schedule.due_at(), now, "the first one at once");
        schedule.begin(now);
        schedule.succeeded(now, 0.5);
        schedule
    }

    #[test]
    fn fetches_come_evenly_and_not_all_at_once() {
        assert_eq!(running(s(1)).due_at(), s(301));
        let at = |dice| {
            let mut schedule = running(s(0));
            schedule.begin(s(300));
            schedule.succeeded(s(300), dice);
            schedule.due_at()
        };
        assert_eq!([at(0.0), at(1.0)], [s(570), s(630)]);
    }

    #[test]
    fn failures_are_tried_again_with_growing_pauses() {
        let mut schedule = Schedule::new(REFRESH, s(0));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let now = schedule.due_at();
            schedule.begin(now);
            schedule.failed(now, 0.5);
            pauses.push(schedule.due_at().since(now).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        let now = schedule.due_at();
        schedule.begin(now);
        schedule.succeeded(now, 0.5);
        assert_eq!(schedule.due_at(), now + REFRESH);
    }

    #[test]
    fn no_pause_is_longer_than_between_fetches_that_go_well() {
        let mut schedule = Schedule::new(s(2), s(0));
        for _ in 0..9 {
            let now = schedule.due_at();
            schedule.begin(now);
            schedule.failed(now, 0.5);
            assert!(schedule.due_at().since(now) <= s(2));
        }
    }

    #[test]
    fn an_unknown_key_brings_the_next_fetch_forward_once_in_a_while() {
        let mut schedule = running(s(0));
        schedule.ask();
        assert_eq!(schedule.due_at(), s(0), "at once");
        schedule.begin(s(10));
        schedule.succeeded(s(10), 0.5);
        assert_eq!(schedule.due_at(), s(310));
        schedule.ask();
        assert_eq!(schedule.due_at(), s(40), "30 s after the last one that was asked for");
        schedule.begin(s(40));
        schedule.succeeded(s(40), 0.5);
        schedule.ask();
        assert_eq!(schedule.due_at(), s(70));
    }

    #[test]
    fn a_fetch_that_was_due_anyway_does_not_delay_an_early_one() {
        let mut schedule = running(s(0));
        schedule.ask();
        schedule.begin(s(300));
        schedule.succeeded(s(300), 0.5);
        schedule.ask();
        assert!(schedule.due_at() <= s(300));
    }

    #[test]
    fn a_reload_waits_for_nothing() {
        let mut schedule = running(s(0));
        schedule.hurry(s(5));
        assert_eq!(schedule.due_at(), s(5));
    }

    proptest! {
        /// However often and whenever it is asked, fetches that were not due anyway are 30 s apart.
        #[test]
        fn a_flood_of_unknown_keys_causes_a_bounded_number_of_fetches(
            asks in proptest::collection::vec(0_u64..5_000_000, 1..400),
            failing in any::<bool>(),
        ) {
            let mut schedule = running(s(0));
            let (mut now, mut regular, mut early) = (s(0), 0_u64, 0_u64);
            for pause in asks {
                now = now + Micros(pause);
                schedule.ask();
                if schedule.due_at() <= now {
                    if schedule.next_at <= now { regular += 1 } else { early += 1 }
                    schedule.begin(now);
                    if failing { schedule.failed(now, 0.5) } else { schedule.succeeded(now, 0.5) }
                }
            }
            prop_assert!(early <= now.as_secs() / 30 + 1, "{early} in {} s", now.as_secs());
            let most = if failing { now.as_secs() / 30 + 8 } else { now.as_secs() / 300 + 1 };
            prop_assert!(regular <= most, "{regular} in {} s", now.as_secs());
        }
    }
}
