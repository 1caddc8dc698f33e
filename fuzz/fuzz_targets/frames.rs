//! Fuzzes `bodies/frames.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/frames.rs"]
mod frames;

libfuzzer_sys::fuzz_target!(|data: &[u8]| frames::run(data));
