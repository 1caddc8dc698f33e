//! Rules that are certainly not meant as they stand, since they let in whom they look to keep out, or nobody:
//! methods that nobody can meet, rules that are never reached.
//!
//! Source: PostgreSQL documentation, "The pg_hba.conf File"; PgBouncer, doc/config.md ("HBA file format").

use super::error::Doubt;
use super::files::Files;
use super::rule::{Kind, Rule};
use crate::auth::{Method, Question};
use crate::base::limits;
use crate::config::{Place, shown};

/// What of a rule has no effect, or keeps it from ever letting somebody in.
pub(super) fn doubt_rule(files: &mut Files<'_>, rule: &Rule) {
    let place = &rule.place;
    doubt_method(files, place, rule.kind, rule.method);
    if let Some((address, mask)) = rule.addresses.impossible() {
        files.doubt(Doubt::NeverFits { place: place.clone(), address, mask });
    }
    if let Some(map) = rule.map().filter(|_| !rule.method.takes_map()) {
        files.doubt(Doubt::IdleMap { place: place.clone(), map: shown(&map.name) });
    }
}

/// A method that those for whom the rule is cannot meet.
fn doubt_method(files: &mut Files<'_>, place: &Place, kind: Kind, method: Method) {
    let (what, way) = match (method, kind) {
        (Method::Peer, Kind::Host | Kind::HostSsl | Kind::HostNoSsl) => ("account", "TCP"),
        (Method::Cert, Kind::Local) => ("certificate", "a Unix socket"),
        (Method::Cert, Kind::HostNoSsl) => ("certificate", "TCP without TLS"),
        _ => return,
    };
    files.doubt(Doubt::Unmet { place: place.clone(), what, way });
}

/// Rules that are never reached, since one in front that asks for less fits first. So many comparisons at the
/// most: of more rules, only those in front that are for all databases or users are looked at.
pub(super) fn doubt_order(files: &mut Files<'_>, rules: &[Rule]) {
    let most = limits::HBA_COMPARISONS_MAX / rules.len().max(1);
    let is_wide = |rule: &Rule| rule.users.only_names().is_none() || rule.databases.only_names().is_none();
    let mut in_front: Vec<&Rule> = Vec::new();
    for rule in rules {
        let first = in_front.iter().find(|first| asks_less(first.method, rule.method) && first.covers(rule));
        if let Some(first) = first {
            files.doubt(Doubt::NeverReached { place: rule.place.clone(), first: first.place.clone() });
        }
        let is_looked_at = most >= rules.len() || is_wide(rule);
        if rule.method != Method::Reject && is_looked_at && in_front.len() < most {
            in_front.push(rule);
        }
    }
}

/// Whether `one` certainly asks for less than `other`.
fn asks_less(one: Method, other: Method) -> bool {
    use Method::{Any, Asked, Cert, Jwt, Reject, Trust};
    match (one, other) {
        (Reject, _) => false,
        (_, Reject) => true,
        (Any | Trust, other) => !matches!(other, Any | Trust),
        (Asked(Question::Plain | Question::Md5), Asked(Question::ScramSha256) | Cert | Jwt) => true,
        _ => false,
    }
}
