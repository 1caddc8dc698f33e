//! A set of names in one piece of memory, since a file may have a hundred thousand of them: sorted, each with
//! a zero byte behind it, which no name holds.

/// Names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NameSet(Box<[u8]>);

impl NameSet {
    /// The names of `text`, each with a zero byte behind it, in any order.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut names: Vec<&[u8]> = text.split_inclusive(|byte| *byte == 0).collect();
        names.sort_unstable();
        names.dedup();
        Self(names.concat().into())
    }

    /// The names, sorted.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split_inclusive(|byte| *byte == 0).map(|name| &name[..name.len() - 1])
    }

    pub(super) fn has_one(&self) -> bool {
        self.iter().nth(1).is_none()
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        let (mut low, mut high) = (0, self.0.len());
        while low < high {
            let middle = low.midpoint(high);
            let begin =
                self.0[low..middle].iter().rposition(|byte| *byte == 0).map_or(low, |at| low + at + 1);
            let length = self.0[begin..].iter().position(|byte| *byte == 0).unwrap_or_default();
            match self.0[begin..begin + length].cmp(name) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = begin + length + 1,
                std::cmp::Ordering::Greater => high = begin,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_set_of_its_names(
            names in proptest::collection::btree_set("[ab\u{1}é]{0,3}", 0..20),
            others in proptest::collection::vec("[ab\u{1}é]{0,4}", 0..20),
        ) {
            let names: BTreeSet<String> = names;
            let twice = names.iter().rev().chain(&names);
            let text: String = twice.map(|name| format!("{name}\0")).collect();
            let set = NameSet::of(text.as_bytes());
            for name in names.iter().chain(&others) {
                prop_assert_eq!(set.has(name.as_bytes()), names.contains(name), "{:?}", name);
            }
            let sorted: Vec<_> = set.iter().collect();
            prop_assert_eq!(sorted, names.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
    }
}
