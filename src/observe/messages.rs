//! The one table of messages: what the log says, what clients and consoles are told, what `--check` prints;
//! what each means and what to do about it.
//!
//! docs/messages.md is generated from it. Nothing at run time reads it: it is compiled with the tests alone.
//! `tests/house/messages.rs` holds it to the source: no call of the log without its row, no row whose text
//! stands nowhere else. `{…}` in a text stands for what differs; the words in braces are the reader's.

/// A function `rows` with a row for each variant of an enum: one without a row does not compile.
macro_rules! each_variant {
    (
        $enum:ident, $row:ident;
        $($variant:ident $({ $($field:ident: $value:expr),+ })? $(($tuple:expr))?:
            $meaning:expr, $action:expr;)+
    ) => {
        /// A row for each variant.
        pub(super) fn rows() -> Vec<Row> {
            let _all = |value: &$enum| match value {
                $($enum::$variant { .. } => {})+
            };
            vec![$($row(&$enum::$variant $({ $($field: $value),+ })? $(($tuple))?, $meaning, $action)),+]
        }
    };
}

mod audit;
mod callers;
mod clients;
mod config;
mod console;
mod credentials;
mod faults;
mod hba;
mod iam;
mod iam_keys;
mod identities;
mod identity;
mod ldap;
mod login_kinds;
mod process;
mod query_limits;
mod reasons;
mod secrets;
mod server_logins;
mod servers;
mod tokens;

use super::line::Level;
use crate::base::wrap;

/// Nothing is to be done.
const NONE: &str = "none";

/// One message.
#[derive(Clone, Copy)]
struct Message {
    /// `None`: it stands behind other words, or is told to somebody.
    level: Option<Level>,
    text: &'static str,
    meaning: &'static str,
    action: &'static str,
}

const fn text(text: &'static str, meaning: &'static str, action: &'static str) -> Message {
    Message { level: None, text, meaning, action }
}

const fn at(level: Level, message: Message) -> Message {
    Message { level: Some(level), ..message }
}

const fn fatal(words: &'static str, meaning: &'static str, action: &'static str) -> Message {
    at(Level::Fatal, text(words, meaning, action))
}

const fn error(words: &'static str, meaning: &'static str, action: &'static str) -> Message {
    at(Level::Error, text(words, meaning, action))
}

const fn warning(words: &'static str, meaning: &'static str, action: &'static str) -> Message {
    at(Level::Warning, text(words, meaning, action))
}

const fn log(words: &'static str, meaning: &'static str, action: &'static str) -> Message {
    at(Level::Log, text(words, meaning, action))
}

const fn debug(words: &'static str, meaning: &'static str, action: &'static str) -> Message {
    at(Level::Debug, text(words, meaning, action))
}

/// A row of the page.
#[derive(Clone)]
struct Row {
    /// Level, SQLSTATE or class.
    label: String,
    text: String,
    meaning: String,
    action: String,
}

impl Row {
    fn new(label: &str, text: &str, meaning: &str, action: &str) -> Self {
        let [label, text, meaning, action] = [label, text, meaning, action].map(str::to_owned);
        Self { label, text, meaning, action }
    }
}

impl From<&Message> for Row {
    fn from(message: &Message) -> Self {
        let level = message.level.map_or("", Level::text);
        Self::new(level, message.text, message.meaning, message.action)
    }
}

/// A heading of the page, what stands below it, what the first column holds (empty: there is none), and the
/// rows.
struct Section {
    heading: &'static str,
    words: &'static str,
    label: &'static str,
    rows: Vec<Row>,
}

fn section(
    heading: &'static str,
    words: &'static str,
    label: &'static str,
    rows: impl IntoIterator<Item = impl Into<Row>>,
) -> Section {
    Section { heading, words, label, rows: rows.into_iter().map(Into::into).collect() }
}

/// What the page begins with.
const HEAD: &str = "\
    # Messages\n\n\
    Every message that an operator can see: what it means and what to do. Search this page for the words of \
    a message without the values in it, which stand here as `{…}`. It is generated from \
    `src/observe/messages.rs`; `BLESS=1 cargo test messages_page` rewrites it. Where nothing stands to do, \
    there is nothing to be done.\n\n\
    A line of the log is `YYYY-MM-DD HH:MM:SS.mmm TZ [pid] LEVEL prefix message`. The prefix `C-0x1f: \
    db/user@address` is a client's connection, `S-0x1f: …` a server's; the number is the `id` of SHOW \
    CLIENTS and SHOW SERVERS, in hexadecimal. `log_format=json` gives each line as an object \
    ([configs/README.md](../configs/README.md)).\n\n";

/// The levels, and what they are for.
const LEVELS: &str = "\
    | level | what it is |\n|---|---|\n\
    | FATAL | The process ends, or could not start. |\n\
    | ERROR | Something has failed that should not. |\n\
    | WARNING | Something that an operator may want to look at. |\n\
    | LOG | What happens. |\n\
    | DEBUG | With `verbose=1`. |\n\
    | NOISE | With `verbose=2`; there are none at present. |\n\n";

/// What the log says of the process, of clients and of servers.
fn of_the_process() -> Vec<Section> {
    vec![
        section("Start and stop", "", "level", process::START),
        section(
            "Why a start fails",
            "The last word, in the log and on stderr. What is wrong with the files is told as [errors of \
             the configuration](#errors-of-the-configuration).",
            "level",
            process::START_FAILURES,
        ),
        section(
            "Errors of the configuration",
            "Each refuses the whole: the start, the reload (ERROR lines of the log), the SET, the \
             `--check`. `{place}` is the file and the line. They come out together, a line each.",
            "",
            config::CONFIG_ERRORS,
        ),
        section(
            "Errors of hba and ident files",
            "Each refuses the whole, as any other error of the configuration. `{place}` is the file and the \
             line.",
            "",
            hba::HBA_ERRORS,
        ),
        section(
            "Errors of options of LDAP",
            "Each refuses the whole. Those of a rule stand behind its file and line.",
            "",
            ldap::LDAP_OPTIONS,
        ),
        section(
            "Keys of logins by IAM",
            "What `{why}` says in `invalid parameter {key} of …`, and in `server_auth=… is not possible \
             here`; the key stands before it.",
            "",
            iam_keys::IAM_KEYS,
        ),
        section(
            "Warnings of the configuration",
            "The configuration is in force all the same: WARNING lines of the log, `warning:` of `--check`.",
            "",
            config::CONFIG_WARNINGS.iter().chain(query_limits::IDLE_SETTINGS),
        ),
        section(
            "Warnings of hba and ident files",
            "The files are in force all the same.",
            "",
            hba::HBA_WARNINGS,
        ),
        section(
            "Endpoints that tokens may not be for",
            "What stands behind `database \"{name}\": {host}:` in a warning of the configuration.",
            "",
            iam_keys::ENDPOINT_DOUBTS,
        ),
    ]
}

fn of_clients() -> Vec<Section> {
    vec![
        section("Listening and clients", "", "level", clients::LISTENING),
        section(
            "Why certificates prove nobody",
            "With `auth_type=cert`, or a rule of the hba file that says so.",
            "level",
            clients::CERTIFICATES,
        ),
        section(
            "Why a directory lets nobody in",
            "Behind `LDAP login failed` and `LDAP is of no use`.",
            "",
            ldap::LDAP_REFUSALS,
        ),
        section("Why PAM lets nobody in", "Behind `PAM login failed`.", "", ldap::PAM_REFUSALS),
        section("Identities that end", "", "level", identities::ENDS),
        section(
            "Why sessions by tokens end at a reload",
            "Behind `session is to end`, and behind `JWT login failed` where a reload came in the middle of \
             the login.",
            "",
            identities::LAPSES,
        ),
        section(
            "Errors of the list of denied principals",
            "Each refuses the start or the reload; where the file changes between them, whoever was denied \
             stays so.",
            "",
            identities::DENY_ERRORS,
        ),
        section(
            "What clients are told",
            "FATAL, and the connection ends. The log has the same text behind `closing because` and \
             `pooler error`.",
            "SQLSTATE",
            faults::rows(),
        ),
        section("Other words to clients", "", "", faults::OTHERS),
        section(
            "Ends of clients without a word",
            "The log has them behind `closing because`; the client is told nothing, since it has left or \
             would not understand.",
            "",
            clients::SILENT,
        ),
        section("Limits on queries", "", "level", query_limits::QUERY_LIMITS),
        section("Why auth_query fails", "Behind `S: error in auth_query`.", "", clients::AUTH_QUERY),
    ]
}

fn of_servers() -> Vec<Section> {
    vec![
        section("Servers", "", "level", servers::SERVERS),
        section(
            "Why servers may not be replaced in time",
            "What `{why}` says in `servers of … may reach iam_max_age before they are replaced`.",
            "",
            servers::SHORTFALLS,
        ),
        section(
            "Why servers are closed",
            "Behind `closing because` in lines with the prefix `S-`. A client that has the server at that \
             time is ended with the same text (FATAL, 08P01).",
            "",
            servers::CLOSED,
        ),
        section(
            "Why logins to servers fail",
            "Behind `closing because` in lines with the prefix `S-`, in ERROR lines of their own, and as \
             the cached error that clients are told. PostgreSQL's own words stand there, too.",
            "",
            server_logins::LOGINS,
        ),
        section(
            "Secrets that others keep",
            "`{name}` is the secret, as SHOW SECRETS names it. See [secrets.md](secrets.md).",
            "level",
            secrets::SECRETS,
        ),
        section(
            "Why a secret cannot be had",
            "`{error}` in the lines above, and `last_error` of SHOW SECRETS; in brackets behind it stands \
             what of the following is meant.",
            "",
            secrets::REASONS,
        ),
    ]
}

fn of_iam() -> Vec<Section> {
    vec![
        section(
            "AWS credentials",
            "`{name}` is the source, as SHOW IAM names it.",
            "level",
            credentials::SOURCES,
        ),
        section(
            "Why credentials cannot be fetched",
            "`{error}` in the lines above, and `last_error` of SHOW IAM; the word in the first column is \
             that of `pgweir_iam_refreshes_total`.",
            "reason",
            reasons::rows(),
        ),
        section(
            "Details of a fetch that failed",
            "In brackets behind the reason; AWS's own error code, or `HTTP` and a status, may stand there \
             instead.",
            "",
            credentials::DETAILS,
        ),
        section("Logins by IAM", "", "level", iam::IAM_LOGINS),
        section(
            "Why logins by IAM fail",
            "`{text}` of `login by IAM failed`, `last_error` of SHOW IAM, and, up to the endpoint, what \
             clients are told. `class` is that of [When a login is \
             refused](iam.md#when-a-login-is-refused); behind the words stand endpoint, region and source, \
             and what to do.",
            "class",
            [login_kinds::rows(), login_kinds::excused()].concat(),
        ),
        section(
            "Why no token is made",
            "Behind `closing because`, and what clients are told when their time is over.",
            "",
            iam::NO_TOKEN,
        ),
        section(
            "What --check prints",
            "Beside errors of the configuration; all but the first two rows with `--iam`. `{who}` is \
             database, user, endpoint and source.",
            "",
            iam::DRY_RUN,
        ),
    ]
}

fn of_operators() -> Vec<Section> {
    vec![
        section("The console", "", "level", console::CONSOLE),
        section(
            "What the console answers",
            "ERROR with 08P01, unless the row says otherwise; the log has it behind `pooler error`.",
            "",
            console::CONSOLE_ANSWERS,
        ),
        section("Metrics, statistics and the log", "", "level", process::METRICS),
        section(
            "The audit log",
            "`{consequence}` says what `audit_overflow` makes of it. See [audit.md](audit.md).",
            "level",
            audit::AUDIT,
        ),
        section("Faults of the program", "None should ever be seen.", "level", process::FAULTS),
    ]
}

/// The documentation's page of messages.
fn markdown() -> String {
    let mut page = format!("{HEAD}{LEVELS}");
    let sections =
        [of_the_process(), of_clients(), tokens::sections(), of_servers(), of_iam(), of_operators()];
    for section in sections.into_iter().flatten() {
        page += &format!("## {}\n\n", section.heading);
        if !section.words.is_empty() {
            page += &format!("{}\n\n", section.words);
        }
        if !matches!(section.label, "" | "level") {
            page += &format!("In bold: the {}.\n\n", section.label);
        }
        for row in &section.rows {
            let label = if row.label.is_empty() { String::new() } else { format!("**{}** ", row.label) };
            let action =
                if row.action == NONE { String::new() } else { format!(" **To do:** {}", row.action) };
            page += &format!("- {label}`{}`: {}{action}\n", row.text, row.meaning);
        }
        page.push('\n');
    }
    wrap::page(page.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_page_of_the_documentation_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/messages.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, markdown(), "docs/messages.md is stale: run `BLESS=1 cargo test messages_page`");
    }
}
