# Completion of pgweir for bash. Written from the program's own table: BLESS=1 cargo test --lib manual_page
_pgweir() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    case $prev in
    -u | --user) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
    *)
        case $cur in
        -*) mapfile -t COMPREPLY < <(compgen -W '-d --daemon -q --quiet -R --reboot -u --user -v --verbose -V --version -h --help --check --iam --overlay' -- "$cur") ;;
        *) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        esac
        ;;
    esac
}
complete -F _pgweir pgweir
