//! Fuzzes `bodies/identity.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/identity.rs"]
mod identity;

libfuzzer_sys::fuzz_target!(|data: &[u8]| identity::run(data));
