//! What a reload changes, for the audit log: each name with what it was and what it is, secrets left out.
//!
//! Settings are compared one by one; entries of the other sections by name. Of issuers that changed it is
//! said what they were and are; of the others that they did: what they hold may be secret. Of files that
//! settings name it is said what their digest is, unless they may hold a secret.

use crate::audit::{Change, TextDigest, may_hold_secrets};
use crate::base::limits;
use crate::config::{AuthType, Settings, Snapshot, TABLE, read_file};
use crate::control::{FileText, Policy};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

/// What stands for what is not shown.
const NOT_SHOWN: &str = "(hidden)";

/// What `after` has otherwise than `before`, in the order of SHOW CONFIG, then by name.
pub(super) fn between(before: &Policy, after: &Policy) -> Vec<Change> {
    let mut changes = of_snapshots(&before.snapshot, &after.snapshot);
    let names: BTreeSet<_> = before.files.keys().chain(after.files.keys()).collect();
    let shown = |text: Option<&FileText>| {
        text.map(|text| match text.may_hold_secret {
            true => NOT_SHOWN.into(),
            false => format!("sha256:{}", text.digest).into(),
        })
    };
    changes.extend(names.into_iter().filter_map(|name| {
        let (old, new) = (before.files.get(name), after.files.get(name));
        let change =
            || Change { name: format!("files.{name}").into(), before: shown(old), after: shown(new) };
        (old != new).then(change)
    }));
    changes
}

/// What stands in the files that `settings` name and that are in use. Read before they are put in force: one
/// that changes in between is told of by the next reload.
pub(super) fn files(settings: &Settings) -> BTreeMap<&'static str, FileText> {
    let is_hba = settings.auth_type == AuthType::Hba;
    let hba = Some(&settings.auth_hba_file).filter(|_| is_hba);
    let ident = settings.auth_ident_file.as_ref().filter(|_| is_hba);
    let named = [
        ("auth_claims_file", Some(&settings.auth_claims_file)),
        ("auth_file", settings.auth_file.as_ref()),
        ("auth_hba_file", hba),
        ("auth_ident_file", ident),
    ];
    let read = |(name, file): (&'static str, Option<&Arc<str>>)| {
        let file: &str = file?;
        let text = read_file(file, limits::CONFIG_FILE_BYTES_MAX).ok().filter(|_| !file.is_empty())?;
        let has_word = text.to_ascii_lowercase().windows(5).any(|word| word == b"passw");
        let may_hold_secret = name == "auth_file" || has_word;
        Some((name, FileText { digest: TextDigest::of(&text), may_hold_secret }))
    };
    named.into_iter().filter_map(read).collect()
}

fn of_snapshots(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let rows = TABLE.iter().filter(|row| !row.same(&before.settings, &after.settings));
    let mut changes: Vec<_> = rows
        .map(|row| {
            let shown = |text: Option<String>| {
                let is_hidden = |text: &str| row.may_hold_secret() || row.is_sql() && may_hold_secrets(text);
                text.map(|text| if is_hidden(&text) { NOT_SHOWN.into() } else { text.into_boxed_str() })
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
    changes.extend(entries("instances", before.instances.entries(), after.instances.entries()));
    changes.extend(entries("peers", &before.peers, &after.peers));
    changes.extend(issuers(before, after));
    changes
}

fn issuers(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let shown =
        |snapshot: &Snapshot, name: &str| snapshot.issuers.get(name).map(|entry| entry.shown().into());
    let told = |name: &str| Change {
        name: format!("issuers.{name}").into(),
        before: shown(before, name),
        after: shown(after, name),
    };
    changed(&before.issuers, &after.issuers).into_iter().map(|name| told(name)).collect()
}

/// Entries of a section that came, went or changed.
fn entries<K: Ord + Display, T: PartialEq>(
    section: &str,
    before: &BTreeMap<K, T>,
    after: &BTreeMap<K, T>,
) -> Vec<Change> {
    let told = |name: &K| entry(section, name, before.contains_key(name), after.contains_key(name));
    changed(before, after).into_iter().map(told).collect()
}

/// The names of entries that came, went or changed.
fn changed<'a, K: Ord, T: PartialEq>(before: &'a BTreeMap<K, T>, after: &'a BTreeMap<K, T>) -> Vec<&'a K> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).collect()
}

fn fallback(before: &Snapshot, after: &Snapshot) -> Option<Change> {
    let (old, new) = (&before.fallback, &after.fallback);
    (old != new).then(|| entry("databases", "*", old.is_some(), new.is_some()))
}

fn entry(section: &str, name: impl Display, was_there: bool, is_there: bool) -> Change {
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
            [peers]\n1 = host=p1\n2 = host=p2\n\
            [issuers]\nold = issuer=https://old.example.org audience=a\n\
            same = issuer=https://same.example.org audience=a\n\
            [pgbouncer]\npool_mode = session\nauth_ldap_options = ldapserver=h ldapbindpasswd=old\n";
        let after = "[databases]\na = host=h password=second\nc = host=h\n* = host=h\n\
            [peers]\n1 = host=p1\n2 = host=p3\n\
            [issuers]\nidp = issuer=https://idp.example.org audience=postgres\n\
            old = issuer=https://old.example.org audience=a,b\n\
            same = issuer=https://same.example.org audience=a\n\
            [pgbouncer]\npool_mode = transaction\nauth_ldap_options = ldapserver=h ldapbindpasswd=new\n";
        let changes = of_snapshots(&snapshot(before), &snapshot(after));
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
                ("peers.2", hidden, hidden),
                ("issuers.idp", None, Some("issuer=https://idp.example.org audience=postgres")),
                (
                    "issuers.old",
                    Some("issuer=https://old.example.org audience=a"),
                    Some("issuer=https://old.example.org audience=a,b")
                ),
            ]
        );
        assert!(of_snapshots(&snapshot(before), &snapshot(before)).is_empty());
    }
}
