//! Where lines go, and what becomes of them and of clients where they cannot go there.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, page, postgres, programs, wait_until};
use crate::join::{example, load_audit};
use crate::lines::{audited, field, file, hold_to_schema, of, text, wait_for};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn mkfifo(pooler: &Pooler) {
    let path = pooler.directory().join("fifo");
    programs::run(Command::new("mkfifo").args(["-m", "666"]).arg(path));
}

fn dropped(pooler: &Pooler) -> f64 {
    page::value(pooler.page_port(), "pgweir_audit_records_dropped_total").unwrap_or_default()
}

#[test]
fn a_rotated_file_is_opened_anew_by_sighup_and_no_line_is_lost() {
    let pooler = audited().start();
    let mut client = pooler.client();
    client.simple("select 1");
    wait_for(&pooler, "transaction", 1);
    let mode = std::fs::metadata(file(&pooler)).expect("is there").permissions().mode();
    assert_eq!(mode & 0o137, 0, "for its owner and group alone: {mode:o}");
    let rotated = pooler.directory().join("audit.log.1");
    std::fs::rename(file(&pooler), &rotated).expect("the directory is ours");
    client.simple("select 2");
    pooler.signal("HUP");
    wait_for(&pooler, "start", 1);
    client.simple("select 3");
    wait_for(&pooler, "transaction", 1);
    let old = std::fs::read_to_string(&rotated).expect("is there");
    let told = [old, text(&pooler)].concat();
    let numbers: Vec<_> = of(&told, "transaction").iter().map(|line| field(line, "txn").to_owned()).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    let seqs: Vec<u64> = told.lines().map(|line| field(line, "seq").parse().expect("a number")).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap: {seqs:?}");
    hold_to_schema(&file(&pooler));
}

#[test]
fn set_of_another_setting_leaves_the_output_and_its_lines_alone() {
    let pooler = audited().set("workers", 2).start();
    let moved = pooler.directory().join("audit.log.1");
    std::fs::rename(file(&pooler), &moved).expect("the directory is ours");
    let told = || std::fs::read_to_string(&moved).unwrap_or_default();
    assert!(pooler.ask("set server_idle_timeout = 77").errors.is_empty());
    wait_until("it is told where all else is", || of(&told(), "config").len() == 1);
    pooler.client().simple("select 1");
    wait_until("as what follows is", || of(&told(), "transaction").len() == 1);
    assert_eq!(of(&told(), "start").len(), 1);
    assert!(!file(&pooler).exists(), "nothing was opened anew");
    assert!(pooler.ask("set audit_statements = 'text'").errors.is_empty());
    assert_eq!(wait_for(&pooler, "start", 1).len(), 1);
    pooler.client().simple("select 2");
    assert_eq!(wait_for(&pooler, "statement", 1).len(), 1);
    hold_to_schema(&moved);
}

#[test]
fn a_full_disk_loses_lines_counts_them_and_is_told_once() {
    let mut pooler = audited().with_page().set("audit_file", "/dev/full").start();
    let mut client = pooler.client();
    for _ in 0..50 {
        client.simple("select 1");
    }
    pooler.wait_for_log("could not write to the audit log: No space left on device");
    wait_until("they are counted", || dropped(&pooler) >= 50.0);
    assert_eq!(pooler.log().matches("could not write to the audit log").count(), 1);
    pooler.rewrite(|setup| setup.set("audit_file", "audit.log"));
    pooler.signal("HUP");
    let told: f64 = field(&wait_for(&pooler, "dropped", 1)[0], "count").parse().expect("a number");
    assert!(told >= 50.0 && (told - dropped(&pooler)).abs() < 1.0, "{told}");
    client.simple("select 1");
    assert_eq!(field(&wait_for(&pooler, "transaction", 1)[0], "txn"), "51");
    hold_to_schema(&file(&pooler));
}

/// What the query of docs/audit.md says is missing of these lines.
fn missing(pooler: &Pooler, database: &str, lines: &str) -> String {
    let file = pooler.directory().join(database);
    std::fs::write(&file, lines).expect("the directory is ours");
    postgres().psql("postgres", &format!("create database {database}"));
    load_audit(postgres(), database, &file);
    let block = example("evidence");
    let query = block.split(";\n").find(|query| query.contains("how many lines are missing"));
    let answer = postgres().psql(database, query.expect("there is such a query"));
    answer.split('|').nth(1).expect("a number").to_owned()
}

#[test]
fn what_a_full_disk_has_lost_is_counted_once_and_a_gap_is_a_line_that_was_taken_out() {
    let pooler = audited().with_page().start();
    let mut client = pooler.client();
    client.simple("select 1");
    wait_for(&pooler, "transaction", 1);
    assert!(pooler.ask("set audit_file = '/dev/full'").errors.is_empty());
    for count in 1..=10 {
        // One after the other: each is a batch, and its `dropped` line is lost, too.
        client.simple("select 2");
        wait_until("it is counted", || dropped(&pooler) >= f64::from(count));
    }
    assert!(pooler.ask("set audit_file = 'audit.log'").errors.is_empty());
    wait_for(&pooler, "dropped", 1);
    client.simple("select 3");
    drop(client);
    wait_until("all have left", || {
        let told = text(&pooler);
        of(&told, "logout").iter().any(|line| field(line, "user") == "app")
    });
    let told = text(&pooler);
    let told = &told[..=told.rfind('\n').expect("there are lines")];
    let counts: Vec<u64> =
        of(told, "dropped").iter().map(|line| field(line, "count").parse().expect("a number")).collect();
    let lost: u64 = counts.iter().sum();
    assert!((lost as f64 - dropped(&pooler)).abs() < 1.0, "{counts:?}");
    let seqs: Vec<u64> = told.lines().map(|line| field(line, "seq").parse().expect("a number")).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "no gap: {seqs:?}");
    assert_eq!(missing(&pooler, "full_disk", told), lost.to_string());
    let second = told.lines().nth(1).expect("there are many");
    let without = told.replacen(&format!("{second}\n"), "", 1);
    assert_eq!(missing(&pooler, "taken_out", &without), (lost + 1).to_string());
    hold_to_schema(&file(&pooler));
}

#[test]
fn a_fifo_that_nobody_reads_holds_up_nobody_and_what_is_missing_is_told() {
    let pooler = audited().with_page().set("audit_queue", "64 kB").start();
    mkfifo(&pooler);
    assert_eq!(pooler.ask("set audit_file = 'fifo'").errors, Vec::<String>::new());
    let mut client = pooler.client();
    wait_until("there is no room", || {
        for _ in 0..200 {
            assert_eq!(client.simple("select 1").rows.len(), 1);
        }
        dropped(&pooler) > 0.0
    });
    pooler.wait_for_log("the audit log takes no records: nobody reads it");
    let mut fifo =
        File::options().read(true).write(true).open(pooler.directory().join("fifo")).expect("ours");
    let (mut read, mut part) = (Vec::new(), vec![0; 65_536]);
    wait_until("what is missing is told", || {
        let bytes = fifo.read(&mut part).expect("there is more, or more will come");
        read.extend_from_slice(&part[..bytes]);
        client.simple("select 1");
        String::from_utf8_lossy(&read).contains("\"event\":\"dropped\"")
    });
    let whole = read.iter().rposition(|byte| *byte == b'\n').expect("there are lines") + 1;
    let kept = pooler.directory().join("of-fifo");
    std::fs::write(&kept, &read[..whole]).expect("the directory is ours");
    hold_to_schema(&kept);
    pooler.wait_for_log("the audit log is written again");
}

/// What the busy client of [`blocks`] does.
struct Work {
    pool_mode: &'static str,
    audit_statements: &'static str,
    /// Sent once, before all else.
    first: &'static str,
    /// The event that each query leaves one of, and how many there are beside.
    event: &'static str,
    others: usize,
}

/// With `block`: nothing begins that could not be told of, whoever waits goes on when there is room, and all
/// is told.
fn blocks(work: &Work) {
    const QUERIES: usize = 3_000;
    let pooler = audited()
        .with_page()
        .set("audit_queue", "4 kB")
        .set("audit_overflow", "block")
        .set("audit_statements", work.audit_statements)
        .set("pool_mode", work.pool_mode)
        .set("workers", 1)
        .start();
    mkfifo(&pooler);
    assert_eq!(pooler.ask("set audit_file = 'fifo'").errors, Vec::<String>::new());
    let (port, first) = (pooler.port, work.first);
    let (count, counted) = std::sync::mpsc::channel();
    let busy = std::thread::spawn(move || {
        let mut client = Raw::log_in(port, "app", "app");
        client.simple(first);
        for number in 1..=QUERIES {
            assert_eq!(client.simple("select 1 as a_name_that_takes_its_room").rows.len(), 1);
            count.send(number).expect("is read");
        }
    });
    pooler.wait_for_log("clients wait for it (audit_overflow = block)");
    let done = || counted.try_iter().last();
    wait_until("it stands", || done().is_none());
    assert!(!busy.is_finished());
    let console = pooler.ask("show version");
    assert!(console.errors.is_empty(), "the console needs no room: {console:?}");
    let mut fifo =
        File::options().read(true).write(true).open(pooler.directory().join("fifo")).expect("ours");
    let (mut read, mut part) = (Vec::new(), vec![0; 65_536]);
    wait_until("all are told of", || {
        let bytes = fifo.read(&mut part).expect("there is more, or more will come");
        read.extend_from_slice(&part[..bytes]);
        // Clients of the console leave, too.
        let left = of(&String::from_utf8_lossy(&read), "logout");
        left.iter().any(|line| field(line, "user") == "app")
    });
    busy.join().expect("every query was answered");
    let told = String::from_utf8_lossy(&read).into_owned();
    let lines = of(&told, work.event);
    assert_eq!(lines.len(), QUERIES + work.others);
    if work.event == "transaction" {
        let numbers: Vec<usize> =
            lines.iter().map(|line| field(line, "txn").parse().expect("a number")).collect();
        assert!(numbers.into_iter().eq(1..=QUERIES + work.others));
    }
    assert_eq!((of(&told, "dropped").len(), dropped(&pooler)), (0, 0.0));
}

#[test]
fn with_block_no_transaction_begins_that_could_not_be_told_of() {
    blocks(&Work {
        pool_mode: "transaction",
        audit_statements: "none",
        first: "select 0",
        event: "transaction",
        others: 1,
    });
}

#[test]
fn with_block_a_session_waits_between_its_transactions() {
    blocks(&Work {
        pool_mode: "session",
        audit_statements: "none",
        first: "select 0",
        event: "transaction",
        others: 1,
    });
}

#[test]
fn with_block_a_transaction_waits_between_its_statements_where_those_are_told() {
    blocks(&Work {
        pool_mode: "transaction",
        audit_statements: "text",
        first: "begin",
        event: "statement",
        others: 1,
    });
}

#[test]
fn with_block_who_waits_for_room_is_told_that() {
    let pooler = audited()
        .set("audit_queue", "4 kB")
        .set("audit_overflow", "block")
        .set("query_wait_notify", 1)
        .set("workers", 1)
        .start();
    mkfifo(&pooler);
    assert_eq!(pooler.ask("set audit_file = 'fifo'").errors, Vec::<String>::new());
    let mut client = pooler.client();
    let notice = (0..100_000).find_map(|_| {
        client.send(&raw::query("select 1"));
        loop {
            let told = client.read().expect("it is not ended");
            match told.tag {
                b'N' => return Some(told.message()),
                b'Z' => return None,
                _ => {}
            }
        }
    });
    let expected = "NOTICE 00000: No room in the audit log (audit_overflow=block), client being queued";
    assert_eq!(notice.as_deref(), Some(expected));
}

/// Whether nothing has come from there, not even an end.
fn is_silent(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let looked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn with_block_cancels_and_early_refusals_wait_and_are_told_when_there_is_room() {
    let pooler = audited().with_page().set("audit_queue", "64 kB").set("audit_overflow", "block").start();
    mkfifo(&pooler);
    let mut console = pooler.console();
    assert_eq!(console.simple("set audit_file = 'fifo'").errors, Vec::<String>::new());
    // Full, and that for so many looks in a row that the writer has taken all that it can.
    let mut looks = 0;
    wait_until("there is no room", || {
        let bytes = page::value(pooler.page_port(), "pgweir_audit_waiting_bytes").unwrap_or_default();
        looks = if bytes > 64_600.0 { looks + 1 } else { 0 };
        if looks == 0 {
            (0..10).for_each(|_| drop(console.simple("show version")));
        }
        looks >= 20 && pooler.log().contains("the audit log takes no records: nobody reads it")
    });
    let ask = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", pooler.port)).expect("it listens");
        stream.write_all(bytes).expect("it reads");
        stream
    };
    let nobody = raw::startup_message(196_608, &[("database", "app")]);
    let waiting = [ask(&nobody), ask(&raw::cancel_request(&[0; 8]))];
    for _ in 0..20 {
        assert_eq!(console.simple("show version").rows.len(), 1, "the console needs no room");
    }
    assert!(waiting.iter().all(is_silent), "neither is answered that could not be told of");
    let mut fifo =
        File::options().read(true).write(true).open(pooler.directory().join("fifo")).expect("ours");
    let (mut read, mut part) = (Vec::new(), vec![0; 65_536]);
    wait_until("both are told of", || {
        let bytes = fifo.read(&mut part).expect("there is more, or more will come");
        read.extend_from_slice(&part[..bytes]);
        let told = String::from_utf8_lossy(&read).into_owned();
        ["login_refused", "cancel"].iter().all(|event| !of(&told, event).is_empty())
    });
    for mut stream in waiting {
        stream.read_to_end(&mut Vec::new()).expect("it ends in order");
    }
    assert_eq!(dropped(&pooler), 0.0);
}

/// A program that runs the pooler with a FIFO, `stdout.fifo`, as its standard output.
fn with_stdout_to_fifo() -> std::path::PathBuf {
    let script = std::env::temp_dir().join(format!("pgweir-stdout-{}", std::process::id()));
    let program = programs::pooler().display();
    let text = format!("#!/bin/sh\nmkfifo stdout.fifo\nexec '{program}' \"$@\" > stdout.fifo\n");
    std::fs::write(&script, text).expect("a directory for all");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("ours");
    script
}

#[test]
fn standard_output_gets_lines_and_its_end_holds_up_nobody() {
    let pooler = audited().set("audit_log", "stdout").program(Some(with_stdout_to_fifo())).launch();
    let fifo = pooler.directory().join("stdout.fifo");
    wait_until("there is a FIFO", || fifo.exists());
    let mut reader = File::open(&fifo).expect("it is opened at its other end, too");
    pooler.wait_for_log("process up");
    let mut client = pooler.client();
    client.simple("select 1");
    let (mut read, mut part) = (Vec::new(), vec![0; 65_536]);
    wait_until("the transaction is told", || {
        let bytes = reader.read(&mut part).expect("there is more, or more will come");
        read.extend_from_slice(&part[..bytes]);
        !of(&String::from_utf8_lossy(&read), "transaction").is_empty()
    });
    assert_eq!(of(&String::from_utf8_lossy(&read), "login").len(), 1);
    drop(reader);
    wait_until("its end is told", || {
        assert_eq!(client.simple("select 2").rows.len(), 1);
        pooler.log().contains("could not write to the audit log: Broken pipe")
    });
    assert_eq!(client.simple("select 3").rows.len(), 1);
    assert_eq!(pooler.client().simple("select 4").rows.len(), 1, "others still come in");
}

#[test]
fn a_file_that_cannot_be_opened_refuses_the_start_and_a_reload_keeps_the_one_before() {
    let setup = audited().set("audit_file", "/nonexistent/audit.log");
    let said = programs::said(&setup.check(&[]));
    let foreseen =
        "a start from here would be refused: could not open the audit log /nonexistent/audit.log: ";
    assert!(said.contains(foreseen), "{said}");
    let mut refused = setup.launch();
    assert!(!refused.wait().success());
    assert!(
        refused.log().contains("FATAL could not open the audit log /nonexistent/audit.log"),
        "{}",
        refused.log()
    );
    let mut pooler = audited().start();
    pooler.rewrite(|setup| setup.set("audit_file", "/nonexistent/audit.log"));
    pooler.signal("HUP");
    pooler.wait_for_log("could not open the audit log /nonexistent/audit.log");
    pooler.client().simple("select 1");
    wait_for(&pooler, "transaction", 1);
    let none = pooler.ask("set audit_file = ''");
    assert!(none.errors[0].contains("SET failed"), "{none:?}");
    pooler.wait_for_log("audit_log=file requires audit_file");
}
