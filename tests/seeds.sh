#!/bin/sh
# Runs many seeds of the simulation, optimized and with debug assertions, on all cores, and lists those that
# fail. A tenth as many are of worlds that replace servers before they are too old. Usage: tests/seeds.sh
# [SEEDS] [FROM]; for one that fails: PGWEIR_SIM_SEED=<n> cargo test --test sim <the test's name>
set -eu
cd "$(dirname "$0")/.."
seeds=${1:-200000}
from=${2:-0}
began=$(date +%s)
status=0
search() { # TEST SEEDS
    PGWEIR_SIM_GO_ON=1 PGWEIR_SIM_SEEDS=$2 PGWEIR_SIM_FROM=$from \
        CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/seeds" \
        cargo test --locked --release --test sim "$1" -- --exact --nocapture || status=$?
}
search worlds_with_faults_keep_every_promise "$seeds"
search no_renewal_is_late_that_could_be_in_time $(((seeds + 9) / 10))
found=$([ "$status" = 0 ] && echo "no finding" || echo "FINDINGS")
echo "$seeds seeds from $from on: $found, $(($(date +%s) - began)) s with the build"
exit "$status"
