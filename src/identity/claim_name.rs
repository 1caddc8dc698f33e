//! Names of claims: a member of a token's payload, or a JSON pointer to what is inside of one.
//!
//! Source: RFC 6901, sections 3 to 5.

use super::text::is_printable;
use crate::base::limits;
use serde_json::{Map, Value};
use std::fmt;

/// Which claim is meant: `sub`, or where it begins with `/` an RFC 6901 pointer as
/// `/kubernetes.io/serviceaccount/name` (`~1` stands for `/` in a member's name, `~0` for `~`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimName {
    /// As it is written.
    text: Box<str>,
    /// The names of the members on the way, the outermost first; one at the least.
    path: Box<[Box<str>]>,
}

/// Why a text is no name of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum BadClaimName {
    #[error("the name of a claim is missing")]
    Empty,
    #[error("the name of a claim is too long: at most {most} bytes", most = limits::CLAIM_NAME_BYTES_MAX)]
    TooLong,
    #[error("the name of a claim must be printable")]
    NotPrintable,
    #[error("the pointer to a claim has a ~ that neither 0 nor 1 follows")]
    BadEscape,
}

impl ClaimName {
    /// The claim that `text` names.
    ///
    /// # Errors
    /// Why it names none.
    pub fn named(text: &str) -> Result<Self, BadClaimName> {
        if text.is_empty() {
            return Err(BadClaimName::Empty);
        }
        if text.len() > limits::CLAIM_NAME_BYTES_MAX {
            return Err(BadClaimName::TooLong);
        }
        if !text.chars().all(is_printable) {
            return Err(BadClaimName::NotPrintable);
        }
        let path = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescaped).collect::<Result<_, _>>()?,
            None => [text.into()].into(),
        };
        Ok(Self { text: text.into(), path })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether its text is a list of words with blanks between them: `scope` (RFC 8693, section 4.2), and
    /// `scp`, as others write it.
    pub(super) fn is_list_of_words(&self) -> bool {
        matches!(&*self.text, "scope" | "scp")
    }

    /// The claim's value among a payload's members; `null` is none.
    pub(super) fn find<'a>(&self, members: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, path) = self.path.split_first()?;
        let mut value = members.get(&**first)?;
        for name in path {
            value = match value {
                Value::Object(members) => members.get(&**name)?,
                Value::Array(elements) => elements.get(index(name)?)?,
                _ => return None,
            };
        }
        (!value.is_null()).then_some(value)
    }
}

impl fmt::Display for ClaimName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which element of a list a pointer's part means: digits, and no zero in front of others.
fn index(part: &str) -> Option<usize> {
    let is_number = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    if is_number { part.parse().ok() } else { None }
}

/// A member's name of a pointer.
fn unescaped(name: &str) -> Result<Box<str>, BadClaimName> {
    let mut parts = name.split('~');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return Err(BadClaimName::BadEscape),
        };
        plain.push(character);
        plain.push_str(rest);
    }
    Ok(plain.into())
}
