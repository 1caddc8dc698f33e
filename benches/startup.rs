//! What reading a StartupMessage costs the worker on whose loop a client logs in. Defends the claim that
//! nobody can make queries wait by it: ten kilobytes, the most there can be, cost some
//! microseconds whatever is in them.
//!
//! `usual`: what a driver sends. The others are of the greatest length: `word` and `escaped`: `options`
//! of one word; `words`: of as many assignments as there is room for; `invalid`: a value of which no byte
//! is UTF-8; `parameters`: as many parameters as there is room for; `unknown`: as many that we do not
//! know, which are ignored.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use pgweir::base::limits;
use pgweir::wire::TrackedNames;
use pgweir::wire::startup::{IgnoredNames, STARTUP_HEADER_BYTES, Startup, write_startup};
use std::hint::black_box;
use std::sync::Arc;

/// Room for the value of `options` beside the rest.
const OPTIONS_BYTES: usize = limits::STARTUP_BYTES_MAX - 64;

fn payload(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_startup(&mut out, pairs.iter().copied());
    assert!(out.len() <= limits::STARTUP_BYTES_MAX, "{}", out.len());
    out.split_off(STARTUP_HEADER_BYTES)
}

fn with_options(options: &str) -> Vec<u8> {
    payload(&[("user", "app"), ("database", "app"), ("options", options)])
}

/// As long a value as there can be, of which no byte is UTF-8.
fn invalid() -> Vec<u8> {
    let mut payload = payload(&[("user", "app"), ("TimeZone", &"x".repeat(OPTIONS_BYTES))]);
    payload.iter_mut().filter(|byte| **byte == b'x').for_each(|byte| *byte = 0xff);
    payload
}

fn reading(criterion: &mut Criterion) {
    let assignment = "-cTimeZone=x ";
    let parameters = vec![("TimeZone", "x"); OPTIONS_BYTES / 11];
    let unknown = vec![("geqo", ""); OPTIONS_BYTES / 6];
    let user = [("user", "app")];
    let driver = [("database", "app"), ("client_encoding", "UTF8"), ("application_name", "a driver")];
    let cases = [
        ("usual", payload(&[&user[..], &driver].concat())),
        ("word", with_options(&format!("-cTimeZone={}", "x".repeat(OPTIONS_BYTES - 11)))),
        ("escaped", with_options(&format!("-cTimeZone={}", r"\x".repeat((OPTIONS_BYTES - 11) / 2)))),
        ("invalid", invalid()),
        ("words", with_options(&assignment.repeat(OPTIONS_BYTES / assignment.len()))),
        ("parameters", payload(&[&user[..], &parameters].concat())),
        ("unknown", payload(&[&user[..], &unknown].concat())),
    ];
    let (names, ignored) = (TrackedNames::new(["search_path"]), [Arc::from("geqo")]);
    let mut group = criterion.benchmark_group("startup");
    for (name, input) in cases {
        let read =
            || Startup::read(0, black_box(&input), &names, IgnoredNames(&ignored)).expect("it is sound");
        group.bench_function(name, |bencher| bencher.iter(read));
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
