//! Fuzzes `bodies/ldap.rs`; `make fuzz` runs it.
#![no_main]

#[path = "../bodies/ldap.rs"]
mod ldap;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ldap::run(data));
