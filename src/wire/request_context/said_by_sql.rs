//! What a text of SQL says of its session's context: `SET` and `RESET` of it, `RESET ALL` and `DISCARD ALL`;
//! and what a server is told in their place, which is never the context.
//!
//! Pure. Costs a text that begins with another word, and has no other statement behind, its first word.

use super::CONTEXT_VARIABLE;
use crate::wire::sql_tokens::{Token, Tokens, Unread};
use std::borrow::Cow;
use std::ops::Range;

/// What a server is told in place of a context. Its answer is that to what the client has said.
const NOTHING_SET: &str = "SET pgweir.context TO ''";
const NOTHING_RESET: &str = "RESET pgweir.context";

/// What a server is told in place of a value that nobody here can read: that is an error of its grammar.
const UNREADABLE: &str = "SET pgweir.context TO";

/// Tokens of one statement that are looked at: those of the longest that is read, and one more.
const TOKENS_MAX: usize = 9;

/// What a client says of its context by one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetContext {
    /// `SET [SESSION] pgweir.context = '…'`: for the session.
    Session(String),
    /// `SET LOCAL pgweir.context = '…'`: for the transaction.
    Local(String),
    /// `SET pgweir.context TO DEFAULT`: as the login had it.
    Default,
    /// `RESET pgweir.context`, `RESET ALL`, `DISCARD ALL`: the same.
    Reset,
}

impl SetContext {
    /// The tag of its CommandComplete.
    pub fn command(&self) -> &'static str {
        if *self == Self::Reset { "RESET" } else { "SET" }
    }
}

/// One statement that is about the context.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Set(SetContext),
    /// Sets more than the context back, and so is the server's to know.
    ResetAll,
    /// Sets the context to what cannot be read.
    Unreadable,
}

/// What one text says of the context.
#[derive(Debug, PartialEq, Eq)]
pub struct SaidBySql {
    said: Vec<(Range<usize>, Said)>,
    /// Nothing else stands in the text.
    is_alone: bool,
}

impl SaidBySql {
    /// Reads a whole text; `None`: it says nothing of the context.
    pub fn read(sql: &[u8]) -> Option<Self> {
        let mut tokens = Tokens::new(sql);
        let (_, first) = tokens.next().ok()??;
        if !is_verb(first) && !is_joined(sql) {
            return None;
        }
        let mut reader = Reader { tokens: Tokens::new(sql), said: Vec::new(), statements: 0 };
        match reader.statements() {
            Ok(()) => {}
            // PostgreSQL runs nothing of it.
            Err(Unread::Unterminated) => return None,
            Err(Unread::Unsure) => reader.statements += 1,
        }
        let is_alone = reader.statements == 1;
        (!reader.said.is_empty()).then_some(Self { said: reader.said, is_alone })
    }

    /// Whether a text of which only the front is there begins with a `SET` of the context.
    pub fn is_begun_by(front: &[u8]) -> bool {
        let mut tokens = Tokens::new(front);
        let mut read = Vec::new();
        while read.len() < TOKENS_MAX
            && read.first().is_none_or(|first| is_word(*first, b"set"))
            && let Ok(Some((_, token))) = tokens.next()
        {
            read.push(token);
        }
        is_set_of_context(&read)
    }

    /// What is said, where that is all that the text says and no server has to hear it.
    pub fn alone(&self) -> Option<&SetContext> {
        match &*self.said {
            [(_, Said::Set(set))] if self.is_alone => Some(set),
            _ => None,
        }
    }

    /// Whether the text is one statement.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// All that is said, in its order.
    pub fn sets(&self) -> impl Iterator<Item = &SetContext> {
        self.said.iter().filter_map(|(_, said)| match said {
            Said::Set(set) => Some(set),
            Said::ResetAll => Some(&SetContext::Reset),
            Said::Unreadable => None,
        })
    }

    /// The text as a server is told it; `None`: as it is.
    pub fn for_server(&self, sql: &[u8]) -> Option<Vec<u8>> {
        let told = |said: &Said| match said {
            Said::Set(SetContext::Reset) => Some(NOTHING_RESET),
            Said::Set(_) => Some(NOTHING_SET),
            Said::Unreadable => Some(UNREADABLE),
            Said::ResetAll => None,
        };
        if let ([(_, said)], true) = (&*self.said, self.is_alone) {
            return told(said).map(|text| text.as_bytes().to_vec());
        }
        let mut text = Vec::with_capacity(sql.len() + NOTHING_SET.len());
        let mut from = 0;
        for (at, said) in &self.said {
            if let Some(instead) = told(said) {
                text.extend_from_slice(&sql[from..at.start]);
                text.extend_from_slice(instead.as_bytes());
                from = at.end;
            }
        }
        text.extend_from_slice(&sql[from..]);
        (from > 0).then_some(text)
    }
}

/// The statement that a text deallocates which does nothing else, as the protocol names it.
pub fn deallocated(sql: &[u8]) -> Option<Box<[u8]>> {
    let mut tokens = Tokens::new(sql);
    let mut read = Vec::new();
    while let Some((_, token)) = tokens.next().ok()? {
        if (read.is_empty() && !is_word(token, b"deallocate")) || read.len() > 3 {
            return None;
        }
        read.push(token);
    }
    let name = match &read[..] {
        [name @ .., Token::Symbol(b';')] | name => name,
    };
    match name {
        [_, Token::Word(name)] if !name.eq_ignore_ascii_case(b"all") => {
            Some(name.to_ascii_lowercase().into())
        }
        [_, prepare, Token::Word(name)] if is_word(*prepare, b"prepare") => {
            (!name.eq_ignore_ascii_case(b"all")).then(|| name.to_ascii_lowercase().into())
        }
        [_, Token::Name(name)] => Some((*name).into()),
        [_, prepare, Token::Name(name)] if is_word(*prepare, b"prepare") => Some((*name).into()),
        _ => None,
    }
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    said: Vec<(Range<usize>, Said)>,
    statements: usize,
}

impl Reader<'_> {
    fn statements(&mut self) -> Result<(), Unread> {
        loop {
            match self.tokens.next()? {
                None => return Ok(()),
                Some((_, Token::Symbol(b';'))) => {}
                Some((at, first)) => self.statement(at, first)?,
            }
        }
    }

    /// A statement to its semicolon, or to the end of all.
    fn statement(&mut self, mut at: Range<usize>, first: Token<'_>) -> Result<(), Unread> {
        self.statements += 1;
        let mut read = vec![first];
        loop {
            match self.tokens.next() {
                Ok(None | Some((_, Token::Symbol(b';')))) => break,
                Ok(Some((behind, token))) => {
                    at.end = behind.end;
                    if is_verb(first) && read.len() < TOKENS_MAX {
                        read.push(token);
                    }
                }
                Err(Unread::Unsure) if is_set_of_context(&read) => {
                    self.said.push((at.start..self.tokens.text_bytes(), Said::Unreadable));
                    return Err(Unread::Unsure);
                }
                Err(unread) => return Err(unread),
            }
        }
        self.said.extend(said_by(&read).map(|said| (at, said)));
        Ok(())
    }
}

/// Whether a statement that begins so may be about the context.
fn is_verb(first: Token<'_>) -> bool {
    is_word(first, b"set") || is_word(first, b"reset") || is_word(first, b"discard")
}

fn is_word(token: Token<'_>, word: &[u8]) -> bool {
    matches!(token, Token::Word(written) if written.eq_ignore_ascii_case(word))
}

/// Whether anything stands behind a semicolon.
fn is_joined(sql: &[u8]) -> bool {
    let end = sql.iter().position(|byte| *byte == b';');
    end.is_some_and(|end| !sql[end + 1..].trim_ascii_start().is_empty())
}

/// One statement of which these tokens, or more, have been read.
fn said_by(tokens: &[Token<'_>]) -> Option<Said> {
    match tokens {
        [verb, what] if is_word(*what, b"all") => (!is_word(*verb, b"set")).then_some(Said::ResetAll),
        [verb, name @ ..] if is_word(*verb, b"reset") => {
            let (is_it, behind) = variable(name)?;
            (is_it && behind.is_empty()).then_some(Said::Set(SetContext::Reset))
        }
        _ => {
            let (is_local, value) = set_of_context(tokens)?;
            Some(read_value(is_local, value).map_or(Said::Unreadable, Said::Set))
        }
    }
}

fn is_set_of_context(tokens: &[Token<'_>]) -> bool {
    set_of_context(tokens).is_some()
}

/// What stands behind the name in a `SET` of the context, and whether that is a `SET LOCAL`.
fn set_of_context<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(bool, &'t [Token<'a>])> {
    let (verb, rest) = tokens.split_first()?;
    let (scope, behind) = rest.split_first()?;
    let is_local = is_word(*scope, b"local");
    let name = if is_local || is_word(*scope, b"session") { behind } else { rest };
    let (is_it, value) = variable(name)?;
    (is_word(*verb, b"set") && is_it).then_some((is_local, value))
}

/// Whether the name at the front is that of the variable, and what stands behind it.
fn variable<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(bool, &'t [Token<'a>])> {
    let mut name = Vec::new();
    let mut rest = tokens;
    loop {
        let (part, behind) = rest.split_first()?;
        match part {
            Token::Word(part) | Token::Name(part) => name.extend_from_slice(part),
            _ => return None,
        }
        rest = behind;
        let [Token::Symbol(b'.'), behind @ ..] = rest else { break };
        name.push(b'.');
        rest = behind;
    }
    Some((name.eq_ignore_ascii_case(CONTEXT_VARIABLE.as_bytes()), rest))
}

/// `= '…'`, `TO '…'` and the like; `None` where it is none of those that are read.
fn read_value(is_local: bool, tokens: &[Token<'_>]) -> Option<SetContext> {
    let [to, value] = tokens else { return None };
    if *to != Token::Symbol(b'=') && !is_word(*to, b"to") {
        return None;
    }
    let text = match *value {
        Token::Word(word) if word.eq_ignore_ascii_case(b"default") && is_local => String::new(),
        Token::Word(word) if word.eq_ignore_ascii_case(b"default") => return Some(SetContext::Default),
        Token::Word(word) | Token::Number(word) => text(word.to_ascii_lowercase().into())?,
        Token::Name(name) => text(name.into())?.replace("\"\"", "\""),
        Token::Plain(inner) => text(inner.into())?.replace("''", "'"),
        Token::Escaped(inner) => unescaped(&text(inner.into())?)?,
        Token::Dollar(inner) => text(inner.into())?,
        Token::Other | Token::Symbol(_) => return None,
    };
    Some(if is_local { SetContext::Local(text) } else { SetContext::Session(text) })
}

fn text(bytes: Cow<'_, [u8]>) -> Option<String> {
    String::from_utf8(bytes.into_owned()).ok()
}

/// What an `E'…'` stands for, if all that it escapes are quotes and backslashes.
fn unescaped(inner: &str) -> Option<String> {
    let mut value = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => value.push(letters.next().filter(|escaped| matches!(escaped, '\\' | '\''))?),
            '\'' => value.push(letters.next()?),
            letter => value.push(letter),
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests;
