# What both scripts of this directory use.
fail() {
    echo "FAILED $*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null; }
within() { # within SECONDS COMMAND...: until it succeeds
    tries=$(($1 * 10))
    shift
    while ! "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.1
    done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
answers() { # answers PORT: whether a pooler's console answers there
    if has psql; then
        psql -X -At -h 127.0.0.1 -p "$1" -U me pgbouncer -c 'show version' 2>/dev/null | grep -q pgweir
    else
        python3 -c "import socket; socket.create_connection(('127.0.0.1', $1))" 2>/dev/null
    fi
}
# A pooler with a console for everybody; where it listens is added by whoever starts it.
console_ini() { # console_ini DIRECTORY
    printf '"me" ""\n' >"$1/users"
    printf '[pgbouncer]\nauth_type = trust\nauth_file = %s/users\nadmin_users = me\nunix_socket_dir =\n' "$1"
}
