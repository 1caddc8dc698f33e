//! User name maps: for which users a name that something else has proven is good.
//!
//! A line is `MAP SYSTEM-NAME USER`, where USER is a name or `all`. Names are names: no regular expressions
//! and no groups, as with PgBouncer (doc/config.md, "Ident map file format"; src/hba.c, parse_ident_line()).

use super::Read;
use super::error::{Doubt, FileError, FileKind, Wrong};
use super::files::Files;
use super::tokens::{Token, Tokens};
use super::words::{doubt_name, doubt_pattern};
use crate::config::Place;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The maps of an ident file, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentMaps(BTreeMap<Box<str>, Arc<IdentMap>>);

/// One map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentMap {
    /// Its name.
    pub name: Box<str>,
    /// By user: those for all are the first.
    lines: Box<[Mapping]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    system_name: Box<str>,
    /// `None`: all users.
    user: Option<Box<str>>,
}

impl IdentMap {
    /// The name by which its holder may be `user`: the first for which `holds` is true.
    pub fn name_for(&self, user: &str, holds: impl Fn(&str) -> bool) -> Option<&str> {
        let for_all = self.lines.partition_point(|line| line.user.is_none());
        let (for_all, others) = self.lines.split_at(for_all);
        let begin = others.partition_point(|line| line.user.as_deref() < Some(user));
        let own = others[begin..].iter().take_while(|line| line.user.as_deref() == Some(user));
        for_all.iter().chain(own).map(|line| &*line.system_name).find(|name| holds(name))
    }
}

impl IdentMaps {
    /// Reads the maps of the file `path`, and what is to be said about them.
    ///
    /// # Errors
    /// Everything that is wrong with the file, and with those that it includes.
    pub fn load(path: &str, read: Read<'_>) -> Result<(Self, Vec<Doubt>), Vec<FileError>> {
        let mut files = Files::new(FileKind::Ident, read);
        let mut maps: BTreeMap<Box<str>, Vec<Mapping>> = BTreeMap::new();
        files.each_line(path, &mut |files, place, tokens| {
            let (name, mapping) = mapping(files, place, tokens)?;
            maps.entry(name).or_default().push(mapping);
            Ok(())
        });
        let maps = maps.into_iter().map(|(name, mut lines)| {
            lines.sort_by(|one, other| one.user.cmp(&other.user));
            let map = IdentMap { name: name.clone(), lines: lines.into() };
            (name, Arc::new(map))
        });
        files.end(Self(maps.collect()))
    }

    /// The map of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<IdentMap>> {
        self.0.get(name)
    }
}

fn mapping(
    files: &mut Files<'_>,
    place: &Place,
    mut tokens: Tokens<'_>,
) -> Result<(Box<str>, Mapping), Wrong> {
    let Token::Word(map) = tokens.take()? else { return Err(Wrong::NoName) };
    let system = tokens.take()?;
    doubt_pattern(files, place, &system);
    let system_name = system.into_name().ok_or(Wrong::NoName)?;
    let user = tokens.take()?;
    doubt_name(files, place, &user);
    let user = match user {
        Token::Word(word) if word == "all" => None,
        other => Some(other.into_name().ok_or(Wrong::NoName)?.into()),
    };
    if !tokens.is_at_end() {
        return Err(Wrong::Excess);
    }
    Ok((map.into(), Mapping { system_name: system_name.into(), user }))
}
