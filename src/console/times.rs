//! Points in time as the console prints them: `YYYY-MM-DD HH:MM:SS TZ`, local.
//!
//! Source: PgBouncer, doc/usage.md (Show commands).

use crate::base::Micros;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// The local time zone, as log lines and SHOW tell times in. One that the system does not
/// tell is UTC, and called so.
pub fn local_zone() -> TimeZone {
    let zone = TimeZone::system();
    if zone.is_unknown() { TimeZone::UTC } else { zone }
}

/// One moment on both clocks: the wall's, and the process's own.
#[derive(Clone, Debug)]
pub struct Moment {
    /// On the process's clock.
    pub now: Micros,
    wall: Timestamp,
    zone: TimeZone,
}

impl Moment {
    /// This moment, which is `now` on the process's clock.
    pub fn new(now: Micros) -> Self {
        Self { now, wall: Timestamp::now(), zone: local_zone() }
    }

    /// A moment made up by a test.
    #[cfg(test)]
    pub fn at(now: Micros, epoch_s: i64) -> Self {
        Self { now, wall: Timestamp::from_second(epoch_s).unwrap(), zone: TimeZone::UTC }
    }

    /// A point on the process's clock, which lies in the past.
    pub fn text_of(&self, at: Micros) -> String {
        let age = SignedDuration::from_micros(i64::try_from(self.now.since(at).0).unwrap_or(i64::MAX));
        self.text(self.wall.checked_sub(age).unwrap_or(self.wall))
    }

    /// Seconds since the epoch.
    pub fn text_of_epoch(&self, epoch_s: u64) -> String {
        let at = i64::try_from(epoch_s).ok().and_then(|s| Timestamp::from_second(s).ok());
        self.text(at.unwrap_or(self.wall))
    }

    /// Seconds since the epoch in UTC; `None`: no calendar has that day.
    pub fn utc_text(epoch_s: u64) -> Option<String> {
        let at = i64::try_from(epoch_s).ok().and_then(|s| Timestamp::from_second(s).ok())?;
        Some(at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    }

    fn text(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_tell_the_same_time() {
        let moment = Moment::at(Micros::from_secs(100), 1_795_320_830);
        assert_eq!(moment.text_of_epoch(1_795_320_830), "2026-11-22 04:13:50 UTC");
        assert_eq!(moment.text_of(Micros::from_secs(90)), "2026-11-22 04:13:40 UTC");
        assert_eq!(moment.text_of(Micros::from_secs(101)), "2026-11-22 04:13:50 UTC", "the future is now");
    }

    #[test]
    fn the_zone_always_has_a_name() {
        assert!(!Moment::new(Micros(0)).text_of(Micros(0)).ends_with("Unknown"));
    }
}
