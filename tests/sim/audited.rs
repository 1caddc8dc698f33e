//! What a core leaves in the audit log, with clocks played by hand.

use super::cases::{Bench, CLIENT, SERVER, complete, query, ready};
use pgweir::audit::{Audit, AuditOrder, Overflow, Statements, Target};
use pgweir::base::{Micros, StartId};
use pgweir::config::PoolMode;
use pgweir::core::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A time of the day, in microseconds, of a record's line.
fn time_us(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("{name} of {line}"));
    let digits: Vec<u64> =
        rest[11..26].split([':', '.']).map(|part| part.parse().expect("a number")).collect();
    ((digits[0] * 60 + digits[1]) * 60 + digits[2]) * 1_000_000 + digits[3]
}

/// A worker may lose its core between its clock and its sockets. The end that it tells of must not come
/// before PostgreSQL's own last line of the transaction.
#[test]
fn a_transaction_ends_when_its_answer_is_looked_at() {
    const LATE_US: u64 = 150_000;
    let file = std::env::temp_dir().join(format!("pgweir-sim-audit-{}", std::process::id()));
    let clock = Arc::new(AtomicU64::new(1_000));
    let shown = Arc::clone(&clock);
    let audit = Audit::new(StartId(7), move || Micros(shown.load(Ordering::SeqCst)));
    let order = AuditOrder {
        output: Some(Target::File(file.clone()).open().expect("a directory of ours")),
        overflow: Overflow::Drop,
        queue_bytes: 1 << 20,
        statements: Statements::None,
    };
    let tap = audit.adopt(order, 1).expect("a thread").remove(0).map(Box::new);
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.command(Command::Audit(tap));
    bench.now = Micros(1_000);
    bench.says(CLIENT, &query("select 1"));
    clock.store(1_000 + LATE_US, Ordering::SeqCst);
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    audit.flush();
    let text = std::fs::read_to_string(&file).expect("it is written");
    std::fs::remove_file(&file).expect("it is there");
    let mut lines = text.lines().filter(|line| line.contains("\"event\":\"transaction\""));
    let line = lines.next().unwrap_or_else(|| panic!("one has ended: {text}"));
    let day_us = 24 * 3_600 * 1_000_000;
    let lasted_us = (time_us(line, "end") + day_us - time_us(line, "begin")) % day_us;
    assert_eq!(lasted_us, LATE_US);
}
