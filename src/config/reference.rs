//! The reference pages, written from the tables: `configs/reference.ini` and `configs/README.md`.
//!
//! `tests/settings.rs` holds the committed files equal to what this prints.

use super::keys::{DATABASE_KEYS, INSTANCE_KEYS, ISSUER_KEYS, Key, PEER_KEYS, USER_KEYS};
use super::setting::{Change, Effect};
use super::settings::{Setting, TABLE};
use crate::base::wrap;

/// Most bytes of one line of a comment.
const COMMENT_BYTES_MAX: usize = 100;

const INI_HEAD: &str = "\
;; Every setting with its default and every key of the other sections.
;; Written from the program's own tables: do not edit, copy what you need. It is a valid file.
;; Times are in seconds, fractions allowed; comments stand on lines of their own.
";

/// `configs/reference.ini`: every setting at its default, explained; a valid configuration.
pub fn ini() -> String {
    let mut page = format!("{INI_HEAD}\n[pgbouncer]\n");
    for row in TABLE {
        page.push('\n');
        comment(&mut page, row.doc);
        comment(&mut page, &facts(row));
        match row.default {
            Some(text) => push_line(&mut page, format!("{} = {text}", row.name).trim_end()),
            None => push_line(&mut page, &format!(";{} =", row.name)),
        }
    }
    section(&mut page, "databases", "mydb = host=127.0.0.1 port=5432", DATABASE_KEYS);
    section(&mut page, "users", "myuser = pool_mode=transaction pool_size=5", USER_KEYS);
    let example = "main = host=db1.example.org,db.example.org port=5432 max_server_connections=180";
    section(&mut page, "instances", example, INSTANCE_KEYS);
    section(&mut page, "peers", "1 = host=/tmp", PEER_KEYS);
    let example = "apps = issuer=https://login.example.org audience=postgres map=apps";
    section(&mut page, "issuers", example, ISSUER_KEYS);
    page
}

/// `configs/README.md`: the files of this directory and the same facts as lists.
pub fn markdown() -> String {
    let mut page = String::from(MARKDOWN_HEAD);
    page.push_str(
        "\n## [pgbouncer]\n\nEach with its default, what is accepted, and when it takes effect.\n\n",
    );
    for row in TABLE {
        let default = row.default.map_or("not set".to_owned(), code);
        let when = match (row.effect, row.change) {
            (Effect::NoEffect(why), _) => format!("no effect: {why}"),
            (Effect::Active, Change::Reload) => "reload".to_owned(),
            (Effect::Active, Change::Restart) => "restart".to_owned(),
        };
        let facts = format!("{default}; {}; {when}", row.accepted());
        push_line(&mut page, &format!("- `{}` ({facts}): {}", row.name, row.doc));
    }
    keys_list(&mut page, "databases", DATABASE_KEYS);
    keys_list(&mut page, "users", USER_KEYS);
    keys_list(&mut page, "instances", INSTANCE_KEYS);
    keys_list(&mut page, "peers", PEER_KEYS);
    keys_list(&mut page, "issuers", ISSUER_KEYS);
    wrap::page(&page)
}

const MARKDOWN_HEAD: &str = "\
# Configuration

| file | for |
|---|---|
| `minimal.ini` | the fewest lines that pool one database |
| `production.ini` | a commented start for a real installation |
| `rds_iam.ini` | Amazon RDS and Aurora by IAM, without stored passwords |
| `jwt.ini` | clients that prove who they are by tokens of an issuer |
| `quickstart.ini` | what `make quickstart` runs |
| `reference.ini` | every setting with its default |
| `userlist.example.txt` | the form of `auth_file` |

The format is PgBouncer's: sections `[pgbouncer]`, `[databases]`, `[users]`, `[peers]`, and of our own \
`[instances]` and `[issuers]`; `key = value` lines; comments on lines of their own, with `;` or `#` in \
front; `%include FILE` at any place, up to 10 deep. Values of the last five sections are `key=value` \
pairs separated by spaces, `'quoted'` where they hold spaces. `* = ...` in `[databases]` serves every name \
that has no line of its own.

The lists below are written from the program's own: `BLESS=1 cargo test --test settings` rewrites them.
";

/// What is accepted and when it takes effect.
fn facts(row: &Setting) -> String {
    let when = match row.change {
        Change::Reload => "takes effect on reload",
        Change::Restart => "takes effect on restart",
    };
    match row.effect {
        Effect::Active => format!("({}; {when})", row.accepted()),
        Effect::NoEffect(why) => format!("({}; no effect: {why})", row.accepted()),
    }
}

fn section<T>(page: &mut String, name: &str, example: &str, keys: &[Key<T>]) {
    push_line(page, &format!("\n[{name}]\n"));
    for key in keys {
        comment(page, &format!("{}: {} ({})", key.name, key.doc, key.accepted()));
    }
    push_line(page, &format!(";{example}"));
}

fn keys_list<T>(page: &mut String, name: &str, keys: &[Key<T>]) {
    push_line(page, &format!("\n## [{name}]\n"));
    for key in keys {
        push_line(page, &format!("- `{}` ({}): {}", key.name, key.accepted(), key.doc));
    }
}

/// `text` as comment lines, wrapped between words.
fn comment(page: &mut String, text: &str) {
    for line in wrap::lines(text, COMMENT_BYTES_MAX - 2) {
        push_line(page, &format!("; {line}"));
    }
}

fn push_line(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

fn code(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("`{text}`") }
}
