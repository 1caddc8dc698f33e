//! Fuzzes `bodies/console.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/console.rs"]
mod console;

libfuzzer_sys::fuzz_target!(|data: &[u8]| console::run(data));
