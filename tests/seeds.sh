#!/bin/sh
# Runs many seeds of the simulation, optimized and with debug assertions, on all cores, and lists those that fail.
# Usage: tests/seeds.sh [SEEDS] [FROM]; for one that fails: PGWEIR_SIM_SEED=<n> cargo test --test sim
set -eu
cd "$(dirname "$0")/.."
seeds=${1:-200000}
from=${2:-0}
began=$(date +%s)
status=0
PGWEIR_SIM_GO_ON=1 PGWEIR_SIM_SEEDS=$seeds PGWEIR_SIM_FROM=$from \
    CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/seeds" \
    cargo test --locked --release --test sim worlds_with_faults -- --nocapture || status=$?
echo "$seeds seeds from $from on: $([ "$status" = 0 ] && echo "no finding" || echo "FINDINGS"), $(($(date +%s) - began)) s with the build"
exit "$status"
