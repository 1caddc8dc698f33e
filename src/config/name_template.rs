//! `application_name_template`: what servers are told of the client that they work for.
//!
//! Pure. A template is filled once, at a client's login, but for the name that the client gives itself. What
//! comes of it is printable ASCII of `limits::SHOWN_NAME_BYTES_MAX` at the most, as PostgreSQL would make it,
//! so that what is set is what the server reports. Source: PostgreSQL documentation, "Error Reporting and
//! Logging" (application_name; the letters of log_line_prefix, where they mean the same).

use super::value::{BadValue, Value};
use crate::base::{SessionId, limits};
use std::fmt::Write;
use std::sync::Arc;

/// The value of `application_name_template`; empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameTemplate {
    text: Arc<str>,
    parts: Arc<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `%a`: the client's own name.
    Own,
    /// `%p`: whom its proof names, shortened.
    Principal,
    /// `%s`: the session.
    Session,
    /// `%u`: the user that it has logged in as.
    User,
    /// `%d`: the database entry.
    Database,
    /// `%r`: where it comes from.
    Remote,
}

/// What a template is filled with.
#[derive(Clone, Copy, Debug)]
pub struct NameWords<'a> {
    /// `%p`, unshortened.
    pub principal: &'a str,
    /// `%s`.
    pub session: SessionId,
    /// `%u`.
    pub user: &'a str,
    /// `%d`.
    pub database: &'a str,
    /// `%r`.
    pub remote: &'a str,
}

/// A template that was filled for one client, but for the name that it gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameFrame {
    before: Box<str>,
    after: Box<str>,
    has_own: bool,
}

impl NameTemplate {
    /// Whether it leaves clients' names as they are: there is none, or it is `%a`.
    pub fn is_plain(&self) -> bool {
        matches!(&*self.parts, [] | [Part::Own])
    }

    /// What one client is called.
    pub fn fill(&self, words: &NameWords<'_>) -> NameFrame {
        let (mut before, mut after, mut has_own) = (String::new(), String::new(), false);
        for part in self.parts.iter() {
            let side = if has_own { &mut after } else { &mut before };
            match part {
                Part::Own => has_own = true,
                Part::Text(text) => side.push_str(text),
                Part::Principal => side.push_str(shortened(words.principal)),
                // Writing to a String cannot fail.
                Part::Session => drop(write!(side, "{}", words.session)),
                Part::User => side.push_str(words.user),
                Part::Database => side.push_str(words.database),
                Part::Remote => side.push_str(words.remote),
            }
        }
        let clean = |text: String| clean(&text).into_boxed_str();
        NameFrame { before: clean(before), after: clean(after), has_own }
    }

    fn read(text: &str) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let part = match letter {
                '%' => match letters.next() {
                    Some('a') if parts.contains(&Part::Own) => return Err("%a stands there twice".to_owned()),
                    Some('a') => Part::Own,
                    Some('p') => Part::Principal,
                    Some('s') => Part::Session,
                    Some('u') => Part::User,
                    Some('d') => Part::Database,
                    Some('r') => Part::Remote,
                    Some('%') => Part::Text("%".to_owned()),
                    Some(other) => return Err(format!("%{other} means nothing")),
                    None => return Err("a % stands at the end".to_owned()),
                },
                ' '..='~' => Part::Text(letter.to_string()),
                other => return Err(format!("{other:?} is no printable ASCII")),
            };
            match (parts.last_mut(), part) {
                (Some(Part::Text(last)), Part::Text(more)) => last.push_str(&more),
                (_, part) => parts.push(part),
            }
        }
        Ok(parts)
    }
}

impl Value for NameTemplate {
    fn parse(text: &str) -> Result<Self, BadValue> {
        if text.len() > limits::NAME_TEMPLATE_BYTES_MAX {
            let most = limits::NAME_TEMPLATE_BYTES_MAX;
            return Err(BadValue::Refused(format!("a template has {most} bytes at the most")));
        }
        let parts =
            Self::read(text).map_err(|why| BadValue::Refused(format!("{why}; {}", Self::accepted())))?;
        Ok(Self { text: text.into(), parts: parts.into() })
    }
    fn show(&self) -> Option<String> {
        Some(self.text.to_string())
    }
    fn accepted() -> String {
        "text with %a, %p, %s, %u, %d, %r, %%".to_owned()
    }
}

impl NameFrame {
    /// With the name that the client gives itself. Where it is too long it is that name that is cut first.
    pub fn around(&self, own: &str) -> String {
        let room = limits::SHOWN_NAME_BYTES_MAX.saturating_sub(self.before.len() + self.after.len());
        let mut name = String::from(&*self.before);
        if self.has_own {
            let own = clean(own);
            name.push_str(own.get(..room).unwrap_or(&own));
        }
        name.push_str(&self.after);
        name.truncate(limits::SHOWN_NAME_BYTES_MAX); // all of it is ASCII
        name
    }
}

/// What tells a principal from others in few bytes: what stands behind its last `/`, the end of it.
fn shortened(principal: &str) -> &str {
    let last = principal.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(principal);
    let from = last.len().saturating_sub(limits::SHOWN_PRINCIPAL_BYTES_MAX);
    let from = (from..=last.len()).find(|at| last.is_char_boundary(*at)).unwrap_or(last.len());
    &last[from..]
}

/// What PostgreSQL makes of a name (up to version 15): a question mark of each byte that is no printable
/// ASCII.
fn clean(name: &str) -> String {
    name.bytes().map(|byte| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::StartId;
    use proptest::prelude::*;

    fn template(text: &str) -> NameTemplate {
        NameTemplate::parse(text).unwrap()
    }

    fn words() -> NameWords<'static> {
        NameWords {
            principal: "arn:aws:sts::123456789012:assumed-role/orders-api/i-0abc",
            session: SessionId { start: StartId(0x1234_abcd), socket_id: 31 },
            user: "app",
            database: "shop",
            remote: "192.0.2.7:40000",
        }
    }

    #[test]
    fn each_letter_stands_for_its_word() {
        let all = template("%a|%p|%s|%u@%d|100%%").fill(&words());
        assert_eq!(all.around("psql"), "psql|i-0abc|1234abcd.1f|app@shop|100%");
        assert_eq!(template("%r").fill(&words()).around("psql"), "192.0.2.7:40000");
        assert_eq!(template("fixed").fill(&words()).around("psql"), "fixed");
        assert!(template("").is_plain() && template("%a").is_plain() && !template("%a ").is_plain());
    }

    #[test]
    fn the_clients_part_is_cut_first() {
        let frame = template("%u/%a/%s").fill(&words());
        let long = frame.around(&"x".repeat(200));
        assert_eq!((long.len(), &long[..5], &long[long.len() - 12..]), (63, "app/x", "/1234abcd.1f"));
        let user = "u".repeat(60);
        let fixed = template("%u/%a/%s").fill(&NameWords { user: &user, ..words() });
        assert_eq!(fixed.around("psql"), format!("{user}//1"), "of what is fixed the end goes");
    }

    #[test]
    fn what_is_no_printable_ascii_is_replaced_byte_by_byte() {
        let frame = template("%a %u").fill(&NameWords { user: "jürgen", ..words() });
        assert_eq!(frame.around("ß\n\x7f"), "???? j??rgen");
    }

    #[test]
    fn a_principal_is_shortened_to_what_tells_it_from_others() {
        assert_eq!(shortened("ada@example.org"), "ada@example.org");
        assert_eq!(shortened("system:serviceaccount:payments:orders-api"), "ount:payments:orders-api");
        assert_eq!(shortened("arn:aws:iam::123456789012:role/path/"), ":123456789012:role/path/");
        assert_eq!(shortened("ääääääääääääää"), "ääääääääääää");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["%a %a", "%x", "50%", "caf\u{e9}", "a\tb", &"x".repeat(300)] {
            assert!(NameTemplate::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_one_that_servers_take_as_it_is(
            text in "(%[psudr%]|[ -$&-~]){0,8}(%a)?[ -$&-~]{0,30}",
            own in any::<String>(),
            user in any::<String>(),
            principal in any::<String>(),
        ) {
            let frame = template(&text).fill(&NameWords { user: &user, principal: &principal, ..words() });
            let name = frame.around(&own);
            prop_assert!(name.len() <= 63 && name.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name}");
            prop_assert_eq!(frame.around(&own), name);
        }
    }
}
