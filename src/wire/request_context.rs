//! The context of the request for which a client works: where it stands in what clients say, and what of it
//! is kept.
//!
//! Pure. Only keys that a setting lists are taken, `limits::CONTEXT_KEYS_MAX` of them, each with a printable
//! value of `limits::CONTEXT_VALUE_BYTES_MAX`; what does not fit is left out whole, since half of a trace's
//! id names nothing. Source: the specification of SQLCommenter ("Exclusions", "Key Value format"); W3C Trace
//! Context.

mod said_by_sql;

use crate::base::limits;
pub use said_by_sql::{SaidBySql, SetContext, deallocated};
use std::borrow::Cow;
use std::sync::Arc;

/// The session variable that carries a context: `SET pgweir.context = 'key=value,…'`.
pub const CONTEXT_VARIABLE: &str = "pgweir.context";

/// What stands in front of a key where it is a startup parameter of its own: `pgweir.traceparent`.
const PREFIX: &str = "pgweir.";

/// The keys that are taken (`request_context_keys`); never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextKeys(Arc<[Arc<str>]>);

impl ContextKeys {
    /// Reads names separated by commas; `None`: there is none.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(text: &str) -> Result<Option<Self>, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let keys: Vec<Arc<str>> = names.map(Arc::from).collect();
        let most = limits::CONTEXT_KEYS_MAX;
        if keys.len() > most {
            return Err(format!("at most {most} keys"));
        }
        let is_word = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
        match keys.iter().find(|key| key.len() > limits::CONTEXT_KEY_BYTES_MAX || !key.bytes().all(is_word)) {
            Some(key) => Err(format!("\"{key}\" is no name of letters, digits, '-', '_' and '.'")),
            None => Ok((!keys.is_empty()).then(|| Self(keys.into()))),
        }
    }

    /// The names, with commas between them.
    pub fn text(&self) -> String {
        self.0.join(", ")
    }

    fn find(&self, key: &str) -> Option<&Arc<str>> {
        self.0.iter().find(|listed| listed.eq_ignore_ascii_case(key))
    }

    /// The key of a startup parameter, whose `-` may have become `_` in `options`.
    fn of_parameter(&self, name: &str) -> Option<&Arc<str>> {
        let key = name.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX))?;
        let key = &name[key.len()..];
        let is_that = |listed: &&Arc<str>| listed.replace('-', "_").eq_ignore_ascii_case(key);
        self.find(key).or_else(|| self.0.iter().find(is_that))
    }
}

/// A context: some of the keys, with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext(Vec<(Arc<str>, Box<str>)>);

impl RequestContext {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The value of a key as the setting spells it.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| **have == *key).map(|(_, value)| &**value)
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Takes a value as it is, if it is one; the last one of a key counts.
    fn put(&mut self, key: &Arc<str>, value: &str) {
        let is_printable = !value.is_empty() && !value.chars().any(char::is_control);
        if value.len() > limits::CONTEXT_VALUE_BYTES_MAX || !is_printable {
            return;
        }
        match self.0.iter_mut().find(|(have, _)| have == key) {
            Some((_, slot)) => *slot = value.into(),
            None => self.0.push((Arc::clone(key), value.into())),
        }
    }

    /// Takes an encoded pair.
    fn put_encoded(&mut self, keys: &ContextKeys, key: &str, value: &str) {
        let Some(key) = decoded(key.trim()).and_then(|key| keys.find(&key).cloned()) else { return };
        if let Some(value) = decoded(value) {
            self.put(&key, &value);
        }
    }

    /// Takes all that another one has, which counts before its own.
    pub fn take_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(key, value)| self.put(key, value));
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(_, value)| size_of::<(Arc<str>, Box<str>)>() + value.len()).sum()
    }

    /// Takes a startup parameter, or one of its `options`; whether it is one that carries a context.
    pub fn take_parameter(&mut self, keys: &ContextKeys, name: &str, value: &str) -> bool {
        if name.eq_ignore_ascii_case(CONTEXT_VARIABLE) {
            self.take_pairs(keys, value);
            return true;
        }
        let Some(key) = keys.of_parameter(name) else { return false };
        self.put(&Arc::clone(key), value);
        true
    }

    /// Takes `key=value,…`, each of which may be encoded as in a URL.
    pub fn take_pairs(&mut self, keys: &ContextKeys, text: &str) {
        for pair in text.split(',').take(limits::CONTEXT_PAIRS_MAX) {
            if let Some((key, value)) = pair.split_once('=') {
                self.put_encoded(keys, key, value.trim());
            }
        }
    }

    /// Takes what SQLCommenter has put in front of a statement, or behind it where that has come whole.
    pub fn take_comments(&mut self, keys: &ContextKeys, sql: &[u8], is_whole: bool) {
        if let Some(comment) = first_comment(sql) {
            self.take_comment(keys, comment);
        }
        if is_whole && let Some(comment) = last_comment(sql) {
            self.take_comment(keys, comment);
        }
    }

    /// Takes `key='value',…`. Ends where it is none.
    fn take_comment(&mut self, keys: &ContextKeys, comment: &[u8]) {
        let Ok(mut rest) = std::str::from_utf8(comment) else { return };
        for _ in 0..limits::CONTEXT_PAIRS_MAX {
            let Some((key, behind)) = rest.split_once('=') else { return };
            let Some(quoted) = behind.trim_start().strip_prefix('\'') else { return };
            let Some((value, behind)) = until_quote(quoted) else { return };
            self.put_encoded(keys, key, &value);
            let behind = behind.trim_start();
            let Some(next) = behind.strip_prefix(',') else { return };
            rest = next;
        }
    }
}

/// What stands in the comment that a statement begins with.
fn first_comment(sql: &[u8]) -> Option<&[u8]> {
    let inner = sql.trim_ascii_start().strip_prefix(b"/*")?;
    let near = &inner[..inner.len().min(limits::CONTEXT_COMMENT_BYTES_MAX)];
    near.windows(2).position(|pair| pair == b"*/").map(|end| &near[..end])
}

/// What stands in the comment that a statement ends with.
fn last_comment(sql: &[u8]) -> Option<&[u8]> {
    let sql = sql.strip_suffix(b"\0").unwrap_or(sql).trim_ascii_end();
    let sql = sql.strip_suffix(b";").unwrap_or(sql).trim_ascii_end();
    let inner = sql.strip_suffix(b"*/")?;
    let near = &inner[inner.len().saturating_sub(limits::CONTEXT_COMMENT_BYTES_MAX)..];
    near.windows(2).rposition(|pair| pair == b"/*").map(|at| &near[at + 2..])
}

/// Up to a quote that no backslash stands in front of: what stands before it, unescaped, and behind it.
fn until_quote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut letters = text.char_indices();
    let mut value = Cow::Borrowed("");
    let mut from = 0;
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                value += &text[from..at];
                from = letters.next()?.0;
            }
            '\'' => {
                value += &text[from..at];
                return Some((value, &text[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

/// What `%41` and the like stand for; `None` where one is none, or comes to no text.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = behind;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests;
