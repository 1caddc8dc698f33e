#!/bin/sh
# A throw-away PostgreSQL with pgweir in front of it, until Ctrl-C. Leaves nothing behind. Where PAM can be
# had (root or sudo), a database with logins by IAM too; PGWEIR_QUICKSTART_IAM=0 leaves it out.
# QUICKSTART_ONCE=1 ends after the demonstration instead of waiting; PGWEIR_BIN names another program to show.
set -eu
cd "$(dirname "$0")/.."
. tests/lib.sh
. tests/rds/show.sh
. tests/identity/show.sh

if [ -z "${PGWEIR_BIN:-}" ]; then
    echo "building pgweir for a look, some minutes the first time"
    echo "(not optimized; make it fast with cargo build --release)"
    cargo build --locked --profile quickstart --quiet
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/pgweir-quickstart.XXXXXX")
chmod 711 "$work"
pids=
stop() {
    trap '' INT TERM HUP
    trap - EXIT
    for pid in $pids; do
        kill -QUIT "$pid" 2>/dev/null || continue
        tries=0
        while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 50 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    iam_end
    rm -rf "$work"
    echo "stopped; nothing is left behind"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The account may not be able to reach this directory: it gets copies.
cp "${PGWEIR_BIN:-${CARGO_TARGET_DIR:-target}/quickstart/pgweir}" "$work/pgweir"
mkdir "$work/data" "$work/socket"
pg_port=$(free_port 5433)
port=$(free_port 6432)
metrics_port=$(free_port 9127)
sed -e "s/port=5433/port=$pg_port/g" -e "s/^\(listen_port *= *\)6432/\1$port/" \
    -e "s/127\.0\.0\.1:9127/127.0.0.1:$metrics_port/" \
    -e "s|^\(unix_socket_dir *=\).*|\1 $work/socket|" \
    configs/quickstart.ini >"$work/quickstart.ini"
# Files that the configuration names stand beside it.
for file in configs/*.txt; do
    [ ! -f "$file" ] || cp "$file" "$work/"
done
sed -i "s|= *configs/|= $work/|" "$work/quickstart.ini"
token_prepare "$work/quickstart.ini"
[ "${PGWEIR_QUICKSTART_IAM:-1}" = 0 ] || iam_prepare
[ -z "$iam_service" ] || sed -i "s|^\[databases\]|&\n$(iam_database "$pg_port")|" "$work/quickstart.ini"
[ -z "$account" ] || chown -R "$account:" "$work"

( cd "$work"; as_account initdb -D "$work/data" --no-sync --auth=trust --username=postgres --encoding=UTF8 \
    >"$work/initdb.log" )
# A session of its own for each, so that Ctrl-C reaches only this script, which then ends them in order.
start() { # start LOG COMMAND...
    log=$1
    shift
    ( cd "$work"; as_account setsid "$@" >"$log" 2>&1 ) &
    pids="$! $pids"
}
wait_for() { # wait_for WHAT LOG COMMAND...
    name=$1
    log=$2
    shift 2
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 150 ]; then
            echo "$name did not come up; its log:" >&2
            cat "$log" >&2
            exit 1
        fi
        sleep 0.1
    done
}
tls=
if [ -n "$iam_service" ]; then
    iam_start
    iam_rules "$work/data/pg_hba.conf"
    tls="-c ssl=on -c ssl_cert_file=$work/rds/server.crt -c ssl_key_file=$work/rds/server.key"
fi
start "$work/postgres.log" postgres -D "$work/data" -p "$pg_port" -k "$work/socket" -c listen_addresses=127.0.0.1 \
    -c fsync=off -c max_connections=200 $tls
wait_for PostgreSQL "$work/postgres.log" pg_isready -q -h 127.0.0.1 -p "$pg_port"
psql -X -q -h "$work/socket" -p "$pg_port" -U postgres -d postgres -c 'create role reporting login'
if [ -n "$iam_service" ]; then
    psql -X -q -h "$work/socket" -p "$pg_port" -U postgres -d postgres \
        -c 'create role rds_iam nologin' -c 'create role iam_app login in role rds_iam'
    export AWS_ACCESS_KEY_ID=$iam_key AWS_SECRET_ACCESS_KEY="$iam_secret"
fi
start "$work/pgweir.log" "$work/pgweir" "$work/quickstart.ini"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
through() { psql -X -q -h 127.0.0.1 -p "$port" -U postgres "$@"; }
wait_for pgweir "$work/pgweir.log" through -d postgres -c 'select 1'

echo
echo "pgweir serves at port $port, the console too (psql -h 127.0.0.1 -p $port -U postgres pgbouncer);"
echo "a demonstration comes first, some 40 seconds with logins by IAM."
echo
echo "a few queries through pgweir:"
through -d postgres -c "create table greeting (words text)" \
    -c "insert into greeting values ('hello from behind the pooler')" -c "select words, current_user from greeting"
echo "pgbench, 20 clients for 5 seconds:"
pgbench -h 127.0.0.1 -p "$port" -U postgres -i -q -s 1 postgres >/dev/null 2>&1
pgbench -h 127.0.0.1 -p "$port" -U postgres -n -b select-only -c 20 -j 2 -T 5 postgres 2>/dev/null |
    grep -E 'transactions actually|latency average|tps'
token_show "$port"
[ -z "$iam_service" ] || iam_show "$port"
echo
echo "the console's view:"
psql -X -q -h 127.0.0.1 -p "$port" -U postgres -d pgbouncer -c 'show pools'
[ -z "$iam_service" ] || psql -X -q -x -h 127.0.0.1 -p "$port" -U postgres -d pgbouncer -c 'show iam'
cat <<EOS
connect:    psql -h 127.0.0.1 -p $port -U postgres postgres
console:    psql -h 127.0.0.1 -p $port -U postgres pgbouncer      (then: SHOW HELP;)
metrics:    http://127.0.0.1:$metrics_port/metrics
log:        $work/pgweir.log
audit log:  $work/audit.log
EOS
[ -z "$iam_service" ] || echo "rehearse:   $work/rds/behaviour      (docs/iam.md, To rehearse without AWS)"
if [ -n "${QUICKSTART_ONCE:-}" ]; then
    exit 0
fi
trap 'echo; exit 0' INT # the usual end
echo "running until Ctrl-C"
# Ends too when one of the two does.
set -- $pids
while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do sleep 1; done
echo "one of the two has ended by itself; the end of its log:" >&2
tail -n 20 "$work/pgweir.log" "$work/postgres.log" >&2
exit 1
