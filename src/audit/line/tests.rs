//! Lines stay lines of valid JSON, whatever peers call themselves.

use super::*;
use crate::audit::{Change, Outcome, StatementKind};
use crate::base::{Principal, Proof};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::sync::Arc;

fn context(statements: Statements) -> Context {
    Context { epoch_us: 1_800_000_000_000_000, ..Context::new(StartId(0xab), statements) }
}

/// The one line of `write`, read.
fn read(write: impl FnOnce(&mut String)) -> Json {
    let mut out = String::new();
    write(&mut out);
    assert_eq!(out.matches(|letter: char| letter.is_control()).count(), 1, "one line: {out:?}");
    assert!(out.ends_with("}\n"), "{out:?}");
    serde_json::from_str(&out).expect("valid JSON")
}

fn who(name: &str) -> Who {
    let principal = Principal {
        name: name.into(),
        issuer: name.into(),
        claims: Box::new([(name.into(), name.into())]),
        expiry: None,
        timeouts: Default::default(),
        standing: Default::default(),
    };
    Who {
        session: 0x1f,
        database: name.into(),
        user: name.into(),
        proof: Proof { method: "jwt", principal: Some(Arc::new(principal)) },
        address: Address::Unix { port: 6432, pid: 7, uid: 8 },
        tls: name.into(),
    }
}

#[test]
fn times_and_sessions_are_written_for_all_processes() {
    let transaction = Transaction {
        session: 0x1f,
        number: 3,
        server: 9,
        pid: 4711,
        address: Address::Tcp("[::1]:5432".parse().unwrap()),
        is_authorized_by_iam: true,
        generation: 2,
        authorized_at: Micros(1_000),
        begin: Micros(3_000),
        end: Micros(3_500_000),
        wait: Micros(40),
        queries: 1,
        bytes_in: 20,
        bytes_out: 30,
        outcome: Outcome::Complete,
        canceled_by: Some("query_timeout"),
        context: Some([("traceparent".into(), "00-a\"b".into())].into()),
    };
    let line = read(|out| context(Statements::None).record(out, 5, &Record::Transaction(transaction)));
    assert_eq!(line["session"], "000000ab.1f");
    assert_eq!(line["begin"], "2027-01-15T08:00:00.003000Z");
    assert_eq!(line["ts"], "2027-01-15T08:00:03.500000Z");
    assert_eq!(
        (&line["server"]["authorization_age_us"], &line["server"]["addr"]),
        (&2_000.into(), &"::1".into())
    );
    assert_eq!((&line["outcome"], &line["canceled_by"]), (&"complete".into(), &"query_timeout".into()));
    assert_eq!(line["context"], serde_json::json!({ "traceparent": "00-a\"b" }));
    assert_eq!((&line["v"], &line["seq"], &line["process"]), (&1.into(), &5.into(), &"000000ab".into()));
}

proptest! {
    #[test]
    fn whatever_peers_call_themselves_is_one_line(name in any::<String>(), bytes in any::<Vec<u8>>()) {
        let context = context(Statements::Text);
        let at = Micros(1);
        let logout = Logout {
            who: who(&name), reason: name.as_str().into(), at, duration: at, totals: Totals::default(),
        };
        let line = read(|out| context.record(out, 1, &Record::Logout(Box::new(logout))));
        prop_assert_eq!(&line["user"], &Json::from(name.clone()));
        prop_assert_eq!(&line["claims"][&name], &Json::from(name.clone()));
        let statement = Statement {
            session: 1, transaction: 1, kind: StatementKind::Parse, name: bytes.clone().into(),
            text: bytes.into(), is_cut: false, at,
        };
        read(|out| context.record(out, 1, &Record::Statement(Box::new(statement))));
        let text: Box<str> = name.as_str().into();
        let console = Event::Console {
            who: Box::new(who(&name)), command: text.clone(), error: Some(text.clone()),
            sessions_ended: Some(1),
        };
        read(|out| context.event(out, 1, at, &console));
        let change = Change { name: text.clone(), before: Some(text.clone()), after: None };
        let line = read(|out| context.event(out, 1, at, &Event::Config(Box::new([change]))));
        prop_assert_eq!(&line["changes"][0]["before"], &Json::from(name.clone()));
        let credentials = Credentials {
            source: text.clone(), principal: text.clone(), key: text.clone(),
            generation: Some(1), expires_at_epoch_s: Some(u64::MAX), error: Some(text.clone()),
        };
        read(|out| context.event(out, 1, at, &Event::Credentials(Box::new(credentials))));
        let secret = Secret {
            name: text.clone(), purpose: "servers", version: Some(name.as_str().into()),
            user: Some(name.as_str().into()), error: Some(text.clone()),
        };
        read(|out| context.event(out, 1, at, &Event::Secret(Box::new(secret))));
        let login = Event::ServerLogin {
            server: Box::new(ServerFacts {
                server: 1, pid: 2, database: name.as_str().into(), user: name.as_str().into(),
                host: name.as_str().into(), address: Address::Unix { port: 1, pid: 2, uid: 3 },
                tls: text.clone(),
            }),
            authorized_until: None, generation: 0, took: Some(at),
            credential: Some(Box::new(LoginCredential::Secret {
                name: text, version: name.as_str().into(),
            })),
        };
        let line = read(|out| context.event(out, 1, at, &login));
        prop_assert_eq!(&line["credential"]["version"], &Json::from(name.clone()));
    }
}
