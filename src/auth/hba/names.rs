//! A rule's list of databases or of users.
//!
//! Both columns have the same form: names, `@FILE` with more of them, and the keywords `all`, `sameuser` and
//! `replication`. Groups are nobody's names: a rule that has one is left out. Source: PgBouncer, src/hba.c
//! (parse_names(), name_match()).

use super::error::{Unsupported, Wrong};
use super::files::{Files, beside};
use super::name_set::NameSet;
use super::tokens::{Token, Tokens};
use super::words::doubt_name;
use crate::base::limits;
use crate::config::{Place, shown};
use std::sync::Arc;

/// Which databases, or which users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    is_all: bool,
    is_same_user: bool,
    /// Physical replication connections, which have no database.
    pub(super) is_replication: bool,
    names: NameSet,
}

/// A list as far as it is read.
#[derive(Default)]
struct Reading {
    keywords: Names,
    /// Each with a zero byte behind it.
    names: Vec<u8>,
    /// The first group among them.
    group: Option<Unsupported>,
}

impl Names {
    /// The list at the front of `tokens`, which stand at `place`; and what of it keeps a rule from being read
    /// as it is meant.
    pub(super) fn read(
        tokens: &mut Tokens<'_>,
        files: &mut Files<'_>,
        place: &Place,
    ) -> Result<(Self, Option<Unsupported>), Wrong> {
        let mut reading = Reading::default();
        reading.add_list(tokens, files, place, 0)?;
        Ok((Self { names: NameSet::of(&reading.names), ..reading.keywords }, reading.group))
    }

    /// The names, where nothing else is one of them.
    pub(super) fn only_names(&self) -> Option<&NameSet> {
        let has_others = self.is_all || self.is_same_user || self.is_replication;
        (!has_others).then_some(&self.names)
    }

    /// Whether every name that is one of `other` is one of these, too.
    pub(super) fn cover(&self, other: &Self) -> bool {
        let has_all = || {
            let has_keywords = !other.is_all && (self.is_same_user || !other.is_same_user);
            has_keywords && other.names.iter().all(|name| self.names.has(name))
        };
        (self.is_replication || !other.is_replication) && (self.is_all || has_all())
    }

    /// Whether `name` is one of them with some other column.
    pub(super) fn may_have(&self, name: &str) -> bool {
        self.is_all || self.is_same_user || self.names.has(name.as_bytes())
    }

    /// Whether `name` is one of them; `sameuser` means that it is the same as `other`, the other column's.
    pub(super) fn has(&self, name: &str, other: &str) -> bool {
        self.is_all || (self.is_same_user && name == other) || self.names.has(name.as_bytes())
    }
}

impl Reading {
    fn add_list(
        &mut self,
        tokens: &mut Tokens<'_>,
        files: &mut Files<'_>,
        place: &Place,
        depth: usize,
    ) -> Result<(), Wrong> {
        loop {
            let token = tokens.take()?;
            doubt_name(files, place, &token);
            match token {
                Token::Word(word) => self.add_word(&word, files, place, depth)?,
                Token::Quoted(name) => self.add_name(&name),
                Token::Comma | Token::End => return Err(Wrong::NoName),
            }
            if !tokens.take_if(&Token::Comma)? {
                return Ok(());
            }
        }
    }

    fn add_word(
        &mut self,
        word: &str,
        files: &mut Files<'_>,
        place: &Place,
        depth: usize,
    ) -> Result<(), Wrong> {
        match word {
            "all" => self.keywords.is_all = true,
            "sameuser" => self.keywords.is_same_user = true,
            "replication" => self.keywords.is_replication = true,
            "samerole" | "samegroup" => self.add_group(word),
            group if group.starts_with('+') => self.add_group(group),
            list if list.starts_with('@') => {
                return self.add_file(&beside(&place.file, &list[1..]), files, depth + 1);
            }
            name => self.add_name(name),
        }
        Ok(())
    }

    fn add_name(&mut self, name: &str) {
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
    }

    fn add_group(&mut self, group: &str) {
        self.group.get_or_insert_with(|| Unsupported::Group(shown(group)));
    }

    /// Adds the names that a file has, on whatever lines.
    fn add_file(&mut self, path: &str, files: &mut Files<'_>, depth: usize) -> Result<(), Wrong> {
        if depth > limits::HBA_DEPTH_MAX {
            return Err(Wrong::TooDeep);
        }
        let (bytes, file) = (files.open(path)?, Arc::<str>::from(path));
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            let place = Place { file: Arc::clone(&file), line: number };
            let added = self.add_line(line, files, &place, depth);
            added.map_err(|wrong| Wrong::Inside { place, wrong: Box::new(wrong) })?;
        }
        Ok(())
    }

    fn add_line(
        &mut self,
        line: &[u8],
        files: &mut Files<'_>,
        place: &Place,
        depth: usize,
    ) -> Result<(), Wrong> {
        let mut tokens = Tokens::of(line)?;
        if tokens.is_at_end() {
            return Ok(());
        }
        self.add_list(&mut tokens, files, place, depth)?;
        if tokens.is_at_end() { Ok(()) } else { Err(Wrong::NoComma) }
    }
}
