//! What changes for a file of PgBouncer's when pgweir reads it: one table, of which `--check` prints the rows
//! that concern the file, and docs/coming-from-pgbouncer.md has all.
//!
//! Pure. What has no effect here is taken from the table of settings. Source: PgBouncer, doc/config.md and
//! NEWS.md (1.26).

use super::choices::{AuthType, PoolMode, SslMode, Workers};
use super::setting::Effect;
use super::settings::{Setting, Settings, TABLE};
use super::snapshot::Snapshot;
use crate::base::wrap;

/// One difference.
struct Difference {
    /// What of a file it hangs on.
    of: &'static str,
    /// What PgBouncer 1.26 does.
    theirs: &'static str,
    /// What pgweir does.
    ours: &'static str,
    /// Whether a file uses it.
    concerns: fn(&Snapshot) -> bool,
}

/// A row as it is shown: what it hangs on, theirs, ours.
type Row = [String; 3];

/// What the columns are called.
const HEAD: [&str; 3] = ["with", "PgBouncer 1.26", "pgweir"];

/// Columns of a terminal that each takes, a gap of two behind it.
const COLUMNS: [usize; 3] = [24, 40, 42];

/// What the differences hang on that each file has.
const EVERY_FILE: &str = "every file";

const fn for_every_file(theirs: &'static str, ours: &'static str) -> Difference {
    Difference { of: EVERY_FILE, theirs, ours, concerns: |_| true }
}

const DIFFERENCES: &[Difference] = &[
    for_every_file(
        "one thread serves all clients",
        "one worker per core, with one exact pool; `workers = 1` for one thread",
    ),
    for_every_file(
        "a reload applies what stands before the first error",
        "a reload is whole or not at all; every error is told",
    ),
    for_every_file(
        "a pool opens one server at a time",
        "as many at once as clients wait, up to 20 once one login has succeeded; `server_login_concurrency = \
         1` for one",
    ),
    for_every_file(
        "after a login to a server that failed, clients wait for `server_login_retry`",
        "they are told the server's refusal at once; it is asked again after a pause that doubles from 10 ms \
         to `server_login_retry`",
    ),
    for_every_file(
        "clients that have not proven who they are count against `max_client_conn`",
        "they count against `max_login_conn` (500)",
    ),
    for_every_file(
        "the limit of open files is logged, and clients may have every file",
        "it is raised to the hard limit, with a warning where that is below what may be needed; an eighth \
         (1,024 at the most) is kept from clients, for servers, the console and the page of metrics",
    ),
    for_every_file(
        "a crash may leave a core, passwords in it",
        "it leaves none, unless `allow_core_dump = 1`",
    ),
    Difference {
        of: "`admin_users`",
        theirs: "SUSPEND is gone, with `-R` and SHOW FDS",
        ours: "SUSPEND stays",
        concerns: |file| !file.settings.admin_users.is_empty(),
    },
    Difference {
        of: "`auth_file`",
        theirs: "a reload that cannot read it goes on without it",
        ours: "a reload that cannot read it changes nothing",
        concerns: |file| file.settings.auth_file.is_some(),
    },
    Difference {
        of: "`auth_type = hba`",
        theirs: "a line that cannot be read, or that only PostgreSQL goes by, is left out, with a warning; a \
                 reload without the file lets nobody in",
        ours: "one that cannot be read, or a `reject` that only PostgreSQL goes by, refuses the files, with \
               every error; a reload without the file fails, and the rules stay",
        concerns: |file| file.settings.auth_type == AuthType::Hba,
    },
    Difference {
        of: "`auth_type = hba`",
        theirs: "who is rejected may be asked for a password first",
        ours: "the rule is found before anybody is asked for a secret",
        concerns: |file| file.settings.auth_type == AuthType::Hba,
    },
    Difference {
        of: "`auth_type = hba`",
        theirs: "of names with blanks between them on a line of an `@file` the first counts",
        ours: "they have commas between them, or the file is refused",
        concerns: |file| file.settings.auth_type == AuthType::Hba,
    },
    Difference {
        of: "`client_tls_sslmode`, `server_tls_sslmode`",
        theirs: "OpenSSL: TLS 1.0 to 1.3 and all its suites",
        ours: "rustls: TLS 1.2 and 1.3, elliptic curves and AEAD suites alone",
        concerns: uses_tls,
    },
    Difference {
        of: "`max_db_connections`, `max_user_connections`",
        theirs: "a pool whose servers are never idle keeps them",
        ours: "a client of another pool that has waited 50 ms longer gets the next that is released \
               (`closing because: evicted for …`)",
        concerns: shares_a_cap,
    },
    Difference {
        of: "`pool_mode` transaction or statement",
        theirs: "clients that never overlap share the server used last",
        ours: "each worker lends its own first: they may see as many servers as there are workers",
        concerns: |file| file.settings.workers != Workers::Fixed(1) && shares_servers(file),
    },
    Difference {
        of: "`max_prepared_statements`",
        theirs: "the memory of statements has no bound",
        ours: "`prepared_statements_memory` (256 MB) is the bound, for the client that asks for more (53200)",
        concerns: |file| file.settings.max_prepared_statements > 0 && shares_servers(file),
    },
];

fn uses_tls(file: &Snapshot) -> bool {
    let names = ["client_tls_sslmode", "server_tls_sslmode"];
    let is_set = names.iter().any(|name| file.places.settings.contains_key(name));
    let modes = [file.settings.client_tls_sslmode, file.settings.server_tls_sslmode];
    is_set && modes.iter().any(|mode| *mode != SslMode::Disable)
}

fn shares_a_cap(file: &Snapshot) -> bool {
    let entries = file.databases.values().chain(&file.fallback);
    file.settings.max_db_connections > 0
        || file.settings.max_user_connections > 0
        || entries.into_iter().any(|entry| entry.max_db_connections.is_some())
        || file.users.values().any(|user| user.max_user_connections.is_some())
}

/// Whether a server serves several clients by turns.
fn shares_servers(file: &Snapshot) -> bool {
    let of_entries = file.databases.values().chain(&file.fallback).map(|entry| entry.pool_mode);
    let of_users = file.users.values().map(|user| user.pool_mode);
    let all = of_entries.chain(of_users).flatten().chain([file.settings.pool_mode]);
    all.into_iter().any(|mode| mode != PoolMode::Session)
}

/// What changes for this file, as a table for a terminal.
pub fn of(file: &Snapshot) -> String {
    let mut rows: Vec<_> =
        DIFFERENCES.iter().filter(|row| (row.concerns)(file)).map(Difference::row).collect();
    let defaults = Settings::default();
    for setting in TABLE.iter().filter(|row| file.places.settings.contains_key(row.name)) {
        if let Some(why) = setting.without_effect(&file.settings, &defaults) {
            rows.push(without_effect(setting, why));
        }
    }
    let mut text = String::from("what will change, coming from PgBouncer 1.26:\n");
    for row in [HEAD.map(str::to_owned)].into_iter().chain(rows) {
        text += &lines(&row);
    }
    text
}

/// Every row, as a list of a page.
pub fn markdown() -> String {
    let mut rows: Vec<_> = DIFFERENCES.iter().map(Difference::row).collect();
    for setting in TABLE {
        if let Effect::NoEffect(why) = setting.effect {
            rows.push(without_effect(setting, why));
        }
    }
    let [_, theirs, ours] = HEAD;
    let item = |[with, of_theirs, of_ours]: Row| {
        format!("- *{with}*. {theirs}: {of_theirs}. *{ours}:* {of_ours}.\n")
    };
    wrap::page(&rows.into_iter().map(item).collect::<String>())
}

impl Difference {
    fn row(&self) -> Row {
        [self.of, self.theirs, self.ours].map(str::to_owned)
    }
}

fn without_effect(setting: &Setting, why: &str) -> Row {
    let ours = match setting.effect {
        Effect::NoEffect(_) => format!("no effect: {why}"),
        Effect::Active => format!("a part of its effect: {why}"),
    };
    [format!("`{}`", setting.name), setting.doc.trim_end_matches('.').to_owned(), ours]
}

/// A row for a terminal: its cells side by side, each wrapped.
fn lines(row: &Row) -> String {
    let mut cells: [_; 3] = std::array::from_fn(|at| wrap::lines(&row[at].replace('`', ""), COLUMNS[at]));
    let height = cells.iter().map(Vec::len).max().unwrap_or_default();
    cells.iter_mut().for_each(|cell| cell.resize(height, String::new()));
    let [first, second, third] = cells;
    let mut text = String::new();
    for ((first, second), third) in first.iter().zip(&second).zip(&third) {
        let line = format!("  {first:0$}  {second:1$}  {third}", COLUMNS[0], COLUMNS[1]);
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(text: &str) -> String {
        of(&Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap())
    }

    /// The first cells of the rows that a file gets, without those that each file gets.
    fn told(text: &str) -> Vec<String> {
        let table = of_file(text);
        let first = |line: &str| line.get(2..26).unwrap_or(line).trim().to_owned();
        let mut cells: Vec<_> = table.lines().skip(2).map(first).filter(|cell| !cell.is_empty()).collect();
        cells.retain(|cell| cell != EVERY_FILE);
        cells
    }

    #[test]
    fn a_file_is_told_what_it_uses_and_nothing_else() {
        assert_eq!(told("[pgbouncer]\n"), [""; 0]);
        assert_eq!(told("[pgbouncer]\nadmin_users = me\npkt_buf = 8192\n"), ["admin_users", "pkt_buf"]);
        assert_eq!(told("[pgbouncer]\nauth_type = hba\n"), ["auth_type = hba"; 3]);
        assert_eq!(told("[pgbouncer]\nserver_tls_sslmode = disable\npkt_buf = 4096\n"), [""; 0]);
        let caps = ["max_db_connections,", "max_user_connections"];
        assert_eq!(told("[databases]\na = max_db_connections=3\n[pgbouncer]\n"), caps);
        let shared = told("[users]\nu = pool_mode=transaction\n[pgbouncer]\n");
        assert_eq!(shared, ["pool_mode transaction or", "statement", "max_prepared_statements"]);
        let one = told("[pgbouncer]\npool_mode = statement\nworkers = 1\nmax_prepared_statements = 0\n");
        assert_eq!(one, [""; 0]);
        let tls = told("[pgbouncer]\nserver_tls_sslmode = require\nclient_tls_protocols = tlsv1.1\n");
        assert_eq!(tls, ["client_tls_sslmode,", "server_tls_sslmode", "client_tls_protocols"]);
    }

    #[test]
    fn the_table_fits_a_terminal() {
        let table = of_file("[pgbouncer]\nadmin_users = me\nauth_type = hba\npool_mode = transaction\n");
        assert!(table.lines().all(|line| line.chars().count() <= 112), "{table}");
        assert!(table.contains("\n  every file                one thread serves all clients"), "{table}");
    }
}
