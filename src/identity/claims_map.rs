//! The file that says as which roles the holders of claims may log in (`auth_claims_file`).
//!
//! A line is `MAP CLAIM VALUE ROLE`, in the words and quoting of ident files, and after that
//! `query_timeout=SECONDS` and `transaction_timeout=SECONDS`. Nobody is let in but by a line. A VALUE that
//! begins with `/` is a regular expression for the whole of the claim's text; `\1` to `\9` in ROLE are its
//! groups. Its classes are ASCII's and it runs in linear time. Sources: PostgreSQL documentation, "User Name
//! Maps".

mod role;

use super::claim_name::{BadClaimName, ClaimName};
use super::claims::Claims;
use super::pattern;
use crate::auth::hba::{Token, Tokens, Wrong};
use crate::base::{MappedTimeouts, Micros, limits};
use crate::config::{Place, Value, shown};
use regex::bytes::Regex;
pub use role::BadRole;
use role::RolePattern;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The maps of a file, by name.
#[derive(Clone, Debug, Default)]
pub struct ClaimsMap {
    maps: BTreeMap<Box<str>, Vec<Line>>,
}

/// That a line lets somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The line's number, from 1.
    pub line: usize,
    /// What the line sets.
    pub timeouts: MappedTimeouts,
}

/// One thing that is wrong with a file; it refuses the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not parse claims config line ({place}): {wrong}")]
pub struct MapError {
    /// Where.
    pub place: Place,
    /// What.
    pub wrong: WrongLine,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum WrongLine {
    #[error("{0}")]
    Words(Wrong),
    #[error("a map, a claim, a value and a role are wanted")]
    Missing,
    #[error("{0}")]
    Claim(BadClaimName),
    #[error("{0}")]
    Role(BadRole),
    #[error("the pattern is empty")]
    EmptyPattern,
    #[error("the pattern is not a regular expression, or too large a one: {why}")]
    BadPattern { why: String },
    #[error("unknown option: {0}")]
    UnknownOption(String),
    #[error("option {0} is there twice")]
    OptionTwice(&'static str),
    #[error("{option} is not accepted: {accepted}")]
    BadTimeout { option: &'static str, accepted: String },
    #[error("files cannot be included in a claims file")]
    Include,
    #[error("too many lines: at most {most}", most = limits::CLAIMS_MAP_LINES_MAX)]
    TooManyLines,
    #[error("too many patterns: at most {most}", most = limits::CLAIMS_MAP_PATTERNS_MAX)]
    TooManyPatterns,
    #[error("the file is too long: at most {most} bytes", most = limits::CLAIMS_MAP_BYTES_MAX)]
    TooLong,
    #[error("more errors follow, these are the first")]
    MoreErrors,
}

/// One line.
#[derive(Clone, Debug)]
struct Line {
    number: usize,
    claim: ClaimName,
    value: Pattern,
    role: RolePattern,
    timeouts: MappedTimeouts,
}

#[derive(Clone, Debug)]
enum Pattern {
    Exact(Box<str>),
    /// Shared by the copies of the file that are in force.
    Regex(Arc<Regex>),
}

impl ClaimsMap {
    /// Reads the text of the file `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<MapError>> {
        let mut reader = Reader { file: file.into(), map: Self::default(), lines: 0, patterns: 0 };
        let mut errors = Vec::new();
        if text.len() > limits::CLAIMS_MAP_BYTES_MAX {
            return Err(vec![reader.error(0, WrongLine::TooLong)]);
        }
        for (line, number) in text.split('\n').zip(1..) {
            let Err(wrong) = reader.line(line, number) else { continue };
            let is_cut = errors.len() >= limits::CONFIG_ERRORS_MAX;
            let wrong = if is_cut { WrongLine::MoreErrors } else { wrong };
            let is_the_end = is_cut || matches!(wrong, WrongLine::TooManyLines | WrongLine::TooManyPatterns);
            errors.push(reader.error(number, wrong));
            if is_the_end {
                break;
            }
        }
        if errors.is_empty() { Ok(reader.map) } else { Err(errors) }
    }

    /// Whether there is a map of that name.
    pub fn has(&self, map: &str) -> bool {
        self.maps.contains_key(map)
    }

    /// Whether a line of that map gives, or may give, another role than `role`.
    pub fn gives_others(&self, map: &str, role: &str) -> bool {
        let mut lines = self.maps.get(map).into_iter().flatten();
        lines.any(|line| !line.role.is_written() || !line.role.can_be(role))
    }

    /// Whether the holder of these claims may log in as `role` by that map; the first line that says so
    /// counts. `None`: no line does.
    pub fn admits(&self, map: &str, claims: &Claims, role: &str) -> Option<Admitted> {
        self.first(map, claims, role, |_| true)
    }

    /// As [`ClaimsMap::admits`], by lines in which the role is written as it is: none that is made of a
    /// claim's text.
    pub fn admits_as_written(&self, map: &str, claims: &Claims, role: &str) -> Option<Admitted> {
        self.first(map, claims, role, |line| line.role.is_written())
    }

    fn first(
        &self,
        map: &str,
        claims: &Claims,
        role: &str,
        counts: impl Fn(&Line) -> bool,
    ) -> Option<Admitted> {
        let mut lines = self.maps.get(map)?.iter().filter(|line| line.role.can_be(role) && counts(line));
        let line = lines.find(|line| line.fits(claims, role))?;
        Some(Admitted { line: line.number, timeouts: line.timeouts })
    }
}

impl Line {
    fn fits(&self, claims: &Claims, role: &str) -> bool {
        claims.texts(&self.claim).iter().any(|text| match &self.value {
            Pattern::Exact(value) => **value == **text,
            Pattern::Regex(pattern) => {
                let groups = pattern.captures(text.as_bytes());
                groups.is_some_and(|groups| self.role.is(role, &groups))
            }
        })
    }
}

/// A file that is being read.
struct Reader {
    file: Arc<str>,
    map: ClaimsMap,
    lines: usize,
    patterns: usize,
}

impl Reader {
    fn error(&self, number: u32, wrong: WrongLine) -> MapError {
        MapError { place: Place { file: Arc::clone(&self.file), line: number }, wrong }
    }

    fn line(&mut self, line: &str, number: u32) -> Result<(), WrongLine> {
        let mut tokens = Tokens::of(line.as_bytes())?;
        if tokens.is_at_end() {
            return Ok(());
        }
        if self.lines >= limits::CLAIMS_MAP_LINES_MAX {
            return Err(WrongLine::TooManyLines);
        }
        self.lines += 1;
        let is_bare = |token: &Token, text: &str| matches!(token, Token::Word(word) if word == text);
        if ["include", "%include", "include_if_exists", "include_dir"]
            .iter()
            .any(|word| is_bare(tokens.current(), word))
        {
            return Err(WrongLine::Include);
        }
        let mut name =
            || tokens.take()?.into_name().filter(|name| !name.is_empty()).ok_or(WrongLine::Missing);
        let (map, claim, value) = (name()?, name()?, name()?);
        let claim = ClaimName::named(&claim).map_err(WrongLine::Claim)?;
        let (value, groups) = self.value(&value)?;
        let role = match tokens.take()? {
            Token::Word(word) => RolePattern::of_word(&word, groups),
            Token::Quoted(name) => RolePattern::of_name(&name, groups),
            Token::Comma | Token::End => return Err(WrongLine::Missing),
        };
        let role = role.map_err(WrongLine::Role)?;
        let timeouts = timeouts(&mut tokens)?;
        let line = Line { number: number as usize, claim, value, role, timeouts };
        self.map.maps.entry(map.into()).or_default().push(line);
        Ok(())
    }

    /// What a claim's text is compared with, and how many groups that has.
    fn value(&mut self, value: &str) -> Result<(Pattern, usize), WrongLine> {
        let Some(pattern) = value.strip_prefix('/') else { return Ok((Pattern::Exact(value.into()), 0)) };
        if pattern.is_empty() {
            return Err(WrongLine::EmptyPattern);
        }
        if self.patterns >= limits::CLAIMS_MAP_PATTERNS_MAX {
            return Err(WrongLine::TooManyPatterns);
        }
        self.patterns += 1;
        let (whole, _) = pattern::whole(pattern).map_err(|why| WrongLine::BadPattern { why })?;
        let groups = whole.captures_len() - 1;
        Ok((Pattern::Regex(Arc::new(whole)), groups))
    }
}

/// What follows the role.
fn timeouts(tokens: &mut Tokens<'_>) -> Result<MappedTimeouts, WrongLine> {
    let mut timeouts = MappedTimeouts::default();
    while !tokens.is_at_end() {
        let Token::Word(word) = tokens.take()? else { return Err(WrongLine::Words(Wrong::Excess)) };
        let (option, place, seconds) = match word.split_once('=') {
            Some(("query_timeout", seconds)) => ("query_timeout", &mut timeouts.query, seconds),
            Some(("transaction_timeout", seconds)) => {
                ("transaction_timeout", &mut timeouts.transaction, seconds)
            }
            _ => return Err(WrongLine::UnknownOption(shown(&word))),
        };
        let bad = |_| WrongLine::BadTimeout { option, accepted: Micros::accepted() };
        let span = <Micros as Value>::parse(seconds).map_err(bad)?;
        if place.replace(span).is_some() {
            return Err(WrongLine::OptionTwice(option));
        }
    }
    Ok(timeouts)
}

impl From<Wrong> for WrongLine {
    fn from(wrong: Wrong) -> Self {
        Self::Words(wrong)
    }
}

#[cfg(test)]
mod tests;
