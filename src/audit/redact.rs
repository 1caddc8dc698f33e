//! A statement without its literals, and its fingerprint. Pure.
//!
//! Reads SQL as PostgreSQL's scanner does, as far as that tells literals from all else; never judges whether
//! it is valid. Where one cannot be sure where a literal ends, nothing behind its begin is shown. Source:
//! PostgreSQL documentation, "Lexical Structure".

use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write as _;

/// What stands for a literal.
const HIDDEN: char = '?';

/// `sql` with `?` for each literal and each list of them, without comments, blanks as one.
pub(super) fn redact(sql: &str) -> String {
    let mut scanner = Scanner { rest: sql, out: String::with_capacity(sql.len()), is_blank: false };
    while scanner.step() {}
    scanner.out
}

/// The first 16 hexadecimal digits of SHA-256 over the redacted text, lower-cased outside of quoted names.
/// What ends it, `;` and blanks, does not count: drivers and what adds comments to statements differ in that.
pub(super) fn fingerprint(redacted: &str) -> String {
    let redacted = redacted.trim_end_matches([' ', ';']);
    let mut folded = String::with_capacity(redacted.len());
    let mut is_quoted = false;
    for letter in redacted.chars() {
        is_quoted ^= letter == '"';
        folded.push(if is_quoted { letter } else { letter.to_ascii_lowercase() });
    }
    let hash = digest(&SHA256, folded.as_bytes());
    hash.as_ref().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes all
        text
    })
}

/// What stands beside secrets, in small letters.
const SECRET_WORDS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "credential",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "pgp_",
    "crypt",
    "hmac",
    "identified",
];

/// Whether literals of a statement may be secrets: they are hidden whatever the setting says.
pub(crate) fn may_hold_secrets(sql: &str) -> bool {
    let folded = sql.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| folded.contains(word))
}

struct Scanner<'a> {
    rest: &'a str,
    out: String,
    /// A blank is due before what comes next.
    is_blank: bool,
}

impl Scanner<'_> {
    /// Whether there is more.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        match first {
            letter if letter.is_ascii_whitespace() => self.blank(letter.len_utf8()),
            '-' if self.rest.starts_with("--") => {
                self.blank(self.rest.find(['\n', '\r']).unwrap_or(self.rest.len()));
            }
            '/' if self.rest.starts_with("/*") => self.blank(comment_bytes(self.rest)),
            '\'' => self.literal(plain_bytes(self.rest)),
            '"' => self.copy(quoted_name_bytes(self.rest)),
            '$' => self.dollar(),
            ';' => {
                self.is_blank = false; // what stood before it may have been a comment
                self.copy(1);
            }
            digit if digit.is_ascii_digit() => self.literal(Some(number_bytes(self.rest))),
            '.' if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                self.literal(Some(number_bytes(self.rest)));
            }
            letter if is_word(letter) => self.word(),
            other => self.copy(other.len_utf8()),
        }
        true
    }

    fn blank(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
        self.is_blank = !self.out.is_empty();
    }

    fn copy(&mut self, bytes: usize) {
        let (text, rest) = self.rest.split_at(bytes);
        if std::mem::take(&mut self.is_blank) {
            self.out.push(' ');
        }
        self.out.push_str(text);
        self.rest = rest;
    }

    /// A literal of so many bytes; `None`: up to the end of all.
    fn literal(&mut self, bytes: Option<usize>) {
        self.rest = &self.rest[bytes.unwrap_or(self.rest.len())..];
        let before = self.out.trim_end_matches([' ', '-', '+']);
        if before.ends_with(&[HIDDEN, ','][..]) && before.trim_end_matches([',', ' ']).ends_with(HIDDEN) {
            let kept = before.trim_end_matches([',', ' ']).len();
            self.out.truncate(kept); // `?, ?` is a list, however long
        } else {
            if std::mem::take(&mut self.is_blank) {
                self.out.push(' ');
            }
            self.out.push(HIDDEN);
        }
        self.is_blank = false;
    }

    /// A name or key word, or the letters before a literal: `E'…'`, `U&'…'`, `B'…'`, `X'…'`, `N'…'`.
    fn word(&mut self) {
        let is_part = |letter| is_word_part(letter) || letter == '$';
        let bytes = self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len());
        let (word, behind) = self.rest.split_at(bytes);
        if behind.starts_with('\'') && word.len() == 1 {
            let inner =
                if word.eq_ignore_ascii_case("e") { escaped_bytes(behind) } else { plain_bytes(behind) };
            return self.literal(inner.map(|inner| bytes + inner));
        }
        if word.eq_ignore_ascii_case("u") && behind.starts_with("&'") {
            return self.literal(plain_bytes(&behind[1..]).map(|inner| bytes + 1 + inner));
        }
        self.copy(bytes);
    }

    /// `$1`, or `$tag$…$tag$`.
    fn dollar(&mut self) {
        let inner = &self.rest[1..];
        let tag_bytes = inner.find(|letter| !is_word_part(letter)).unwrap_or(inner.len());
        let is_tag =
            !inner.starts_with(|letter: char| letter.is_ascii_digit()) && !inner[..tag_bytes].contains('$');
        let Some(tag) = inner.find('$').filter(|_| is_tag).map(|end| &self.rest[..end + 2]) else {
            return self.copy(1 + inner.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(inner.len()));
        };
        if tag[1..tag.len() - 1].contains(|letter| !is_word_part(letter)) {
            return self.copy(1);
        }
        let end = self.rest[tag.len()..].find(tag).map(|end| end + 2 * tag.len());
        self.literal(end);
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_' || !letter.is_ascii()
}

fn is_word_part(letter: char) -> bool {
    is_word(letter) || letter.is_ascii_digit()
}

/// Bytes of a comment, others within it included.
fn comment_bytes(text: &str) -> usize {
    let (bytes, mut at, mut depth) = (text.as_bytes(), 0, 0_usize);
    while at < bytes.len() {
        match bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

/// Bytes of `'…'`. With a backslash in it, whether it ends there hangs on `standard_conforming_strings`,
/// which nobody here knows: `None`.
fn plain_bytes(text: &str) -> Option<usize> {
    let end = end_of_quoted(text, '\'')?;
    (!text[..end].contains('\\')).then_some(end)
}

fn quoted_name_bytes(text: &str) -> usize {
    end_of_quoted(text, '"').unwrap_or(text.len())
}

/// The end of what begins with `quote`, in which two of them stand for one.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// Bytes of `'…'` behind an `E`, in which a backslash escapes.
fn escaped_bytes(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at..] {
            [b'\\', _, ..] | [b'\'', b'\'', ..] => at += 2,
            [b'\'', ..] => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Bytes of a number: `1`, `1.5e-3`, `0x1F`, `1_000`.
fn number_bytes(text: &str) -> usize {
    let mut before = ' ';
    let is_part = |letter: char| {
        let is_sign = matches!(letter, '+' | '-') && matches!(before, 'e' | 'E');
        before = letter;
        letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_') || is_sign
    };
    let mut is_part = is_part;
    text.find(|letter| !is_part(letter)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_of_every_form_are_hidden() {
        for (sql, shown) in [
            ("select * from t where a = 'x''y' and b=12.5e-3", "select * from t where a = ? and b=?"),
            ("select  1 , 'a',\n  -2 -- end 'x\n from t", "select ? from t"),
            ("/* x /* y */ 'z' */ SELECT $1, $2", "SELECT $1, $2"),
            ("select $$it's$$ || $f$ $$ $f$ as \"it's 5\"", "select ? || ? as \"it's 5\""),
            ("select E'a\\'b' || u&'\\0061' || x'1F' as c2", "select ? || ?"),
            ("insert into t1 values (1,2,3),(4,5,6)", "insert into t1 values (?),(?)"),
            ("alter role ada password 'sesame'", "alter role ada password ?"),
            ("select 'unfinished from t", "select ?"),
            ("select 'a\\' from secrets", "select ?"),
            ("select a$b$, $b$ secret $b$, é$, $x$'$x$", "select a$b$, ?, é$, ?"),
            ("select 1 -- x\r, 'a' from t", "select ? from t"),
            ("select a$1 from t where x in ('p', 'q')", "select a$1 from t where x in (?)"),
        ] {
            assert_eq!(redact(sql), shown, "{sql}");
        }
    }

    #[test]
    fn a_fingerprint_is_the_same_for_other_literals_case_and_blanks() {
        let print = |sql: &str| fingerprint(&redact(sql));
        assert_eq!(print("SELECT a FROM t WHERE b = 1"), print("select a  from t where b = 'x' -- c"));
        assert_ne!(print("select a from t"), print("select \"A\" from t"));
        assert_eq!(print("select 1").len(), 16);
    }

    #[test]
    fn what_ends_a_statement_is_no_part_of_its_fingerprint() {
        let print = |sql: &str| fingerprint(&redact(sql));
        for end in
            [";", " ;", ";;", " ; ; ", "\n", " /*traceparent='00-ab-cd-01'*/;", "; /* x */", "/*x*/", ";--"]
        {
            assert_eq!(print(&format!("select 5{end}")), print("select 5"), "{end}");
            assert_eq!(print(&format!("/* x */ select a from t{end}")), print("select a from t"), "{end}");
        }
        assert_ne!(print("select 5; select 5"), print("select 5"));
        assert_ne!(print("select 5 as \"a;\""), print("select 5 as \"a\""));
        assert_eq!(print("select 5; -- x\nselect 5 ;"), print("select 5; select 5"));
        assert_eq!(print("select 5 ; select 5"), print("select 5; select 5"));
    }

    #[test]
    fn a_fingerprint_stays_the_same_over_versions() {
        // Dashboards and alarms hold such digits: another scanner has to come to the same.
        for (sql, digits) in [
            ("SELECT a FROM t WHERE b = 1 -- first", "4b124bda1d9aec6c"),
            ("insert into \"T\" values (1, 'x', $$y$$)", "4d0c197a37bd918a"),
        ] {
            assert_eq!(fingerprint(&redact(sql)), digits, "{sql}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_known_by_the_words_around_it() {
        for sql in [
            "ALTER ROLE x PASSWORD 'y'",
            "select crypt ('y', gen_salt('bf'))",
            "select hmac  ('y', 'z', 'sha256')",
            "create user mapping for x server y options (passwd 'z')",
            "alter system set ssl_passphrase_command = 'echo y'",
            "insert into keys (api_key) values ('y')",
        ] {
            assert!(may_hold_secrets(sql), "{sql}");
        }
        assert!(!may_hold_secrets("select 1"));
    }

    proptest! {
        /// Whatever the text: it ends, and a literal that stands alone is never shown, whatever follows it.
        #[test]
        fn a_literal_is_never_shown(
            before in "[ -~\\n]{0,40}", inside in "zq[a-z' 0-9]{0,12}", behind in "\\PC{0,40}"
        ) {
            redact(&format!("{before}{behind}"));
            prop_assume!(!behind.contains("zq"));
            let quoted = inside.replace('\'', "''");
            for literal in [format!("'{quoted}'"), format!("E'{quoted}'"), format!("$x${inside}$x$")] {
                let shown = redact(&format!("select a, {literal} from t where {behind}"));
                prop_assert!(shown.starts_with("select a, ? from t where"), "{}", shown);
                prop_assert!(!shown.contains("zq"), "{}", shown);
            }
        }
    }
}
