//! One JSON object, field by field, into a text that others own.
//!
//! Never allocates but to grow that text. Invariant: what it writes is one line of valid JSON whatever the
//! texts hold, and no text in it is longer than `limits::AUDIT_TEXT_BYTES_MAX`. Source: RFC 8259, section 7.

use crate::base::limits::AUDIT_TEXT_BYTES_MAX;
use std::fmt::{Display, Write as _};

/// An object that is being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Begins one at the end of `out`.
    pub(crate) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(',');
        }
        quote(self.out, name);
        self.out.push(':');
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        quote(self.out, value);
        self
    }

    /// A text, or `null`.
    pub(crate) fn text_or_null(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.bare(name, "null"),
        }
    }

    /// A number or a truth value.
    pub(crate) fn bare(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.name(name);
        let _ = write!(self.out, "{value}"); // a String takes all
        self
    }

    /// A text that is displayed, and has neither quotes nor control characters.
    pub(crate) fn plain(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.name(name);
        let _ = write!(self.out, "\"{value}\""); // a String takes all
        self
    }

    /// An object within.
    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.name(name);
        let mut inner = Object::begin(self.out);
        fill(&mut inner);
        inner.end();
        self
    }

    /// A list of objects within.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) -> &mut Self {
        self.name(name);
        self.out.push('[');
        for (position, item) in items.into_iter().enumerate() {
            if position > 0 {
                self.out.push(',');
            }
            let mut inner = Object::begin(self.out);
            fill(&mut inner, item);
            inner.end();
        }
        self.out.push(']');
        self
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.out.push('}');
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
        object.text("a", "x\"\\\n\0\u{85}\u{2028}é").bare("b", 7).text_or_null("c", None);
        object.object("d", |inner| {
            inner.plain("e", "1.5");
        });
        object.list("f", [1, 2], |inner, number| {
            inner.bare("n", number);
        });
        object.end();
        assert_eq!(
            out,
            "{\"a\":\"x\\\"\\\\\\n\\u0000\\u0085\\u2028é\",\"b\":7,\"c\":null,\"d\":{\"e\":\"1.5\"},\
             \"f\":[{\"n\":1},{\"n\":2}]}"
        );
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
