#!/bin/sh
# install.sh WORK PORT: installs WORK/pgweir.deb into a copy of this machine's file system, starts, upgrades,
# removes and purges it; then runs WORK/pgweir as its container does. Needs root and a mount namespace of its
# own, with which the copy goes. Exit code 77: there is no overlayfs here.
set -eu
. packaging/test/lib.sh
work=$1 port=$2
pid=
trap '[ -z "$pid" ] || kill -s QUIT "$pid" 2>/dev/null || true' EXIT

mkdir "$work/copy"
mount -t tmpfs tmpfs "$work/copy"
mkdir "$work/copy/upper" "$work/copy/work" "$work/copy/all"
all=$work/copy/all
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/copy/upper,workdir=$work/copy/work" "$all" || exit 77
mount -t proc proc "$all/proc"
mount --rbind /dev "$all/dev"
cp "$work/pgweir.deb" "$all/pgweir.deb"
there() { # there OPTIONS...: dpkg in the copy
    # Its dependencies are libraries that are here, and adduser.
    DEBIAN_FRONTEND=noninteractive chroot "$all" dpkg "$@" >"$work/dpkg" 2>&1 </dev/null ||
        fail "dpkg $*: $(cat "$work/dpkg")"
}

there -i /pgweir.deb
ini=$all/etc/pgweir/pgweir.ini
[ "$(chroot "$all" stat -c '%U:%G %a' /etc/pgweir/userlist.txt)" = "root:pgweir 640" ] ||
    fail "secrets can be read"
chroot "$all" /usr/bin/pgweir --check /etc/pgweir/pgweir.ini >"$work/check" ||
    fail "--check: $(cat "$work/check")"
link=/usr/local/bin/pgbouncer
[ ! -e "$all$link" ] || fail "the name is taken unasked"
chroot "$all" update-alternatives --quiet --install $link pgbouncer /usr/bin/pgweir 50
chroot "$all" $link --version | grep -q '^PgBouncer ' || fail "--version under the name"

# As the service starts it, but without systemd: its account and its directories.
echo "listen_port = $port" >>"$ini"
chroot "$all" install -d -o pgweir -g pgweir /run/pgweir
chroot "$all" setpriv --reuid pgweir --regid pgweir --init-groups $link -d /etc/pgweir/pgweir.ini ||
    fail "the start"
pidfile=$all/run/pgweir/pgweir.pid
within 20 test -s "$pidfile" || fail "no pidfile: $(cat "$all"/var/log/pgweir/*)"
pid=$(cat "$pidfile")
there -i /pgweir.deb
grep -q "listen_port = $port" "$ini" || fail "the upgrade has changed the configuration"
[ "$(chroot "$all" readlink -f $link)" = /usr/bin/pgweir ] || fail "the upgrade has taken the name away"
gone "$pid" && fail "the upgrade has ended what runs"
kill -s INT "$pid"
within 20 test ! -e "$pidfile" || fail "SIGINT does not end it"
pid=

there -r pgweir
[ ! -e "$all$link" ] || fail "the name is left behind"
[ -e "$ini" ] || fail "the removal has taken the configuration"
there -P pgweir
[ ! -e "$ini" ] || fail "the purge leaves the configuration"
[ ! -e "$all/var/log/pgweir" ] || fail "the purge leaves logs"
echo "ok: installed, started, upgraded, removed, purged"

# In a container: a root that is read-only, an account that no file knows, nothing but standard error.
mkdir "$work/root"
mount --bind / "$work/root"
mount --bind "$work" "$work/root$work" # it may be on another file system
mount -o remount,bind,ro "$work/root"
mount -o remount,bind,ro "$work/root$work"
console_ini "$work" >"$work/container.ini"
printf 'listen_addr = 127.0.0.1\nlisten_port = %s\n' "$port" >>"$work/container.ini"
chroot "$work/root" setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set=-all --no-new-privs \
    "$work/pgweir" "$work/container.ini" 2>"$work/log" &
pid=$!
within 20 answers "$port" || fail "with a read-only root: $(cat "$work/log")"
kill -s INT $pid
wait $pid || fail "the container's end: $(cat "$work/log")"
pid=
echo "ok: a read-only root, an account without a name"
