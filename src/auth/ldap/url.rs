//! `ldapurl`: `ldap[s]://HOST[:PORT]/BASE[?[ATTRIBUTE][?[SCOPE][?[FILTER]]]]`.
//!
//! Source: RFC 4516; PostgreSQL documentation, "LDAP Authentication" (an attribute alone is taken, the scope
//! is `base` where none is named).

use super::LdapScope;
use std::num::NonZeroU16;

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub is_tls: bool,
    pub host: String,
    pub port: Option<u16>,
    pub base: String,
    pub attribute: Option<String>,
    pub scope: LdapScope,
    pub filter: Option<String>,
}

/// Reads a URL.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    let is_tls = match scheme.to_ascii_lowercase().as_str() {
        "ldap" => false,
        "ldaps" => true,
        _ => return Err("its scheme is neither ldap nor ldaps"),
    };
    let (place, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host_and_port(place)?;
    let mut parts = rest.splitn(5, '?').map(decoded);
    let mut part = || parts.next().transpose().map(Option::unwrap_or_default);
    let (base, attributes, scope, filter) = (part()?, part()?, part()?, part()?);
    if part()?.split(',').any(|extension| extension.starts_with('!')) {
        return Err("it has an extension that is critical and unknown");
    }
    let attribute = attributes.split(',').next().filter(|first| !first.is_empty()).map(str::to_owned);
    let scope = match scope.to_ascii_lowercase().as_str() {
        "" | "base" => LdapScope::Base,
        "one" => LdapScope::One,
        "sub" => LdapScope::Subtree,
        _ => return Err("its scope is none of base, one, sub"),
    };
    Ok(Url {
        is_tls,
        host,
        port,
        base,
        attribute,
        scope,
        filter: Some(filter).filter(|text| !text.is_empty()),
    })
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), &'static str> {
    const WRONG: &str = "its port is no number from 1 to 65535";
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or("its address is not closed")?;
            (host, behind.strip_prefix(':'))
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(|port| port.parse().map(NonZeroU16::get).map_err(|_| WRONG)).transpose()?;
    Ok((decoded(host)?, port))
}

/// `text` without percent-encoding.
fn decoded(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "its percent-encoding is wrong";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = if *first == b'%' {
            let (digits, behind) = behind.split_at_checked(2).ok_or(WRONG)?;
            let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
            let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex).ok_or(WRONG)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| WRONG)?);
            behind
        } else {
            bytes.push(*first);
            behind
        };
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}
