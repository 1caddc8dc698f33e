//! SQL as PostgreSQL's scanner reads it, as far as that tells words, names, literals and the ends of
//! statements from each other.
//!
//! Pure. Borrows from the text, copies nothing, and never judges whether it is valid. Where it depends on a
//! setting of the session how far a literal goes it says so, and reads no further. Source: PostgreSQL
//! documentation, "Lexical Structure".

use std::ops::Range;

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A key word, or a name without quotes, as it is written.
    Word(&'a [u8]),
    /// What stands between the quotes of a name; quotes in it are still doubled.
    Name(&'a [u8]),
    /// What stands in `'…'`; quotes in it are still doubled.
    Plain(&'a [u8]),
    /// What stands in `E'…'`, with its escapes.
    Escaped(&'a [u8]),
    /// What stands in `$$…$$` or `$tag$…$tag$`.
    Dollar(&'a [u8]),
    /// A literal or name of another kind: `U&'…'`, `B'…'`, `X'…'`, `N'…'`, `U&"…"`.
    Other,
    /// A number, or something that begins with a digit.
    Number(&'a [u8]),
    /// Any other byte.
    Symbol(u8),
}

/// Why there is no next token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The text ends amid one.
    Unterminated,
    /// With `standard_conforming_strings = off` the literal goes on where it otherwise ends.
    Unsure,
}

/// Tokens of a text, one after the other.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    /// From the begin of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The next one and where it stands; blanks and comments are passed over. `None`: the text is over.
    ///
    /// # Errors
    /// See [`Unread`]; nothing more is to be read then.
    #[expect(clippy::should_implement_trait, reason = "it may fail, and not go on then")]
    pub fn next(&mut self) -> Result<Option<(Range<usize>, Token<'a>)>, Unread> {
        self.skip_blanks()?;
        let from = self.at;
        let Some(&first) = self.text.get(from) else { return Ok(None) };
        let token = match first {
            b'\'' => Token::Plain(self.plain()?),
            b'"' => Token::Name(self.until_quote(b'"')?),
            b'$' => self.dollar()?,
            b'0'..=b'9' => Token::Number(self.take_while(|byte| is_word_part(byte) || byte == b'.')),
            byte if is_word(byte) => self.word()?,
            byte => {
                self.at += 1;
                Token::Symbol(byte)
            }
        };
        Ok(Some((from..self.at, token)))
    }

    /// Bytes of the whole text.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn skip_blanks(&mut self) -> Result<(), Unread> {
        loop {
            self.take_while(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
            if self.rest().starts_with(b"--") {
                self.take_while(|byte| byte != b'\n' && byte != b'\r');
            } else if self.rest().starts_with(b"/*") {
                self.comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// A comment, in which others may stand.
    fn comment(&mut self) -> Result<(), Unread> {
        let mut depth = 0;
        loop {
            let rest = self.rest();
            let Some(pair) = rest.get(..2) else { return Err(Unread::Unterminated) };
            let step = match pair {
                b"/*" => {
                    depth += 1;
                    2
                }
                b"*/" => {
                    depth -= 1;
                    2
                }
                _ => 1,
            };
            self.at += step;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Up to the quote that ends what begins with one here; a doubled one does not.
    fn until_quote(&mut self, quote: u8) -> Result<&'a [u8], Unread> {
        let from = self.at + 1;
        let mut at = from;
        loop {
            let ahead = self.text[at..].iter().position(|byte| *byte == quote).ok_or(Unread::Unterminated)?;
            at += ahead + 1;
            if self.text.get(at) != Some(&quote) {
                self.at = at;
                return Ok(&self.text[from..at - 1]);
            }
            at += 1;
        }
    }

    /// `'…'`, where a backslash before a quote leaves open which of the two counts.
    fn plain(&mut self) -> Result<&'a [u8], Unread> {
        let rest = self.rest();
        let inner = match self.until_quote(b'\'') {
            Ok(inner) => inner,
            Err(_) if rest.windows(2).any(|pair| pair == b"\\'") => return Err(Unread::Unsure),
            Err(unread) => return Err(unread),
        };
        let mut backslashes = 0;
        for &byte in inner {
            match byte {
                b'\\' => backslashes += 1,
                b'\'' if backslashes % 2 == 1 => return Err(Unread::Unsure),
                _ => backslashes = 0,
            }
        }
        if backslashes % 2 == 1 { Err(Unread::Unsure) } else { Ok(inner) }
    }

    /// `'…'` in which a backslash takes its meaning from what follows.
    fn escaped(&mut self) -> Result<&'a [u8], Unread> {
        let from = self.at + 1;
        let mut at = from;
        loop {
            match self.text.get(at).ok_or(Unread::Unterminated)? {
                b'\\' => at += 2,
                b'\'' if self.text.get(at + 1) == Some(&b'\'') => at += 2,
                b'\'' => {
                    self.at = at + 1;
                    return Ok(&self.text[from..at]);
                }
                _ => at += 1,
            }
        }
    }

    /// A word, or the letters in front of a literal.
    fn word(&mut self) -> Result<Token<'a>, Unread> {
        let word = self.take_while(is_word_part);
        match (word, self.rest()) {
            (b"e" | b"E", [b'\'', ..]) => Ok(Token::Escaped(self.escaped()?)),
            (b"b" | b"B" | b"x" | b"X" | b"n" | b"N", [b'\'', ..]) => self.plain().map(|_| Token::Other),
            (b"u" | b"U", [b'&', quote @ (b'\'' | b'"'), ..]) => {
                self.at += 1;
                self.until_quote(*quote).map(|_| Token::Other)
            }
            _ => Ok(Token::Word(word)),
        }
    }

    /// `$1`, or `$tag$…$tag$`.
    fn dollar(&mut self) -> Result<Token<'a>, Unread> {
        let rest = self.rest();
        let tag_bytes = rest[1..].iter().position(|byte| !is_tag_part(*byte)).unwrap_or(rest.len() - 1);
        let tag = match rest.get(..tag_bytes + 2) {
            Some(tag) if tag.ends_with(b"$") && !tag[1].is_ascii_digit() => tag,
            _ => {
                self.at += 1;
                return Ok(Token::Symbol(b'$'));
            }
        };
        let inner = &rest[tag.len()..];
        let end = inner.windows(tag.len()).position(|here| here == tag).ok_or(Unread::Unterminated)?;
        self.at += 2 * tag.len() + end;
        Ok(Token::Dollar(&inner[..end]))
    }
}

/// Whether a word may begin so.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn is_tag_part(byte: u8) -> bool {
    is_word(byte) || byte.is_ascii_digit()
}

fn is_word_part(byte: u8) -> bool {
    is_tag_part(byte) || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> (Vec<Token<'_>>, Option<Unread>) {
        let mut tokens = Tokens::new(text.as_bytes());
        let mut read = Vec::new();
        loop {
            match tokens.next() {
                Ok(Some((_, token))) => read.push(token),
                Ok(None) => return (read, None),
                Err(unread) => return (read, Some(unread)),
            }
        }
    }

    #[test]
    fn blanks_and_comments_are_passed_over() {
        let (read, unread) = all(" /* a /* b */ ; */ set -- ; x\n\u{b}a.b;/**/");
        let expected =
            [Token::Word(b"set"), Token::Word(b"a"), Token::Symbol(b'.'), Token::Word(b"b")].into_iter();
        assert_eq!((read, unread), (expected.chain([Token::Symbol(b';')]).collect(), None));
    }

    #[test]
    fn literals_end_where_postgresql_ends_them() {
        for (text, token) in [
            ("'it''s; x'", Token::Plain(b"it''s; x")),
            (r"'a\\'", Token::Plain(br"a\\")),
            (r"E'a\'; b'", Token::Escaped(br"a\'; b")),
            ("e'a''b'", Token::Escaped(b"a''b")),
            ("$$a'b$$", Token::Dollar(b"a'b")),
            ("$tag$a$$b$tag$", Token::Dollar(b"a$$b")),
            ("\"a\"\"b\"", Token::Name(b"a\"\"b")),
            ("U&'a'", Token::Other),
            ("u&\"a\"", Token::Other),
            ("X'ff'", Token::Other),
            ("a$b$", Token::Word(b"a$b$")),
            ("12e3", Token::Number(b"12e3")),
        ] {
            assert_eq!(all(text), (vec![token], None), "{text}");
        }
        assert_eq!(all("$1").0, [Token::Symbol(b'$'), Token::Number(b"1")]);
    }

    #[test]
    fn what_has_no_end_or_no_certain_one_is_told() {
        for text in ["'a", "\"a", "/* a", "/* /* */", "$$a", "$t$a$$", r"E'a\'", r"E'a\", "/*"] {
            assert_eq!(all(text), (vec![], Some(Unread::Unterminated)), "{text}");
        }
        for text in [r"'a\'", r"'a\''b'", r"'\'';'", r"'\''; x"] {
            assert_eq!(all(text), (vec![], Some(Unread::Unsure)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in r#"[ /*'"$\\;a-eE&U0-9.=\-\n\PC]{0,60}"#) {
            let mut tokens = Tokens::new(text.as_bytes());
            let mut end = 0;
            while let Ok(Some((at, _))) = tokens.next() {
                prop_assert!(at.start >= end && at.end > at.start && at.end <= text.len());
                end = at.end;
            }
        }
    }
}
