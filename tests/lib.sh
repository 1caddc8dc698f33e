# Shell pieces that quickstart and others share; to be sourced. Finds programs, picks
# ports, switches the account.

# PostgreSQL's programs: PGBIN, Debian's newest versioned directory, or PATH.
pgbin=${PGBIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
[ -z "$pgbin" ] || PATH=$pgbin:$PATH

# PostgreSQL and pgweir refuse root: as root they run as `postgres`.
account=
if [ "$(id -u)" = 0 ]; then
    account=postgres
    if ! id -u "$account" >/dev/null 2>&1; then
        echo "as root, the account '$account' is needed (Debian's postgresql brings it)" >&2
        exit 1
    fi
fi

# as_account COMMAND...: runs it in place of the calling (sub)shell, so that $! is its process id.
as_account() {
    if [ -n "$account" ]; then
        exec setpriv --reuid "$account" --regid "$account" --init-groups env HOME=/ "$@"
    else
        exec "$@"
    fi
}

port_is_free() {
    # /proc shows listeners in hexadecimal; state 0A is LISTEN
    hex=$(printf '%04X' "$1")
    ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port=":$hex" '$4 == "0A" && $2 ~ port "$" { found = 1 } END { exit !found }'
}

# free_port WISH: the wish, or the next free port above it.
free_port() {
    port=$1
    until port_is_free "$port"; do port=$((port + 1)); done
    echo "$port"
}
