#!/bin/sh
# Builds the Debian package and looks at all that packaging/ has: units, manual pages, completions, the
# package's own scripts, a start with sockets of systemd's. `make packaging` calls it; with QUICK=1 it takes
# the program that the tests have built, and makes no package without cargo-deb. The package is installed into
# a copy of this machine's file system that is gone afterwards (install.sh), never on the machine. What cannot
# be tried here is said.
set -eu
cd "$(dirname "$0")/../.."
. packaging/test/lib.sh
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -s QUIT "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
chmod 755 "$work"
port=$((20000 + $$ % 20000))
good() { echo "ok: $*"; }
skip() { echo "left out: $*"; }

# --- scripts and completions ----------------------------------------------------------------------
for script in packaging/debian/* packaging/test/*; do
    sh -n "$script" || fail "$script"
done
bash -c '. packaging/completions/pgweir.bash
    compopt() { :; }
    COMP_WORDS=(pgweir --ver) COMP_CWORD=1
    _pgweir
    [ "${COMPREPLY[*]}" = "--verbose --version" ]' || fail "bash does not complete --ver"
good "scripts, and the completion of bash"
for shell in zsh:_pgweir fish:pgweir.fish; do
    if has ${shell%:*}; then
        ${shell%:*} -n "packaging/completions/${shell#*:}" || fail "the completion of ${shell%:*}"
        good "the completion of ${shell%:*}"
    else
        skip "the completion of ${shell%:*}, which is not installed"
    fi
done

# --- manual pages ---------------------------------------------------------------------------------
if has groff; then
    for page in packaging/man/*; do
        said=$(groff -man -Tutf8 -ww -z "$page" 2>&1)
        [ -z "$said" ] || fail "$page: $said"
    done
    good "manual pages"
else
    skip "manual pages: groff is not installed"
fi

# --- units ----------------------------------------------------------------------------------------
if has systemd-analyze; then
    for unit in pgweir.service pgweir.socket; do
        sed "s|^ExecStart=/usr/bin/pgweir|ExecStart=/bin/true|" "packaging/$unit" >"$work/$unit"
    done
    said=$(systemd-analyze verify --man=no "$work/pgweir.service" "$work/pgweir.socket" 2>&1) ||
        fail "units: $said"
    [ -z "$said" ] || fail "units: $said"
    # Exposure in tenths, from 0 to 100: below 20 systemd calls it OK.
    systemd-analyze security --offline=true --threshold=20 packaging/pgweir.service >"$work/said" ||
        fail "hardening: $(tail -n 1 "$work/said")"
    good "units"
else
    skip "units: systemd-analyze is not installed"
fi

# --- the program ----------------------------------------------------------------------------------
target=${CARGO_TARGET_DIR:-target}
if [ -z "${QUICK:-}" ]; then
    cargo build --locked --quiet --release --bin pgweir
    cp "$target/release/pgweir" "$work/pgweir"
else
    [ -x "$target/debug/pgweir" ] || cargo build --locked --quiet --bin pgweir
    cp "$target/debug/pgweir" "$work/pgweir"
fi
if has systemd-socket-activate; then
    account=
    [ "$(id -u)" != 0 ] || account="setpriv --reuid 65534 --regid 65534 --clear-groups"
    console_ini "$work" >"$work/activated.ini"
    socket=$work/.s.PGSQL.$port
    # The words of $account are several.
    # shellcheck disable=SC2086
    systemd-socket-activate -l "127.0.0.1:$port" -l "$socket" $account "$work/pgweir" "$work/activated.ini" \
        2>"$work/log" &
    pid=$!
    within 20 answers $port || fail "socket activation: $(cat "$work/log")"
    kill -s INT $pid
    wait $pid || fail "SIGINT: $(cat "$work/log")"
    pid=
    grep -q "listening on unix:$socket" "$work/log" || fail "no Unix socket: $(cat "$work/log")"
    good "sockets of systemd's"
else
    skip "sockets of systemd's: systemd-socket-activate is not installed"
fi

# --- the package ----------------------------------------------------------------------------------
if ! cargo deb --version >/dev/null 2>&1; then
    if [ -n "${QUICK:-}" ]; then
        skip "the package: cargo-deb is not installed"
        exit 0
    fi
    cargo install --locked --quiet cargo-deb@3.8.0
fi
how="--profile release"
[ -z "${QUICK:-}" ] || how="--profile dev --fast --strip"
# shellcheck disable=SC2086
cargo deb --quiet --no-build --no-dbgsym $how --output "$work/pgweir.deb" >/dev/null
dpkg-deb --contents "$work/pgweir.deb" | awk '{ print $6 }' >"$work/contents"
for file in usr/bin/pgweir etc/pgweir/pgweir.ini usr/lib/systemd/system/pgweir.service \
    usr/share/man/man1/pgweir.1.gz usr/share/man/man5/pgweir.5.gz \
    usr/share/bash-completion/completions/pgweir usr/share/doc/pgweir/copyright; do
    grep -qx "./$file" "$work/contents" || fail "the package has no $file"
done
[ "$(dpkg-deb -I "$work/pgweir.deb" conffiles | grep -c /etc/)" = 3 ] || fail "conffiles"
good "the package"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    status=0
    unshare -m sh packaging/test/install.sh "$work" $port || status=$?
    case $status in
    0) ;;
    77) skip "the installation: there is no overlayfs" ;;
    *) exit 1 ;;
    esac
else
    skip "the installation: it wants root and a mount namespace"
fi

# --- the image ------------------------------------------------------------------------------------
# Its base has the C library and libgcc: a program that wants another library would not start there.
if [ -z "${QUICK:-}" ]; then
    flags=$(sed -n 's/^RUN cargo build --release //p' packaging/Containerfile)
    # shellcheck disable=SC2086
    cargo build --quiet --profile quickstart --target-dir "$target/image" $flags
    wanted=$(readelf -d "$target/image/quickstart/pgweir" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    for library in $wanted; do
        case $library in
        libc.so.* | libm.so.* | libgcc_s.so.* | ld-linux*) ;;
        *) fail "the image's base has no $library" ;;
        esac
    done
    good "the libraries of the image's program"
else
    skip "the libraries of the image's program: QUICK"
fi
for builder in podman docker; do
    if has $builder && $builder info >/dev/null 2>&1; then
        $builder build -f packaging/Containerfile -t pgweir-test . >/dev/null || fail "the image"
        good "the image"
        exit 0
    fi
done
skip "the image: neither podman nor docker answers"
