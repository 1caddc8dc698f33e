//! Fuzzes `bodies/scram.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/scram.rs"]
mod scram;

libfuzzer_sys::fuzz_target!(|data: &[u8]| scram::run(data));
