//! Fuzzes `bodies/cancel.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/cancel.rs"]
mod cancel;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cancel::run(data));
