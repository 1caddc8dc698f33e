//! The ini format: lines -> sections and `key = value` tokens, each with its file and
//! line, includes followed.
//!
//! Knows no section, setting or key by name. Bounded: depth and number of files, bytes of a file. Goes
//! on after a wrong line so that every error is found. Source: PgBouncer, doc/config.md
//! ("Description", "Include directive").

use super::errors::{ConfigError, Place, Problem};
use crate::base::limits;
use std::fmt;
use std::io;
use std::sync::Arc;

/// What one line says.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `[name]`.
    Section(String),
    /// `key = value`; the value trimmed, not unquoted, maybe empty.
    Entry {
        /// Without its quotes.
        key: String,
        /// May hold a password.
        value: String,
    },
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(name) => write!(f, "[{name}]"),
            Self::Entry { key, .. } => write!(f, "{key} = ***"),
        }
    }
}

/// One item and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub place: Place,
    pub item: Item,
}

/// Reads the file of that name, whole.
pub(super) type Read<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

/// Every token of `file` and of what it includes, in order, and everything that is wrong with their form.
pub(super) fn tokens(file: &str, read: Read<'_>) -> (Vec<Token>, Vec<ConfigError>) {
    let mut walk = Walk { read, files: 0, is_over: false, tokens: Vec::new(), errors: Vec::new() };
    walk.file(file, 0, None);
    (walk.tokens, walk.errors)
}

/// One pass over a file and its includes.
struct Walk<'a> {
    read: Read<'a>,
    files: usize,
    /// There were too many includes: told once, and no more are followed.
    is_over: bool,
    tokens: Vec<Token>,
    errors: Vec<ConfigError>,
}

/// What some editors begin a file with.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const EXPECTED: &str = "expected key = value, [section], %include FILE or a comment";

impl Walk<'_> {
    /// One file; `asked_at` is the line that includes it.
    fn file(&mut self, name: &str, depth: usize, asked_at: Option<&Place>) {
        self.files += 1;
        let file: Arc<str> = name.into();
        let bytes = match (self.read)(name) {
            Ok(bytes) => bytes,
            Err(why) => {
                let problem = Problem::Unreadable { file: name.to_owned(), why: why.to_string() };
                let place = asked_at.cloned().unwrap_or(Place { file, line: 0 });
                return self.errors.push(ConfigError { place, problem });
            }
        };
        let mut wrong = |problem| {
            let place = Place { file: file.clone(), line: 1 };
            self.errors.push(ConfigError { place, problem });
        };
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return wrong(Problem::Syntax("text must be UTF-8, not UTF-16"));
        }
        let text = bytes.strip_prefix(BYTE_ORDER_MARK);
        if text.is_some() {
            // No editor shows it.
            wrong(Problem::Syntax("the file begins with a byte order mark, save it without one"));
        }
        self.lines(text.unwrap_or(&bytes), &file, depth);
    }

    fn lines(&mut self, bytes: &[u8], file: &Arc<str>, depth: usize) {
        let mut has_zero_bytes = false;
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if self.errors.len() > limits::CONFIG_ERRORS_MAX {
                return;
            }
            let place = Place { file: file.clone(), line };
            let problem = match std::str::from_utf8(bytes) {
                Err(_) => Err(Problem::Syntax("text must be UTF-8")),
                // Of a file that is no text once.
                Ok(text) if text.contains('\0') && std::mem::replace(&mut has_zero_bytes, true) => Ok(()),
                Ok(text) if text.contains('\0') => Err(Problem::Syntax("zero bytes are not allowed")),
                Ok(text) => self.line(text, &place, depth),
            };
            if let Err(problem) = problem {
                self.errors.push(ConfigError { place, problem });
            }
        }
    }

    /// One line; behind a section's `]` there may stand more.
    fn line(&mut self, text: &str, place: &Place, depth: usize) -> Result<(), Problem> {
        let mut rest = text.trim_matches(is_space);
        while let Some(header) = rest.strip_prefix('[') {
            let (name, after) =
                header.split_once(']').ok_or(Problem::Syntax("expected ] after a section's name"))?;
            self.tokens.push(Token { place: place.clone(), item: Item::Section(name.to_owned()) });
            rest = after.trim_start_matches(is_space);
        }
        if rest.is_empty() || rest.starts_with([';', '#']) {
            return Ok(());
        }
        let asked = rest.strip_prefix("%include");
        if let Some(path) = asked.filter(|path| path.is_empty() || path.starts_with(is_blank)) {
            return self.include(path.trim_matches(is_space), place, depth);
        }
        let (key, value) = entry(rest)?;
        let item = Item::Entry { key: key.to_owned(), value: value.to_owned() };
        self.tokens.push(Token { place: place.clone(), item });
        Ok(())
    }

    fn include(&mut self, path: &str, place: &Place, depth: usize) -> Result<(), Problem> {
        if path.is_empty() {
            return Err(Problem::Syntax("expected a file name after %include"));
        }
        if self.is_over {
            return Ok(());
        }
        if depth >= limits::CONFIG_INCLUDE_DEPTH_MAX {
            self.is_over = true;
            return Err(Problem::IncludeTooDeep);
        }
        if self.files >= limits::CONFIG_FILES_MAX {
            self.is_over = true;
            return Err(Problem::TooManyFiles);
        }
        self.file(path, depth + 1, Some(place));
        Ok(())
    }
}

/// `key = value`, the key bare or in single quotes.
fn entry(text: &str) -> Result<(&str, &str), Problem> {
    let (key, after) = match text.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'').ok_or(Problem::Syntax("quote is not closed"))?,
        None => text.split_at(text.find(|c| !is_key_char(c)).unwrap_or(text.len())),
    };
    if key.is_empty() {
        return Err(Problem::Syntax(EXPECTED));
    }
    let value = after.trim_start_matches(is_blank).strip_prefix('=').ok_or(Problem::Syntax(EXPECTED))?;
    Ok((key, value.trim_matches(is_space)))
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '*')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// C's `isspace`.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_text(text: &str) -> (Vec<Token>, Vec<ConfigError>) {
        tokens("p.ini", &|name| match name {
            "p.ini" => Ok(text.as_bytes().to_vec()),
            "self" => Ok(b"%include self\n%include self".to_vec()),
            "more.ini" => Ok(b"b = 2\n[users]\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn entries(text: &str) -> Vec<(String, String)> {
        let (tokens, errors) = read_text(text);
        assert_eq!(errors, []);
        tokens
            .into_iter()
            .map(|token| match token.item {
                Item::Section(name) => (format!("[{name}]"), String::new()),
                Item::Entry { key, value } => (key, value),
            })
            .collect()
    }

    #[test]
    fn lines_become_tokens() {
        let text = "\n ; c\n# c\r\n[databases]\r\n\tfoo-1.b_* = host=a ; not a comment \r\n'quoted = \
            #key'='x'\nempty =\n";
        let want = [
            ("[databases]", ""),
            ("foo-1.b_*", "host=a ; not a comment"),
            ("quoted = #key", "'x'"),
            ("empty", ""),
        ];
        assert_eq!(entries(text), want.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(entries("[a] [b] k = v")[2], ("k".to_owned(), "v".to_owned()));
    }

    #[test]
    fn places_and_wrong_lines_are_told() {
        let (tokens, errors) =
            read_text("[a]\n\"q\" = 1\nk v\n= x\n'' = y\n'open = z\n[a\n%include\n\nok = 1");
        let lines: Vec<_> = errors.iter().map(|error| error.place.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(tokens.last().map(|token| token.place.to_string()), Some("p.ini:10".to_owned()));
        assert_eq!(format!("{:?}", tokens[1].item), "ok = ***");
    }

    #[test]
    fn includes_are_followed_in_place() {
        let got = entries("a = 1\n%include more.ini  \nc = 3");
        let keys: Vec<_> = got.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "[users]", "c"]);
        let (_, errors) = read_text("%include nowhere.ini");
        let told =
            "could not load file \"nowhere.ini\": entity not found, included in configuration (p.ini:1)";
        assert_eq!(errors[0].to_string(), told);
        let (_, errors) = tokens("nowhere.ini", &|_| Err(io::ErrorKind::NotFound.into()));
        assert_eq!(errors[0].to_string(), "could not load file \"nowhere.ini\": entity not found");
    }

    #[test]
    fn includes_end() {
        let (_, errors) = read_text("%include self");
        assert!(errors.iter().any(|error| error.problem == Problem::IncludeTooDeep));
        assert_eq!(errors.len(), 1, "one error, and not one for each way around: {errors:?}");
        let wide = |name: &str| match name {
            "p.ini" => Ok("%include wide\n".repeat(2_000).into_bytes()),
            _ => Ok(b"a = 1\n".to_vec()),
        };
        let (_, errors) = tokens("p.ini", &wide);
        let told: Vec<_> = errors.iter().map(|error| (&error.problem, error.place.line)).collect();
        assert_eq!(told, [(&Problem::TooManyFiles, limits::CONFIG_FILES_MAX as u32)]);
    }

    #[test]
    fn a_file_in_another_encoding_has_one_error() {
        let utf_16 = |begin: &[u8], bytes: fn(u16) -> [u8; 2]| {
            let units = "[a]\nk = v\nk = é\n".encode_utf16().flat_map(bytes);
            begin.iter().copied().chain(units).collect::<Vec<u8>>()
        };
        let cases = [
            (utf_16(b"\xff\xfe", u16::to_le_bytes), "not UTF-16"),
            (utf_16(b"\xfe\xff", u16::to_be_bytes), "not UTF-16"),
            (b"a\0 = 1\nb = \0\nc = 2\n\0".to_vec(), "zero bytes"),
            (b"\xef\xbb\xbf[a]\nk = v\n".to_vec(), "byte order mark"),
        ];
        for (bytes, why) in cases {
            let (_, errors) = tokens("p.ini", &|_| Ok(bytes.clone()));
            let [error] = &errors[..] else { panic!("{why}: {errors:?}") };
            assert!(error.to_string().contains(why) && error.place.line == 1, "{error}");
        }
    }

    proptest! {
        #[test]
        fn entries_round_trip(wanted in prop::collection::vec(("[^'\0\n]{1,12}", "([!-~é]([ \
            -~é]{0,20}[!-~é])?)?"), 0..8)) {
            let text: String = wanted.iter().map(|(key, value)| format!(" '{key}'\t= {value} \n")).collect();
            prop_assert_eq!(entries(&text), wanted);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            tokens("p.ini", &|_| Ok(bytes.clone()));
        }
    }
}
