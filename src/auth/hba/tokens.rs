//! The words of one line of an hba or ident file, or of a map of claims.
//!
//! Blanks and commas divide, `#` begins a comment, `"…"` is one word whatever is in it (`""` is a quote), and
//! quoting takes a keyword's meaning. A quote begins a word of its own. Source: PgBouncer, src/hba.c
//! (next_token()).

use super::error::Wrong;

/// One word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A bare word: a keyword, or a name.
    Word(String),
    /// A quoted word: a name.
    Quoted(String),
    Comma,
    /// The end of the line, again and again.
    End,
}

impl Token {
    /// A bare word or a quoted one.
    pub(crate) fn into_name(self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Comma | Self::End => None,
        }
    }

    /// As an error shows it.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Quoted(text) => text,
            Self::Comma => ",",
            Self::End => "",
        }
    }
}

/// A line, word by word.
pub(crate) struct Tokens<'a> {
    rest: &'a [u8],
    current: Token,
}

impl<'a> Tokens<'a> {
    /// The words of `line`, which has no newline.
    pub(crate) fn of(line: &'a [u8]) -> Result<Self, Wrong> {
        let (current, rest) = token(line)?;
        Ok(Self { rest, current })
    }

    /// The word that comes next.
    pub(crate) fn current(&self) -> &Token {
        &self.current
    }

    /// What follows that, as it is written.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the word that comes next.
    pub(crate) fn take(&mut self) -> Result<Token, Wrong> {
        let (next, rest) = token(self.rest)?;
        self.rest = rest;
        Ok(std::mem::replace(&mut self.current, next))
    }

    /// Takes the next word if it is `token`.
    pub(crate) fn take_if(&mut self, token: &Token) -> Result<bool, Wrong> {
        let is_next = self.current == *token;
        if is_next {
            self.take()?;
        }
        Ok(is_next)
    }

    /// Whether nothing follows.
    pub(crate) fn is_at_end(&self) -> bool {
        self.current == Token::End
    }

    /// The one word that is left; `None`: there are more, or none.
    pub(crate) fn only_name(mut self) -> Result<Option<String>, Wrong> {
        let name = self.take()?.into_name();
        Ok(name.filter(|_| self.is_at_end()))
    }
}

/// As C's isspace().
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r')
}

fn text(bytes: Vec<u8>) -> Result<String, Wrong> {
    if bytes.contains(&0) {
        return Err(Wrong::ZeroByte);
    }
    String::from_utf8(bytes).map_err(|_| Wrong::NotUtf8)
}

/// The word at the front of `input`, and what follows it.
fn token(input: &[u8]) -> Result<(Token, &[u8]), Wrong> {
    let blanks = input.iter().take_while(|byte| is_blank(**byte)).count();
    let input = &input[blanks..];
    match input.first() {
        None | Some(b'#') => Ok((Token::End, &[])),
        Some(b',') => Ok((Token::Comma, &input[1..])),
        Some(b'"') => quoted(&input[1..]),
        Some(_) => {
            let ends = |byte: &u8| matches!(byte, b',' | b'#' | b'"') || is_blank(*byte);
            let end = input.iter().position(ends).unwrap_or(input.len());
            Ok((Token::Word(text(input[..end].to_vec())?), &input[end..]))
        }
    }
}

/// The word in front of the quote that closes it, and what follows that.
fn quoted(mut rest: &[u8]) -> Result<(Token, &[u8]), Wrong> {
    let mut word = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'"').ok_or(Wrong::QuoteNotClosed)?;
        word.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(b"\"") {
            Some(behind) => {
                word.push(b'"');
                rest = behind;
            }
            None => return Ok((Token::Quoted(text(word)?), rest)),
        }
    }
}
