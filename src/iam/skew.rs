//! How far this machine's clock is from AWS's, told by the `Date` of answers that come anyway.
//!
//! RDS measures a token's age by its own clock, so a machine whose clock is off makes tokens that are dead or unborn there.
//! Invariant: only the date of an answer is looked at; requests and answers pass unchanged, but for answers that are longer
//! than any of AWS's is: those break off, since the library would take in whatever comes.

use super::clock::WallClock;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest answer that is read. Credentials with a long session token take some 5 KB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// "Not measured yet".
const UNKNOWN: i64 = i64::MIN;

/// The last measurement. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Skew(Arc<AtomicI64>);

impl Default for Skew {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Skew {
    /// Seconds that AWS's clock is ahead of ours, to about a second; `None` before the first answer.
    pub fn seconds(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds != UNKNOWN)
    }

    /// Takes the date of an answer that came at `now`; a text that is none is passed over.
    fn note(&self, date: &str, now: SystemTime) {
        let Ok(theirs) = jiff::fmt::rfc2822::parse(date) else { return };
        let ours = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        self.0.store(theirs.timestamp().as_second().saturating_sub(ours), Ordering::Relaxed);
    }
}

/// An HTTP client that measures, and reads no more than it must.
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
            Ok(answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, ANSWER_BYTES_MAX))))
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
}
