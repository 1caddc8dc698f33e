//! Fuzzes the values of `iam_*` settings and the answers of AWS: `cargo +nightly fuzz run iam`.
#![no_main]

#[path = "../bodies/iam.rs"]
mod iam;

libfuzzer_sys::fuzz_target!(
    // As the program does, a panic of the AWS library is contained (`AwsSource` fetches
    // under `tasks::guarded`): libFuzzer's own hook would abort at it. A panic that nobody
    // contains is still a finding.
    init: drop(std::panic::take_hook()),
    |data: &[u8]| iam::run(data)
);
