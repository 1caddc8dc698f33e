//! What clients are told when they are refused or ended: one row for each text, its three fields and its end.
//! Those that need more than a line to bring about stand where they belong: `timeouts.rs`, `limits.rs`,
//! `console.rs`. Source: PgBouncer, src/client.c, src/objects.c, src/janitor.c.

use crate::common::certs::certs;
use crate::common::raw::{self, Frame, Raw};
use crate::common::{Pooler, PoolerSetup, postgres};

const PROTOCOL_3: u32 = 3 << 16;

/// The error that a connection ends with.
#[track_caller]
fn last_error(client: &mut Raw) -> Frame {
    let mut last = None;
    while let Some(frame) = client.read() {
        last = Some(frame);
    }
    last.filter(|frame| frame.tag == b'E').expect("it ends with an error")
}

/// Holds that the connection ends with this text, as everything of PgBouncer's own is told: FATAL, 08P01, the
/// text, and no other field.
#[track_caller]
fn ends_with(client: &mut Raw, text: &str) {
    let error = last_error(client);
    let fields = format!("SFATAL\0C08P01\0M{text}\0\0");
    assert_eq!(String::from_utf8_lossy(&error.body), fields);
}

fn startup(pooler: &Pooler, parameters: &[(&str, &str)]) -> Raw {
    sent(pooler, &raw::startup_message(PROTOCOL_3, parameters))
}

fn sent(pooler: &Pooler, bytes: &[u8]) -> Raw {
    let mut client = Raw::tcp(pooler.port);
    client.send(bytes);
    client
}

/// A StartupMessage with this behind the version.
fn startup_body(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).expect("short");
    [&length.to_be_bytes()[..], &PROTOCOL_3.to_be_bytes(), body].concat()
}

#[test]
fn a_startup_packet_that_says_what_cannot_be() {
    let pooler = PoolerSetup::new(postgres()).start();
    let app = [("user", "app"), ("database", "app")];
    let with = |name, value| startup(&pooler, &[app[0], app[1], (name, value)]);
    let only_two =
        "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed";
    ends_with(&mut startup(&pooler, &[("database", "app")]), "no username supplied");
    ends_with(&mut startup(&pooler, &[("user", ""), ("database", "app")]), "no username supplied");
    ends_with(&mut with("nosuch", "1"), "unsupported startup parameter: nosuch");
    ends_with(&mut with("options", "-c nosuch=1"), "unsupported startup parameter in options: nosuch");
    ends_with(&mut with("options", "-x"), only_two);
    ends_with(&mut startup(&pooler, &[("user", &"u".repeat(200)), app[1]]), "username too long");
    let layout = "invalid startup packet layout: expected terminator as last byte";
    ends_with(&mut sent(&pooler, &startup_body(b"user\0app\0database\0app")), layout);
    ends_with(&mut sent(&pooler, &raw::startup_message(2 << 16, &app)), "old V2 protocol not supported");
    ends_with(&mut sent(&pooler, b"GET / HTTP/1.1\r\n\r\n"), "bad packet header: '474554202f204854'");
}

#[test]
fn a_client_that_is_not_let_in() {
    let pooler = PoolerSetup::new(postgres()).start();
    let named = |user, database| startup(&pooler, &[("user", user), ("database", database)]);
    ends_with(&mut named("app", "nosuch"), "no such database: nosuch");
    ends_with(&mut named("nobody", "app"), "\"trust\" authentication failed");
    ends_with(&mut named("app", "pgbouncer"), "not allowed");
    assert_eq!(pooler.ask("disable app").commands, ["DISABLE"]);
    ends_with(&mut named("app", "app"), "database \"app\" is disabled");
}

#[test]
fn a_password_that_is_wrong_empty_or_of_another_kind() {
    let pooler = PoolerSetup::new(postgres()).set("auth_type", "plain").start();
    let asked = |password: &[u8]| {
        let mut client = startup(&pooler, &[("user", "app"), ("database", "app")]);
        assert_eq!(client.read().expect("it asks").body, [0, 0, 0, 3]);
        client.send(&raw::frame(b'p', password));
        client
    };
    ends_with(&mut asked(b"wrong\0"), "password authentication failed");
    ends_with(&mut asked(b"\0"), "empty password returned by client");

    let pooler = PoolerSetup::new(postgres()).set("auth_type", "scram-sha-256").start();
    let mut client = startup(&pooler, &[("user", "app"), ("database", "app")]);
    assert_eq!(client.read().expect("it asks").body[..4], [0, 0, 0, 10]);
    client.send(&raw::frame(b'p', b"SCRAM-MD5\0\0\0\0\x05n,,n="));
    ends_with(&mut client, "client selected an invalid SASL authentication mechanism");
}

#[test]
fn tls_is_demanded_and_nothing_may_come_ahead_of_it() {
    let pooler = PoolerSetup::new(postgres())
        .set("client_tls_sslmode", "require")
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .start();
    ends_with(&mut startup(&pooler, &[("user", "app"), ("database", "app")]), "SSL required");
    let early = [&raw::SSL_REQUEST[..], b"early"].concat();
    ends_with(&mut sent(&pooler, &early), "received unencrypted data after SSL request");
}

#[test]
fn messages_that_are_none_or_are_broken() {
    let pooler = PoolerSetup::new(postgres()).set("max_prepared_statements", 10).start();
    let rows: [(&[u8], &str); 8] = [
        (&raw::frame(b'?', b""), "unknown pkt"),
        (&raw::frame(b'P', b"name"), "broken Parse packet"),
        (&raw::frame(b'B', b"portal"), "broken Bind packet"),
        (&raw::frame(b'D', b""), "broken Describe packet"),
        (&raw::frame(b'C', b"S"), "broken Close packet"),
        (b"Q\0\0\0\x03", "bad packet header: '5100000003'"),
        (&raw::bind("nosuch", &[]), "prepared statement did not exist"),
        (
            &[raw::parse("twice", "select 1"), raw::parse("twice", "select 2")].concat(),
            "prepared statement name is already in use",
        ),
    ];
    for (bytes, text) in rows {
        let mut client = pooler.client();
        client.send(bytes);
        ends_with(&mut client, text);
    }
}

#[test]
fn what_a_mode_or_a_setting_forbids() {
    let pooler = PoolerSetup::new(postgres())
        .database("single", "dbname=app pool_mode=statement")
        .set("disable_pqexec", 0)
        .start();
    let mut client = Raw::log_in(pooler.port, "app", "single");
    client.send(&raw::query("begin"));
    ends_with(&mut client, "transaction blocks not allowed in statement pooling mode");
    let pooler = PoolerSetup::new(postgres()).set("disable_pqexec", 1).start();
    let mut client = pooler.client();
    client.send(&raw::query("select 1"));
    ends_with(&mut client, "PQexec disallowed");
}

#[test]
fn a_servers_own_words_keep_their_code() {
    let pooler = PoolerSetup::new(postgres()).database("gone", "dbname=no_such_database").start();
    let error = last_error(&mut startup(&pooler, &[("user", "app"), ("database", "gone")]));
    let fields = "SFATAL\0C3D000\0Mdatabase \"no_such_database\" does not exist\0\0";
    assert_eq!(String::from_utf8_lossy(&error.body), fields);
}

#[test]
fn an_order_of_the_console_ends_clients_with_its_reason() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("select 1");
    let rows = pooler.ask("show clients").records();
    let row = rows.iter().find(|row| row["database"] == "app").expect("it is listed");
    assert_eq!(pooler.ask(&format!("kill_client {}", row["id"])).commands, ["KILL_CLIENT"]);
    ends_with(&mut client, "admin forced disconnect");
    let mut client = pooler.client();
    client.simple("select 1");
    assert_eq!(pooler.ask("kill app").commands, ["KILL"]);
    ends_with(&mut client, "database removed");
    // the console's own errors end nothing
    let outcome = pooler.ask("nonsense");
    assert_eq!(outcome.status, Some(b'I'));
    assert!(outcome.errors[0].starts_with("ERROR 08P01: "), "{outcome:?}");
}
