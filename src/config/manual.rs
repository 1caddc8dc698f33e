//! pgweir(5), the manual page of the configuration, written from the tables: `packaging/man/pgweir.5`.
//!
//! Pure. `tests/settings.rs` holds the committed page equal to what this prints.

use super::keys::{DATABASE_KEYS, INSTANCE_KEYS, ISSUER_KEYS, Key, PEER_KEYS, USER_KEYS};
use super::setting::{Change, Effect};
use super::settings::{Setting, TABLE};
use crate::base::roff;

const HEAD: &str = r#".\" Written from the program's own tables: BLESS=1 cargo test --test settings
.TH PGWEIR 5 "" "pgweir" "File formats"
.SH NAME
pgweir.ini \- configuration of the PostgreSQL connection pooler pgweir
.SH DESCRIPTION
The format is that of a pgbouncer.ini, which is read as it is: sections
.BR [pgbouncer] ,
.BR [databases] ,
.BR [users] ,
.BR [peers] ,
and, of its own,
.B [instances]
and
.BR [issuers] ;
lines of
.IR "key " = " value" ;
comments on lines of their own, with
.B ;
or
.B #
in front;
.B %include
.I FILE
at any place, up to 10 deep. Values of the last five sections are
.IR key = value
pairs separated by spaces, in single quotes where they hold spaces. Times are in seconds, fractions allowed.
.PP
.B pgweir \-\-check
.I FILE
tells every error of a file with its line.
"#;

const TAIL: &str = r#".SH FILES
.TP
.I /etc/pgweir/pgweir.ini
What the service reads.
.TP
.I /etc/pgweir/userlist.txt
Users and secrets
.RB ( auth_file ):
on each line a name and a secret, both in double quotes. The secret is a password in clear text, or what
PostgreSQL keeps in pg_authid.rolpassword.
.SH SEE ALSO
.BR pgweir (1)
"#;

/// The page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    page += ".SH SECTION [PGBOUNCER]\n";
    page.extend(TABLE.iter().map(setting));
    page +=
        ".SH SECTION [DATABASES]\nThe line\n.B * =\n.I ...\nserves every name that has none of its own.\n";
    page.extend(DATABASE_KEYS.iter().map(key));
    page += ".SH SECTION [USERS]\n";
    page.extend(USER_KEYS.iter().map(key));
    page += ".SH SECTION [INSTANCES]\n";
    page.extend(INSTANCE_KEYS.iter().map(key));
    page += ".SH SECTION [PEERS]\n";
    page.extend(PEER_KEYS.iter().map(key));
    page += ".SH SECTION [ISSUERS]\n";
    page.extend(ISSUER_KEYS.iter().map(key));
    page + TAIL
}

fn setting(row: &Setting) -> String {
    let default = match row.default {
        None => "not set".to_owned(),
        Some("") => "nothing".to_owned(),
        Some(text) => format!("`{text}`"),
    };
    let when = match (row.effect, row.change) {
        (Effect::NoEffect(why), _) => format!("No effect: {why}."),
        (Effect::Active, Change::Reload) => "Takes effect with a reload.".to_owned(),
        (Effect::Active, Change::Restart) => "Takes effect with a restart.".to_owned(),
    };
    let accepted = row.accepted();
    let facts = format!("Default: {default}. Accepted: {accepted}. {when}");
    format!("{}.br\n{}\n", roff::item(row.name, row.doc), roff::text(&facts))
}

fn key<T>(row: &Key<T>) -> String {
    roff::item(row.name, &format!("{} ({})", row.doc, row.accepted()))
}
