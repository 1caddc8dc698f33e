//! One JSON object, field by field, into a text that others own.
//!
//! Never allocates but to grow that text. Invariant: what it writes is one line of valid JSON whatever the
//! texts hold, and no text in it is longer than `limits::AUDIT_TEXT_BYTES_MAX`. Source: RFC 8259, section 7.

use crate::base::limits::AUDIT_TEXT_BYTES_MAX;
use std::fmt::{Display, Write as _};

/// An object that is being written, by [`members`] and [`Object::named`].
pub(crate) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

/// Writes members of an object, in this order: `members!(object, "name": value, ...)`, of a [`Value`] each. A
/// name has no letter to be escaped; it is one text with all that stands around it, since the audit log
/// writes twenty of them for each transaction.
macro_rules! members {
    ($object:expr, $($name:literal: $value:expr),+ $(,)?) => {{
        let object = &mut *$object;
        $(object.member(concat!(",\"", $name, "\":"), $value);)+
    }};
}
pub(crate) use members;

/// What a member may have.
pub(crate) trait Value {
    /// Writes it at the end of `out`.
    fn write(self, out: &mut String);
}

/// A text that is displayed, and has no letter to be escaped.
pub(crate) struct Plain<T>(pub T);

/// A text that has no letter to be escaped.
pub(crate) struct Word<'a>(pub &'a str);

/// An address of IPv4.
pub(crate) struct Octets(pub [u8; 4]);

/// JSON that is ready.
pub(crate) struct Ready(pub &'static str);

/// An object within, which is filled by this.
pub(crate) struct Inner<F>(pub F);

/// A list of objects within, of these items, each filled by that.
pub(crate) struct List<I, F>(pub I, pub F);

impl<'a> Object<'a> {
    /// Begins one at the end of `out`.
    pub(crate) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    /// See [`members`], which gives the name with a comma before it, its quotes and its colon.
    #[inline]
    pub(crate) fn member(&mut self, name: &'static str, value: impl Value) {
        let has_none_before = std::mem::take(&mut self.is_empty);
        self.out.push_str(if has_none_before { &name[1..] } else { name });
        value.write(self.out);
    }

    /// A member whose name is known when it is written.
    pub(crate) fn named(&mut self, name: &str, value: impl Value) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(',');
        }
        quote(self.out, name);
        self.out.push(':');
        value.write(self.out);
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.out.push('}');
    }
}

macro_rules! numbers {
    ($($kind:ty),+) => {
        $(impl Value for $kind {
            #[inline]
            fn write(self, out: &mut String) {
                out.push_str(itoa::Buffer::new().format(self));
            }
        })+
    };
}
numbers!(u16, u32, u64, usize, i64);

impl Value for bool {
    fn write(self, out: &mut String) {
        out.push_str(if self { "true" } else { "false" });
    }
}

impl Value for &str {
    fn write(self, out: &mut String) {
        quote(out, self);
    }
}

/// `null` where there is none.
impl<T: Value> Value for Option<T> {
    fn write(self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }
}

impl<T: Display> Value for Plain<T> {
    fn write(self, out: &mut String) {
        let _ = write!(out, "\"{}\"", self.0); // a String takes all
    }
}

impl Value for Word<'_> {
    #[inline]
    fn write(self, out: &mut String) {
        out.push('"');
        out.push_str(self.0);
        out.push('"');
    }
}

impl Value for Ready {
    fn write(self, out: &mut String) {
        out.push_str(self.0);
    }
}

impl Value for Octets {
    fn write(self, out: &mut String) {
        let mut dot = '"'; // in front of the first one
        for octet in self.0 {
            out.push(std::mem::replace(&mut dot, '.'));
            out.push_str(itoa::Buffer::new().format(octet));
        }
        out.push('"');
    }
}

impl<F: FnOnce(&mut Object<'_>)> Value for Inner<F> {
    #[inline]
    fn write(self, out: &mut String) {
        let mut inner = Object::begin(out);
        (self.0)(&mut inner);
        inner.end();
    }
}

impl<I: IntoIterator, F: FnMut(&mut Object<'_>, I::Item)> Value for List<I, F> {
    fn write(self, out: &mut String) {
        let Self(items, mut fill) = self;
        out.push('[');
        for (position, item) in items.into_iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            Inner(|inner: &mut Object<'_>| fill(inner, item)).write(out);
        }
        out.push(']');
    }
}

/// A letter of ASCII that stands for itself.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// A JSON string. What is too long ends with `…`.
fn quote(out: &mut String, text: &str) {
    let kept = &text[..text.floor_char_boundary(AUDIT_TEXT_BYTES_MAX)];
    out.push('"');
    // nearly all of them, names of members included, need no letter looked at by itself
    let plain_bytes = kept.bytes().take_while(|byte| is_plain(*byte)).count();
    let (plain, rest) = kept.split_at(plain_bytes);
    out.push_str(plain);
    for letter in rest.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // The separators of Unicode end a line for some readers; the rest shows nothing in a terminal.
            control if control.is_control() || matches!(control, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(control)); // all of these are below U+10000
            }
            other => out.push(other),
        }
    }
    if kept.len() < text.len() {
        out.push('…');
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_what_it_was_filled_with() {
        let mut out = String::new();
        let mut object = Object::begin(&mut out);
        members!(&mut object, "a": "x\"\\\n\0\u{85}\u{2028}é", "b": 7_u64, "c": None::<u64>);
        members!(
            &mut object,
            "d": Inner(|inner: &mut Object<'_>| members!(inner, "e": Plain(1.5))),
            "f": List([1_u64, 2], |inner: &mut Object<'_>, number| members!(inner, "n": number)),
        );
        object.named("g\"", true);
        object.end();
        assert_eq!(
            out,
            "{\"a\":\"x\\\"\\\\\\n\\u0000\\u0085\\u2028é\",\"b\":7,\"c\":null,\"d\":{\"e\":\"1.5\"},\
             \"f\":[{\"n\":1},{\"n\":2}],\"g\\\"\":true}"
        );
    }

    #[test]
    fn an_address_is_written_as_the_library_shows_it() {
        for octets in [[0, 0, 0, 0], [127, 0, 0, 1], [10, 20, 30, 255]] {
            let mut out = String::new();
            Octets(octets).write(&mut out);
            assert_eq!(out, format!("\"{}\"", std::net::Ipv4Addr::from(octets)));
        }
    }

    #[test]
    fn every_letter_is_read_back_wherever_it_stands() {
        for letter in (0..0x3000).filter_map(char::from_u32) {
            for text in [format!("{letter}b"), format!("a{letter}b"), format!("a{letter}")] {
                let mut out = String::new();
                quote(&mut out, &text);
                assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
                assert!(!out.contains(|letter: char| letter.is_control()), "{out:?}");
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let mut out = String::new();
        quote(&mut out, &"é".repeat(AUDIT_TEXT_BYTES_MAX));
        assert!(out.len() <= AUDIT_TEXT_BYTES_MAX + 5 && out.ends_with("é…\""));
    }
}
