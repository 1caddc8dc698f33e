//! Fuzzes `bodies/startup.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/startup.rs"]
mod startup;

libfuzzer_sys::fuzz_target!(|data: &[u8]| startup::run(data));
