//! Whether it can be chance that somebody is refused again and again while others get in.
//!
//! Where RDS throttles, any login may be the one that is refused. So of the logins of a while, each is
//! refused as likely as the next: with `b` refused besides and `a` let in, one is refused with a chance of
//! (b + 1) / (a + b + 1). Refusals of those that were not let in afterwards count once each, and not at all
//! where they are denied, too. Pure. Memory: the last 64 that were let in at each endpoint.

use crate::base::Micros;
use std::collections::VecDeque;

/// Of a first refusal, those of so long before are looked at.
const LOOK_BACK: Micros = Micros::from_secs(20);

/// Refusals that are closer to each other may well have one cause.
const APART: Micros = Micros::from_secs(1);

const REMEMBERED_MAX: usize = 64;

/// Somebody was let in.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Micros,
    /// How often it was refused before.
    refused: u32,
}

/// Logins that were let in of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(VecDeque<Entry>);

impl Entries {
    /// One more, behind so many refusals of the same.
    pub(super) fn add(&mut self, refused: u32, at: Micros) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Entry { at, refused });
    }

    /// The chance that one of the logins since `since` is refused, where so many were that have not been let
    /// in since.
    fn chance_of_refusal(&self, since: Micros, outside: usize) -> f64 {
        let lately = self.0.iter().rev().take_while(|entry| entry.at > since);
        let (entered, refused) = lately.fold((0.0, outside as f64), |(entered, refused), entry| {
            (entered + 1.0, refused + f64::from(entry.refused))
        });
        (refused + 1.0) / (entered + refused + 1.0)
    }
}

/// What the refusals of one come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// How unlikely they are all together, as a natural logarithm: 0 is certain, 7 is one in a thousand.
    surprise: f64,
    weighed_at: Option<Micros>,
}

impl Row {
    /// One more, at `now`; `outside`: how many others were refused since a time, and have not been let in.
    pub(super) fn add(&mut self, entries: &Entries, outside: impl Fn(Micros) -> usize, now: Micros) {
        let since = self.weighed_at.unwrap_or(now - LOOK_BACK);
        if self.weighed_at.is_none() || now.since(since) >= APART {
            self.surprise -= entries.chance_of_refusal(since, outside(since)).ln();
            self.weighed_at = Some(now);
        }
    }

    /// Whether the chance of them all is no more than one in so many.
    pub(super) fn is_rarer_than(&self, one_in: u32) -> bool {
        self.surprise >= f64::from(one_in).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Micros {
        Micros::from_secs(seconds)
    }

    fn nobody(_: Micros) -> usize {
        0
    }

    #[test]
    fn one_that_is_refused_while_as_many_pass_as_not_takes_ten_refusals() {
        let (mut entries, mut row) = (Entries::default(), Row::default());
        for at in 100..110 {
            assert!(!row.is_rarer_than(1000), "at {at}");
            entries.add(0, s(at));
            row.add(&entries, nobody, s(at) + Micros(1));
        }
        assert!(row.is_rarer_than(1000) && !row.is_rarer_than(1100));
    }

    #[test]
    fn where_many_are_refused_it_takes_more_and_where_nobody_gets_in_it_says_nothing() {
        let (mut entries, mut row) = (Entries::default(), Row::default());
        for at in 100..200 {
            row.add(&entries, nobody, s(at));
        }
        assert!(!row.is_rarer_than(2), "nobody gets in");
        for at in 200..220 {
            entries.add(9, s(at));
            row.add(&entries, nobody, s(at) + Micros(1));
        }
        assert!(row.is_rarer_than(6) && !row.is_rarer_than(9), "{row:?}: 10 of 11, twenty times");
        let mut row = Row::default();
        entries.add(0, s(300));
        row.add(&entries, |since| usize::from(since == s(281)), s(301));
        assert!(row.is_rarer_than(1) && !row.is_rarer_than(2), "{row:?}: two of three");
    }

    #[test]
    fn refusals_at_one_moment_count_once_and_old_entries_not_at_all() {
        let (mut entries, mut row) = (Entries::default(), Row::default());
        (0..REMEMBERED_MAX * 2).for_each(|_| entries.add(0, s(100)));
        row.add(&entries, nobody, s(121));
        assert!(!row.is_rarer_than(2), "that was long ago");
        (0..9).for_each(|_| entries.add(0, s(121) + Micros(1)));
        row.add(&entries, nobody, s(121) + Micros(2));
        assert!(!row.is_rarer_than(2));
        row.add(&entries, nobody, s(122));
        row.add(&entries, nobody, s(122) + Micros(3));
        assert!(row.is_rarer_than(9) && !row.is_rarer_than(11), "{row:?}: one of ten");
        assert_eq!(entries.0.len(), REMEMBERED_MAX);
    }
}
