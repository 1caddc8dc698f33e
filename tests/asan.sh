#!/bin/sh
# The program under the address sanitizer, before the suites that drive it over live sockets. The stable
# compiler is told to take a flag of nightly's; the C code of aws-lc is not instrumented. Usage: tests/asan.sh
# [SUITE...] (isolation e2e hostile)
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
case $target in /*) ;; *) target=$PWD/$target ;; esac
logs=$(mktemp -d)
chmod 777 "$logs"
trap 'rm -rf "$logs"' EXIT
CARGO_TARGET_DIR=$target/asan RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
    cargo build --locked --bin pgweir --target "$host"
# The tests look at what the program says of itself: what the sanitizer says goes to files of its own.
export PGWEIR_BIN="$target/asan/$host/debug/pgweir" ASAN_OPTIONS="log_path=$logs/asan:detect_leaks=0"
status=0
for suite in ${*:-isolation e2e hostile}; do
    # Left out: what measures the program's memory, which the sanitizer takes much of.
    cargo test --locked --test "$suite" -- --skip a_client_that_never_reads_holds_no_memory \
        --skip a_flood_of_half_open_connections_costs_little --skip one_holds_little_however_much || status=$?
done
if [ -n "$(ls "$logs")" ]; then
    cat "$logs"/*
    echo "FINDINGS of the address sanitizer: $(ls "$logs" | wc -l)" >&2
    exit 1
fi
echo "no finding of the address sanitizer"
exit "$status"
