//! `deny_principals`: the file is read with the configuration, and again whenever it has changed.
//!
//! A file that cannot be read, or is malformed, refuses a start and a reload, as any other; where it becomes
//! so between them, whoever was denied stays denied, and the log is told once.

use crate::audit::{Event, TextDigest};
use crate::auth::Method;
use crate::base::limits;
use crate::config::{FileStamp, Settings, Snapshot, read_file};
use crate::control::Plane;
use crate::identity::DenyList;
use crate::tasks;
use std::sync::Arc;
use std::time::Duration;

/// Who is denied, and which file says so.
#[derive(Clone, Debug, Default)]
pub(super) struct Denied {
    /// Who.
    pub list: DenyList,
    /// What stands in the file; `None`: none is named.
    pub digest: Option<TextDigest>,
}

/// Who is denied by the file that `settings` name.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(settings: &Settings) -> Result<Denied, Vec<String>> {
    read_named(&settings.deny_principals)
}

fn read_named(name: &str) -> Result<Denied, Vec<String>> {
    if name.is_empty() {
        return Ok(Denied::default());
    }
    let text = read_file(name, limits::DENY_BYTES_MAX);
    let text = text.map_err(|error| format!("could not open deny_principals file {name}: {error}"));
    let text = text.map_err(|error| vec![error])?;
    let list = DenyList::parse(&text, name);
    let list = list.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(Denied { list, digest: Some(TextDigest::of(&text)) })
}

/// What an operator should know of that list: lines that concern nobody.
pub(super) fn doubts(list: &DenyList, snapshot: &Snapshot) -> Vec<String> {
    let tell =
        |whose| format!("deny_principals: {whose} is no issuer and no method, its lines concern nobody");
    list.of_nobody(|whose| is_known(snapshot, whose)).into_iter().map(tell).collect()
}

/// Whether there are principals of that issuer, or method.
fn is_known(snapshot: &Snapshot, whose: &str) -> bool {
    snapshot.issuers.contains_key(whose) || Method::ALL.iter().any(|method| method.word() == whose)
}

/// Which file was read, and how it looked; `None`: it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    name: Arc<str>,
    seen: Option<FileStamp>,
}

impl Look {
    fn at(name: &Arc<str>) -> Self {
        let seen = std::fs::metadata(&**name).ok().as_ref().map(FileStamp::of);
        Self { name: Arc::clone(name), seen }
    }
}

/// Looks after the file each [`limits::DENY_WATCH_MS`], for as long as the process runs.
///
/// # Cancel safety
/// A list that has just been put in force may not have been told to all workers.
pub(super) async fn watch(plane: Arc<Plane>) {
    let mut clock = tokio::time::interval(Duration::from_millis(limits::DENY_WATCH_MS));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        clock.tick().await;
        let name = Arc::clone(&plane.policy.load().snapshot.settings.deny_principals);
        if name.is_empty() {
            last = None;
            continue;
        }
        let before = last.clone();
        // The look comes before the text: one that changes in between is read again.
        let reading = move || {
            let look = Look::at(&name);
            let is_new = before.as_ref() != Some(&look);
            let read = is_new.then(|| read_named(&name));
            (look, read)
        };
        let Some((look, read)) = tasks::blocking("deny_principals", "files", reading).await else { continue };
        last = Some(look);
        match read {
            None => {}
            Some(Ok(denied)) => put_in_force(&plane, denied).await,
            Some(Err(errors)) => {
                errors.iter().for_each(|error| tracing::error!("{error}"));
                tracing::error!("deny_principals could not be read, who was denied stays so");
            }
        }
    }
}

/// Denies those of `denied` from now on, and has the audit log hear of it if they are others.
pub(super) fn adopt(plane: &Plane, denied: Denied) {
    let Denied { list, digest } = denied;
    let before = plane.deny_list();
    if !before.is_same(&list) {
        let (added, removed) = before.changes_to(&list);
        plane.audit.post(|| Event::DenyList { lines: list.count(), added, removed, digest });
    }
    plane.set_deny_list(list);
}

/// Denies those of `denied`, if its list is another one than that in force.
async fn put_in_force(plane: &Arc<Plane>, denied: Denied) {
    let list = &denied.list;
    if plane.deny_list().is_same(list) {
        return;
    }
    let lines = list.count();
    for warning in doubts(list, &plane.policy.load().snapshot) {
        tracing::warn!("{warning}");
    }
    adopt(plane, denied);
    let ended = plane.judge_sessions().await;
    tracing::info!("deny_principals has changed: {lines} lines, {ended} sessions end");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why an issuer cannot be called so.
    fn refusal(issuer: &str) -> Option<String> {
        let text = format!(
            "[pgbouncer]\n[issuers]\n{issuer} = issuer=https://login.example.org audience=postgres\n"
        );
        let loaded = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes()));
        loaded.err().map(|errors| errors.to_string())
    }

    #[test]
    fn a_file_has_so_many_bytes_and_no_more() {
        let file = std::env::temp_dir().join(format!("pgweir-denied-{}", std::process::id()));
        let name = file.to_str().unwrap();
        let lines = |bytes: u64| {
            let mut text = b"alice\n".to_vec();
            text.resize(usize::try_from(bytes).unwrap(), b'#');
            std::fs::write(&file, text).unwrap();
            read_named(name).map(|denied| denied.list.count())
        };
        assert_eq!(lines(limits::DENY_BYTES_MAX), Ok(1));
        let told = lines(limits::DENY_BYTES_MAX + 1).unwrap_err();
        assert!(told[0].starts_with("could not open deny_principals file "), "{told:?}");
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn no_issuer_is_called_by_a_word_that_is_everybodys_or_a_methods() {
        let words = Method::ALL.iter().map(|method| method.word());
        for word in words.chain(["all", "ALL", "password", "hba"]) {
            let expected = format!("issuer name \"{word}\" is reserved in configuration (p.ini:3)");
            assert_eq!(refusal(word), Some(expected));
        }
        for name in ["staff", "all-staff", "certs", "jwt2"] {
            assert_eq!(refusal(name), None);
        }
    }
}
