#!/bin/sh
# The PAM side of an RDS-like PostgreSQL: builds the module, puts a service file under /etc/pam.d, takes it away
# again.
#   pam.sh build DIRECTORY                      pam_rds.so in DIRECTORY
#   pam.sh install SERVICE MODULE SOCKET        /etc/pam.d/SERVICE; SERVICE is pgweir-rds-PID-NUMBER, so that
#                                               what a run that was killed has left is found by the next one
#   pam.sh remove SERVICE
# The service file needs root, or sudo (asked only at a terminal). Ends with 77 and a reason where that cannot be had.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

cannot() {
    echo "$*"
    exit 77
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

case ${1:-} in
build)
    command -v cc >/dev/null || cannot "no C compiler: run make setup"
    echo '#include <security/pam_modules.h>' | cc -E - >/dev/null 2>&1 || cannot "no libpam0g-dev: run make setup"
    cc -std=gnu11 -O1 -Wall -Wextra -Werror -fPIC -shared -o "$2/pam_rds.so" "$here/pam_rds.c" -lpam
    ;;
install)
    [ -d /etc/pam.d ] || cannot "no /etc/pam.d: this system has no PAM"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || cannot "the PAM service needs root or sudo"
    as_root true 2>/dev/null || cannot "the PAM service needs root, and sudo asks for a password"
    for left in /etc/pam.d/pgweir-rds-*-*; do
        owner=${left#/etc/pam.d/pgweir-rds-}
        [ ! -e "$left" ] || [ -d "/proc/${owner%-*}" ] || as_root rm -f "$left"
    done
    printf 'auth required %s %s\naccount required pam_permit.so\n' "$3" "$4" |
        as_root tee "/etc/pam.d/$2" >/dev/null
    as_root chmod 644 "/etc/pam.d/$2"
    ;;
remove)
    case $2 in pgweir-rds-*-*) as_root rm -f "/etc/pam.d/$2" ;; esac
    ;;
*)
    echo "usage: pam.sh build|install|remove ..." >&2
    exit 2
    ;;
esac
