//! The members of one JSON object, as far as a secret, or an answer of AWS, has any.
//!
//! Reads nothing else: what is nested is passed over, up to a depth. Pure. Every text that comes out is wiped
//! when it is dropped.

use crate::base::limits;
use aws_smithy_json::deserialize::{EscapedStr, Token, json_token_iter};
use zeroize::Zeroizing;

/// A member's value.
pub(crate) enum Value {
    /// A text.
    Text(Zeroizing<String>),
    /// A number, as `port` is.
    Number(f64),
    /// `null`, a list, whatever else.
    Other,
}

/// Why there are no members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// It is not one whole object.
    NotJson,
    /// It is nested deeper than `limits::SECRET_JSON_DEPTH_MAX`.
    TooDeep,
    /// One name comes twice.
    Twice,
}

/// A member: its name and its value.
pub(crate) type Member = (Zeroizing<String>, Value);

/// The members of the object in `text`, in its order. Who bounds `text` bounds the result.
///
/// # Errors
/// `JsonError`.
pub(crate) fn members(text: &[u8]) -> Result<Vec<Member>, JsonError> {
    let mut walk = Walk::default();
    walk.through(text)?;
    without_twins(walk.outer)
}

/// The members of the object that stands in `text` under the name `within`, in its order; `None`: there is no
/// object of that name.
///
/// # Errors
/// `JsonError`, of the object around it, too.
pub(crate) fn members_within(text: &[u8], within: &str) -> Result<Option<Vec<Member>>, JsonError> {
    let mut walk = Walk { within: Some(within), ..Walk::default() };
    walk.through(text)?;
    without_twins(walk.outer)?;
    walk.inner.map(without_twins).transpose()
}

/// One walk through a text.
#[derive(Default)]
struct Walk<'a> {
    /// The member whose own members are wanted.
    within: Option<&'a str>,
    outer: Vec<Member>,
    /// Those of `within`, from where it begins.
    inner: Option<Vec<Member>>,
    /// Whether it is in `within` at present.
    is_within: bool,
    name: Option<Zeroizing<String>>,
    depth: usize,
}

impl Walk<'_> {
    fn through(&mut self, text: &[u8]) -> Result<(), JsonError> {
        let mut is_begun = false;
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(JsonError::NotJson);
        }
        for token in json_token_iter(text) {
            let token = token.map_err(|_| JsonError::NotJson)?;
            let is_opening = matches!(token, Token::StartObject { .. } | Token::StartArray { .. });
            if is_opening && self.depth == 0 && std::mem::replace(&mut is_begun, true) {
                return Err(JsonError::NotJson); // a second one behind it
            }
            self.take(&token)?;
        }
        if is_begun && self.depth == 0 { Ok(()) } else { Err(JsonError::NotJson) }
    }

    fn take(&mut self, token: &Token<'_>) -> Result<(), JsonError> {
        let is_member = self.depth == 1 || (self.is_within && self.depth == 2);
        let value = match token {
            Token::StartObject { .. } | Token::StartArray { .. } => {
                if self.depth == limits::SECRET_JSON_DEPTH_MAX {
                    return Err(JsonError::TooDeep);
                }
                self.add(Value::Other);
                self.depth += 1;
                let is_wanted = self.outer.last().is_some_and(|(name, _)| Some(name.as_str()) == self.within);
                if self.depth == 2 && is_wanted && matches!(token, Token::StartObject { .. }) {
                    self.is_within = true;
                    self.inner.get_or_insert_default();
                }
                return Ok(());
            }
            Token::EndObject { .. } | Token::EndArray { .. } => {
                self.depth = self.depth.checked_sub(1).ok_or(JsonError::NotJson)?;
                self.is_within &= self.depth > 1;
                return Ok(());
            }
            Token::ObjectKey { key, .. } if is_member => {
                self.name = Some(unescaped(key)?);
                return Ok(());
            }
            Token::ObjectKey { .. } => return Ok(()),
            _ if self.depth == 0 => return Err(JsonError::NotJson),
            Token::ValueString { value, .. } if is_member => Value::Text(unescaped(value)?),
            Token::ValueNumber { value, .. } => Value::Number(value.to_f64_lossy()),
            _ => Value::Other,
        };
        self.add(value);
        Ok(())
    }

    /// The value of the last name, if that is not taken yet.
    fn add(&mut self, value: Value) {
        let Some(name) = self.name.take() else { return };
        let members = if self.is_within { self.inner.get_or_insert_default() } else { &mut self.outer };
        members.push((name, value));
    }
}

fn without_twins(members: Vec<Member>) -> Result<Vec<Member>, JsonError> {
    let mut names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|two| two[0] == two[1]) { Err(JsonError::Twice) } else { Ok(members) }
}

fn unescaped(text: &EscapedStr<'_>) -> Result<Zeroizing<String>, JsonError> {
    let text = text.to_unescaped().map_err(|_| JsonError::NotJson)?;
    Ok(Zeroizing::new(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_the_outermost_object_come_out() {
        let text = br#" {"a":"x","b":7,"c":{"a":"deep","d":["e",{"f":1}]},"g":null,"h":[],"i":"\u00e4\n"} "#;
        let members = members(text).unwrap();
        let shown: Vec<_> = members
            .iter()
            .map(|(name, value)| match value {
                Value::Text(text) => format!("{}={}", **name, **text),
                Value::Number(number) => format!("{}={number}", **name),
                Value::Other => (**name).clone(),
            })
            .collect();
        assert_eq!(shown, ["a=x", "b=7", "c", "g", "h", "i=ä\n"]);
    }

    #[test]
    fn what_is_no_object_has_none() {
        for text in
            ["", "[]", "7", "\"x\"", "{", "{}}", "{} {}", "{}[]", "{} 7", "{\"a\":1", "{\"a\"}", "{a:1}"]
        {
            assert_eq!(members(text.as_bytes()).err(), Some(JsonError::NotJson), "{text}");
        }
        assert_eq!(members(b"{\"a\":1,\"a\":2}").err(), Some(JsonError::Twice));
    }

    #[test]
    fn members_of_one_that_is_named_come_out_alone() {
        let within = |text: &str| {
            let members = members_within(text.as_bytes(), "users")?;
            Ok(members.map(|members| members.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()))
        };
        let is = |names: &[&str]| Ok(Some(names.iter().map(ToString::to_string).collect::<Vec<_>>()));
        assert_eq!(
            within(r#"{"a":{"x":1},"users":{"b":"1","c":{"users":2},"d":[3]},"e":4}"#),
            is(&["b", "c", "d"])
        );
        assert_eq!(within(r#"{"users":{}}"#), is(&[]));
        for text in [r#"{"a":1}"#, r#"{"users":"x"}"#, r#"{"users":["x"]}"#, r#"{"a":{"users":{"b":"1"}}}"#] {
            assert_eq!(within(text), Ok(None), "{text}");
        }
        for text in
            [r#"{"users":{"a":1,"a":2}}"#, r#"{"users":{},"users":{}}"#, r#"{"a":1,"a":2,"users":{}}"#]
        {
            assert_eq!(within(text), Err(JsonError::Twice), "{text}");
        }
        assert_eq!(within(r#"{"users":{"a":"1"}"#), Err(JsonError::NotJson));
    }

    #[test]
    fn as_many_members_as_a_list_can_hold_are_read_at_once() {
        let list: Vec<_> = (0..100_000).map(|number| format!("\"{number}\":0")).collect();
        let text = format!("{{{}}}", list.join(","));
        assert_eq!(members(text.as_bytes()).unwrap().len(), 100_000);
    }
}
