//! TLS on both sides: the modes, names that do not match, certificates of strangers, cancel over TLS.

use crate::cancel;
use crate::common::certs::certs;
use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, free_port, page, postgres, programs, wait_until};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

fn client_tls(mode: &str) -> PoolerSetup {
    PoolerSetup::new(postgres())
        .set("client_tls_sslmode", mode)
        .set("client_tls_ca_file", certs().ca().display())
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
}

/// psql with these connection parameters added; its answer, or what it complains about.
fn connect(pooler: &Pooler, more: &str) -> Result<String, String> {
    let mut psql = programs::limited(programs::postgres("psql"));
    let target = format!("host=localhost hostaddr=127.0.0.1 port={} user=app dbname=app {more}", pooler.port);
    psql.args(["-X", "-At", "-w", "-c", "select 'in'", "-d", &target]);
    let output = psql.output().expect("psql is installed");
    let said = programs::said(&output).trim_end().to_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[test]
fn the_clients_mode_and_ours_decide() {
    let rows = [
        ("disable", "sslmode=disable", true),
        ("disable", "sslmode=prefer", true),
        ("disable", "sslmode=require", false),
        ("allow", "sslmode=disable", true),
        ("prefer", "sslmode=disable", true),
        ("prefer", "sslmode=require", true),
        ("require", "sslmode=disable", false),
        ("require", "sslmode=require", true),
    ];
    for (ours, theirs, works) in rows {
        let pooler = client_tls(ours).start();
        let outcome = connect(&pooler, theirs);
        assert_eq!(outcome.is_ok(), works, "{ours} {theirs}: {outcome:?}");
        if ours == "require" && !works {
            assert!(outcome.expect_err("is one").contains("SSL required"));
        }
    }
}

#[test]
fn a_database_may_demand_tls_of_its_clients() {
    let text = format!("host=127.0.0.1 port={}", postgres().port);
    let mut pooler = client_tls("prefer")
        .database_at("app", &format!("{text} client_tls_required=1"))
        .database_at("open", &format!("{text} dbname=app"))
        .database_at("*", &format!("{text} dbname=app client_tls_required=1"))
        .set("auth_type", "plain")
        .start();
    assert_eq!(connect(&pooler, "sslmode=prefer password=app-secret").as_deref(), Ok("in"));
    for (database, is_in) in [("app", false), ("other", false), ("open", true)] {
        let mut raw = Raw::tcp(pooler.port);
        raw.startup(&[("user", "app"), ("database", database)]);
        match is_in {
            true => assert_eq!(raw.read().expect("a request").body, [0, 0, 0, 3], "{database}"),
            false => {
                assert_eq!(raw.last_words(), "FATAL 08P01: SSL required", "{database}: no password asked for")
            }
        }
    }
    let mut unix = Raw::unix(pooler.directory(), pooler.port);
    unix.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(unix.read().expect("a request").body, [0, 0, 0, 3]);
    pooler.rewrite(|setup| setup.database_at("app", &text));
    pooler.signal("HUP");
    wait_until("the entry no longer demands it", || {
        connect(&pooler, "sslmode=disable password=app-secret").as_deref() == Ok("in")
    });
}

#[test]
fn clients_can_verify_us() {
    let pooler = client_tls("require").start();
    let verified = connect(&pooler, &format!("sslmode=verify-full sslrootcert={}", certs().ca().display()));
    assert_eq!(verified.as_deref(), Ok("in"));
}

#[test]
fn one_set_after_another_turns_tls_on() {
    const REFUSAL: &str = "TLS settings could not be applied, still using old configuration";
    let pooler = PoolerSetup::new(postgres()).start();
    let mut console = pooler.console();
    let mut set = |key: &str, value: &std::path::Path, fits: bool| {
        let outcome = console.simple(&format!("set {key} = '{}'", value.display()));
        assert!(outcome.errors.is_empty(), "{outcome:?}");
        let refused = outcome.notices.iter().any(|notice| notice.contains(REFUSAL));
        assert_eq!(refused, !fits, "{key}: {outcome:?}");
        let shown = console.simple("show config").records().into_iter().find(|row| row["key"] == key);
        assert_eq!(shown.expect("is a setting")["value"], value.display().to_string(), "it stays");
    };
    set("client_tls_sslmode", "require".as_ref(), false);
    assert!(connect(&pooler, "sslmode=disable").is_ok(), "the old configuration has no TLS");
    set("client_tls_cert_file", &certs().server(), false);
    set("client_tls_key_file", &certs().server_key(), true);
    assert!(connect(&pooler, "sslmode=require").is_ok() && connect(&pooler, "sslmode=disable").is_err());
    set("client_tls_cert_file", "no/such.crt".as_ref(), false);
    // Not waited for: the reasons are there before the answer that sends one to look for them.
    assert!(pooler.log().contains("ERROR TLS setup failed: client_tls_cert_file: no/such.crt: "));
    set("query_timeout", "7".as_ref(), true);
    assert!(connect(&pooler, "sslmode=require").is_ok() && connect(&pooler, "sslmode=disable").is_err());
}

#[test]
fn a_reload_to_tls_that_cannot_be_set_up_changes_nothing() {
    let mut pooler = client_tls("prefer").start();
    let sound = connect(&pooler, "sslmode=require");
    assert_eq!(sound.as_deref(), Ok("in"));
    pooler.rewrite(|setup| {
        setup.set("client_tls_sslmode", "require").set("client_tls_cert_file", "no/such.crt")
    });
    let outcome = pooler.ask("reload");
    assert!(outcome.errors.iter().any(|error| error.contains("RELOAD failed")), "{outcome:?}");
    // Not waited for: the reasons are there before the answer that sends one to look for them.
    assert!(pooler.log().contains("ERROR TLS setup failed: client_tls_cert_file: no/such.crt: "));
    assert_eq!(connect(&pooler, "sslmode=require"), sound);
    assert_eq!(connect(&pooler, "sslmode=disable"), sound);
}

#[test]
fn show_clients_names_the_cipher() {
    let pooler = client_tls("require").start();
    let mut psql = programs::limited(programs::postgres("psql"));
    let target = format!("host=127.0.0.1 port={} user=admin dbname=pgbouncer sslmode=require", pooler.port);
    let said = programs::run(psql.args(["-X", "-A", "-c", "show clients", "-d", &target]));
    assert!(said.contains("TLSv1.3/TLS_AES_"), "{said}");
}

#[test]
fn an_unknown_certificate_is_refused_where_we_verify() {
    let pooler = client_tls("verify-ca").start();
    assert!(connect(&pooler, "sslmode=require").is_err(), "no certificate");
    let own = format!("sslcert={} sslkey={}", certs().stranger().display(), certs().stranger_key().display());
    let outcome = connect(&pooler, &format!("sslmode=require {own}"));
    assert_eq!(outcome.as_deref(), Ok("in"), "a certificate of the authority");
}

#[test]
fn bytes_behind_the_request_for_tls_are_an_attack() {
    let pooler = client_tls("prefer").start();
    let mut raw = Raw::tcp(pooler.port);
    let smuggled = [&raw::SSL_REQUEST[..], &raw::startup_message(196_608, &[("user", "app")])].concat();
    raw.send(&smuggled);
    let words = raw.last_words();
    assert!(words.is_empty() || words.contains("received unencrypted data after SSL request"), "{words}");
    wait_until("it is logged", || pooler.log().contains("received unencrypted data after SSL request"));
}

#[test]
fn a_cancel_request_ends_in_order() {
    let pooler = client_tls("require").start();
    let mut running = Raw::tls(pooler.port, "localhost", &certs().ca());
    running.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(running.outcome().status, Some(b'I'));
    running.send(&raw::query("select pg_sleep(20) as ends_in_order"));
    wait_until("the query runs", || cancel::running("as ends_in_order"));
    for key in [running.key.clone(), vec![7; 8]] {
        let mut request = Raw::tls(pooler.port, "localhost", &certs().ca());
        request.send(&raw::cancel_request(&key));
        assert!(request.ends_in_order(), "libpq takes the end of TLS without close_notify for an error");
    }
    assert!(running.outcome().errors[0].contains("57014"), "it was cancelled");
}

#[test]
fn a_refused_request_is_answered_with_n() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut raw = Raw::tcp(pooler.port);
    raw.send(&raw::SSL_REQUEST);
    assert_eq!(raw.read_byte(), b'N');
    raw.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(raw.outcome().status, Some(b'I'));
}

#[test]
fn servers_are_reached_by_tls_as_the_mode_says() {
    let rows =
        [("disable", "f"), ("prefer", "t"), ("require", "t"), ("verify-ca", "t"), ("verify-full", "t")];
    for (mode, tls) in rows {
        let text = format!("host=localhost port={} dbname=app", postgres().port);
        let pooler = PoolerSetup::new(postgres())
            .database_at("app", &text)
            .set("server_tls_sslmode", mode)
            .set("server_tls_ca_file", certs().ca().display())
            .start();
        let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(pooler.client().simple(sql).value(), tls, "{mode}");
    }
}

#[test]
fn a_server_with_the_wrong_name_is_not_talked_to() {
    let pooler = PoolerSetup::new(postgres())
        .set("server_tls_sslmode", "verify-full")
        .set("server_tls_ca_file", certs().ca().display())
        .set("query_wait_timeout", 2)
        .set("server_login_retry", "0.5")
        .start();
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    assert!(
        client.last_words().starts_with("FATAL"),
        "the certificate is for localhost, the entry says 127.0.0.1"
    );
}

#[test]
fn a_user_whose_certificate_is_among_the_authorities_passes_for_no_server() {
    let forged = certs().forged("localhost");
    let honest = (certs().server(), certs().server_key());
    for ((certificate, key), is_taken) in [(&honest, true), (&forged.own, false)] {
        let server = PoolerSetup::new(postgres())
            .set("client_tls_sslmode", "require")
            .set("client_tls_cert_file", certificate.display())
            .set("client_tls_key_file", key.display())
            .start();
        let pooler = PoolerSetup::new(postgres())
            .database_at("app", &format!("host=localhost port={} dbname=app", server.port))
            .set("server_tls_sslmode", "verify-full")
            .set("server_tls_ca_file", forged.authorities.display())
            .set("query_wait_timeout", 5)
            .start();
        if is_taken {
            assert_eq!(pooler.client().simple("select 1").value(), "1");
            continue;
        }
        let mut client = Raw::tcp(pooler.port);
        client.startup(&[("user", "app"), ("database", "app")]);
        assert!(client.last_words().starts_with("FATAL"));
        pooler.wait_for_log("certificate verify failed: UnknownIssuer");
    }
}

#[test]
fn a_role_that_needs_tls_gets_it() {
    let pooler = PoolerSetup::new(postgres())
        .set("server_tls_sslmode", "require")
        .database("app", "user=tlser password=tlser-secret")
        .start();
    assert_eq!(pooler.client().simple("select current_user").value(), "tlser");
}

#[test]
fn large_answers_come_whole_through_both_tls_sides() {
    let pooler = client_tls("require").set("server_tls_sslmode", "require").start();
    let target = format!("host=127.0.0.1 port={} user=app dbname=app sslmode=require", pooler.port);
    let mut psql = programs::limited(programs::postgres("psql"));
    let said = programs::run(psql.args(["-X", "-At", "-c", "select repeat('x', 20 << 20)", "-d", &target]));
    assert_eq!(said.trim_end().len(), 20 << 20);
}

/// Each piece comes in a record of its own, or in several; a buffer of 4 KB may end anywhere in them.
#[test]
fn a_message_may_be_split_over_records_anywhere() {
    let pooler = client_tls("require").set("server_tls_sslmode", "require").set("pkt_buf", 4096).start();
    let mut client = Raw::tls(pooler.port, "localhost", &certs().ca());
    client.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(client.outcome().status, Some(b'I'));
    for bytes in [4089, 4095, 4096, 4097, 8191, 16_383, 16_384, 16_385, 40_000] {
        let name = "x".repeat(bytes - "set application_name = ''".len() - 6);
        let message = raw::query(&format!("set application_name = '{name}'"));
        assert_eq!(message.len(), bytes);
        for cut in [1, 4, 5, 6, bytes / 2, bytes - 1] {
            client.send(&message[..cut]);
            client.send(&message[cut..]);
            let outcome = client.outcome();
            assert_eq!(outcome.commands, ["SET"], "{bytes} bytes, cut at {cut}");
        }
        assert_eq!(client.simple("show application_name").value(), name[..63]);
    }
}

/// Begins a login over TLS as a client with these sessions in memory, up to the first
/// answer: behind the ticket.
fn shake_hands(pooler: &Pooler, client: &Arc<ClientConfig>) -> HandshakeKind {
    let name = ServerName::try_from("localhost").expect("a DNS name");
    let mut session = ClientConnection::new(Arc::clone(client), name).expect("a sound configuration");
    let mut socket = TcpStream::connect(("127.0.0.1", pooler.port)).expect("somebody listens");
    socket.write_all(&raw::SSL_REQUEST).expect("it reads");
    let mut byte = [0];
    socket.read_exact(&mut byte).expect("an answer");
    assert_eq!(byte, *b"S");
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let startup = raw::startup_message(196_608, &[("user", "app"), ("database", "app")]);
    stream.write_all(&startup).expect("it reads");
    stream.read_exact(&mut byte).expect("an answer");
    assert_eq!(byte, *b"R");
    session.handshake_kind().expect("hands were shaken")
}

#[test]
fn sessions_are_resumed_until_a_reload_that_changes_the_certificate() {
    use HandshakeKind::{Full, Resumed};
    let metrics = free_port();
    let setup = client_tls("require").set("client_tls_ca_file", "");
    let mut pooler = setup.set("metrics_listen", format!("127.0.0.1:{metrics}")).start();
    let client = raw::trusting(&certs().ca());
    let kinds = [(); 8].map(|()| shake_hands(&pooler, &client));
    assert!(kinds[0] == Full && kinds[1..].iter().all(|kind| *kind == Resumed), "{kinds:?}");
    assert_eq!(connect(&pooler, "sslmode=require").as_deref(), Ok("in"), "who wants no ticket");
    let reload = |pooler: &Pooler| assert!(console(pooler).simple("reload").errors.is_empty());
    reload(&pooler);
    assert_eq!(shake_hands(&pooler, &client), Resumed, "nothing has changed");
    pooler.rewrite(|setup| {
        setup
            .set("client_tls_cert_file", certs().rds().display())
            .set("client_tls_key_file", certs().rds_key().display())
    });
    reload(&pooler);
    assert_eq!([(); 2].map(|()| shake_hands(&pooler, &client)), [Full, Resumed]);
    pooler.rewrite(|setup| setup.set("client_tls_ca_file", certs().ca().display()));
    reload(&pooler);
    assert_eq!([(); 2].map(|()| shake_hands(&pooler, &client)), [Full, Full], "certificates are looked at");
    page::wait_for(metrics);
    let counted =
        |kind: &str| page::value(metrics, &format!("pgweir_client_tls_handshakes_total{{kind=\"{kind}\"}}"));
    assert_eq!((counted("full"), counted("resumed")), (Some(5.0), Some(9.0)), "whatever was reloaded");
}

/// A visit of the console over the Unix socket, where TLS is never asked for.
fn console(pooler: &Pooler) -> Raw {
    let mut raw = Raw::unix(pooler.directory(), pooler.port);
    raw.startup(&[("user", "admin"), ("database", "pgbouncer")]);
    assert_eq!(raw.outcome().status, Some(b'I'));
    raw
}

#[test]
fn tls_is_set_in_steps_and_what_is_half_set_changes_nothing() {
    let pooler = client_tls("require").set("client_tls_ca_file", "").start();
    let in_vain = console(&pooler).simple("set client_tls_sslmode = 'verify-full'");
    assert_eq!((in_vain.errors.len(), in_vain.notices.len()), (0, 1), "{in_vain:?}");
    pooler.wait_for_log("TLS setup failed: client_tls_sslmode=verify-full needs client_tls_ca_file");
    assert_eq!(connect(&pooler, "sslmode=require").as_deref(), Ok("in"), "as before");
    let whole = console(&pooler).simple(&format!("set client_tls_ca_file = '{}'", certs().ca().display()));
    assert_eq!((whole.errors.len(), whole.notices.len()), (0, 0), "{whole:?}");
    assert!(connect(&pooler, "sslmode=require").is_err(), "a certificate is demanded now");
}

#[test]
fn the_suite_is_chosen_by_its_name() {
    let pooler = client_tls("require").set("client_tls13_ciphers", "TLS_CHACHA20_POLY1305_SHA256").start();
    assert_eq!(connect(&pooler, "sslmode=require").as_deref(), Ok("in"));
    pooler.wait_for_log("tls=TLSv1.3/TLS_CHACHA20_POLY1305_SHA256");
    let refused = console(&pooler).simple("set client_tls13_ciphers = 'unknown'");
    assert_eq!(refused.notices.len(), 1, "{refused:?}");
    pooler.wait_for_log("failed to set the TLSv1.3 cipher suites");
}
