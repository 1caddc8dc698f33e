//! Where a byte of ASCII may be half of a letter: in some encodings of clients a backslash can be.
//!
//! Pure. Whoever looks for the ends of literals in a text that was written in one of them must stop there:
//! PostgreSQL reads letters, the pooler bytes. Source: PostgreSQL documentation, "Character Set Support"
//! (these are encodings of clients alone for that reason).

/// Encodings with such letters, as PostgreSQL reports them.
const SPLIT: [&str; 7] = ["BIG5", "GB18030", "GBK", "JOHAB", "SHIFT_JIS_2004", "SJIS", "UHC"];

/// How much of a text in this encoding, as PostgreSQL reports it, can be read byte by byte: all of it, or
/// what stands before the first letter that may end with a backslash.
pub fn readable<'a>(text: &'a [u8], encoding: &str) -> &'a [u8] {
    if !SPLIT.iter().any(|split| split.eq_ignore_ascii_case(encoding)) {
        return text;
    }
    let end = text.windows(2).position(|pair| !pair[0].is_ascii() && pair[1] == b'\\');
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_before_a_letter_that_may_have_a_backslash_in_it() {
        let text = b"select E'\x95\\', 'x\\y'";
        for encoding in SPLIT {
            assert_eq!(readable(text, encoding), b"select E'");
            assert_eq!(readable(b"select E'\\x' \x95", encoding), b"select E'\\x' \x95");
        }
        for encoding in ["UTF8", "LATIN1", "EUC_JP", "SQL_ASCII", ""] {
            assert_eq!(readable(text, encoding), text);
        }
    }
}
