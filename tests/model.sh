#!/bin/sh
# Checks models of what threads share: the program's own types on loom's atomics and locks (src/base/sync.rs),
# in every order. The model of the two fences is run once more without them, and has to fail then.
set -eu
cd "$(dirname "$0")/.."
check() { cargo test --locked --lib --features model models:: -- "$@"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
check
if PGWEIR_MODEL_UNFENCED=1 check of_an_idle_server >"$log" 2>&1; then
    echo "FINDING: the model does not miss its fences" >&2
    exit 1
fi
grep -q 'both wait for ever' "$log" || { cat "$log"; exit 1; }
echo "without its fences the model fails, as it should"
