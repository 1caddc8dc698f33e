//! One line of an hba file to a rule.
//!
//! A line that PostgreSQL would go by and PgBouncer leaves out is left out here, too, and told; but a
//! `reject` that is left out opens a door, so that it refuses the file. What PostgreSQL would not read either
//! refuses the file in any case. Source: PgBouncer, src/hba.c (parse_line(), parse_map_definition()).

use super::address::Addresses;
use super::doubt::doubt_method;
use super::error::{Doubt, Unsupported, Wrong};
use super::files::Files;
use super::ident::{IdentMap, IdentMaps};
use super::names::Names;
use super::rule::{Kind, Rule};
use super::tokens::{Token, Tokens};
use crate::auth::Method;
use crate::auth::ldap::LdapOptions;
use crate::config::{Place, keyword_shown, shown};
use std::sync::Arc;

/// Methods of PostgreSQL's that a pooler has no use for, or not in rules.
const ONLY_POSTGRESQL: [&str; 7] = ["bsd", "gss", "ident", "oauth", "pam", "radius", "sspi"];

/// Connections that are encrypted by GSSAPI: there are none.
const GSS: &str = "hostgssenc";

/// `TYPE DATABASES USERS [ADDRESSES] METHOD [map=NAME | OPTIONS of LDAP]`; `None`: it is left out.
pub(super) fn rule(
    files: &mut Files<'_>,
    place: &Place,
    mut tokens: Tokens<'_>,
    maps: &IdentMaps,
) -> Result<Option<Rule>, Wrong> {
    let (kind, of_gss) = kind(&mut tokens)?;
    let (databases, of_databases) = Names::read(&mut tokens, files, place)?;
    let (users, of_users) = Names::read(&mut tokens, files, place)?;
    let addresses = match kind {
        Kind::Local => Ok(Addresses::All),
        Kind::Host | Kind::HostSsl | Kind::HostNoSsl => Addresses::read(&mut tokens)?,
    };
    let method = method(&mut tokens)?;
    let never_fits = matches!(&of_gss, Some(Unsupported::Gss(word)) if word == GSS);
    let (addresses, method) = match (of_gss.or(of_databases).or(of_users), addresses, method) {
        (None, Ok(addresses), Ok(method)) => (addresses, method),
        (Some(why), _, method) | (None, Err(why), method) => {
            let opens = method == Ok(Method::Reject) && !never_fits;
            return if opens { Err(Wrong::RejectLeftOut(why)) } else { Ok(left_out(files, place, why)) };
        }
        (None, Ok(_), Err(why)) => return Ok(left_out(files, place, why)),
    };
    if method == Method::Ldap {
        let ldap = LdapOptions::parse(tokens.rest()).map_err(Wrong::Ldap)?;
        let (ldap, place) = (Some(Arc::new(ldap)), place.clone());
        return Ok(Some(Rule { place, method, map: None, ldap, kind, databases, users, addresses }));
    }
    let map = match map(&mut tokens, maps)? {
        Ok(map) => map,
        Err(why) if method == Method::Reject => return Err(Wrong::RejectLeftOut(why)),
        Err(why) => return Ok(left_out(files, place, why)),
    };
    doubt_method(files, place, kind, method);
    if let Some((address, mask)) = addresses.impossible() {
        files.doubt(Doubt::NeverFits { place: place.clone(), address, mask });
    }
    if let Some(map) = map.as_ref().filter(|_| !method.takes_map()) {
        files.doubt(Doubt::IdleMap { place: place.clone(), map: shown(&map.name) });
    }
    Ok(Some(Rule { place: place.clone(), method, map, ldap: None, kind, databases, users, addresses }))
}

fn left_out(files: &mut Files<'_>, place: &Place, why: Unsupported) -> Option<Rule> {
    files.doubt(Doubt::LeftOut { place: place.clone(), why });
    None
}

/// For which connections the rule is, and whether it asks how they are encrypted by GSSAPI.
fn kind(tokens: &mut Tokens<'_>) -> Result<(Kind, Option<Unsupported>), Wrong> {
    let found = match tokens.current() {
        Token::Word(word) if word == GSS || word == "hostnogssenc" => {
            Some((Kind::Host, Some(Unsupported::Gss(word.clone()))))
        }
        Token::Word(word) => Kind::of(word).map(|kind| (kind, None)),
        _ => None,
    };
    let found = found.ok_or(Wrong::UnknownType)?;
    tokens.take()?;
    Ok(found)
}

fn method(tokens: &mut Tokens<'_>) -> Result<Result<Method, Unsupported>, Wrong> {
    let method = match tokens.current() {
        Token::End => return Err(Wrong::NoMethod),
        Token::Word(word) => match Method::of_rule(word) {
            Some(Method::Ldap) => return Ok(Ok(Method::Ldap)), // its options have another form
            Some(method) => method,
            None if ONLY_POSTGRESQL.contains(&&**word) => {
                return Ok(Err(Unsupported::Method(word.clone()))); // what follows is its own
            }
            None => return Err(Wrong::UnsupportedMethod(keyword_shown(word))),
        },
        other => return Err(Wrong::UnsupportedMethod(keyword_shown(other.text()))),
    };
    tokens.take()?;
    Ok(Ok(method))
}

/// `map=NAME`, if there is one, and nothing else.
fn map(
    tokens: &mut Tokens<'_>,
    maps: &IdentMaps,
) -> Result<Result<Option<Arc<IdentMap>>, Unsupported>, Wrong> {
    let mut map = None;
    while !tokens.is_at_end() {
        let (name, value) = match tokens.current() {
            Token::Word(word) => word.split_once('='),
            _ => None,
        }
        .ok_or(Wrong::Excess)?;
        if name != "map" || map.is_some() {
            return Ok(Err(Unsupported::Parameter(keyword_shown(name))));
        }
        let Some(named) = maps.named(value) else { return Ok(Err(Unsupported::UnknownMap(shown(value)))) };
        map = Some(Arc::clone(named));
        tokens.take()?;
    }
    Ok(Ok(map))
}
