#!/bin/sh
# Runs each fuzz target, or those named, for SECONDS_EACH (60). No nightly and no cargo-fuzz: what cargo-fuzz
# passes to the compiler for coverage is passed here. A finding is left in fuzz/artifacts; put it into
# fuzz/corpus, where `make test` replays it.
set -eu
cd "$(dirname "$0")"
host=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-../target}/fuzz
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS="$coverage --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
CARGO_TARGET_DIR=$out cargo build --release --target "$host"
mkdir -p artifacts
for target in ${*:-$(ls fuzz_targets | sed 's/\.rs$//')}; do
    echo "== $target"
    work=$out/corpus/$target
    mkdir -p "$work" "corpus/$target"
    # New inputs go to the work directory, not into the repository; -timeout and -rss_limit_mb make slowness
    # and waste findings too.
    "$out/$host/release/$target" -max_total_time="${SECONDS_EACH:-60}" -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 \
        -artifact_prefix="artifacts/$target-" "$work" "corpus/$target" >"$out/$target.log" 2>&1 || {
        tail -n 40 "$out/$target.log"
        exit 1
    }
    grep -E 'stat::(number_of_executed_units|peak_rss_mb)' "$out/$target.log"
done
