//! How far this machine's clock is from AWS's, told by the `Date` of answers that come anyway.
//!
//! RDS measures a token's age by its own clock, so a machine whose clock is off makes tokens that are dead
//! or unborn there. Invariant: only the date of an answer is looked at; requests and answers pass
//! unchanged, but for answers that are longer than any of AWS's is: those break off, since the library
//! would take in whatever comes.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest answer that is read. Credentials with a long session token take some 5 KB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// AWS's time as an answer told it last; how far ours is off follows from that at any later moment, whether
/// or not somebody has set our clock in between. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Skew(Arc<Mutex<Option<Told>>>);

#[derive(Clone, Copy, Debug)]
struct Told {
    /// Seconds since 1970.
    epoch_s: i64,
    /// When, since the machine was started.
    up: Duration,
}

impl Skew {
    /// Seconds that AWS's clock is ahead of `now`, which is ours, to about a second; `None`
    /// before the first answer.
    pub fn seconds(&self, now: SystemTime) -> Option<i64> {
        self.seconds_at(now, uptime())
    }

    fn seconds_at(&self, now: SystemTime, up: Duration) -> Option<i64> {
        let told = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let ours_ms = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        let passed_ms = i64::try_from(up.saturating_sub(told.up).as_millis()).unwrap_or(i64::MAX);
        let theirs_ms = told.epoch_s.saturating_mul(1000).saturating_add(passed_ms);
        Some(theirs_ms.saturating_sub(ours_ms) / 1000)
    }

    /// Takes the date of an answer that has just come; a text that is none is passed over.
    fn note(&self, date: &str, up: Duration) {
        let Ok(theirs) = jiff::fmt::rfc2822::parse(date) else { return };
        self.take(theirs.timestamp().as_second(), up);
    }

    /// Something that was dated `now`, by our clock, was taken by whoever looks at dates: that clock and ours
    /// agree, to some minutes. From then on this tells by how much ours was set.
    pub fn agree(&self, now: SystemTime) {
        self.agree_at(now, uptime());
    }

    fn agree_at(&self, now: SystemTime, up: Duration) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.take(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), up);
    }

    fn take(&self, epoch_s: i64, up: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Told { epoch_s, up });
    }
}

/// What is worth telling an operator of the skew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// The clocks agree, or nothing is known.
    #[default]
    None,
    /// More than half a minute: somebody should look.
    Notable,
    /// More than four minutes: tokens are dead or unborn at RDS, or about to be.
    Grave,
}

impl Alarm {
    /// Seconds beyond which tokens are in danger: RDS bears five minutes.
    pub(crate) const GRAVE_S: i64 = 240;
    const NOTABLE_S: i64 = 30;

    /// How `skew_s` is to be logged after it was logged as this: an alarm ends at two thirds of where it
    /// begins, so that a skew at a bound is logged once.
    #[must_use]
    pub(crate) fn next(self, skew_s: Option<i64>) -> Self {
        let off_s = skew_s.map_or(0, i64::saturating_abs);
        let bound = |level: Self, begins_s: i64| if self >= level { begins_s * 2 / 3 } else { begins_s };
        match off_s {
            off_s if off_s > bound(Self::Grave, Self::GRAVE_S) => Self::Grave,
            off_s if off_s > bound(Self::Notable, Self::NOTABLE_S) => Self::Notable,
            _ => Self::None,
        }
    }
}

/// Since the machine was started, the time that it has slept included.
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// An HTTP client that measures, and reads no more than it must.
#[derive(Debug)]
pub(super) struct Dated {
    pub inner: SharedHttpClient,
    pub skew: Skew,
}

#[derive(Debug)]
struct DatedConnector {
    inner: SharedHttpConnector,
    skew: Skew,
}

impl HttpClient for Dated {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        dated(self.inner.http_connector(settings, components), self.skew.clone())
    }
}

/// A connector whose answers tell `skew` the time.
pub(super) fn dated(inner: SharedHttpConnector, skew: Skew) -> SharedHttpConnector {
    SharedHttpConnector::new(DatedConnector { inner, skew })
}

impl HttpConnector for DatedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, skew) = (self.inner.call(request), self.skew.clone());
        HttpConnectorFuture::new(async move {
            let answer: HttpResponse = answer.await?;
            if let Some(date) = answer.headers().get("date") {
                skew.note(date, uptime());
            }
            Ok(answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, ANSWER_BYTES_MAX))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn dates_of_answers_are_compared_with_ours() {
        let skew = Skew::default();
        let now = UNIX_EPOCH + 784_111_777 * S;
        assert_eq!(skew.seconds_at(now, S), None);
        for (date, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("Sun, 06 Nov 1994 08:59:37 GMT", 600),
            ("yesterday", 600),
            ("", 600),
            ("Sun, 06 Nov 1994 07:49:37 GMT", -3600),
        ] {
            skew.note(date, S);
            assert_eq!(skew.seconds_at(now, S), Some(seconds), "{date}");
        }
        skew.note("Sun, 06 Nov 1994 08:49:37 GMT", S);
        assert_eq!(skew.seconds_at(UNIX_EPOCH - 9 * S, S), Some(784_111_777));
    }

    #[test]
    fn a_clock_that_was_set_right_is_right_at_once() {
        let skew = Skew::default();
        let now = UNIX_EPOCH + 784_111_777 * S;
        skew.note("Sun, 06 Nov 1994 08:59:37 GMT", 5 * S);
        assert_eq!(skew.seconds_at(now + 100 * S, 105 * S), Some(600), "both go on alike");
        assert_eq!(skew.seconds_at(now + 700 * S, 105 * S), Some(0), "ours was set");
        assert_eq!(skew.seconds_at(now + 700 * S + S / 2, 105 * S), Some(0), "half a second is nothing");
    }

    #[test]
    fn a_clock_that_was_set_since_a_token_was_taken_is_off_by_as_much() {
        let skew = Skew::default();
        let now = UNIX_EPOCH + 784_111_777 * S;
        skew.agree_at(now, 5 * S);
        assert_eq!(skew.seconds_at(now + 3600 * S, 3605 * S), Some(0), "an hour later");
        assert_eq!(skew.seconds_at(now + 4800 * S, 3605 * S), Some(-1200), "it was set 20 minutes ahead");
        assert_eq!(skew.seconds_at(now + 2400 * S, 3605 * S), Some(1200), "it was set back");
        skew.agree_at(now + 2400 * S, 3605 * S);
        assert_eq!(skew.seconds_at(now + 2401 * S, 3606 * S), Some(0), "and is taken all the same");
    }

    #[test]
    fn a_skew_is_told_as_it_grows_and_when_it_is_over() {
        let mut alarm = Alarm::default();
        let mut told = Vec::new();
        for skew_s in
            [None, Some(30), Some(-31), Some(29), Some(241), Some(-200), Some(160), Some(21), Some(20)]
        {
            let next = alarm.next(skew_s);
            if next != alarm {
                told.push((skew_s, next));
            }
            alarm = next;
        }
        let expected = [
            (Some(-31), Alarm::Notable),
            (Some(241), Alarm::Grave),
            (Some(160), Alarm::Notable),
            (Some(20), Alarm::None),
        ];
        assert_eq!(told, expected);
        assert_eq!(Alarm::None.next(Some(i64::MIN)), Alarm::Grave);
    }

    #[test]
    fn uptime_goes_on() {
        let before = uptime();
        assert!(before > Duration::ZERO && uptime() >= before);
    }
}
