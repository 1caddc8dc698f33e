//! Fuzzes the configuration reader: `cargo +nightly fuzz run ini`.
#![no_main]

#[path = "../bodies/ini.rs"]
mod ini;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ini::run(data));
