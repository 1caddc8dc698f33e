#!/bin/sh
# PostgreSQL's own regression tests (src/test/regress) directly and through poolers: which end otherwise.
#   sh tests/pg-regress.sh [--source DIR] [--pgbouncer PROGRAM] [--keep DIR] [session|transaction]...
# DIR is PostgreSQL's source tree, of the version that is installed; without it Debian's source package is
# taken. --pgbouncer runs the same through that program, too; --keep leaves results and logs there. Both pool
# modes unless one is named. PGWEIR_BIN names the program under test; without it a release build is made.
# Needs what builds C (build-essential) and some minutes; installs nothing.
set -eu
cd "$(dirname "$0")/.."
. tests/lib.sh
source=
pgbouncer=
kept=
modes=
while [ $# -gt 0 ]; do
    case $1 in
    --source) source=${2:?} && shift ;;
    --pgbouncer) pgbouncer=${2:?} && shift ;;
    --keep) kept=${2:?} && shift ;;
    session | transaction) modes="$modes $1" ;;
    *) sed -n '2,/^set/s/^# //p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
pgxs=$(PATH=$pgbin:$PATH pg_config --pgxs 2>/dev/null ||
    echo "$(dirname "$pgbin")/lib/pgxs/src/makefiles/pgxs.mk")
runner=$(dirname "$pgxs")/../test/regress/pg_regress
[ -x "$runner" ] || { echo "no pg_regress at $runner: Debian's postgresql has it" >&2 && exit 1; }

# --- the source, and the functions in C that the tests call -------------------------------------------------
fetch() { # Debian's source package into $target/pg-regress, by a list of sources of its own
    place=$target/pg-regress
    package=postgresql-$(pg_config --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    [ ! -d "$place/tree" ] || return 0
    mkdir -p "$place/lists/partial"
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^#' |
        grep -oE 'https?://[^ ]*/debian/?( |$)' | head -n 1)
    echo "deb-src ${mirror:-http://deb.debian.org/debian} $suite main" >"$place/sources.list"
    own="-o Dir::Etc::sourcelist=$place/sources.list -o Dir::Etc::sourceparts=-"
    own="$own -o Dir::State::lists=$place/lists"
    apt-get -q $own update >"$place/apt.log" 2>&1
    version=$(dpkg-query -W -f '${Version}' "$package")
    (cd "$place" && { apt-get -q $own --download-only source "$package=$version" ||
        apt-get -q $own --download-only source "$package"; }) >>"$place/apt.log" 2>&1 ||
        { cat "$place/apt.log" >&2 && return 1; }
    dpkg-source --no-check -x "$place/$package"_*.dsc "$place/tree" >>"$place/apt.log" 2>&1
}
[ -n "$source" ] || { fetch && source=$target/pg-regress/tree; }
source=$(realpath "$source")
regress=$source/src/test/regress
if [ ! -f "$regress/regress.so" ]; then
    echo "building $regress/regress.so"
    (cd "$source" && ./configure --without-readline --without-zlib --without-icu >configure.log &&
        make -s -C src/backend generated-headers && make -s -C "$regress") >"$source/build.log" 2>&1 ||
        { tail "$source/build.log" >&2 && exit 1; }
fi
if [ -z "${PGWEIR_BIN:-}" ]; then
    cargo build --locked --release
    PGWEIR_BIN=$target/release/pgweir
fi

# --- one run: a cluster, a pooler, the schedule -------------------------------------------------------------
work=$(mktemp -d "${TMPDIR:-/tmp}/pgweir-regress.XXXXXX")
pooler=
cluster=
stop() {
    [ -z "$pooler" ] || kill -QUIT "$pooler" 2>/dev/null || true
    [ -z "$cluster" ] || (as_account pg_ctl -D "$cluster" -m immediate stop >/dev/null 2>&1) || true
    pooler=
    cluster=
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cp -r "$regress" "$work/regress"
cp "$PGWEIR_BIN" "$work/pgweir"
[ -z "$pgbouncer" ] || cp "$pgbouncer" "$work/pgbouncer"
[ -z "$account" ] || chown -R "$account:" "$work"

own() { (cd "$work" && as_account "$@"); }
start_cluster() { # start_cluster NAME; sets pg_port
    pg_port=$(free_port 25432)
    own initdb -D "$work/$1.data" --no-sync -A trust -U postgres -E UTF8 --locale=C >"$work/$1.initdb.log"
    cat >>"$work/$1.data/postgresql.conf" <<EOF
port = $pg_port
unix_socket_directories = '$work'
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_connections = 200
max_prepared_transactions = 10
shared_buffers = 256MB
EOF
    cluster=$work/$1.data
    own pg_ctl -D "$cluster" -l "$work/$1.log" -w start >/dev/null
    # What pg_regress would set itself, were it not told to use what exists.
    own psql -X -q -h 127.0.0.1 -p "$pg_port" -U postgres -c 'create database regression template template0' \
        -c "alter database regression set lc_messages to 'C'" \
        -c "alter database regression set lc_monetary to 'C'" \
        -c "alter database regression set lc_numeric to 'C'" \
        -c "alter database regression set lc_time to 'C'" \
        -c "alter database regression set bytea_output to 'hex'" \
        -c "alter database regression set timezone_abbreviations to 'Default'"
}
start_pooler() { # start_pooler NAME PROGRAM MODE; sets port
    port=$(free_port 26432)
    echo '"postgres" ""' >"$work/users.txt"
    cat >"$work/$1.ini" <<EOF
[databases]
* = host=127.0.0.1 port=$pg_port auth_dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $work/users.txt
auth_user = postgres
pool_mode = $3
default_pool_size = 50
max_client_conn = 500
EOF
    (cd "$work" && as_account "$work/$2" "$work/$1.ini" >"$work/$1.pooler.log" 2>&1) &
    pooler=$!
    tries=0
    until own psql -X -q -h 127.0.0.1 -p "$port" -U postgres -d postgres -c 'select' >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { cat "$work/$1.pooler.log" >&2 && exit 1; }
        sleep 0.1
    done
}
run() { # run NAME PORT MODE: the verdict of each test, sorted, in NAME.verdicts
    mkdir "$work/$1.out"
    [ -z "$account" ] || chown "$account:" "$work/$1.out"
    # Tests that run at once share servers in transaction pooling, and disturb each other through any pooler.
    width=20
    [ "$3" != transaction ] || width=1
    (cd "$work/regress" && as_account timeout 1800 "$runner" --use-existing --dbname=regression \
        --inputdir=. --dlpath=. --outputdir="$work/$1.out" --bindir="$pgbin" \
        --host=127.0.0.1 --port="$2" --user=postgres \
        --schedule=parallel_schedule --max-connections=$width >"$work/$1.out/said" 2>&1) || true
    sed -nE 's/^(test )? *([a-z0-9_.]+) +\.\.\. (ok|FAILED).*/\2 \3/p' "$work/$1.out/said" |
        sort >"$work/$1.verdicts"
    [ -s "$work/$1.verdicts" ] || { cat "$work/$1.out/said" >&2 && exit 1; }
}
report() { # report NAME: against the direct run
    differing=$(comm -13 "$work/direct.verdicts" "$work/$1.verdicts" | cut -d ' ' -f 1 | tr '\n' ' ')
    tests=$(wc -l <"$work/direct.verdicts")
    [ "$(wc -l <"$work/$1.verdicts")" = "$tests" ] || differing="$differing (and it broke off)"
    echo "$1: $(echo $differing | wc -w) of $tests tests differ: ${differing:-none}"
}
keep() {
    [ -z "$kept" ] || { mkdir -p "$kept/$1" && cp -r "$work/$1".out/* "$work/$1".*log "$kept/$1/"; }
}

start_cluster direct
run direct "$pg_port" direct
stop
keep direct
echo "direct: $(grep -c ' ok$' "$work/direct.verdicts") of $(wc -l <"$work/direct.verdicts") tests pass"
for mode in ${modes:-session transaction}; do
    for program in pgweir ${pgbouncer:+pgbouncer}; do
        name=$program-$mode
        start_cluster "$name"
        start_pooler "$name" "$program" "$mode"
        run "$name" "$port" "$mode"
        stop
        keep "$name"
        report "$name"
    done
done
