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
type Member = (Zeroizing<String>, Value);

/// The members of the object in `text`, in its order. Who bounds `text` bounds the result.
///
/// # Errors
/// `JsonError`.
pub(crate) fn members(text: &[u8]) -> Result<Vec<Member>, JsonError> {
    let (mut found, mut name, mut depth) = (Vec::<Member>::new(), None, 0_usize);
    let mut is_begun = false;
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(JsonError::NotJson);
    }
    for token in json_token_iter(text) {
        let value = match token.map_err(|_| JsonError::NotJson)? {
            Token::StartObject { .. } | Token::StartArray { .. } => {
                if depth == 0 && std::mem::replace(&mut is_begun, true) {
                    return Err(JsonError::NotJson); // a second one behind it
                }
                depth += 1;
                if depth > limits::SECRET_JSON_DEPTH_MAX {
                    return Err(JsonError::TooDeep);
                }
                Value::Other
            }
            Token::EndObject { .. } | Token::EndArray { .. } => {
                depth = depth.checked_sub(1).ok_or(JsonError::NotJson)?;
                continue;
            }
            Token::ObjectKey { key, .. } => {
                name = if depth == 1 { Some(unescaped(&key)?) } else { name };
                continue;
            }
            _ if depth == 0 => return Err(JsonError::NotJson),
            Token::ValueString { value, .. } if depth == 1 => Value::Text(unescaped(&value)?),
            Token::ValueNumber { value, .. } => Value::Number(value.to_f64_lossy()),
            _ => Value::Other,
        };
        let Some(name) = name.take() else { continue };
        if found.iter().any(|(known, _)| *known == name) {
            return Err(JsonError::Twice);
        }
        found.push((name, value));
    }
    if is_begun && depth == 0 { Ok(found) } else { Err(JsonError::NotJson) }
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
}
