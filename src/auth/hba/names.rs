//! A rule's list of databases or of users.
//!
//! Both columns have the same form: names, `@FILE` with more of them, and the keywords `all`, `sameuser` and
//! `replication`. Groups are nobody's names: a rule that has one is left out. Source: PgBouncer, src/hba.c
//! (parse_names(), name_match()).

use super::error::{Unsupported, Wrong};
use super::files::{Files, beside};
use super::name_set::NameSet;
use super::tokens::{Token, Tokens};
use crate::base::limits;
use crate::config::{Place, shown};

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
    /// The list at the front of `tokens`, which stand in the file `file`; and what of it keeps a rule from
    /// being read as it is meant.
    pub(super) fn read(
        tokens: &mut Tokens<'_>,
        files: &mut Files<'_>,
        file: &str,
    ) -> Result<(Self, Option<Unsupported>), Wrong> {
        let mut reading = Reading::default();
        reading.add_list(tokens, files, file, 0)?;
        Ok((Self { names: NameSet::of(&reading.names), ..reading.keywords }, reading.group))
    }

    /// The names, where nothing else is one of them.
    pub(super) fn only_names(&self) -> Option<&NameSet> {
        let has_others = self.is_all || self.is_same_user || self.is_replication;
        (!has_others).then_some(&self.names)
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
        file: &str,
        depth: usize,
    ) -> Result<(), Wrong> {
        loop {
            match tokens.take()? {
                Token::Word(word) => self.add_word(word, files, file, depth)?,
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
        word: String,
        files: &mut Files<'_>,
        file: &str,
        depth: usize,
    ) -> Result<(), Wrong> {
        match &*word {
            "all" => self.keywords.is_all = true,
            "sameuser" => self.keywords.is_same_user = true,
            "replication" => self.keywords.is_replication = true,
            "samerole" | "samegroup" => self.add_group(&word),
            group if group.starts_with('+') => self.add_group(group),
            list if list.starts_with('@') => {
                return self.add_file(&beside(file, &list[1..]), files, depth + 1);
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
        let bytes = files.open(path)?;
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            self.add_line(line, files, path, depth).map_err(|wrong| {
                let place = Place { file: path.into(), line: number };
                Wrong::Inside { place, wrong: Box::new(wrong) }
            })?;
        }
        Ok(())
    }

    fn add_line(
        &mut self,
        line: &[u8],
        files: &mut Files<'_>,
        path: &str,
        depth: usize,
    ) -> Result<(), Wrong> {
        let mut tokens = Tokens::of(line)?;
        if tokens.is_at_end() {
            return Ok(());
        }
        self.add_list(&mut tokens, files, path, depth)?;
        if tokens.is_at_end() { Ok(()) } else { Err(Wrong::NoComma) }
    }
}
