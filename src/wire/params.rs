//! Session parameters that the pooler keeps in step between a client and the servers it is lent.
//!
//! The names are fixed for the life of the process ([`TrackedNames`], PgBouncer: `track_extra_parameters` is
//! not reloadable); a [`ParamSet`] is an immutable row of values, shared by all who have the same, so that
//! comparing client and server at link time is mostly a comparison of two pointers.

use std::sync::Arc;

/// The tracked parameter names, in the order in which differences are SET. Matching ignores case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedNames(Arc<[Box<str>]>);

impl TrackedNames {
    /// All that PostgreSQL reports and a client may set, which PgBouncer tracks whatever the configuration
    /// says (doc/config.md, `track_extra_parameters`), then `extra`, repeated names dropped.
    pub fn new<'a>(extra: impl IntoIterator<Item = &'a str>) -> Self {
        let fixed = [
            "DateStyle",
            "client_encoding",
            "TimeZone",
            "standard_conforming_strings",
            "application_name",
            "IntervalStyle",
            "default_transaction_read_only",
            "scram_iterations",
            "search_path",
            "session_authorization",
        ];
        let mut names: Vec<Box<str>> = fixed.iter().map(|name| Box::from(*name)).collect();
        for name in extra {
            if !name.is_empty() && !names.iter().any(|have| have.eq_ignore_ascii_case(name)) {
                names.push(name.into());
            }
        }
        Self(names.into())
    }

    /// The position of `name`, whatever its case.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|have| have.eq_ignore_ascii_case(name))
    }

    /// The names in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// A set with no value at all.
    pub fn empty_set(&self) -> ParamSet {
        ParamSet(vec![None; self.0.len()].into())
    }
}

/// Values of the tracked parameters, by position in [`TrackedNames`]; `None` = not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSet(Arc<[Option<Arc<str>>]>);

impl ParamSet {
    /// The value at `position`.
    pub fn value(&self, position: usize) -> Option<&Arc<str>> {
        self.0.get(position).and_then(Option::as_ref)
    }

    /// The same set with one value changed; shares all others.
    #[must_use]
    pub fn with(&self, position: usize, value: impl Into<Arc<str>>) -> Self {
        let mut values: Vec<_> = self.0.to_vec();
        if let Some(slot) = values.get_mut(position) {
            *slot = Some(value.into());
        }
        Self(values.into())
    }

    /// Whether both are one and the same row in memory: true says equal, false says nothing.
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|value| value.len()).sum()
    }

    /// Values in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&Arc<str>>> {
        self.0.iter().map(Option::as_ref)
    }
}

/// Some of the tracked parameters, by position. Those from the 32nd on, more than PostgreSQL itself reports,
/// share a place: all are meant where one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParamMask(u32);

impl ParamMask {
    const SHARED: usize = 31;

    /// The same and `position`.
    #[must_use]
    pub fn with(self, position: usize) -> Self {
        Self(self.0 | 1 << position.min(Self::SHARED))
    }

    /// The same but for `position`, unless that shares its place.
    #[must_use]
    pub fn without(self, position: usize) -> Self {
        if position < Self::SHARED { Self(self.0 & !(1 << position)) } else { self }
    }

    /// Whether `position` is meant.
    pub fn has(self, position: usize) -> bool {
        self.0 & 1 << position.min(Self::SHARED) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_told_apart_as_far_as_there_is_room() {
        let mask = ParamMask::default().with(0).with(30).with(40);
        let has = [0, 1, 30, 31, 40, 1_000].map(|position| mask.has(position));
        assert_eq!(has, [true, false, true, true, true, true]);
        assert_eq!(mask.without(0).without(30), ParamMask::default().with(31));
        assert_eq!(mask.without(40), mask);
    }
}
