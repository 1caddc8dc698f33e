//! Sums of structs field by field, in which no field can be forgotten.

/// Adds `$theirs`, a `&Self`, to `$mine`: fields under `add` as numbers, of those under `greatest` the
/// greater one, those under `merge` by their own `merge`. Every field must be named, or it does not compile.
macro_rules! merge_fields {
    (
        $mine:ident, $theirs:ident;
        add: $($sum:ident),*;
        greatest: $($greatest:ident),*;
        merge: $($part:ident),*
    ) => {
        let Self { $($sum,)* $($greatest,)* $($part,)* } = $theirs;
        $($mine.$sum += $sum;)*
        $($mine.$greatest = $mine.$greatest.max(*$greatest);)*
        $($mine.$part.merge($part);)*
    };
}

pub(super) use merge_fields;
