//! One line of an hba file to a rule.
//!
//! Source: PgBouncer, src/hba.c (parse_line(), parse_map_definition()).

use super::address::Addresses;
use super::error::{Doubt, Wrong};
use super::files::Files;
use super::ident::{IdentMap, IdentMaps};
use super::names::Names;
use super::rule::{Kind, Rule};
use super::tokens::{Token, Tokens};
use crate::auth::Method;
use crate::config::{Place, shown};
use std::sync::Arc;

/// Methods that PgBouncer has and we have not yet: a rule that could not be kept is no rule.
const UNAVAILABLE: [&str; 1] = ["ldap"];

/// `TYPE DATABASES USERS [ADDRESSES] METHOD [map=NAME]`.
pub(super) fn rule(
    files: &mut Files<'_>,
    place: &Place,
    mut tokens: Tokens<'_>,
    maps: &IdentMaps,
) -> Result<Rule, Wrong> {
    let kind = match tokens.current() {
        Token::Word(word) => Kind::of(word),
        _ => None,
    };
    let kind = kind.ok_or_else(|| Wrong::UnknownType(shown(tokens.current().text())))?;
    tokens.take()?;
    let databases = Names::read(&mut tokens, files, &place.file)?;
    let users = Names::read(&mut tokens, files, &place.file)?;
    let addresses = match kind {
        Kind::Local => Addresses::All,
        Kind::Host | Kind::HostSsl | Kind::HostNoSsl => Addresses::read(&mut tokens)?,
    };
    if let Some((address, mask)) = addresses.impossible() {
        files.doubt(Doubt::NeverFits { place: place.clone(), address, mask });
    }
    let method = method(&mut tokens)?;
    let map = map(&mut tokens, maps)?;
    if !tokens.is_at_end() {
        return Err(Wrong::Excess(shown(tokens.current().text())));
    }
    if let Some(map) = map.as_ref().filter(|_| !method.takes_map()) {
        files.doubt(Doubt::IdleMap { place: place.clone(), map: shown(&map.name) });
    }
    Ok(Rule { place: place.clone(), method, map, kind, databases, users, addresses })
}

fn method(tokens: &mut Tokens<'_>) -> Result<Method, Wrong> {
    match tokens.current() {
        Token::End => Err(Wrong::NoMethod),
        Token::Word(word) if UNAVAILABLE.contains(&&**word) => Err(Wrong::Unavailable(word.clone())),
        Token::Word(word) => {
            let method = Method::of_rule(word).ok_or_else(|| Wrong::UnsupportedMethod(shown(word)))?;
            tokens.take()?;
            Ok(method)
        }
        other => Err(Wrong::UnsupportedMethod(shown(other.text()))),
    }
}

fn map(tokens: &mut Tokens<'_>, maps: &IdentMaps) -> Result<Option<Arc<IdentMap>>, Wrong> {
    let Token::Word(word) = tokens.current() else { return Ok(None) };
    let name = word.strip_prefix("map=").ok_or_else(|| Wrong::MalformedMap(shown(word)))?;
    let map = maps.named(name).ok_or_else(|| Wrong::UnknownMap(shown(name)))?;
    let map = Arc::clone(map);
    tokens.take()?;
    Ok(Some(map))
}
