//! Times and sessions, as lines of the audit log show them.
//!
//! Pure. Written by hand, since each transaction has four of them. Invariant: times are as jiff shows them,
//! and sessions as [`SessionId`] does.

use super::json::Value;
#[cfg(doc)]
use crate::base::SessionId;
use jiff::Timestamp;
use std::cell::RefCell;

/// The last second that was written, since most lines are of the same one, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct LastSecond(RefCell<(i64, String)>);

impl LastSecond {
    /// Writes the time so many microseconds from the epoch, with all of them.
    fn write(&self, us: i64, out: &mut String) {
        let (second, micros) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
        let (last, text) = &mut *self.0.borrow_mut();
        if *last != second || text.is_empty() {
            let time = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
            let whole = format!("{time:.0}");
            *text = whole.strip_suffix('Z').unwrap_or(&whole).to_owned();
            *last = second;
        }
        out.push_str(text);
        out.push('.');
        out.push_str(&itoa::Buffer::new().format(1_000_000 + micros)[1..]); // six digits, zeros in front
        out.push('Z');
    }
}

/// A point in time, by microseconds from the epoch.
pub(super) struct Moment<'a> {
    pub(super) us: i64,
    pub(super) last_second: &'a LastSecond,
}

impl Value for Moment<'_> {
    fn write(self, out: &mut String) {
        out.push('"');
        self.last_second.write(self.us, out);
        out.push('"');
    }
}

/// The session of a socket id, as [`SessionId`] shows it.
pub(super) struct Session<'a> {
    pub(super) process: &'a str,
    pub(super) socket_id: u64,
}

impl Value for Session<'_> {
    fn write(self, out: &mut String) {
        out.push('"');
        out.push_str(self.process);
        out.push('.');
        let digits = self.socket_id.checked_ilog2().unwrap_or(0) / 4 + 1;
        let nibbles = (0..digits).rev().map(|place| (self.socket_id >> (4 * place)) as u32 & 0xf);
        out.extend(nibbles.filter_map(|nibble| char::from_digit(nibble, 16)));
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SessionId, StartId};

    #[test]
    fn times_are_those_of_the_library_in_any_order_of_seconds() {
        let last = LastSecond::default();
        let shown = |us: i64| {
            let mut out = String::new();
            last.write(us, &mut out);
            out
        };
        let seconds = [0, 1, 951_782_399, 951_782_400, 1_800_000_000, 1_800_000_000, 0, -1, 253_402_207_199];
        for us in seconds.iter().flat_map(|second| [0, 1, 500, 999_999].map(|us| second * 1_000_000 + us)) {
            let time = Timestamp::from_microsecond(us).unwrap();
            assert_eq!(shown(us), format!("{time:.6}"), "{us}");
        }
        assert!(shown(i64::MAX).ends_with('Z') && shown(i64::MIN).ends_with('Z'));
    }

    #[test]
    fn a_session_is_named_as_everywhere_else() {
        for (start, socket_id) in [(0, 0), (0xab, 0x1f), (u32::MAX, 0x10), (7, u64::MAX), (1, 1 << 32)] {
            let (start, mut out) = (StartId(start), String::new());
            let process = format!("{:08x}", start.0);
            Session { process: &process, socket_id }.write(&mut out);
            assert_eq!(out, format!("\"{}\"", SessionId { start, socket_id }));
        }
    }
}
