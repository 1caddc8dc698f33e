//! A text as a value: within a DN, and within a filter.
//!
//! Whatever the text, it stays one value. Sources: RFC 4514, section 2.4; RFC 4515, section 3.

/// `text` as the value of an attribute of a DN.
pub(super) fn dn_value(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    escaped(text, |at, byte| match byte {
        b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' | 0 => true,
        b'#' => at == 0,
        b' ' => at == 0 || at == last,
        _ => false,
    })
}

/// `text` as the value of an assertion of a filter.
pub(super) fn filter_value(text: &str) -> String {
    escaped(text, |_, byte| matches!(byte, b'*' | b'(' | b')' | b'\\' | 0))
}

/// `text` with those of its bytes, all of them ASCII, in hexadecimal that have a meaning.
fn escaped(text: &str, has_meaning: impl Fn(usize, u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, one) in text.char_indices() {
        match u8::try_from(one) {
            Ok(byte) if byte.is_ascii() && has_meaning(at, byte) => out.push_str(&format!("\\{byte:02x}")),
            _ => out.push(one),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_a_meaning_in_a_dn_is_escaped() {
        for (text, value) in [
            ("alice", "alice"),
            ("a,ou=x", "a\\2cou\\3dx"),
            ("#x#", "\\23x#"),
            (" a b ", "\\20a b\\20"),
            (" ", "\\20"),
            ("a+b;<c>\"\\\0", "a\\2bb\\3b\\3cc\\3e\\22\\5c\\00"),
            ("йцукен", "йцукен"),
            ("", ""),
        ] {
            assert_eq!(dn_value(text), value);
        }
    }

    #[test]
    fn what_has_a_meaning_in_a_filter_is_escaped() {
        for (text, value) in [
            ("alice", "alice"),
            ("*", "\\2a"),
            ("a)(uid=*", "a\\29\\28uid=\\2a"),
            ("a\\2a\0", "a\\5c2a\\00"),
            ("é", "é"),
        ] {
            assert_eq!(filter_value(text), value);
        }
    }

    /// The text whose value `value` is, as a server reads it.
    fn read(value: &str) -> String {
        let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
        while let [first, behind @ ..] = rest {
            rest = match (first, behind.split_at_checked(2)) {
                (b'\\', Some((digits, behind))) => {
                    let digits = std::str::from_utf8(digits).unwrap();
                    bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    behind
                }
                _ => {
                    bytes.push(*first);
                    behind
                }
            };
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_place(text in "[a-z,=+\\\\*()\0#\" é]{0,12}") {
            let (dn, filter) = (dn_value(&text), filter_value(&text));
            prop_assert_eq!(read(&dn), text.clone());
            prop_assert_eq!(read(&filter), text);
            prop_assert!(!dn.contains([',', '=', '+', '"', ';', '<', '>', '\0']));
            prop_assert!(!dn.starts_with([' ', '#']) && !dn.ends_with(' '));
            prop_assert!(!filter.contains(['*', '(', ')', '\0']));
        }
    }
}
