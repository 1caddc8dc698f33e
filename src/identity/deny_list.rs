//! The file that says who may not be here, whatever else lets them in (`deny_principals`).
//!
//! A line is `PRINCIPAL`, or `WHOSE PRINCIPAL`, in the words and quoting of ident files: WHOSE is the name of
//! an issuer, or the word of a method (`cert`, `scram-sha-256`, …, as hba files and SHOW SESSIONS have it),
//! and holds for that one's principals alone; `all` is everybody's. A PRINCIPAL that begins with `/` is a
//! regular expression for the whole of the name; its classes are ASCII's and it runs in linear time.

use super::pattern;
use super::text::is_printable;
use crate::auth::Method;
use crate::auth::hba::{Token, Tokens, Wrong};
use crate::base::limits;
use crate::config::{BYTE_ORDER_MARK, Place};
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Who is denied.
#[derive(Clone, Debug, Default)]
pub struct DenyList {
    /// By whose principals they are; those of everybody under `""`.
    of: BTreeMap<Box<str>, Names>,
    lines: usize,
    /// Of the text that it was read from.
    digest: u64,
}

#[derive(Clone, Debug, Default)]
struct Names {
    exact: HashSet<Box<str>>,
    patterns: RegexSet,
}

/// One thing that is wrong with the file; it refuses the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not parse deny_principals line ({place}): {wrong}")]
pub struct DenyError {
    /// Where.
    pub place: Place,
    /// What.
    pub wrong: WrongDenial,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum WrongDenial {
    #[error("{0}")]
    Words(Wrong),
    #[error("the file begins with a byte order mark: save it as UTF-8 without one")]
    ByteOrderMark,
    #[error("a carriage return stands within the line: lines end with LF, or CR LF")]
    CarriageReturn,
    #[error("files are not included: a name that begins with @ has to be quoted")]
    Include,
    #[error("a character that cannot be seen: {shown}")]
    Unseen { shown: String },
    #[error("a principal is wanted, or whose and a principal")]
    Form,
    #[error("the pattern is empty")]
    EmptyPattern,
    #[error("the pattern is not a regular expression, or too large a one: {why}")]
    BadPattern { why: String },
    #[error("too many lines: at most {most}", most = limits::DENY_LINES_MAX)]
    TooManyLines,
    #[error("too many patterns: at most {most}", most = limits::DENY_PATTERNS_MAX)]
    TooManyPatterns,
    #[error("the patterns take too much memory together")]
    TooLarge,
    #[error("more errors follow, these are the first")]
    MoreErrors,
}

impl From<Wrong> for WrongDenial {
    fn from(wrong: Wrong) -> Self {
        Self::Words(wrong)
    }
}

impl DenyList {
    /// Reads the text of the file `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, Vec<DenyError>> {
        let file: Arc<str> = file.into();
        let mut reader = Reader::default();
        let mut errors = Vec::new();
        let error = |line, wrong| DenyError { place: Place { file: Arc::clone(&file), line }, wrong };
        if text.starts_with(BYTE_ORDER_MARK) {
            return Err(vec![error(1, WrongDenial::ByteOrderMark)]);
        }
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            let Err(wrong) = reader.line(line) else { continue };
            let is_cut = errors.len() >= limits::CONFIG_ERRORS_MAX;
            let wrong = if is_cut { WrongDenial::MoreErrors } else { wrong };
            let is_the_end =
                is_cut || matches!(wrong, WrongDenial::TooManyLines | WrongDenial::TooManyPatterns);
            errors.push(error(number, wrong));
            if is_the_end {
                break;
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut digest = DefaultHasher::new();
        text.hash(&mut digest);
        let (lines, digest) = (reader.lines, digest.finish());
        let of = reader.finish().map_err(|wrong| vec![error(0, wrong)])?;
        Ok(Self { of, lines, digest })
    }

    /// Whether the principal of this name is denied, for whom that issuer vouches (`""`: none does), and who
    /// has proven himself by that method.
    pub fn denies(&self, principal: &str, issuer: &str, method: &str) -> bool {
        !self.of.is_empty()
            && ["", issuer, method].iter().any(|whose| {
                let names = self.of.get(*whose);
                names.is_some_and(|names| names.have(principal))
            })
    }

    /// Whose principals it names that `is_known` does not know: such lines concern nobody.
    pub fn of_nobody(&self, is_known: impl Fn(&str) -> bool) -> Vec<&str> {
        self.of.keys().map(|whose| &**whose).filter(|whose| !whose.is_empty() && !is_known(whose)).collect()
    }

    /// How many lines say so.
    pub fn count(&self) -> usize {
        self.lines
    }

    /// How many names and patterns `after` has that this one has not, and the other way round.
    pub fn changes_to(&self, after: &Self) -> (usize, usize) {
        (after.lacking_in(self), self.lacking_in(after))
    }

    fn lacking_in(&self, other: &Self) -> usize {
        let lacking = self.of.iter().map(|(whose, names)| {
            let theirs = other.of.get(whose);
            let has_name = |name: &str| theirs.is_some_and(|theirs| theirs.exact.contains(name));
            let has_pattern =
                |pattern: &String| theirs.is_some_and(|theirs| theirs.patterns.patterns().contains(pattern));
            names.exact.iter().filter(|name| !has_name(name)).count()
                + names.patterns.patterns().iter().filter(|pattern| !has_pattern(pattern)).count()
        });
        lacking.sum()
    }

    /// Whether both were read from the same text.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.digest, self.lines) == (other.digest, other.lines)
    }
}

impl Names {
    fn have(&self, principal: &str) -> bool {
        self.exact.contains(principal) || self.patterns.is_match(principal.as_bytes())
    }
}

/// Names as they stand, and patterns.
type Lines = (HashSet<Box<str>>, Vec<String>);

/// A file that is being read.
#[derive(Default)]
struct Reader {
    of: BTreeMap<Box<str>, Lines>,
    lines: usize,
    patterns: usize,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), WrongDenial> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.contains(&b'\r') {
            return Err(WrongDenial::CarriageReturn);
        }
        let mut tokens = Tokens::of(line)?;
        if tokens.is_at_end() {
            return Ok(());
        }
        if self.lines >= limits::DENY_LINES_MAX {
            return Err(WrongDenial::TooManyLines);
        }
        self.lines += 1;
        let first = tokens.take()?;
        let second = if tokens.is_at_end() { None } else { Some(tokens.take()?) };
        if !tokens.is_at_end() {
            return Err(WrongDenial::Form);
        }
        let (whose, principal) = match second {
            None => (String::new(), name(first)?),
            Some(second) if first == Token::Word("all".to_owned()) => (String::new(), name(second)?),
            Some(second) => (Method::word_of_proofs(&name(first)?).to_owned(), name(second)?),
        };
        let (exact, patterns) = self.of.entry(whose.into()).or_default();
        match principal.strip_prefix('/') {
            None => drop(exact.insert(principal.into())),
            Some("") => return Err(WrongDenial::EmptyPattern),
            Some(_) if self.patterns >= limits::DENY_PATTERNS_MAX => {
                return Err(WrongDenial::TooManyPatterns);
            }
            Some(pattern) => {
                self.patterns += 1;
                let whole = pattern::whole(pattern);
                let (_, whole) = whole.map_err(|why| WrongDenial::BadPattern { why })?;
                patterns.push(whole);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<BTreeMap<Box<str>, Names>, WrongDenial> {
        let names = |(exact, patterns): Lines| -> Result<_, WrongDenial> {
            let mut set = RegexSetBuilder::new(patterns);
            set.unicode(false).size_limit(limits::DENY_PATTERNS_BYTES_MAX);
            set.dfa_size_limit(limits::DENY_PATTERNS_BYTES_MAX);
            Ok(Names { exact, patterns: set.build().map_err(|_| WrongDenial::TooLarge)? })
        };
        self.of.into_iter().map(|(whose, lines)| Ok((whose, names(lines)?))).collect()
    }
}

/// The name that a word is. What an editor or another file's rules have put there would deny nobody: it is
/// told of, unless quotes say that it is meant.
fn name(token: Token) -> Result<String, WrongDenial> {
    if let Token::Word(word) = &token {
        if word.starts_with('@') {
            return Err(WrongDenial::Include);
        }
        if word.chars().any(|letter| letter.is_whitespace() || !is_printable(letter)) {
            return Err(WrongDenial::Unseen { shown: word.escape_default().to_string() });
        }
    }
    token.into_name().filter(|name| !name.is_empty()).ok_or(WrongDenial::Form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> DenyList {
        DenyList::parse(text.as_bytes(), "deny").unwrap()
    }

    fn wrong(text: &str) -> String {
        let errors = DenyList::parse(text.as_bytes(), "deny").expect_err("refused");
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_mark_before_the_first_name_is_no_part_of_it() {
        assert!(wrong("\u{feff}alice\n").contains("line (deny:1): the file begins with a byte order mark"));
    }

    #[test]
    fn what_an_editor_or_another_file_may_have_put_there_is_no_name() {
        assert!(wrong("alice\rbob\r").contains("a carriage return stands within the line"));
        assert!(list("alice\r\nbob\r\n").denies("alice", "", "md5"));
        assert!(wrong("@others").contains("files are not included"));
        assert!(list("\"@others\"").denies("@others", "", "md5"));
        for hidden in ["alice\u{a0}", "\u{200b}alice", "all ali\u{ad}ce", "x\u{3000}y"] {
            assert!(wrong(hidden).contains("a character that cannot be seen: "), "{hidden:?}");
        }
        assert!(list("\"alice\u{a0}\"\nJosé").denies("José", "", "md5"));
    }

    #[test]
    fn whose_lines_concern_nobody_is_known() {
        let list = list("alice\nidp bob\ncorp carol\nall dave\ncorp eve\n");
        assert_eq!(list.of_nobody(|whose| whose == "idp"), ["corp"]);
        assert_eq!(list.of_nobody(|_| false), ["corp", "idp"]);
    }

    #[test]
    fn what_came_and_what_went_is_counted() {
        let before = list("alice\nidp bob\n/ops-.*\n");
        let after = list("# moved\nidp bob\nbob\n/ops-.*\n/dev-.*\n");
        assert_eq!((before.changes_to(&after), after.changes_to(&before)), ((2, 1), (1, 2)));
        assert_eq!(DenyList::default().changes_to(&before), (3, 0));
    }

    #[test]
    fn a_line_is_a_principal_or_whose_it_is_and_a_principal() {
        let list = list(
            "# who has left\n\
             alice\n\
             all bob\n\
             idp carol   # of one issuer\n\
             cert \"build agent\"\n\
             \"all\" dave\n\n",
        );
        assert_eq!(list.count(), 5);
        assert!(list.denies("alice", "", "md5") && list.denies("alice", "idp", "jwt"));
        assert!(list.denies("bob", "other", "jwt"));
        assert!(list.denies("carol", "idp", "jwt") && !list.denies("carol", "other", "jwt"));
        assert!(list.denies("build agent", "", "cert") && !list.denies("build agent", "", "md5"));
        assert!(!list.denies("dave", "", "md5") && list.denies("dave", "all", "jwt"), "a name in quotes");
        assert!(!list.denies("", "", "") && !list.denies("Alice", "", "md5"));
    }

    #[test]
    fn every_word_that_a_method_has_denies_those_who_come_by_it() {
        for method in Method::ALL {
            let list = list(&format!("{} bob\n", method.word()));
            assert!(list.denies("bob", "", method.word()) && !list.denies("bob", "", "other"), "{method:?}");
        }
        let list = list("password bob\n");
        assert!(list.denies("bob", "", "plain") && !list.denies("bob", "", "md5"));
        assert_eq!(list.of_nobody(|whose| whose == "plain"), [""; 0]);
    }

    #[test]
    fn a_pattern_is_for_the_whole_name() {
        let list = list("/svc-.*@example\\.org\nidp \"/a|b c\"\n");
        assert!(list.denies("svc-1@example.org", "", "jwt"));
        assert!(!list.denies("x-svc-1@example.org", "", "jwt") && !list.denies("svc-1@example.orgs", "", ""));
        assert!(list.denies("b c", "idp", "jwt") && !list.denies("ab c", "idp", "jwt"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(
            wrong("alice\na b c\n/\n\"open\n"),
            "could not parse deny_principals line (deny:2): a principal is wanted, or whose and a principal\n\
             could not parse deny_principals line (deny:3): the pattern is empty\n\
             could not parse deny_principals line (deny:4): quote is not closed"
        );
        assert!(wrong("/a)|(b").contains("not a regular expression"));
        assert!(wrong("/(").contains("not a regular expression"));
        assert!(wrong("\"\"").contains("a principal is wanted"));
        assert!(wrong(&"/x{100}{100}{100}\n".repeat(2)).contains("too large"));
    }

    #[test]
    fn a_file_is_bounded() {
        let lines = |count: usize, line: &str| format!("{line}\n").repeat(count);
        assert_eq!(list(&lines(limits::DENY_LINES_MAX, "a")).count(), limits::DENY_LINES_MAX);
        assert!(wrong(&lines(limits::DENY_LINES_MAX + 1, "a")).contains("too many lines"));
        assert!(wrong(&lines(limits::DENY_PATTERNS_MAX + 1, "/a")).contains("too many patterns"));
        let errors = wrong(&lines(limits::CONFIG_ERRORS_MAX + 9, "/("));
        assert!(errors.ends_with("more errors follow, these are the first"));
    }

    #[test]
    fn the_same_text_is_the_same_list() {
        assert!(list("a\n").is_same(&list("a\n")) && !list("a\n").is_same(&list("b\n")));
        assert!(!DenyList::default().is_same(&list("a\n")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = DenyList::parse(&text, "deny");
        }

        #[test]
        fn who_is_named_is_denied(name in "[a-z@.:/-]{1,40}") {
            let line = if name.starts_with('/') { format!("x{name}") } else { name };
            let quoted = format!("\"{line}\"\n");
            prop_assert!(list(&quoted).denies(&line, "", "jwt"));
        }
    }
}
