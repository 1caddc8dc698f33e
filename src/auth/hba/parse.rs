//! One line of an hba file to a rule.
//!
//! A line that PostgreSQL would go by and PgBouncer leaves out is left out here, too, and told; but a
//! `reject` that is left out opens a door, so that it refuses the file. What PostgreSQL would not read either
//! refuses the file in any case. Source: PgBouncer, src/hba.c (parse_line(), parse_map_definition()).

use super::address::Addresses;
use super::doubt::doubt_rule;
use super::error::{Doubt, Unsupported, Wrong};
use super::files::Files;
use super::ident::{IdentMap, IdentMaps};
use super::names::Names;
use super::rule::{ClaimsMapName, Kind, Options, Rule};
use super::tokens::{Token, Tokens};
use crate::auth::Method;
use crate::auth::jwt::JwtOptions;
use crate::auth::ldap::LdapOptions;
use crate::config::{Place, keyword_shown, shown};
use std::sync::Arc;

/// Methods of PostgreSQL's that a pooler has no use for, or not in rules.
const ONLY_POSTGRESQL: [&str; 7] = ["bsd", "gss", "ident", "oauth", "pam", "radius", "sspi"];

/// Connections that are encrypted by GSSAPI: there are none.
const GSS: &str = "hostgssenc";

/// Why a line becomes no rule.
enum NoRule {
    /// It is left out.
    LeftOut(Unsupported),
    /// It refuses the file.
    Wrong(Wrong),
}

impl NoRule {
    /// In a line of this method: a `reject` may be left out only where it fits nobody.
    fn in_line_of(self, method: Method) -> Self {
        let fits_nobody = |why: &Unsupported| matches!(why, Unsupported::Gss(word) if word == GSS);
        match self {
            Self::LeftOut(why) if method == Method::Reject && !fits_nobody(&why) => {
                Self::Wrong(Wrong::RejectLeftOut(why))
            }
            other => other,
        }
    }
}

impl From<Wrong> for NoRule {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

/// The rule of a line; `None`: it is left out.
pub(super) fn rule(
    files: &mut Files<'_>,
    place: &Place,
    tokens: Tokens<'_>,
    maps: &IdentMaps,
) -> Result<Option<Rule>, Wrong> {
    match read(files, place, tokens, maps) {
        Ok(rule) => Ok(Some(rule)),
        Err(NoRule::LeftOut(why)) => {
            files.doubt(Doubt::LeftOut { place: place.clone(), why });
            Ok(None)
        }
        Err(NoRule::Wrong(wrong)) => Err(wrong),
    }
}

/// `TYPE DATABASES USERS [ADDRESSES] METHOD [map=NAME | OPTIONS of LDAP or JWT]`.
fn read(
    files: &mut Files<'_>,
    place: &Place,
    mut tokens: Tokens<'_>,
    maps: &IdentMaps,
) -> Result<Rule, NoRule> {
    let (kind, of_gss) = kind(&mut tokens)?;
    let (databases, of_databases) = Names::read(&mut tokens, files, place)?;
    let (users, of_users) = Names::read(&mut tokens, files, place)?;
    let (addresses, of_addresses) = match kind {
        Kind::Local => (Addresses::All, None),
        Kind::Host | Kind::HostSsl | Kind::HostNoSsl => Addresses::read(&mut tokens)?,
    };
    let method = method(&mut tokens)?;
    if let Some(why) = of_gss.or(of_databases).or(of_users).or(of_addresses) {
        return Err(NoRule::LeftOut(why).in_line_of(method));
    }
    let options = options(method, &mut tokens, maps)?;
    let place = place.clone();
    let rule = Rule { place, method, options, kind, databases, users, addresses };
    doubt_rule(files, &rule);
    Ok(rule)
}

/// What stands behind the method.
fn options(method: Method, tokens: &mut Tokens<'_>, maps: &IdentMaps) -> Result<Options, NoRule> {
    Ok(match method {
        Method::Ldap => Options::Ldap(Arc::new(LdapOptions::parse(tokens.rest()).map_err(Wrong::Ldap)?)),
        Method::Jwt => Options::Jwt(Arc::new(JwtOptions::parse(tokens.rest()).map_err(Wrong::Jwt)?)),
        Method::IamCaller | Method::RdsIam => match claims_map_named(tokens)? {
            Some(_) if method == Method::RdsIam => return Err(Wrong::Excess.into()), // it names the role
            Some(map) => Options::ClaimsMap(Arc::new(ClaimsMapName(map))),
            None => Options::None,
        },
        _ => {
            let map = map_named(tokens, maps).map_err(|why| why.in_line_of(method))?;
            map.map_or(Options::None, Options::Map)
        }
    })
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

fn method(tokens: &mut Tokens<'_>) -> Result<Method, NoRule> {
    let method = match tokens.current() {
        Token::End => return Err(Wrong::NoMethod.into()),
        Token::Word(word) => match Method::of_rule(word) {
            Some(method @ (Method::Ldap | Method::Jwt)) => return Ok(method), // its options have another form
            Some(method) => method,
            None if ONLY_POSTGRESQL.contains(&&**word) => {
                return Err(NoRule::LeftOut(Unsupported::Method(word.clone()))); // what follows is its own
            }
            None => return Err(Wrong::UnsupportedMethod(keyword_shown(word)).into()),
        },
        other => return Err(Wrong::UnsupportedMethod(keyword_shown(other.text())).into()),
    };
    tokens.take()?;
    Ok(method)
}

/// `map=NAME` of the file of claims, if there is one, and nothing else. What else stands there might narrow
/// whom the rule lets in: it refuses the file.
fn claims_map_named(tokens: &mut Tokens<'_>) -> Result<Option<Arc<str>>, Wrong> {
    let mut map = None;
    while let Some((name, value)) = parameter(tokens)? {
        if name != "map" || value.is_empty() || map.is_some() {
            return Err(Wrong::Excess);
        }
        map = Some(value.into());
    }
    Ok(map)
}

/// The next `NAME=VALUE`; `None`: the line is over.
fn parameter(tokens: &mut Tokens<'_>) -> Result<Option<(String, String)>, Wrong> {
    let found = match tokens.take()? {
        Token::End => return Ok(None),
        Token::Word(word) => word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())),
        _ => None,
    };
    found.map(Some).ok_or(Wrong::Excess)
}

/// `map=NAME`, if there is one, and nothing else.
fn map_named(tokens: &mut Tokens<'_>, maps: &IdentMaps) -> Result<Option<Arc<IdentMap>>, NoRule> {
    let mut map = None;
    while let Some((name, value)) = parameter(tokens)? {
        if name != "map" || map.is_some() {
            return Err(NoRule::LeftOut(Unsupported::Parameter(keyword_shown(&name))));
        }
        let unknown = || NoRule::LeftOut(Unsupported::UnknownMap(shown(&value)));
        map = Some(Arc::clone(maps.named(&value).ok_or_else(unknown)?));
    }
    Ok(map)
}
