//! Fuzzes `bodies/presigned.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/presigned.rs"]
mod presigned;

libfuzzer_sys::fuzz_target!(|data: &[u8]| presigned::run(data));
