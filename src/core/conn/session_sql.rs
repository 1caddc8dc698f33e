//! What the pooler says to make a session's parameters a client's: SQL, and when there is nothing to say.
//!
//! Pure. Values are a client's, or a server's word for them: whatever stands in them, each stays one literal.
//! PostgreSQL reads a query in the encoding that the session has when it comes, which is its last client's,
//! and in some encodings (SJIS, GBK) a backslash may be half of a letter. So where a value is more than
//! ASCII, all are sent as parameters of a statement, which need no quotes, each in its own message, the
//! encoding first.

use crate::wire::{encode, tags};

/// Parameters whose values mean something else in another case: names of roles and of schemas.
const EXACT: [&str; 2] = ["search_path", "session_authorization"];

/// Whether a session that has one value serves whoever wants the other: case is no difference, but in names
/// of roles and schemas.
pub(super) fn is_same(name: &str, want: &str, have: &str) -> bool {
    let is_exact = || EXACT.iter().any(|exact| exact.eq_ignore_ascii_case(name));
    want == have || (want.eq_ignore_ascii_case(have) && !is_exact())
}

/// The parameter that says in which encoding the others come.
pub(super) const ENCODING: &str = "client_encoding";

/// What is to be set: names and values.
#[derive(Debug, Default)]
pub(in crate::core) struct Sets(Vec<(Box<str>, Box<str>)>);

/// The parameter that tells whom a session works for.
const NAME: &str = "application_name";

impl Sets {
    /// An `application_name` alone.
    pub(in crate::core) fn of_name(name: &str) -> Self {
        let mut sets = Self::default();
        sets.push(NAME, name);
        sets
    }

    /// Whether there is an `application_name`, and nothing else.
    pub(in crate::core) fn are_of_name(&self) -> bool {
        matches!(&self.0[..], [(name, _)] if &**name == NAME)
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.into(), value.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The messages that do it, with one ReadyForQuery at the end of their answers.
    pub(in crate::core) fn messages(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.0.iter().all(|(_, value)| value.is_ascii()) {
            encode::query(&mut out, &self.sql());
        } else {
            self.push_batch(&mut out);
        }
        out
    }

    /// As one text.
    pub(in crate::core) fn sql(&self) -> String {
        let mut sql = String::new();
        self.0.iter().for_each(|(name, value)| push_set(&mut sql, name, value));
        sql
    }

    fn push_batch(&self, out: &mut Vec<u8>) {
        encode::parse(out, b"", b"SELECT pg_catalog.set_config($1,$2,false)\0\0\0");
        let (encoding, others): (Vec<_>, Vec<_>) = self.0.iter().partition(|(name, _)| &**name == ENCODING);
        for (name, value) in encoding.into_iter().chain(others) {
            push_call(out, name, value);
        }
        encode::empty(out, tags::client::SYNC);
    }
}

/// Bind and Execute of the unnamed statement with these two parameters, as text.
fn push_call(out: &mut Vec<u8>, name: &str, value: &str) {
    encode::frame(out, tags::client::BIND, |out| {
        out.extend_from_slice(&[0, 0]); // unnamed portal of the unnamed statement
        out.extend_from_slice(&0u16.to_be_bytes()); // parameters as text
        out.extend_from_slice(&2u16.to_be_bytes());
        for text in [name, value] {
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&0u16.to_be_bytes()); // results as text
    });
    encode::frame(out, tags::client::EXECUTE, |out| out.extend_from_slice(&[0; 5])); // all rows
}

/// Appends `SET name='value';`, or for `search_path`, where a literal would be the name of one schema, a call
/// that reads a list of them as PostgreSQL reads the startup packet's (PostgreSQL, "System Administration
/// Functions", set_config).
fn push_set(sql: &mut String, name: &str, value: &str) {
    if name.eq_ignore_ascii_case("search_path") {
        sql.push_str("SELECT pg_catalog.set_config('search_path',");
        push_literal(sql, value);
        sql.push_str(",false);");
    } else {
        sql.push_str("SET ");
        sql.push_str(name);
        sql.push('=');
        push_literal(sql, value);
        sql.push(';');
    }
}

fn push_literal(sql: &mut String, value: &str) {
    if value.contains('\\') {
        sql.push('E');
    }
    sql.push('\'');
    for letter in value.chars() {
        if letter == '\'' || letter == '\\' {
            sql.push(letter);
        }
        sql.push(letter);
    }
    sql.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pairs: &[(&str, &str)]) -> Sets {
        let mut sets = Sets::default();
        pairs.iter().for_each(|(name, value)| sets.push(name, value));
        sets
    }

    fn set(name: &str, value: &str) -> String {
        all(&[(name, value)]).sql()
    }

    #[test]
    fn what_is_more_than_ascii_goes_as_it_is_behind_its_encoding() {
        let sets = all(&[("application_name", "ß\\'"), ("client_encoding", "LATIN1")]);
        let out = sets.messages();
        let at = |part: &[u8]| out.windows(part.len()).position(|window| window == part);
        let encoding = at(b"client_encoding\0\0\0\x06LATIN1\0\0").expect("is set");
        let name = at("application_name\0\0\0\x04ß\\'\0\0".as_bytes()).expect("no letter is added");
        assert!(encoding < name && out.ends_with(b"S\0\0\0\x04"));
        let ascii = all(&[("application_name", "it's"), ("client_encoding", "LATIN1")]).messages();
        assert!(ascii.starts_with(b"Q") && ascii.ends_with(b"SET client_encoding='LATIN1';\0"));
    }

    #[test]
    fn values_are_one_literal_whatever_stands_in_them() {
        assert_eq!(set("application_name", r"it's \ me"), r"SET application_name=E'it''s \\ me';");
        assert_eq!(set("TimeZone", ""), "SET TimeZone='';");
        let call = |value| format!("SELECT pg_catalog.set_config('search_path','{value}',false);");
        assert_eq!(set("search_path", "\"$user\", public"), call("\"$user\", public"));
        assert_eq!(set("Search_Path", "x;begin'"), call("x;begin''"));
    }

    #[test]
    fn case_is_no_difference_but_in_names_of_roles_and_schemas() {
        assert!(is_same("TimeZone", "utc", "UTC") && is_same("client_encoding", "utf8", "UTF8"));
        assert!(!is_same("TimeZone", "UTC", "CET"));
        for name in ["session_authorization", "SEARCH_PATH"] {
            assert!(is_same(name, "app", "app") && !is_same(name, "app", "APP"), "{name}");
        }
    }
}
