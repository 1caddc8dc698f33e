//! auth_file (userlist.txt): who may log in with which secret.
//!
//! Lines `"user" "secret" anything`; `""` inside is a quote; `;` begins a comment line. The first broken line
//! ends the reading, and the users in front of it stay, as with PgBouncer (doc/config.md, "Authentication
//! file format"); unlike there, an entry must stand on one line. Reads text, not files.

use super::Secret;
use crate::base::limits;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Users and their secrets, in the order of their names; and those that are gone, from the file or from what
/// others keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserList(BTreeMap<Arc<str>, Arc<Secret>>, BTreeSet<Arc<str>>);

/// Why the rest of an auth_file was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (line {line})")]
pub struct UserListError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it: never the line's own text, which may be a secret.
    pub what: &'static str,
}

const BROKEN: &str = "broken auth file";
const USER_TOO_LONG: &str = "username too long in auth file";
const SECRET_TOO_LONG: &str = "password too long in auth file";
const NOT_UTF8: &str = "auth file is not valid UTF-8";

impl UserList {
    /// Reads the text of an auth_file. Of a user that is listed twice the last secret counts.
    pub fn parse(text: &[u8]) -> (Self, Option<UserListError>) {
        let mut list = Self::default();
        let mut rest = text;
        loop {
            let trimmed = rest.trim_ascii_start();
            rest = match trimmed.first() {
                None => return (list, None),
                Some(b';') => behind_line(trimmed),
                Some(_) => match entry(trimmed) {
                    Ok((user, secret, behind)) => {
                        list.0.insert(user.into(), Arc::new(Secret::parse(&secret)));
                        behind_line(behind)
                    }
                    Err(what) => {
                        let line = line_behind(text, trimmed);
                        return (list, Some(UserListError { line, what }));
                    }
                },
            };
        }
    }

    /// The secret of `user`; `None`: no such user.
    pub fn secret(&self, user: &str) -> Option<&Arc<Secret>> {
        self.0.get(user)
    }

    /// All users in the order of their names.
    pub fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Adds the users that `before` has and this one has not, without a secret: a user who is gone from the
    /// file stays known, but nothing proves it.
    pub fn keep_users_of(&mut self, before: &Self) {
        for user in before.users() {
            if !self.0.contains_key(user) {
                self.0.insert(user.clone(), Arc::new(Secret::none()));
                self.1.insert(user.clone());
            }
        }
        self.1.extend(before.1.iter().filter(|user| !self.0.contains_key(*user)).cloned());
    }

    /// The same where others than the file vouch for `vouched`, and do not for `gone` any more; `None`: the
    /// same as this one. Nothing is in the file for those: they are known only as gone. No more than
    /// `gone_max` are.
    pub fn settled(&self, vouched: &BTreeSet<Arc<str>>, gone: &[Arc<str>], gone_max: usize) -> Option<Self> {
        let back: Vec<_> = self.1.iter().filter(|user| vouched.contains(*user)).collect();
        let room = gone_max.saturating_sub(self.1.len() - back.len());
        let new =
            gone.iter().filter(|user| !self.0.contains_key(*user) && !self.1.contains(*user)).take(room);
        let new: Vec<_> = new.collect();
        if back.is_empty() && new.is_empty() {
            return None;
        }
        let mut next = self.clone();
        for user in back {
            next.1.remove(user);
            next.0.remove(user);
        }
        next.1.extend(new.into_iter().cloned());
        Some(next)
    }

    /// Those who are gone and were never in the file.
    pub fn gone_from_elsewhere(&self) -> impl Iterator<Item = &Arc<str>> {
        self.1.iter().filter(|user| !self.0.contains_key(*user))
    }

    /// Whether a user was in the file, and is not any more, or is gone from elsewhere.
    pub fn is_gone(&self, user: &str) -> bool {
        self.1.contains(user)
    }
}

type Entry<'a> = (String, zeroize::Zeroizing<String>, &'a [u8]);

/// User, secret, and what follows them, from the front of `input`.
fn entry(input: &[u8]) -> Result<Entry<'_>, &'static str> {
    let (user, rest) = quoted(input)?;
    if user.len() > limits::NAME_BYTES_MAX {
        return Err(USER_TOO_LONG);
    }
    let gap = rest.iter().position(|byte| matches!(byte, b'"' | b'\n')).unwrap_or(rest.len());
    let (secret, rest) = quoted(&rest[gap..])?;
    if secret.len() > limits::SECRET_BYTES_MAX {
        return Err(SECRET_TOO_LONG);
    }
    Ok((user, zeroize::Zeroizing::new(secret), rest))
}

/// The quoted text at the front of `input`, and what follows its closing quote.
fn quoted(input: &[u8]) -> Result<(String, &[u8]), &'static str> {
    let inner = input.strip_prefix(b"\"").ok_or(BROKEN)?;
    let mut text = Vec::new();
    let mut rest = inner;
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\n')).ok_or(BROKEN)?;
        if rest[end] == b'\n' {
            // A forgotten quote must not pair this line's user with the next line's secret.
            return Err(BROKEN);
        }
        text.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(b"\"") {
            Some(behind) => {
                text.push(b'"');
                rest = behind;
            }
            None => return Ok((String::from_utf8(text).map_err(|_| NOT_UTF8)?, rest)),
        }
    }
}

fn behind_line(input: &[u8]) -> &[u8] {
    input.iter().position(|byte| *byte == b'\n').map_or(&[], |end| &input[end + 1..])
}

/// The number of the line in `text` at which its tail `rest` begins.
fn line_behind(text: &[u8], rest: &[u8]) -> usize {
    1 + text[..text.len() - rest.len()].iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(list: &UserList, user: &str) -> Option<String> {
        list.secret(user).map(|secret| secret.to_text().expose().to_owned())
    }

    #[test]
    fn every_rule_of_the_file() {
        let text = br#"
; "comment" "line"
"alice" "in wonderland"   anything here
   "bob ""the"" builder" "yes ""we"" can"
"empty" ""
"alice" "again"

"comma", "works"
"#;
        let (list, error) = UserList::parse(text);
        assert_eq!(error, None);
        assert_eq!(list.count(), 4);
        assert_eq!(plain(&list, "alice").as_deref(), Some("again"));
        assert_eq!(plain(&list, "bob \"the\" builder").as_deref(), Some("yes \"we\" can"));
        assert_eq!(plain(&list, "comma").as_deref(), Some("works"));
        assert!(list.secret("empty").unwrap().is_empty());
        assert_eq!(list.secret("comment"), None);
    }

    #[test]
    fn names_and_secrets_may_be_as_long_as_their_bounds() {
        let (user, secret) = ("u".repeat(127), "s".repeat(65_530));
        let (list, error) = UserList::parse(format!("\"{user}\" \"{secret}\"").as_bytes());
        assert_eq!((error, plain(&list, &user)), (None, Some(secret)));
    }

    #[test]
    fn the_first_broken_line_ends_the_reading() {
        let good = "\"a\" \"1\"\n; x\n";
        let long_user = format!("\"{}\" \"x\"", "u".repeat(128));
        let long_secret = format!("\"u\" \"{}\"", "s".repeat(65_531));
        for (line, what) in [
            ("garbage \"b\" \"2\"", BROKEN),
            ("\"b", BROKEN),
            ("\"b\"", BROKEN),
            ("\"b\"\n\"c\" \"3\"", BROKEN),
            ("\"b\" \"2", BROKEN),
            (&long_user, USER_TOO_LONG),
            (&long_secret, SECRET_TOO_LONG),
        ] {
            let (list, error) = UserList::parse(format!("{good}{line}\n\"z\" \"9\"\n").as_bytes());
            assert_eq!(error, Some(UserListError { line: 3, what }), "{line}");
            assert_eq!(list.count(), 1, "{line}");
        }
        let (list, error) = UserList::parse(b"\"a\" \"1\"\n\"\xff\" \"2\"");
        assert_eq!((list.count(), error), (1, Some(UserListError { line: 2, what: NOT_UTF8 })));
    }

    #[test]
    fn users_gone_from_the_file_stay_without_a_secret() {
        let (before, _) = UserList::parse(b"\"a\" \"1\"\n\"b\" \"2\"\n");
        let (mut now, _) = UserList::parse(b"\"b\" \"3\"\n");
        now.keep_users_of(&before);
        assert!(now.secret("a").unwrap().is_empty());
        assert_eq!(plain(&now, "b").as_deref(), Some("3"));
    }

    #[test]
    fn users_gone_from_elsewhere_are_gone_until_somebody_vouches_for_them() {
        let names = |all: &[&str]| all.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        let set = |all: &[&str]| names(all).into_iter().collect::<BTreeSet<_>>();
        let (before, _) = UserList::parse(b"\"a\" \"1\"\n\"b\" \"2\"\n");
        let (mut list, _) = UserList::parse(b"\"b\" \"3\"\n");
        list.keep_users_of(&before);
        assert_eq!(list.settled(&set(&["c"]), &names(&["b"]), 9), None, "b stands in the file");
        let list = list.settled(&set(&["a"]), &names(&["c", "d"]), 9).unwrap();
        assert!(!list.is_gone("a") && list.secret("a").is_none(), "a secret vouches for it now");
        assert!(list.is_gone("c") && list.secret("c").is_none() && !list.is_gone("b"));
        assert_eq!(list.gone_from_elsewhere().map(|user| &**user).collect::<Vec<_>>(), ["c", "d"]);
        let (mut next, _) = UserList::parse(b"\"d\" \"4\"\n");
        next.keep_users_of(&list);
        assert!(next.is_gone("c") && next.is_gone("b") && !next.is_gone("d"));
        let bounded = UserList::default().settled(&set(&[]), &names(&["a", "b", "c"]), 2).unwrap();
        assert_eq!(["a", "b", "c"].map(|user| bounded.is_gone(user)), [true, true, false]);
        assert_eq!(bounded.settled(&set(&[]), &names(&["c"]), 2), None);
    }

    #[test]
    fn debug_shows_no_secret() {
        let (list, _) = UserList::parse(b"\"a\" \"pencil\"\n");
        assert!(!format!("{list:?}").contains("pencil"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = UserList::parse(&text);
        }

        #[test]
        fn what_was_quoted_is_read(user in "[^\0\n]{1,20}", secret in "[^\0\n]{0,20}") {
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let (list, error) = UserList::parse(format!("{} {}", quote(&user), quote(&secret)).as_bytes());
            prop_assert_eq!(error, None);
            prop_assert_eq!(plain(&list, &user), Some(secret));
        }
    }
}
