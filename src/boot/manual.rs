//! pgweir(1) and the completions of shells, written from the table of options: `packaging/man/pgweir.1` and
//! `packaging/completions`. Compiled with the tests alone, which hold the committed files to it.

use super::options::{CommandOption, Given, OPTIONS};
use crate::base::roff;

const HEAD: &str = r#".\" Written from the program's own tables: BLESS=1 cargo test --lib manual_page
.TH PGWEIR 1 "" "pgweir" "User commands"
.SH NAME
pgweir \- PostgreSQL connection pooler that takes PgBouncer's place
.SH SYNOPSIS
.B pgweir
.RI [ OPTION ].\|.\|.
.I CONFIG_FILE
.SH DESCRIPTION
.B pgweir
stands between applications and PostgreSQL servers, to which it looks like a few clients that stay. It reads
the configuration of PgBouncer (see
.BR pgweir (5))
and is controlled and watched in the same ways. The console is the database
.B pgbouncer
of the pooler itself:
.B psql \-p 6432 pgbouncer
and there
.BR "SHOW HELP" .
.SH OPTIONS
"#;

const TAIL: &str = r#".SH SIGNALS
.TP
.B SIGHUP
The files are read again, whole or not at all.
.TP
.B SIGTERM
No more clients over TCP; the process ends when the last client has left, however long it stays. For a restart
beside another process on the same port.
.TP
.B SIGINT
No more clients over TCP; clients that are not in a transaction (in session pooling: that have no server) are
disconnected, and the process ends when the last server is released. For service managers and containers.
.TP
.B SIGQUIT
The process ends at once.
.TP
.B SIGUSR1
PAUSE: servers are closed as they come free, clients wait.
.TP
.B SIGUSR2
RESUME.
.PP
A second SIGTERM or SIGINT ends the process at once.
.SH EXIT STATUS
0 for each end that was asked for, for
.BR \-\-help ,
.B \-\-version
and a
.B \-\-check
that finds no error; 1 for each start that fails, with its reason on standard error, and for SIGTERM or SIGINT
amid SUSPEND. With
.B \-d
the exit code is 0 as soon as the process is in the background: what fails behind that, an address that is
taken or a pidfile that cannot be written, is told by the log alone.
.SH ENVIRONMENT
.TP
.B NOTIFY_SOCKET
Where a service manager is told of the start, each reload and the end (sd_notify(3)).
.TP
.BR LISTEN_PID ", " LISTEN_FDS
Sockets that a service manager has opened; they take the place of
.B listen_addr
and
.B unix_socket_dir
(sd_listen_fds(3)).
.TP
.B AWS_*
What AWS's tools read, for logins by IAM.
.SH SEE ALSO
.BR pgweir (5),
.BR psql (1),
.BR systemd.service (5)
"#;

fn man() -> String {
    let items =
        OPTIONS.iter().map(|option| roff::item(option.synopsis().trim_start(), &sentence(option.doc)));
    HEAD.to_owned() + &items.collect::<String>() + TAIL
}

/// What `--help` says of an option, as a sentence.
fn sentence(doc: &str) -> String {
    let first = doc.chars().next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(doc.chars().skip(1)).chain(['.']).collect()
}

fn bash() -> String {
    let words: Vec<_> = OPTIONS.iter().flat_map(spellings).collect();
    format!(
        "# Completion of pgweir for bash. Written from the program's own table: BLESS=1 cargo test --lib \
         manual_page\n\
         _pgweir() {{\n\
         \x20   local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n\
         \x20   case $prev in\n\
         \x20   -u | --user) mapfile -t COMPREPLY < <(compgen -u -- \"$cur\") ;;\n\
         \x20   *)\n\
         \x20       case $cur in\n\
         \x20       -*) mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\") ;;\n\
         \x20       *) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n\
         \x20       esac\n\
         \x20       ;;\n\
         \x20   esac\n\
         }}\n\
         complete -F _pgweir pgweir\n",
        words.join(" ")
    )
}

fn spellings(option: &CommandOption) -> Vec<String> {
    let short = option.short.map(|letter| format!("-{letter}"));
    short.into_iter().chain([format!("--{}", option.long)]).collect()
}

fn zsh() -> String {
    let mut text = String::from(
        "#compdef pgweir\n# Written from the program's own table: BLESS=1 cargo test --lib manual_page\n\
         _arguments -s \\\n",
    );
    for option in OPTIONS {
        let value = match option.value {
            Given::Nothing => "",
            Given::Value("USER") => "=:user:_users",
            Given::Value(_) => "=:file:_files",
            Given::Perhaps(_) => "=-::user:",
        };
        let (sign, rest) = value.split_at(value.find(':').unwrap_or(value.len()));
        for spelling in spellings(option) {
            let sign = if spelling.starts_with("--") { sign } else { sign.trim_end_matches('=') };
            text += &format!("    '{spelling}{sign}[{}]{rest}' \\\n", option.doc.replace(':', "\\:"));
        }
    }
    text + "    '1:configuration:_files'\n"
}

fn fish() -> String {
    let mut text = String::from(
        "# Completion of pgweir for fish. Written from the program's own table: BLESS=1 cargo test --lib \
         manual_page\n",
    );
    for option in OPTIONS {
        let short = option.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
        let value = match option.value {
            Given::Nothing | Given::Perhaps(_) => "",
            Given::Value("USER") => " -x -a '(__fish_complete_users)'",
            Given::Value(_) => " -r",
        };
        text += &format!("complete -c pgweir{short} -l {}{value} -d '{}'\n", option.long, option.doc);
    }
    text
}

#[test]
fn manual_page_and_completions_are_written_from_the_table() {
    let files = [
        ("man/pgweir.1", man()),
        ("completions/pgweir.bash", bash()),
        ("completions/_pgweir", zsh()),
        ("completions/pgweir.fish", fish()),
    ];
    for (name, text) in files {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "packaging/{name} is not what the table prints: run with BLESS=1");
    }
}
