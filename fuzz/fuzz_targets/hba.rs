//! Fuzzes `bodies/hba.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/hba.rs"]
mod hba;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hba::run(data));
