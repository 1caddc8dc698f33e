//! Fuzzes the values of `iam_*` settings and the answers of AWS: `cargo +nightly fuzz run iam`.
#![no_main]

#[path = "../bodies/iam.rs"]
mod iam;

libfuzzer_sys::fuzz_target!(|data: &[u8]| iam::run(data));
