//! SHOW HELP, and the documentation's page of the console, from the tables.

use super::{Access, TABLES};
use crate::base::wrap;

/// A command other than SHOW, for HELP and the documentation.
pub(super) struct Usage {
    text: &'static str,
    doc: &'static str,
}

pub(super) const fn usage(text: &'static str, doc: &'static str) -> Usage {
    Usage { text, doc }
}

/// Every other command, in the order of SHOW HELP.
pub(super) const COMMANDS: &[Usage] = &[
    usage(
        "SET key = arg",
        "Changes one setting until the next reload; one that needs a restart is accepted without effect.",
    ),
    usage("RELOAD", "Reads the configuration again: all of it takes effect or, on any error, none."),
    usage("PAUSE [<db>]", "Closes servers as they come free; answers when none is left. Clients wait."),
    usage("RESUME [<db>]", "Ends PAUSE, KILL or SUSPEND."),
    usage("DISABLE <db>", "Refuses new clients of a database."),
    usage("ENABLE <db>", "Ends DISABLE."),
    usage(
        "RECONNECT [<db>]",
        "Closes every server as soon as it is free; new ones are opened for the next queries.",
    ),
    usage("KILL [<db>]", "Drops all clients and servers at once and leaves the database paused."),
    usage("KILL_CLIENT <client_id>", "Drops the client with this `id` of SHOW CLIENTS."),
    usage(
        "KILL_PRINCIPAL <principal> [<issuer or method>]",
        "Drops the clients of a principal (`principal` of SHOW SESSIONS), of one `issuer` or `method` where \
         that is named; the answer's tag tells how many. Names that are more than letters, digits and `_` \
         stand in quotes. \
         They may log in again: `deny_principals` keeps them out.",
    ),
    usage(
        "SUSPEND",
        "Sends out what is buffered and stops reading and accepting; answers when all is sent. Consoles that \
         are open are answered on. Ends with RESUME, or when no admin is connected any more. PgBouncer 1.26 \
         has removed it; here it stays.",
    ),
    usage("SHUTDOWN", "Ends the process at once."),
    usage(
        "SHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS",
        "Ends the process when no server, or no client, is left.",
    ),
    usage("WAIT_CLOSE [<db>]", "Answers when every server that RECONNECT or a reload marked is closed."),
    usage(
        "IAM REFRESH [<db>]",
        "Has AWS credentials fetched anew (at most once in 30 s for each source) and ends the pauses after \
         failed logins by IAM; answers at once, SHOW IAM tells what came of it. Servers stay: RECONNECT \
         replaces them.",
    ),
];

/// The DETAIL of SHOW HELP's notice.
pub fn help() -> String {
    let mut text = String::new();
    let mut line = None;
    for shown in TABLES.iter().filter(|shown| shown.help_line.is_some()) {
        text += if line == shown.help_line { "|" } else { "\n\tSHOW " };
        text += &shown.name.to_uppercase();
        line = shown.help_line;
    }
    for command in COMMANDS {
        text += "\n\t";
        text += command.text;
    }
    text
}

/// The documentation's page of the console, made from the tables of this file.
pub fn markdown() -> String {
    let mut page = String::from(
        "# The console\n\n\
         Connect to the database `pgbouncer` with psql, as one of `admin_users` (everything) or \
         `stats_users` (SHOW). Over the Unix socket the account that the pooler runs as may log in as user \
         `pgbouncer`, without a password (everything). This page is generated from `src/console/tables.rs`; \
         `BLESS=1 cargo test console_page` rewrites it. What the console answers in errors: \
         [messages.md](messages.md#what-the-console-answers).\n\n\
         ## Commands\n\n",
    );
    for command in COMMANDS {
        page += &format!("- `{}`: {}\n", command.text, command.doc);
    }
    page += "\n## SHOW\n";
    for shown in TABLES.iter().filter(|shown| shown.help_line.is_some()) {
        let admins = if shown.access == Access::Admins { " For `admin_users` only." } else { "" };
        page += &format!("\n### SHOW {}\n\n{}{admins}\n", shown.name.to_uppercase(), shown.doc);
        if !shown.columns.is_empty() {
            let columns: Vec<String> = shown
                .columns
                .iter()
                .map(|c| format!("`{}` {}", c.name, format!("{:?}", c.kind).to_lowercase()))
                .collect();
            page += &format!("\n{}.\n", columns.join(", "));
        }
    }
    wrap::page(&page)
}
