//! Regular expressions of files about identities: with ASCII's classes, for the whole of a text, in bounded
//! memory.
//!
//! The flag `u` is refused: with it `\w` is of every script again, so that letters of others pass for those
//! of a name, and its tables take most of the memory that an expression has.

use super::text::shown;
use crate::base::limits;
use regex::bytes::{Regex, RegexBuilder};

/// What is wrong with an expression, on one line.
const NO_UNICODE: &str = "the flag u (Unicode) is not taken";

/// The expression that fits where `pattern` fits the whole of a text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn whole(pattern: &str) -> Result<(Regex, String), String> {
    if turns_unicode_on(pattern) {
        return Err(NO_UNICODE.to_owned());
    }
    // By itself first: one like `a)|(b` would leave the group that the whole is anchored by.
    regex(pattern)?;
    let whole = format!(r"\A(?:{pattern})\z");
    Ok((regex(&whole)?, whole))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder.unicode(false).size_limit(limits::CLAIMS_PATTERN_BYTES_MAX);
    builder.dfa_size_limit(limits::CLAIMS_PATTERN_BYTES_MAX);
    builder.build().map_err(|error| {
        // Its first lines draw the pattern and an arrow; the last one says what is wrong.
        let text = error.to_string();
        let last = text.lines().next_back().unwrap_or_default();
        shown(last.trim_start_matches("error: "))
    })
}

/// Whether flags such as `(?u)` or `(?i-xu:` name `u`, on or off; also where they stand in brackets, and mean
/// nothing: nobody has to tell these apart.
fn turns_unicode_on(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '(']) {
        let (found, behind) = rest[at..].split_at(1);
        rest = behind;
        if found == "\\" {
            let mut escaped = rest.chars();
            escaped.next();
            rest = escaped.as_str();
        } else if let Some(flags) = rest.strip_prefix('?') {
            let end = flags.find(|letter: char| !letter.is_ascii_alphabetic() && letter != '-');
            let (flags, behind) = flags.split_at(end.unwrap_or(flags.len()));
            if behind.starts_with([':', ')']) && flags.contains('u') {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_of_unicode_is_refused_wherever_it_stands() {
        for pattern in [
            "(?u)a",
            r"(?u)\w+",
            r"a(?u:\w)",
            "(?iu)a",
            "(?-u)a",
            "(?i-u:a)",
            r"\\(?u)a",
            "((?u)a)",
            "[(?u)]",
            r"\((?u)",
            "(?i)(?u)a",
        ] {
            assert_eq!(whole(pattern).map(drop), Err(NO_UNICODE.to_owned()), "{pattern}");
        }
        for pattern in [
            "(?i)a", "(?i:u)", r"\(?u", r"\(\?u\)", "(?P<u>a)", "(?<u>a)", "(u)", "u?u", "(?s-i:u)",
            r"\w\d\s",
        ] {
            assert!(whole(pattern).is_ok(), "{pattern}: {:?}", whole(pattern).map(drop));
        }
    }

    #[test]
    fn classes_are_of_ascii_and_fit_the_whole() {
        let (word, _) = whole(r"(?i)[\w-]+").unwrap();
        assert!(word.is_match(b"Ab-1") && !word.is_match("ä".as_bytes()) && !word.is_match(b"a b"));
        assert!(whole("a)|(b").is_err() && whole(r"\p{L}").is_err());
        assert!(whole(&r"\w{1000}".repeat(100)).unwrap_err().contains("size limit"), "it is bounded");
    }
}
