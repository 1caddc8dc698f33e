//! Letters of which a byte may be one of ASCII's: in some encodings of clients a backslash can be.
//!
//! Pure. PostgreSQL reads letters, the pooler bytes: whoever looks for the ends of literals, or for comments,
//! looks at a text in which no byte of a letter is one of ASCII's. Source: PostgreSQL documentation,
//! "Character Set Support" (these are encodings of clients alone for that reason); src/common/wchar.c
//! (pg_sjis_mblen and the like).

use std::borrow::Cow;

/// What stands for a byte of such a letter: none of ASCII's, nor of UTF-8's.
const HIDDEN: u8 = 0xff;

/// How many bytes the letter at the begin of a text has, of which the first is none of ASCII's.
type Length = fn(&[u8]) -> usize;

/// Encodings with such letters, as PostgreSQL reports them.
const SPLIT: [(&str, Length); 7] = [
    ("SJIS", sjis),
    ("SHIFT_JIS_2004", sjis),
    ("BIG5", |_| 2),
    ("GBK", |_| 2),
    ("UHC", |_| 2),
    ("JOHAB", |text| if text[0] == 0x8f { 3 } else { 2 }),
    ("GB18030", |text| if text.get(1).is_some_and(u8::is_ascii_digit) { 4 } else { 2 }),
];

/// Half-width katakana stand alone.
fn sjis(text: &[u8]) -> usize {
    if (0xa1..=0xdf).contains(&text[0]) { 1 } else { 2 }
}

/// A text in this encoding, as PostgreSQL reports it, in which every byte of ASCII is a letter of its own:
/// what belongs to a longer letter is another byte. It is as long as `text`, and owned only where letters may
/// be long.
pub fn masked<'a>(text: &'a [u8], encoding: &str) -> Cow<'a, [u8]> {
    let split = SPLIT.iter().find(|(name, _)| name.eq_ignore_ascii_case(encoding));
    let Some((_, length)) = split.filter(|_| !text.is_ascii()) else { return Cow::Borrowed(text) };
    let (mut masked, mut at) = (text.to_vec(), 0);
    while at < masked.len() {
        let end = if masked[at].is_ascii() { at + 1 } else { at + length(&text[at..]) };
        let end = end.min(masked.len());
        masked[at..end].iter_mut().skip(1).for_each(|byte| *byte = HIDDEN);
        at = end;
    }
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_of_a_letter_is_one_of_asciis() {
        let text = b"'\x95\\', '\xb1\\', '\x81\x30\x81\x35\\'";
        for (encoding, expected) in [
            ("SJIS", &b"'\x95\xff', '\xb1\\', '\x81\xff\x81\xff\\'"[..]),
            ("shift_jis_2004", b"'\x95\xff', '\xb1\\', '\x81\xff\x81\xff\\'"),
            ("BIG5", b"'\x95\xff', '\xb1\xff', '\x81\xff\x81\xff\\'"),
            ("GBK", b"'\x95\xff', '\xb1\xff', '\x81\xff\x81\xff\\'"),
            ("UHC", b"'\x95\xff', '\xb1\xff', '\x81\xff\x81\xff\\'"),
            ("JOHAB", b"'\x95\xff', '\xb1\xff', '\x81\xff\x81\xff\\'"),
            ("GB18030", b"'\x95\xff', '\xb1\xff', '\x81\xff\xff\xff\\'"),
        ] {
            assert_eq!(masked(text, encoding), expected, "{encoding}");
            assert_eq!(masked(b"\x95", encoding), &b"\x95"[..], "half a letter at the end");
        }
        assert_eq!(masked(b"\x8f\\\\\\", "JOHAB"), &b"\x8f\xff\xff\\"[..]);
        for encoding in ["UTF8", "LATIN1", "EUC_JP", "SQL_ASCII", ""] {
            assert!(matches!(masked(text, encoding), Cow::Borrowed(same) if same == text));
        }
        assert!(matches!(masked(b"select E'\\'", "SJIS"), Cow::Borrowed(_)));
    }
}
