//! How far this machine's clock is from AWS's, told by the `Date` of answers that come anyway, and by us to the log.
//!
//! RDS measures a token's age by its own clock, so a machine whose clock is off makes tokens that are dead or unborn there.
//! Invariant: only the date of an answer is looked at; requests and answers pass unchanged.

use super::clock::WallClock;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// "Not measured yet".
const UNKNOWN: i64 = i64::MIN;

/// More seconds than this are worth a warning: no answer of AWS is that late.
const NOTABLE_S: u64 = 30;

/// As many seconds are an error: RDS takes a token five minutes early or fifteen late, and a login takes time.
const GRAVE_S: u64 = 240;

/// Between two log lines about a clock that stays off.
const REMIND: Duration = Duration::from_secs(600);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Degree {
    Fine,
    Notable,
    Grave,
}

impl Degree {
    fn of(seconds: i64) -> Self {
        match seconds.unsigned_abs() {
            0..=NOTABLE_S => Self::Fine,
            GRAVE_S.. => Self::Grave,
            _ => Self::Notable,
        }
    }
}

/// What was said of the clock last, and when.
#[derive(Debug)]
struct Said {
    degree: Degree,
    at: SystemTime,
}

impl Said {
    /// Whether an operator has not read of it yet, or a while ago.
    fn is_news(&mut self, degree: Degree, now: SystemTime) -> bool {
        let is_recent = now.duration_since(self.at).is_ok_and(|ago| ago < REMIND);
        let is_known = degree == self.degree && (degree == Degree::Fine || is_recent);
        if !is_known {
            *self = Self { degree, at: now };
        }
        !is_known
    }
}

impl Default for Said {
    fn default() -> Self {
        Self { degree: Degree::Fine, at: UNIX_EPOCH }
    }
}

/// The last measurement. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Skew(Arc<Measured>);

#[derive(Debug)]
struct Measured {
    seconds: AtomicI64,
    said: Mutex<Said>,
}

impl Default for Skew {
    fn default() -> Self {
        Self(Arc::new(Measured { seconds: AtomicI64::new(UNKNOWN), said: Mutex::default() }))
    }
}

impl Skew {
    /// Seconds that AWS's clock is ahead of ours, to about a second; `None` before the first answer.
    pub fn seconds(&self) -> Option<i64> {
        Some(self.0.seconds.load(Ordering::Relaxed)).filter(|seconds| *seconds != UNKNOWN)
    }

    /// Takes the date of an answer that came at `now`; a text that is none is passed over.
    fn note(&self, date: &str, now: SystemTime) {
        let Ok(theirs) = jiff::fmt::rfc2822::parse(date) else { return };
        let ours = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        let seconds = theirs.timestamp().as_second().saturating_sub(ours);
        self.0.seconds.store(seconds, Ordering::Relaxed);
        self.tell(seconds, now);
    }

    fn tell(&self, seconds: i64, now: SystemTime) {
        let degree = Degree::of(seconds);
        if !self.0.said.lock().unwrap_or_else(PoisonError::into_inner).is_news(degree, now) {
            return;
        }
        let (off_s, side) = (seconds.unsigned_abs(), if seconds > 0 { "behind" } else { "ahead of" });
        let clock = format_args!("iam: this machine's clock is {off_s}s {side} AWS's");
        match degree {
            Degree::Fine => tracing::info!("iam: this machine's clock agrees with AWS's again"),
            Degree::Notable => tracing::warn!("{clock}: synchronise it"),
            Degree::Grave => tracing::error!("{clock}, so that RDS may refuse tokens: synchronise it"),
        }
    }
}

/// An HTTP client that measures.
#[derive(Debug)]
pub(super) struct Dated {
    pub inner: SharedHttpClient,
    pub skew: Skew,
    pub clock: Arc<dyn WallClock>,
}

#[derive(Debug)]
struct DatedConnector {
    inner: SharedHttpConnector,
    skew: Skew,
    clock: Arc<dyn WallClock>,
}

impl HttpClient for Dated {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(DatedConnector {
            inner: self.inner.http_connector(settings, components),
            skew: self.skew.clone(),
            clock: Arc::clone(&self.clock),
        })
    }
}

impl HttpConnector for DatedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, skew, clock) = (self.inner.call(request), self.skew.clone(), Arc::clone(&self.clock));
        HttpConnectorFuture::new(async move {
            let answer: HttpResponse = answer.await?;
            if let Some(date) = answer.headers().get("date") {
                skew.note(date, clock.now());
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_of_answers_are_compared_with_ours() {
        let skew = Skew::default();
        assert_eq!(skew.seconds(), None);
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (date, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("Sun, 06 Nov 1994 08:59:37 GMT", 600),
            ("yesterday", 600),
            ("", 600),
            ("Sun, 06 Nov 1994 07:49:37 GMT", -3600),
        ] {
            skew.note(date, now);
            assert_eq!(skew.seconds(), Some(seconds), "{date}");
        }
        skew.note("Sun, 06 Nov 1994 08:49:37 GMT", UNIX_EPOCH - Duration::from_secs(9));
        assert_eq!(skew.seconds(), Some(784_111_777));
    }

    #[test]
    fn what_was_said_is_not_said_again_before_a_while_is_over() {
        let mut said = Said::default();
        let mut is_news =
            |seconds, at_s| said.is_news(Degree::of(seconds), UNIX_EPOCH + Duration::from_secs(at_s));
        assert!(!is_news(-30, 0), "an answer may be late");
        for (seconds, from_s) in [(31, 1), (-240, 1000), (239, 2000)] {
            assert!(is_news(seconds, from_s), "another degree");
            assert!(!is_news(-seconds, from_s + 599));
            assert!(is_news(seconds, from_s + 601), "a reminder");
        }
        assert!(is_news(2, 3000), "it is over");
        assert!(!is_news(0, 9000));
        assert!(is_news(i64::MIN, 9001));
    }
}
