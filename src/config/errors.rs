//! What can be wrong with configuration files, and how it is reported: one line per error, PgBouncer's
//! words where it has some.
//!
//! An error never holds a password or a whole connection string. Source: PgBouncer, src/loader.c.

use super::connstr::ConnStrError;
use super::value::BadValue;
use crate::base::limits;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where in the files something stands. Line 0 = the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Its line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// Where the settings and entries of a configuration stand, for errors that are found
/// once it is read as a whole.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Of each setting that was written.
    pub settings: BTreeMap<&'static str, Place>,
    /// Of each entry of `[databases]`, the fallback included.
    pub databases: BTreeMap<Arc<str>, Place>,
    /// Of each entry of `[users]`.
    pub users: BTreeMap<Arc<str>, Place>,
    /// Of each entry of `[issuers]`.
    pub issuers: BTreeMap<Arc<str>, Place>,
}

impl PartialEq for Places {
    /// Where something stands is no part of what it says.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A file cannot be read: the one of the place, or one that is included there.
    Unreadable {
        /// Which one.
        file: String,
        /// The system's reason.
        why: String,
    },
    /// The line is none of the forms there are; the form expected.
    Syntax(&'static str),
    /// `%include` inside includes, too deep.
    IncludeTooDeep,
    /// More files than are read for one configuration.
    TooManyFiles,
    /// There is no `[pgbouncer]`.
    MainSectionMissing,
    /// A section of another name.
    UnknownSection(String),
    /// A section that an overlay cannot add to.
    NotInOverlays(String),
    /// A key in front of the first section.
    NoSection(String),
    /// `[pgbouncer]` has no such setting.
    UnknownSetting(String),
    /// A setting's value.
    BadSetting {
        /// The setting.
        key: &'static str,
        /// What was written.
        value: String,
        /// What is wrong with it.
        why: BadValue,
    },
    /// Something about one entry of another section.
    Entry {
        /// What it describes: `database`, `user`, `instance`, `peer`, `issuer`.
        kind: &'static str,
        /// The entry's name.
        name: String,
        /// What.
        problem: EntryProblem,
    },
    /// There are more errors than are listed.
    TooManyErrors,
}

/// What is wrong with one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryProblem {
    /// The console's own name; of an issuer, a word that means something else in `deny_principals`.
    Reserved,
    /// Longer than `limits::NAME_BYTES_MAX`.
    NameTooLong,
    /// Not a number from 1 to 65535.
    BadPeerId,
    /// An overlay adds keys to an entry that the main file does not have.
    NotThere,
    /// A peer or an instance without a host.
    NoHost,
    /// One more than there may be.
    TooMany {
        /// So many.
        most: usize,
    },
    /// Not a connection string.
    ConnStr(ConnStrError),
    /// Neither a connection string nor a name of its own: a setting of `[pgbouncer]`; the section it is in.
    Misplaced(&'static str),
    /// No such key.
    UnknownKey {
        /// The key as written.
        key: String,
        /// Keys that there are.
        accepted: String,
    },
    /// A key that does not go with the others; its value is not shown.
    Unfit {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A key's value.
    BadKey {
        /// The key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What is wrong with it.
        why: BadValue,
    },
}

/// Bytes of a wrong value that an error shows: enough to recognise it, not so much that it floods the log.
const SHOWN_BYTES_MAX: usize = 100;

/// A piece of a file as an error shows it: on one line, and not without end.
pub(crate) fn shown(text: &str) -> String {
    Shown(text).to_string()
}

/// See [`shown`].
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.floor_char_boundary(SHOWN_BYTES_MAX);
        for c in self.0[..end].chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        f.write_str(if end < self.0.len() { "…" } else { "" })
    }
}

/// A word that may be anything, as an error shows it: a file may be named in place of another, and its words
/// be secrets. What looks like a keyword is one that somebody has mistyped.
pub(crate) fn keyword_shown(text: &str) -> String {
    const BYTES_MAX: usize = 40;
    let is_of_keyword =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    let is_keyword = (1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(is_of_keyword);
    if is_keyword { text.to_owned() } else { "…".to_owned() }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.place;
        match &self.problem {
            Problem::Unreadable { file, why } if at.line == 0 => {
                write!(f, "could not load file \"{file}\": {why}")
            }
            Problem::Unreadable { file, why } => {
                write!(f, "could not load file \"{file}\": {why}, included in configuration ({at})")
            }
            Problem::Syntax(why) => {
                write!(f, "syntax error in configuration ({at}): {why}")
            }
            Problem::IncludeTooDeep => write!(
                f,
                "include nesting level too deep ({at}): at most {} levels",
                limits::CONFIG_INCLUDE_DEPTH_MAX
            ),
            Problem::TooManyFiles => write!(
                f,
                "too many files included in configuration ({at}): at most {}",
                limits::CONFIG_FILES_MAX
            ),
            Problem::MainSectionMissing => {
                write!(f, "main section missing from config file ({at}): [pgbouncer]")
            }
            Problem::UnknownSection(name) => write!(
                f,
                "invalid section \"{}\" in configuration ({at}): accepted: pgbouncer, databases, users, \
                 instances, peers, issuers",
                keyword_shown(name)
            ),
            Problem::NotInOverlays(name) => {
                write!(
                    f,
                    "section [{}] has no place in an overlay ({at}): accepted: pgbouncer, databases, \
                     users, instances",
                    Shown(name)
                )
            }
            Problem::NoSection(key) => {
                write!(f, "value without section: {} in configuration ({at})", keyword_shown(key))
            }
            Problem::UnknownSetting(key) => {
                write!(f, "unknown parameter: pgbouncer/{} in configuration ({at})", keyword_shown(key))
            }
            Problem::BadSetting { key, value, why } => {
                let value = Shown(value);
                write!(f, "invalid value \"{value}\" for parameter {key} in configuration ({at}): {why}")
            }
            Problem::Entry { kind, name, problem } => problem.tell(f, kind, &Shown(name), at),
            Problem::TooManyErrors => write!(f, "more errors follow; these are the first ({at})"),
        }
    }
}

impl Problem {
    /// Whether what is wrong may be, or hide, a line that sets something in `[pgbouncer]`.
    pub(super) fn may_hide_a_setting(&self) -> bool {
        !matches!(self, Self::Entry { .. } | Self::BadSetting { .. })
    }

    /// Whether an overlay adds to what is not there.
    pub(super) fn is_not_there(&self) -> bool {
        matches!(self, Self::Entry { problem: EntryProblem::NotThere, .. })
    }
}

impl EntryProblem {
    fn tell(&self, f: &mut fmt::Formatter<'_>, kind: &str, name: &Shown<'_>, at: &Place) -> fmt::Result {
        match self {
            Self::Reserved => write!(f, "{kind} name \"{name}\" is reserved in configuration ({at})"),
            Self::NameTooLong => write!(
                f,
                "{kind} name \"{name}\" is too long in configuration ({at}): at most {} bytes",
                limits::NAME_BYTES_MAX
            ),
            Self::BadPeerId => write!(
                f,
                "ids of peers must be a number larger than 0 and at most 65535: \"{name}\" in configuration \
                 ({at})"
            ),
            Self::NotThere => {
                write!(
                    f,
                    "{kind} \"{name}\" of the overlay ({at}) is not in the configuration that it adds to"
                )
            }
            Self::NoHost => write!(f, "host was not provided for {kind} {name} in configuration ({at})"),
            Self::TooMany { most } => {
                write!(f, "{kind} \"{name}\" is one too many in configuration ({at}): at most {most}")
            }
            Self::Misplaced(section) => write!(
                f,
                "setting {name} stands in section [{section}] of the configuration ({at}): it belongs to \
                 [pgbouncer]"
            ),
            Self::ConnStr(why) => {
                let what = match kind {
                    "user" => "user settings",
                    "issuer" => "keys",
                    _ => "connection string",
                };
                write!(f, "syntax error in {what} of {kind} \"{name}\" in configuration ({at}): {why}")
            }
            Self::UnknownKey { key, accepted } => {
                let what = match kind {
                    "user" | "issuer" => kind,
                    _ => "connection",
                };
                let key = keyword_shown(key);
                write!(
                    f,
                    "unrecognized {what} parameter: {key} of {kind} \"{name}\" in configuration ({at}): \
                     accepted: {accepted}"
                )
            }
            Self::Unfit { key, why } => {
                write!(f, "invalid parameter {key} of {kind} \"{name}\" in configuration ({at}): {why}")
            }
            Self::BadKey { key, value, why } => write!(
                f,
                "invalid value \"{}\" for parameter {key} of {kind} \"{name}\" in configuration ({at}): \
                 {why}",
                Shown(value)
            ),
        }
    }
}

/// Everything that is wrong with a configuration, in the order of the files; at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl ConfigErrors {
    /// The errors of form and of meaning in the order of the lines, file by file in the order in which they
    /// turn up; cut where there are too many.
    pub(super) fn in_order(mut errors: Vec<ConfigError>) -> Self {
        let mut files: Vec<Arc<str>> = Vec::new();
        for error in &errors {
            if !files.contains(&error.place.file) {
                files.push(error.place.file.clone());
            }
        }
        errors
            .sort_by_key(|error| (files.iter().position(|file| *file == error.place.file), error.place.line));
        if let Some(last) = errors.get_mut(limits::CONFIG_ERRORS_MAX) {
            last.problem = Problem::TooManyErrors;
            errors.truncate(limits::CONFIG_ERRORS_MAX + 1);
        }
        Self(errors)
    }

    /// These, and `more` where they belong.
    #[must_use]
    pub fn and(self, more: Vec<ConfigError>) -> Self {
        Self::in_order(self.0.into_iter().chain(more).collect())
    }

    /// The errors in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    /// One error a line, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: u32, problem: Problem) -> String {
        ConfigError { place: Place { file: "p.ini".into(), line }, problem }.to_string()
    }

    #[test]
    fn errors_speak_pgbouncers_words() {
        assert_eq!(
            told(3, Problem::Syntax("expected key = value")),
            "syntax error in configuration (p.ini:3): expected key = value"
        );
        let why = BadValue::NotAccepted("0 or 1".to_owned());
        assert_eq!(
            told(9, Problem::BadSetting { key: "so_reuseport", value: "yes".to_owned(), why }),
            "invalid value \"yes\" for parameter so_reuseport in configuration (p.ini:9): accepted: 0 or 1"
        );
        assert_eq!(
            told(0, Problem::MainSectionMissing),
            "main section missing from config file (p.ini): [pgbouncer]"
        );
        let entry = Problem::Entry { kind: "peer", name: "3".to_owned(), problem: EntryProblem::NoHost };
        assert_eq!(told(2, entry), "host was not provided for peer 3 in configuration (p.ini:2)");
    }

    #[test]
    fn an_error_stays_on_one_line_and_short() {
        let text = told(1, Problem::UnknownSetting(format!("a\nb{}", "é".repeat(1000))));
        assert!(!text.contains('\n') && text.len() < 250, "{text}");
    }
}
