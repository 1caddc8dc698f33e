//! SHOW SESSIONS: who works as whom, and until when; one row a client, ordered by principal and number.

use super::rows::{Cell, Rows};
use super::tables::columns;
use super::times::Moment;
use crate::status::SessionView;

/// The rows.
pub(super) fn rows(mut sessions: Vec<SessionView>) -> Rows {
    sessions.sort_by(|a, b| (a.principal(), a.id()).cmp(&(b.principal(), b.id())));
    let mut rows = Rows::new(columns("sessions"));
    for session in &sessions {
        let identity = &session.identity;
        let principal = identity.proof.principal.as_ref();
        let until = principal.and_then(|principal| principal.expiry);
        let until = until.and_then(|until| Moment::utc_text(until.at_epoch_s));
        let cells: [Cell<'_>; 14] = [
            identity.socket_id.into(),
            (&*session.name).into(),
            identity.principal().into(),
            identity.proof.method.into(),
            principal.map_or("", |principal| &principal.issuer).into(),
            (&*identity.user).into(),
            (&*identity.database).into(),
            identity.remote.host_text().into(),
            identity.remote.port().into(),
            Moment::utc_text(identity.connected_at_epoch_s).into(),
            until.into(),
            session.state.into(),
            session.ending.unwrap_or_default().into(),
            (&*session.application_name).into(),
        ];
        rows.push(&cells);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{DenyReason, Expiry, Micros, Principal, Proof};
    use crate::console::tables;
    use crate::core::ClientIdentity;
    use std::sync::Arc;

    fn session(id: u64, principal: Option<Principal>) -> SessionView {
        let method = if principal.is_some() { "jwt" } else { "md5" };
        let proof = Proof { method, principal: principal.map(Arc::new) };
        SessionView {
            identity: Arc::new(ClientIdentity { proof, ..ClientIdentity::for_tests(id) }),
            name: "5f3a9c01.2a".into(),
            state: "idle",
            ending: (id == 7).then_some("denied"),
            application_name: "psql".into(),
        }
    }

    #[test]
    fn each_session_tells_who_and_until_when() {
        let expiry = |at_epoch_s| Some(Expiry { at: Micros(1), at_epoch_s });
        let principal = |name, expiry| Principal { issuer: "idp".into(), expiry, ..Principal::named(name) };
        let sessions = vec![
            session(9, Some(principal("zoe", expiry(u64::MAX)))),
            session(7, Some(principal("zoe", expiry(1_795_320_830)))),
            session(8, None),
        ];
        let read = rows(sessions).read_back();
        let read: Vec<_> = read
            .into_iter()
            .map(|row| {
                let cells = row.into_iter().map(|(_, value)| value.unwrap_or("NULL".into()));
                cells.collect::<Vec<_>>().join("|")
            })
            .collect();
        let since = "1970-01-01 00:00:00 UTC";
        assert_eq!(
            read,
            [
                format!("8|5f3a9c01.2a|app|md5||app|db|unix|0|{since}|NULL|idle||psql"),
                format!(
                    "7|5f3a9c01.2a|zoe|jwt|idp|app|db|unix|0|{since}|2026-11-22 04:13:50 UTC|idle|denied|psql"
                ),
                format!("9|5f3a9c01.2a|zoe|jwt|idp|app|db|unix|0|{since}|NULL|idle||psql"),
            ]
        );
    }

    #[test]
    fn the_pages_have_every_word_that_ending_may_have() {
        let doc = tables::find("sessions").unwrap().doc;
        let page = include_str!("../../docs/identity.md");
        let (_, section) = page.split_once("### How a session ends\n").unwrap();
        let section = section.split("\n### ").next().unwrap();
        for word in DenyReason::ALL.map(DenyReason::word).into_iter().chain(["expired"]) {
            for text in [doc, section] {
                assert!(text.contains(&format!("`{word}`")), "{word}");
            }
        }
    }
}
