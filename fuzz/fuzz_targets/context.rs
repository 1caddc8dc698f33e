//! Fuzzes `bodies/context.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/context.rs"]
mod context;

libfuzzer_sys::fuzz_target!(|data: &[u8]| context::run(data));
