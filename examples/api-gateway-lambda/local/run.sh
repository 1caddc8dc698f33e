#!/bin/sh
# The example on one machine, without AWS: PostgreSQL, pgweir, an issuer and a stand-in for API Gateway, all thrown
# away at the end. PGWEIR_BIN names the program; else one is built. PYTHON needs psycopg (`make setup` gives one).
set -eu
cd "$(dirname "$0")/../../.."
. tests/lib.sh
here=examples/api-gateway-lambda/local

python=${PYTHON:-.venv/bin/python}
if ! "$python" -c 'import psycopg' 2>/dev/null; then
    echo "psycopg is missing: run \`make setup\`, or name a Python that has it by PYTHON" >&2
    exit 1
fi
if [ -z "${PGWEIR_BIN:-}" ]; then
    echo "building pgweir, some minutes the first time"
    cargo build --locked --profile quickstart --quiet
    PGWEIR_BIN=${CARGO_TARGET_DIR:-target}/quickstart/pgweir
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/pgweir-example.XXXXXX")
chmod 711 "$work"
pids=
stop() {
    trap - EXIT INT TERM HUP PIPE
    for pid in $pids; do
        # QUIT ends PostgreSQL and pgweir at once; what a shell starts in the background does not hear it by itself.
        kill -QUIT "$pid" 2>/dev/null || true
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM HUP PIPE

cp "$PGWEIR_BIN" "$work/pgweir"
"$python" $here/issuer.py "$work" keys
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$work/server.key" -out "$work/server.crt" 2>/dev/null
pg_port=$(free_port 5435)
port=$(free_port 6435)
echo mallory@example.org >"$work/denied"
# Nobody wants to wait for 25 seconds here.
sed -e 's|query_timeout=25|query_timeout=2|' $here/claims.map >"$work/claims.map"
sed -e "s|@WORK@|$work|" -e "s|@PG_PORT@|$pg_port|" -e "s|@PORT@|$port|" $here/pgweir.ini >"$work/pgweir.ini"
[ -z "$account" ] || chown -R "$account:" "$work"

start() { # start LOG COMMAND...
    log=$1
    shift
    ( cd "$work"; as_account setsid "$@" >"$log" 2>&1 ) &
    pids="$! $pids"
}
until_true() { # until_true LOG COMMAND...
    log=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 150 ]; then
            cat "$log" >&2
            exit 1
        fi
        sleep 0.1
    done
}
( cd "$work"; as_account initdb -D "$work/data" --no-sync --auth=trust --username=postgres >"$work/initdb.log" )
start "$work/postgres.log" postgres -D "$work/data" -p "$pg_port" -k "$work" -c listen_addresses=127.0.0.1 \
    -c fsync=off -c "log_line_prefix=%m [%p] %a " -c log_statement=all
until_true "$work/postgres.log" pg_isready -q -h 127.0.0.1 -p "$pg_port"
psql -X -q -h 127.0.0.1 -p "$pg_port" -U postgres -d postgres <<'SQL'
create table orders (id serial primary key, item text, quantity int);
insert into orders (item, quantity) values ('bolt', 100), ('nut', 250);
create role orders_api login;
grant select on orders to orders_api;
SQL
start "$work/pgweir.log" "$work/pgweir" "$work/pgweir.ini"
until_true "$work/pgweir.log" grep -q "process up" "$work/pgweir.log"

export PGHOST=localhost PGPORT="$port" PGDATABASE=orders PGUSER=orders_api PGSSLROOTCERT="$work/server.crt"
"$python" $here/gateway.py >"$work/gateway.out" 2>"$work/gateway.log" &
gateway=$!
pids="$gateway $pids"
# Its first line is the port; what the function logs follows.
until_true "$work/gateway.log" test -s "$work/gateway.out"
api=http://127.0.0.1:$(head -n 1 "$work/gateway.out")/orders
call() { # call TOKEN: the API's answer
    "$python" - "$api" "$1" <<'PY'
import sys, urllib.error, urllib.request

trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
headers = {"authorization": f"Bearer {sys.argv[2]}", "traceparent": trace}
try:
    answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers))
except urllib.error.HTTPError as refused:
    answer = refused
print(answer.status, answer.read().decode())
PY
}
token() { "$python" $here/issuer.py "$work" token "$1"; }

echo "ada@example.org, whose token has the scope orders/read:"
call "$(token '{"sub": "ada@example.org", "email": "ada@example.org", "scope": "openid orders/read"}')"
echo "eve@example.org, whose token has not:"
call "$(token '{"sub": "eve@example.org", "email": "eve@example.org", "scope": "openid"}')"

echo "mallory@example.org, whose token has the scope, but who is on the list of those who are denied:"
call "$(token '{"sub": "mallory@example.org", "email": "mallory@example.org", "scope": "openid orders/read"}')"
echo "ada@example.org, while somebody has locked the table (query_timeout):"
psql -X -q -h 127.0.0.1 -p "$pg_port" -U postgres -d postgres \
    -c "begin; lock table orders; select pg_sleep(3600)" >"$work/lock.log" 2>&1 &
pids="$! $pids"
is_locked() {
    psql -X -q -At -h 127.0.0.1 -p "$pg_port" -U postgres -d postgres -c "select 'locked' from pg_locks
        where relation = 'orders'::regclass and mode = 'AccessExclusiveLock' and granted" | grep -q locked
}
until_true "$work/lock.log" is_locked
call "$(token '{"sub": "ada@example.org", "email": "ada@example.org", "scope": "openid orders/read"}')"

echo
echo "pgweir's audit log (who, as which role, on which server connection, for which request):"
until_true "$work/pgweir.log" grep -q '"event":"logout"' "$work/audit.log"
grep -E '"event":"(login|transaction|login_refused)"' "$work/audit.log"
echo
echo "PostgreSQL's log (application_name: session|principal|function):"
grep -E 'LOG: +statement: select id' "$work/postgres.log" || grep -E 'execute .*select id' "$work/postgres.log"
