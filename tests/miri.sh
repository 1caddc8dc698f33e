#!/bin/sh
# Unit tests of the pure rooms and of what is sent (io::outgoing) in miri, which sees undefined behaviour
# that no run shows. It needs the nightly toolchain with the components miri and rust-src. Usage:
# tests/miri.sh [FILTER...]
set -eu
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "rustup toolchain install nightly --component miri --component rust-src" >&2
    exit 1
fi
# Property tests at their usual length would take hours; miri has no file system or clock of
# its own for them to use.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" PROPTEST_CASES="${PROPTEST_CASES:-4}"
export MIRIFLAGS="-Zmiri-disable-isolation"
# What looks through thousands of cases by itself takes hours, too.
skipped="--skip no_interleaving --skip copies_sent_ahead --skip counters_of_many_pools --skip includes_end"
# shellcheck disable=SC2086
exec cargo +nightly miri test --locked --lib -- ${*:-wire:: core:: base:: stats:: io::outgoing io::conn} $skipped
