#!/bin/sh
# Runs every test and ends with the totals: "N passed, N failed, N skipped". Arguments go to cargo test.
# A test that cannot run on this machine says "SKIPPED name: why" and counts as skipped, not as passed; with
# PGWEIR_NO_SKIP set it fails.
set -u
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

# A driver that is a program of its own; built apart, so that its dependencies stay out of ours.
CARGO_TARGET_DIR=$target/drivers cargo build --locked --quiet --manifest-path tests/drivers/sqlx-client/Cargo.toml ||
    exit 1
# The bare relays of the load test, so that they do not rot (tests/e2e/floor.rs).
relay="--locked --quiet --manifest-path loadtest/relay/Cargo.toml --target-dir $target/relay"
cargo build $relay || exit 1

# Most tests wait for something far longer than they compute.
threads=$(nproc)
[ "$threads" -ge 4 ] || threads=4
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$threads}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
    cargo test $relay 2>&1 || relay_status=$?
    cargo test --locked --no-fail-fast "$@" 2>&1 || test_status=$?
    QUICK=1 sh packaging/test/run.sh 2>&1 || packaging_status=$?
    echo "cargo-status $((${relay_status:-0} | ${test_status:-0} | ${packaging_status:-0}))"
} | tee "$log" | grep -a --line-buffered -v '^cargo-status '
status=$(sed -n 's/^cargo-status //p' "$log")

echo
grep -aE '^test .* \.\.\. FAILED' "$log" | sed 's/^test /failed: /'
grep -aoE 'SKIPPED [A-Za-z0-9_:]+: .*' "$log" | sed 's/^SKIPPED /skipped: /'
awk '/SKIPPED [A-Za-z0-9_:]+: / { unable++ }
     /^test result:/ { passed += $4; failed += $6; skipped += $8 }
     END { passed -= unable; skipped += unable
           printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit passed == 0 }' "$log" || status=1
exit "${status:-1}"
