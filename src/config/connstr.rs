//! Connection strings, the values of `[databases]`, `[users]` and `[peers]`: `key=value`
//! pairs separated by spaces.
//!
//! Pure. A value is bare, up to the next space, or stands in single quotes with `''` for one; it
//! is never empty. Spaces (0x20 only) may stand around `=`. Source: PgBouncer, doc/config.md
//! ("Section `[databases]`").

/// Why a text is no connection string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnStrError {
    /// Something that is not `key=value`.
    #[error("expected key=value pairs separated by spaces")]
    NoPair,
    /// `''`, or nothing at all after `=`.
    #[error("empty values are not allowed")]
    EmptyValue,
    /// A quote that is not closed.
    #[error("quote is not closed")]
    OpenQuote,
}

/// The pairs of `text` in order; a repeated key comes as often as it stands there. `text` may be empty.
///
/// # Errors
/// `ConnStrError`; nothing of a text that is wrong anywhere is of use.
pub(super) fn pairs(text: &str) -> Result<Vec<(&str, String)>, ConnStrError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(ConnStrError::NoPair)?;
        let key = key.trim_end_matches(' ');
        if key.is_empty() || key.contains(' ') {
            return Err(ConnStrError::NoPair);
        }
        let (value, after) = value(after.trim_start_matches(' '))?;
        if value.is_empty() {
            return Err(ConnStrError::EmptyValue);
        }
        found.push((key, value));
        rest = after.trim_start_matches(' ');
    }
    Ok(found)
}

/// The value at the front of `text`, and what follows it.
fn value(text: &str) -> Result<(String, &str), ConnStrError> {
    let Some(mut rest) = text.strip_prefix('\'') else {
        let (value, after) = text.split_at(text.find(' ').unwrap_or(text.len()));
        return Ok((value.to_owned(), after));
    };
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('\'').ok_or(ConnStrError::OpenQuote)?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None if after.is_empty() || after.starts_with(' ') => return Ok((value, after)),
            None => return Err(ConnStrError::NoPair),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(&str, String)> {
        pairs(text).unwrap()
    }

    #[test]
    fn pairs_are_read_bare_and_quoted() {
        assert_eq!(read(""), []);
        assert_eq!(read("   "), []);
        assert_eq!(
            read(" host=::1  port = 6000 connect_query='select ''x'' ; -- a=b' "),
            [
                ("host", "::1".into()),
                ("port", "6000".into()),
                ("connect_query", "select 'x' ; -- a=b".into())
            ]
        );
        assert_eq!(read("password=a=b'c"), [("password", "a=b'c".into())]);
        assert_eq!(read("k=''''"), [("k", "'".into())]);
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        for (text, why) in [
            ("host", ConnStrError::NoPair),
            ("=x", ConnStrError::NoPair),
            ("a b=c", ConnStrError::NoPair),
            ("a='b'c=d", ConnStrError::NoPair),
            ("host=", ConnStrError::EmptyValue),
            ("host=''", ConnStrError::EmptyValue),
            ("host= ", ConnStrError::EmptyValue),
            ("host='a", ConnStrError::OpenQuote),
            ("host='a''", ConnStrError::OpenQuote),
        ] {
            assert_eq!(pairs(text), Err(why), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn quoting_round_trips(wanted in prop::collection::vec(("[a-z_.*]{1,12}", "\\PC{1,20}"), 0..6)) {
            let quoted = |value: &str| format!("'{}'", value.replace('\'', "''"));
            let pair = |(key, value): &(String, String)| format!("{key} = {}", quoted(value));
            let text: Vec<_> = wanted.iter().map(pair).collect();
            let text = text.join("  ");
            let found: Vec<_> = read(&text).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn bare_values_round_trip(
            wanted in prop::collection::vec(("[a-z_]{1,8}", "[^' \0][^ \0]{0,9}"), 0..6),
        ) {
            let text: Vec<_> = wanted.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let text = text.join(" ");
            let found: Vec<_> = read(&text).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn nothing_panics(text in "[a=' \\PC]{0,40}") {
            let _ = pairs(&text);
        }
    }
}
