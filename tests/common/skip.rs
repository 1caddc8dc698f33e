//! A test that cannot run on this machine says so; `tests/run.sh` reads it and does not
//! count the test as passed.

use std::io::Write;

/// Says loudly that the calling test proves nothing here; fails where nothing may be skipped
/// (`PGWEIR_NO_SKIP`, as in CI).
#[track_caller]
pub fn skip<T>(why: &str) -> Option<T> {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    assert!(std::env::var_os("PGWEIR_NO_SKIP").is_none(), "{name} cannot run: {why}");
    skip_all_the_same(why)
}

/// As [`skip()`], where whoever runs the tests has said that this one may be skipped.
pub fn skip_all_the_same<T>(why: &str) -> Option<T> {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    // Not by a macro whose output the test harness keeps to itself.
    let _ = std::io::stderr().write_all(format!("SKIPPED {name}: {why}\n").as_bytes());
    None
}
