//! An audit log of a pooler under test, as lines, each held to the schema.

use crate::common::{Pooler, PoolerSetup, Postgres, postgres, programs, wait_until};
use std::path::PathBuf;
use std::process::Command;

/// The usual pooler, with its audit log in its own directory.
pub(crate) fn audited() -> PoolerSetup {
    audited_before(postgres())
}

pub(crate) fn audited_before(postgres: &Postgres) -> PoolerSetup {
    PoolerSetup::new(postgres).set("audit_log", "file").set("audit_file", "audit.log")
}

/// The file of `pooler`'s audit log.
pub(crate) fn file(pooler: &Pooler) -> PathBuf {
    pooler.directory().join("audit.log")
}

/// All that is written there.
pub(crate) fn text(pooler: &Pooler) -> String {
    std::fs::read_to_string(file(pooler)).unwrap_or_default()
}

/// The lines of one event.
pub(crate) fn of(text: &str, event: &str) -> Vec<String> {
    let mark = format!("\"event\":\"{event}\"");
    text.lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
}

/// Waits until there are so many lines of that event, and gives them.
#[track_caller]
pub(crate) fn wait_for(pooler: &Pooler, event: &str, count: usize) -> Vec<String> {
    wait_until(&format!("{count} lines of {event}"), || of(&text(pooler), event).len() >= count);
    of(&text(pooler), event)
}

/// What stands behind `"name":` up to the next comma or brace, without quotes.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let mark = format!("\"{name}\":");
    let rest = line.split_once(&mark).map_or("", |(_, rest)| rest);
    rest.split([',', '}']).next().unwrap_or_default().trim_matches('"')
}

/// Holds each line of a file to the schema; what it prints is a count for each event.
#[track_caller]
pub(crate) fn hold_to_schema(file: &std::path::Path) -> String {
    programs::run(
        Command::new(programs::in_repository(".venv/bin/python"))
            .arg(programs::in_repository("tests/drivers/audit_lines.py"))
            .arg(programs::in_repository("docs/audit.schema.json"))
            .arg(file),
    )
}
