//! When servers will want to be replaced, as it is planned at their logins: those that
//! were born together part.
//!
//! Pure, and without dice: the same logins give the same plan. It holds what lies ahead only, at most as
//! many times as fit into the longest age with the gaps between them; a time for which there is no room is
//! given out, but not held.

use crate::base::Micros;
use std::collections::BTreeSet;

/// Between which times a server is to be replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub earliest: Micros,
    pub latest: Micros,
}

/// The times that are planned.
#[derive(Debug, Default)]
pub(super) struct Timetable(BTreeSet<Micros>);

impl Timetable {
    /// The latest time of the window that is at least `gap` away from each one that is planned, but
    /// for those of another table.
    pub(super) fn latest_free(&self, window: Window, gap: Micros, others: &Self) -> Option<Micros> {
        let mut at = window.latest;
        for planned in self.0.range(..at + gap).rev().filter(|planned| !others.0.contains(*planned)) {
            if *planned + gap <= at {
                break;
            }
            at = Micros(planned.0.checked_sub(gap.0)?);
        }
        (at >= window.earliest).then_some(at)
    }

    pub(super) fn hold(&mut self, at: Micros) {
        self.0.insert(at);
    }

    /// What lies behind is forgotten.
    pub(super) fn pass(&mut self, now: Micros) {
        while self.0.first().is_some_and(|at| *at < now) {
            self.0.pop_first();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The latest time of the window that is free in both tables, each with its gap; what stands in both
/// is a matter of the first.
pub(super) fn latest_free_in_both(
    window: Window,
    (first, first_gap): (&Timetable, Micros),
    (second, second_gap): (&Timetable, Micros),
) -> Option<Micros> {
    let mut latest = window.latest;
    loop {
        let of_first = first.latest_free(Window { latest, ..window }, first_gap, &Timetable::default())?;
        latest = second.latest_free(Window { latest: of_first, ..window }, second_gap, first)?;
        if latest == of_first {
            return Some(latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_planned_lies_in_its_window_and_apart_in_both(
            births in proptest::collection::vec((0u64..500, 0usize..2), 1..80), gaps in (1u64..20, 1u64..20),
        ) {
            let (first_gap, second_gap) = (Micros(gaps.0), Micros(gaps.1));
            let mut firsts = [Timetable::default(), Timetable::default()];
            let mut second = Timetable::default();
            let mut planned: Vec<(u64, usize)> = Vec::new();
            for (born, which) in births {
                let window = Window { earliest: Micros(born + 200), latest: Micros(born + 850) };
                let first = &mut firsts[which];
                let Some(at) = latest_free_in_both(window, (first, first_gap), (&second, second_gap)) else {
                    prop_assert!(planned.len() as u64 * 2 * (gaps.0 + gaps.1) > 650, "there was room");
                    continue;
                };
                prop_assert!(window.earliest <= at && at <= window.latest);
                for (other, its) in &planned {
                    let apart = other.abs_diff(at.0);
                    let gap = if *its == which { gaps.0 } else { gaps.1 };
                    prop_assert!(apart >= gap);
                }
                planned.push((at.0, which));
                first.hold(at);
                second.hold(at);
            }
        }
    }

    #[test]
    fn who_is_born_apart_gets_the_latest_time() {
        let mut table = Timetable::default();
        for born in [0, 50, 100] {
            let window = Window { earliest: Micros(born + 200), latest: Micros(born + 850) };
            assert_eq!(table.latest_free(window, Micros(50), &Timetable::default()), Some(window.latest));
            table.hold(window.latest);
        }
        table.pass(Micros(901));
        assert_eq!(table.0.len(), 1);
        table.pass(Micros(1_000));
        assert!(table.is_empty());
    }
}
