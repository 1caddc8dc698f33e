//! What a reload changes, for the audit log: each name with what it was and what it is, secrets left out.
//!
//! Pure. Settings are compared one by one; entries of databases, users and peers by name, and of those that
//! changed it is said that they did: what they hold may be secret.

use crate::audit::Change;
use crate::config::{Snapshot, TABLE};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What stands for what is not shown.
const NOT_SHOWN: &str = "(hidden)";

/// What `after` has otherwise than `before`, in the order of SHOW CONFIG, then by name.
pub(super) fn between(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let rows = TABLE.iter().filter(|row| !row.same(&before.settings, &after.settings));
    let mut changes: Vec<_> = rows
        .map(|row| {
            let shown = |text: Option<String>| {
                text.map(|text| if row.may_hold_secret() { NOT_SHOWN.into() } else { text.into_boxed_str() })
            };
            Change {
                name: row.name.into(),
                before: shown(row.show(&before.settings)),
                after: shown(row.show(&after.settings)),
            }
        })
        .collect();
    changes.extend(entries("databases", &before.databases, &after.databases));
    changes.extend(fallback(before, after));
    changes.extend(entries("users", &before.users, &after.users));
    changes
}

/// Entries of a section that came, went or changed.
fn entries<T: PartialEq>(
    section: &str,
    before: &BTreeMap<Arc<str>, T>,
    after: &BTreeMap<Arc<str>, T>,
) -> Vec<Change> {
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    changed.map(|name| entry(section, name, before.contains_key(name), after.contains_key(name))).collect()
}

fn fallback(before: &Snapshot, after: &Snapshot) -> Option<Change> {
    let (old, new) = (&before.fallback, &after.fallback);
    (old != new).then(|| entry("databases", "*", old.is_some(), new.is_some()))
}

fn entry(section: &str, name: &str, was_there: bool, is_there: bool) -> Change {
    let shown = |is_there: bool| is_there.then(|| NOT_SHOWN.into());
    Change { name: format!("{section}.{name}").into(), before: shown(was_there), after: shown(is_there) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn each_name_that_changed_is_told_and_no_secret() {
        let before = "[databases]\na = host=h password=first\nb = host=h\n[users]\nada = pool_size=1\n\
            [pgbouncer]\npool_mode = session\nauth_ldap_options = ldapserver=h ldapbindpasswd=old\n";
        let after = "[databases]\na = host=h password=second\nc = host=h\n* = host=h\n\
            [pgbouncer]\npool_mode = transaction\nauth_ldap_options = ldapserver=h ldapbindpasswd=new\n";
        let changes = between(&snapshot(before), &snapshot(after));
        let told: Vec<_> =
            changes.iter().map(|c| (&*c.name, c.before.as_deref(), c.after.as_deref())).collect();
        let hidden = Some(NOT_SHOWN);
        assert_eq!(
            told,
            [
                ("auth_ldap_options", hidden, hidden),
                ("pool_mode", Some("session"), Some("transaction")),
                ("databases.a", hidden, hidden),
                ("databases.b", hidden, None),
                ("databases.c", None, hidden),
                ("databases.*", None, hidden),
                ("users.ada", hidden, None),
            ]
        );
        assert!(between(&snapshot(before), &snapshot(before)).is_empty());
    }
}
