//! When credentials are fetched again: early and spread out while all is well, with growing pauses while it
//! is not; and how long a fetch may take.
//!
//! Pure: the wall clock's time and the dice come in as arguments. The windows have the shape of the AWS SDKs'
//! own rule for static stability, with one difference: credentials of an hour or more are renewed 16 minutes
//! before their end at the latest, so that a token signed with them always gets its full 15 minutes.

use super::failure::Reason;
use super::source::SourceKind;
use crate::base::limits;
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);

/// Between two looks at credentials that never expire: their file may have been edited.
const UNDATED_REFRESH: Duration = Duration::from_secs(15 * 60);

/// Between the beginnings of two fetches that were asked for: many logins may ask at once.
const FORCED_GAP: Duration = Duration::from_secs(30);

/// The longest pause after a failure, while the last credentials are still good.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How much longer to wait when AWS asks for fewer calls.
const THROTTLED_FACTOR: u32 = 4;

/// No two fetches begin closer together than this.
const GAP_MIN: Duration = Duration::from_millis(500);

/// The longest that one fetch takes, all its calls together.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);

/// The same beside a program that takes its whole time. Nobody waits for it meanwhile:
/// logins have what is in memory.
const PROGRAM_TIMEOUT: Duration =
    FETCH_TIMEOUT.saturating_add(Duration::from_millis(limits::CREDENTIAL_PROCESS_MS));

/// The longest that one fetch of a source of that kind takes.
pub(super) fn fetch_timeout(kind: SourceKind) -> Duration {
    if kind.may_run_programs() { PROGRAM_TIMEOUT } else { FETCH_TIMEOUT }
}

/// When the next fetch begins.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    decided_at: SystemTime,
    next_at: SystemTime,
    began_at: Option<SystemTime>,
    failures: u32,
    throttled: bool,
}

impl Schedule {
    /// A first fetch at once.
    pub(super) fn new(now: SystemTime) -> Self {
        Self { decided_at: now, next_at: now, began_at: None, failures: 0, throttled: false }
    }

    /// How long until the next fetch; zero when it is due. A clock that was set back makes it due, for no
    /// time decided on before means anything then.
    pub(super) fn wait(&self, now: SystemTime) -> Duration {
        if now < self.decided_at {
            return Duration::ZERO;
        }
        self.next_at.duration_since(now).unwrap_or_default()
    }

    /// When the next fetch begins.
    pub(super) fn next_at(&self) -> SystemTime {
        self.next_at
    }

    /// When a fetch begins that is asked for now ([`Self::force`]); what lies behind is due at once.
    pub(super) fn forced_at(&self) -> SystemTime {
        match self.began_at {
            _ if self.throttled => self.next_at,
            Some(began) => self.next_at.min(began + FORCED_GAP),
            None => self.next_at,
        }
    }

    /// A fetch begins.
    pub(super) fn began(&mut self, now: SystemTime) {
        self.began_at = Some(now);
    }

    /// Someone wants new credentials at once: they come now, or 30 s after the last fetch began. A
    /// throttled source is left alone.
    pub(super) fn force(&mut self, now: SystemTime) {
        if !self.throttled {
            self.decide(now, self.forced_at().max(now));
        }
    }

    /// Credentials came. `jitter` is drawn from `0.0..1.0`.
    pub(super) fn loaded(&mut self, now: SystemTime, expires_at: Option<SystemTime>, jitter: f64) {
        (self.failures, self.throttled) = (0, false);
        let life = expires_at.map(|expires| expires.duration_since(now).unwrap_or_default());
        self.decide(
            now,
            now + life.map_or(UNDATED_REFRESH.mul_f64(1.0 - 0.15 * jitter), |l| renew_in(l, jitter)),
        );
    }

    /// The fetch failed. `covered`: the last credentials are good for a login yet. `jitter`
    /// is drawn from `0.0..1.0`.
    pub(super) fn failed(&mut self, now: SystemTime, reason: Reason, covered: bool, jitter: f64) {
        self.throttled = reason == Reason::Throttled;
        let step = Duration::from_secs(1 << self.failures.min(5)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        let settled = step == RETRY_MAX && !covered;
        // 0.5 to 1 of the step; once nothing is left to lose by waiting, 30 to 60 s
        let wait = if settled { RETRY_MAX.mul_f64(1.0 + jitter) } else { step.mul_f64(0.5 + 0.5 * jitter) };
        self.decide(now, now + if self.throttled { wait * THROTTLED_FACTOR } else { wait });
    }

    fn decide(&mut self, now: SystemTime, next_at: SystemTime) {
        let earliest = self.began_at.map_or(now, |began| began + GAP_MIN);
        (self.decided_at, self.next_at) = (now, next_at.max(earliest.min(now + GAP_MIN)));
    }
}

/// How long credentials with `life` ahead of them are kept before new ones are asked for.
fn renew_in(life: Duration, jitter: f64) -> Duration {
    let lead = match life {
        _ if life < 20 * MINUTE => 5 * MINUTE,
        _ if life < 60 * MINUTE => 15 * MINUTE,
        _ if life < 90 * MINUTE => 16 * MINUTE,
        _ => 60 * MINUTE,
    };
    // Short-lived ones are kept for half their life, or they would be asked for without end.
    life.saturating_sub(lead.mul_f64(1.0 + 0.15 * jitter)).max(life / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn waits_after_loading(life_s: u64) -> (u64, u64) {
        let wait = |jitter| {
            let mut schedule = Schedule::new(at(1000));
            schedule.began(at(1000));
            schedule.loaded(at(1000), Some(at(1000 + life_s)), jitter);
            schedule.wait(at(1000)).as_secs()
        };
        (wait(1.0), wait(0.0))
    }

    #[test]
    fn credentials_are_renewed_early() {
        assert_eq!(waits_after_loading(6 * 3600), (21_600 - 4140, 21_600 - 3600));
        assert_eq!(waits_after_loading(3600), (3600 - 1104, 3600 - 960));
        assert_eq!(waits_after_loading(1800), (900, 900));
        assert_eq!(waits_after_loading(900), (555, 600));
        assert_eq!(waits_after_loading(120), (60, 60));
    }

    #[test]
    fn a_first_fetch_is_due_at_once_and_undated_credentials_after_a_quarter() {
        let mut schedule = Schedule::new(at(5));
        assert_eq!(schedule.wait(at(5)), Duration::ZERO);
        schedule.began(at(5));
        schedule.loaded(at(5), None, 0.0);
        assert_eq!(schedule.wait(at(5)).as_secs(), 900);
    }

    #[test]
    fn failures_back_off() {
        let mut schedule = Schedule::new(at(0));
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..7 {
            schedule.began(now);
            schedule.failed(now, Reason::Service, true, 1.0);
            waits.push(schedule.wait(now).as_secs());
            now += schedule.wait(now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        schedule.failed(now, Reason::Service, false, 1.0);
        assert_eq!(schedule.wait(now).as_secs(), 60, "nothing is left to cover");
        schedule.failed(now, Reason::Throttled, true, 1.0);
        assert_eq!(schedule.wait(now).as_secs(), 120, "AWS asked for fewer calls");
        schedule.loaded(now, Some(now + Duration::from_secs(3600)), 0.0);
        schedule.failed(now, Reason::Service, true, 1.0);
        assert_eq!(schedule.wait(now).as_secs(), 1, "success starts anew");
    }

    #[test]
    fn a_forced_fetch_comes_once_in_a_while() {
        let mut schedule = Schedule::new(at(0));
        schedule.began(at(0));
        schedule.loaded(at(0), Some(at(3600)), 0.0);
        assert_eq!(schedule.forced_at(), at(30));
        schedule.force(at(10));
        assert_eq!(schedule.wait(at(10)).as_secs(), 20);
        schedule.force(at(100));
        assert_eq!(schedule.wait(at(100)), Duration::ZERO);
        schedule.began(at(100));
        schedule.failed(at(100), Reason::Throttled, true, 1.0);
        assert_eq!(schedule.forced_at(), at(104));
        schedule.force(at(101));
        assert_eq!(schedule.wait(at(101)).as_secs(), 3, "the pause that AWS asked for holds");
    }

    #[test]
    fn a_clock_set_back_makes_it_due() {
        let mut schedule = Schedule::new(at(10_000));
        schedule.began(at(10_000));
        schedule.loaded(at(10_000), Some(at(13_600)), 0.0);
        assert_eq!(schedule.wait(at(9_000)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn renewing_comes_before_the_end_and_never_in_a_tight_loop(
            life_s in 1u64..100_000,
            jitter in 0.0..1.0f64,
        ) {
            let wait = renew_in(Duration::from_secs(life_s), jitter);
            prop_assert!(wait < Duration::from_secs(life_s));
            prop_assert!(wait >= Duration::from_millis(500 * life_s));
        }

        #[test]
        fn no_order_of_events_makes_a_tight_loop(
            events in prop::collection::vec((0u8..3, 0.0..1.0f64), 1..50),
        ) {
            let mut now = at(0);
            let mut schedule = Schedule::new(now);
            for (event, jitter) in events {
                schedule.began(now);
                match event {
                    0 => schedule.failed(now, Reason::Timeout, false, jitter),
                    1 => schedule.loaded(now, Some(now + Duration::from_millis(10)), jitter),
                    _ => schedule.loaded(now, Some(now + Duration::from_secs(3600)), jitter),
                }
                schedule.force(now);
                let wait = schedule.wait(now);
                prop_assert!(wait >= GAP_MIN, "{event} {wait:?}");
                now += wait;
            }
        }
    }
}
