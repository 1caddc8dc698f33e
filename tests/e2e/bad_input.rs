//! Peers that lie, stall or flood: a clear error, bounded memory, nobody else disturbed.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Somebody else's work, before and after the attack.
fn undisturbed(pooler: &Pooler) {
    assert_eq!(pooler.client().simple("select 42").value(), "42");
}

#[test]
fn garbage_instead_of_a_startup_packet_ends_the_connection() {
    let pooler = PoolerSetup::new(postgres()).start();
    let attacks: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 3, 0, 3, 0, 0],
        &[0xff; 64],
        &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        &[0, 0, 0, 12, 0, 3, 0, 0, b'u', b's', b'e', b'r'],
        &[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2f, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for attack in attacks {
        let mut raw = Raw::tcp(pooler.port);
        let _ = raw.try_send(attack);
        let words = raw.last_words();
        assert!(words.is_empty() || words.starts_with("FATAL 08P01: "), "{attack:?}: {words}");
    }
    undisturbed(&pooler);
}

#[test]
fn frames_that_cannot_be_end_the_connection_and_only_it() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let attacks: [&[u8]; 7] = [
        &[b'Q', 0, 0, 0, 0],
        &[b'Q', 0, 0, 0, 3],
        &[b'Q', 0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0, 4],
        &[b'?', 0, 0, 0, 4],
        &[b'p', 0, 0, 0, 4],
        &[b'Z', 0, 0, 0, 5, b'I'],
    ];
    for attack in attacks {
        let mut raw = pooler.client();
        let _ = raw.try_send(attack);
        let words = raw.last_words();
        assert!(words.starts_with("FATAL 08P01: "), "{attack:?}: {words}");
        undisturbed(&pooler);
    }
}

#[test]
fn malformed_statements_end_the_connection_and_only_it() {
    let pooler = PoolerSetup::new(postgres())
        .database("app", "pool_size=1")
        .set("max_prepared_statements", 10)
        .start();
    let attacks = [
        raw::frame(b'P', b"no terminator"),
        raw::frame(b'P', b"named\0"),
        raw::frame(b'B', b"\0named"),
        raw::frame(b'D', b""),
        raw::frame(b'C', b"S"),
        raw::frame(b'D', b"Sno terminator"),
    ];
    for attack in attacks {
        let mut raw = pooler.client();
        let _ = raw.try_send(&[attack.clone(), raw::sync()].concat());
        let outcome = raw.outcome();
        assert!(!outcome.errors.is_empty(), "{attack:?}: {outcome:?}");
        drop(raw);
        undisturbed(&pooler);
    }
}

#[test]
fn a_packet_above_max_packet_size_is_refused() {
    let pooler = PoolerSetup::new(postgres()).set("max_packet_size", 10_000).start();
    let mut raw = pooler.client();
    assert_eq!(raw.simple(&format!("select length('{}')", "x".repeat(5_000))).value(), "5000");
    let _ = raw.try_send(&raw::query(&format!("select length('{}')", "x".repeat(20_000))));
    assert_eq!(raw.outcome().status, None);
    undisturbed(&pooler);
}

#[test]
fn a_row_above_max_packet_size_is_refused_too() {
    let pooler = PoolerSetup::new(postgres()).set("max_packet_size", 10_000).start();
    let mut raw = pooler.client();
    let row = |bytes: usize| format!("select repeat('x', {})", bytes - 11); // header, count, length
    assert_eq!(raw.simple(&row(10_000)).value().len(), 9_989);
    let outcome = raw.simple(&row(10_001));
    assert_eq!(
        (&outcome.errors[..], outcome.status),
        (&["FATAL 08P01: bad pkt header".to_owned()][..], None)
    );
    pooler.wait_for_log("closing because: bad pkt header");
    undisturbed(&pooler);
}

#[test]
fn a_login_cut_at_every_byte_leaves_nothing_behind() {
    let pooler = PoolerSetup::new(postgres()).set("allow_core_dump", 1).start();
    undisturbed(&pooler);
    let before = pooler.descriptors();
    let message = raw::startup_message(196_608, &[("user", "app"), ("database", "app")]);
    for cut in 0..message.len() {
        let mut stream = TcpStream::connect(("127.0.0.1", pooler.port)).expect("it listens");
        stream.write_all(&message[..cut]).expect("it takes it");
    }
    wait_until("every descriptor is given back", || pooler.descriptors() <= before);
    undisturbed(&pooler);
}

#[test]
fn slow_bytes_are_as_good_as_fast_ones() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut raw = Raw::tcp(pooler.port);
    for byte in raw::startup_message(196_608, &[("user", "app"), ("database", "app")]) {
        raw.send(&[byte]);
    }
    assert_eq!(raw.outcome().status, Some(b'I'));
    for byte in raw::query("select 'byte by byte'") {
        raw.send(&[byte]);
    }
    assert_eq!(raw.outcome().value(), "byte by byte");
}

#[test]
fn a_flood_of_half_open_connections_costs_little_and_ends() {
    let pooler =
        PoolerSetup::new(postgres()).set("client_login_timeout", 3).set("allow_core_dump", 1).start();
    undisturbed(&pooler);
    let (memory_kib, descriptors) = (pooler.resident_kib(), pooler.descriptors());
    const FLOOD: usize = 400;
    let half_a_password = [&[0, 0, 0x27, 0][..], &[0, 3, 0, 0], &[b'x'; 9_900]].concat();
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        let mut stream = TcpStream::connect(("127.0.0.1", pooler.port)).expect("it listens");
        // It may refuse early: that is as good.
        let _ = stream.write_all(&half_a_password);
        flood.push(stream);
    }
    undisturbed(&pooler);
    let grown_kib = pooler.resident_kib().saturating_sub(memory_kib);
    assert!(grown_kib < 16 * FLOOD as u64, "{FLOOD} half-open logins cost {grown_kib} KiB");
    wait_until("client_login_timeout ends them", || pooler.descriptors() <= descriptors + 2);
    undisturbed(&pooler);
}

#[test]
fn a_client_that_never_reads_holds_no_memory_and_nobody_up() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=3").start();
    undisturbed(&pooler);
    let before_kib = pooler.resident_kib();
    let mut deaf = pooler.client();
    deaf.send(&raw::query("select repeat('x', 1 << 20) from generate_series(1, 200)"));
    let mut flooding = pooler.client();
    let sync = raw::sync();
    let batch =
        [raw::parse("", "select repeat('y', 10000)"), raw::bind("", &[]), raw::execute(), sync].concat();
    flooding.send(&batch.repeat(1_000));
    for _ in 0..50 {
        undisturbed(&pooler);
    }
    let grown_kib = pooler.resident_kib().saturating_sub(before_kib);
    assert!(grown_kib < 8 << 10, "two deaf clients cost {grown_kib} KiB");
    assert_eq!(deaf.outcome().rows.len(), 200, "and whoever reads in the end gets everything");
}

#[test]
fn a_client_that_closes_its_half_is_answered_first() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut stream = TcpStream::connect(("127.0.0.1", pooler.port)).expect("it listens");
    stream.write_all(&raw::startup_message(196_608, &[("user", "app"), ("database", "app")])).expect("taken");
    stream.write_all(&raw::query("select 1")).expect("taken");
    stream.shutdown(std::net::Shutdown::Write).expect("is open");
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    undisturbed(&pooler);
    wait_until("nothing is left linked", || {
        let pools = pooler.ask("show pools").records();
        pools
            .iter()
            .filter(|row| row["database"] == "app")
            .all(|row| row["cl_active"] == "0" && row["sv_active"] == "0")
    });
}

#[test]
fn a_userlist_with_garbage_keeps_the_good_lines_before_it() {
    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "md5")
        .userlist_text("; a comment\n\n\"quoted\"\"name\" \"x\" ignored\n")
        .userlist_text("no quote\n\"broken\n\u{fffd}\n")
        .start();
    let mut psql = pooler.psql();
    let output =
        psql.args(["-c", "select 1"]).env("PGPASSWORD", "app-secret").output().expect("psql is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    pooler.wait_for_log("broken auth file");
}
