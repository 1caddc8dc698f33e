//! Fuzzes `bodies/userlist.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/userlist.rs"]
mod userlist;

libfuzzer_sys::fuzz_target!(|data: &[u8]| userlist::run(data));
