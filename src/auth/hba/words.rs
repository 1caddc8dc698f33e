//! Names that look like something else: keywords that have lost their meaning, what PostgreSQL alone takes
//! for a pattern. They are told, and names all the same.
//!
//! Source: PostgreSQL documentation, "The pg_hba.conf File"; PgBouncer, doc/config.md ("HBA file format").

use super::error::{Doubt, FileKind};
use super::files::Files;
use super::tokens::Token;
use crate::config::{Place, shown};

/// Words that mean more than a name, where they stand bare and in small letters. `"replication"` is missing:
/// quotes are how a database of that name is written.
const KEYWORDS: [&str; 4] = ["all", "sameuser", "samerole", "samegroup"];

/// A name that has been a keyword, or that PostgreSQL takes for a pattern.
pub(super) fn doubt_name(files: &mut Files<'_>, place: &Place, token: &Token) {
    let (name, text) = match token {
        Token::Word(word) => (word, shown(word)),
        Token::Quoted(name) => (name, format!("\"{}\"", shown(name))),
        Token::Comma | Token::End => return,
    };
    let is_keyword = |keyword: &&&str| name.eq_ignore_ascii_case(keyword) && text != **keyword;
    let keyword = if *name == "*" { Some(&"all") } else { KEYWORDS.iter().find(is_keyword) };
    match keyword {
        Some(keyword) => files.doubt(Doubt::NoKeyword { place: place.clone(), name: text, keyword }),
        None => doubt_pattern(files, place, token),
    }
}

/// PostgreSQL takes `/…` for a regular expression, and `+…` for a group; `+…` in rules never comes here.
pub(super) fn doubt_pattern(files: &mut Files<'_>, place: &Place, token: &Token) {
    let text = token.text();
    let is_of_ident = files.kind() == FileKind::Ident;
    let is_group = is_of_ident && matches!(token, Token::Word(_)) && text.starts_with('+');
    if text.starts_with('/') || is_group {
        files.doubt(Doubt::PlainName { place: place.clone(), name: shown(text) });
    }
}
