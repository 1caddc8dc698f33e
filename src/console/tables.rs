//! The one table of what SHOW shows: name, columns with their types, who may see it, what it tells.
//!
//! RowDescription, SHOW HELP, docs/console.md and the grammar's list of names come from [`TABLES`]; the rows
//! come from the `show_*` files, by [`Source`]. Columns, types and their order are PgBouncer's to the letter,
//! since tools read them by position: only SHOW IAM and SHOW SECRETS, which are ours, may grow. Source:
//! PgBouncer, doc/usage.md (Show commands).

mod columns;
mod pages;

use super::rows::Column;
use columns::{
    IAM, INSTANCES, ISSUERS, SECRETS, SESSIONS, SOCKET, SOCKET_AND_BUFFERS, STATS, STATS_AVERAGES,
    STATS_TOTALS, bytea, int4, int8, numeric, text,
};
pub use pages::{help, markdown};

/// Who may see a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `admin_users` and `stats_users`.
    Everybody,
    /// `admin_users` only.
    Admins,
}

/// Where a table's rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the tables")]
pub enum Source {
    Help,
    Config,
    Databases,
    Pools,
    Clients,
    Servers,
    Users,
    Version,
    Peers,
    PeerPools,
    Fds,
    Sockets,
    ActiveSockets,
    Lists,
    Mem,
    State,
    DnsHosts,
    DnsZones,
    Stats,
    StatsTotals,
    StatsAverages,
    Totals,
    Iam,
    Sessions,
    Issuers,
    Secrets,
    Instances,
    /// One row that never changes: what clients ask of a PostgreSQL server.
    Constant(&'static str),
}

/// One thing that SHOW shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    /// What follows SHOW, in lower case.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
    /// Who may see it.
    pub access: Access,
    /// Where its rows come from.
    pub source: Source,
    /// Its line of SHOW HELP, counted from 0; `None` = not told there.
    help_line: Option<u8>,
    /// One sentence for the documentation.
    pub doc: &'static str,
}

/// The table of this name, whatever its case.
pub fn find(name: &str) -> Option<&'static Shown> {
    TABLES.iter().find(|shown| shown.name.eq_ignore_ascii_case(name))
}

/// The columns of the table of this name.
///
/// # Panics
/// Where there is none: the name is written in this room.
pub fn columns(name: &str) -> &'static [Column] {
    match find(name) {
        Some(shown) => shown.columns,
        None => panic!("no table {name}"),
    }
}

const fn table(
    line: u8,
    name: &'static str,
    source: Source,
    columns: &'static [Column],
    doc: &'static str,
) -> Shown {
    Shown { name, columns, access: Access::Everybody, source, help_line: Some(line), doc }
}

const fn constant(name: &'static str, value: &'static str, column: &'static [Column]) -> Shown {
    Shown {
        name,
        columns: column,
        access: Access::Everybody,
        source: Source::Constant(value),
        help_line: None,
        doc: "What a PostgreSQL server would say; SET of it is ignored.",
    }
}

/// Everything that SHOW shows, in the order of SHOW HELP.
pub const TABLES: &[Shown] = &[
    table(0, "help", Source::Help, &[], "Lists the commands, in a notice."),
    table(
        0,
        "config",
        Source::Config,
        &[text("key"), text("value"), text("default"), text("changeable")],
        "Every setting, its value in force, its default, and whether a reload can change it.",
    ),
    table(
        0,
        "databases",
        Source::Databases,
        &[
            text("name"),
            text("host"),
            int4("port"),
            text("database"),
            text("force_user"),
            int4("pool_size"),
            int4("min_pool_size"),
            int4("reserve_pool_size"),
            int4("server_lifetime"),
            text("pool_mode"),
            text("load_balance_hosts"),
            int4("max_connections"),
            int4("current_connections"),
            int4("max_client_connections"),
            int4("current_client_connections"),
            int4("paused"),
            int4("disabled"),
        ],
        "Every database that clients can ask for, with the limits in force.",
    ),
    table(
        0,
        "pools",
        Source::Pools,
        &[
            text("database"),
            text("user"),
            int4("cl_active"),
            int4("cl_waiting"),
            int4("cl_active_cancel_req"),
            int4("cl_waiting_cancel_req"),
            int4("sv_active"),
            int4("sv_active_cancel"),
            int4("sv_being_canceled"),
            int4("sv_idle"),
            int4("sv_used"),
            int4("sv_tested"),
            int4("sv_login"),
            int4("maxwait"),
            int4("maxwait_us"),
            text("pool_mode"),
            text("load_balance_hosts"),
        ],
        "Every pool: one for each database and user, with its clients and servers by state.",
    ),
    table(0, "clients", Source::Clients, &SOCKET, "Every client that has logged in."),
    table(0, "servers", Source::Servers, &SOCKET, "Every connection to a PostgreSQL server."),
    table(
        0,
        "users",
        Source::Users,
        &[
            text("name"),
            text("pool_size"),
            text("reserve_pool_size"),
            text("pool_mode"),
            int4("max_user_connections"),
            int4("current_connections"),
            int4("max_user_client_connections"),
            int4("current_client_connections"),
        ],
        "Every user known, with what is set for it.",
    ),
    table(0, "version", Source::Version, &[text("version")], "The version, as `--version` prints it."),
    table(
        1,
        "peers",
        Source::Peers,
        &[int4("peer_id"), text("host"), int4("port"), int4("pool_size")],
        "The processes of the section [peers], to which cancel requests are forwarded by their peer_id.",
    ),
    table(
        1,
        "peer_pools",
        Source::PeerPools,
        &[
            int4("peer_id"),
            int4("cl_active_cancel_req"),
            int4("cl_waiting_cancel_req"),
            int4("sv_active_cancel"),
            int4("sv_login"),
        ],
        "Cancel requests on their way to peers, of each that one was forwarded to.",
    ),
    Shown {
        name: "fds",
        columns: &[
            int4("fd"),
            text("task"),
            text("user"),
            text("database"),
            text("addr"),
            int4("port"),
            int8("cancel"),
            int4("link"),
            text("client_encoding"),
            text("std_strings"),
            text("datestyle"),
            text("timezone"),
            text("password"),
            bytea("scram_client_key"),
            bytea("scram_server_key"),
        ],
        access: Access::Admins,
        source: Source::Fds,
        help_line: Some(2),
        doc: "It answers an error: PgBouncer 1.26 has removed it with the online restart (`-R`) that it was \
            for. What takes its place: a new process on the same port (`so_reuseport`), then SIGTERM \
            to the old one, see [coming-from-pgbouncer.md](coming-from-pgbouncer.md).",
    },
    table(
        2,
        "sockets",
        Source::Sockets,
        &SOCKET_AND_BUFFERS,
        "Every client and server, those logging in included. The columns behind `id` speak of buffers that \
         this pooler does not keep and are 0.",
    ),
    table(
        2,
        "active_sockets",
        Source::ActiveSockets,
        &SOCKET_AND_BUFFERS,
        "As SOCKETS, without the idle ones.",
    ),
    table(2, "lists", Source::Lists, &[text("list"), int4("items")], "How many there are of everything."),
    table(
        2,
        "mem",
        Source::Mem,
        &[text("name"), int4("size"), int4("used"), int4("free"), int4("memtotal")],
        "What the process keeps: bytes of one, how many there are, bytes of all. Parts behind pointers are \
         not counted, but for `prepared_statements` (in all, and of each database that has any): all their \
         bytes. `var_list_cache` is told as if no two connections shared their parameters, which most do.",
    ),
    table(
        2,
        "state",
        Source::State,
        &[text("key"), text("value")],
        "Whether the pooler is active, paused, suspended.",
    ),
    table(
        3,
        "dns_hosts",
        Source::DnsHosts,
        &[text("hostname"), int8("ttl"), text("addrs")],
        "Host names looked up, for how many seconds more the answer is kept, and the answer.",
    ),
    table(
        3,
        "dns_zones",
        Source::DnsZones,
        &[text("zonename"), int8("serial"), int4("count")],
        "Always empty: zone serials are not watched (`dns_zone_check_period`).",
    ),
    table(4, "stats", Source::Stats, &STATS, "Totals and averages of each database."),
    table(4, "stats_totals", Source::StatsTotals, &STATS_TOTALS, "Totals of each database."),
    table(
        4,
        "stats_averages",
        Source::StatsAverages,
        &STATS_AVERAGES,
        "Averages of each database over the last full `stats_period` and the running one.",
    ),
    table(
        4,
        "totals",
        Source::Totals,
        &[text("name"), numeric("value")],
        "Totals and averages over all databases.",
    ),
    table(
        5,
        "iam",
        Source::Iam,
        &IAM,
        "Logins to servers by IAM (`server_auth=rds_iam`): a row for each database, user and endpoint, and \
         one for each source of AWS credentials that none of them needs. Spans are whole seconds where \
         nothing else is said; what is not known is NULL. `cred_state` is `fresh`, `stale` (usable, but the \
         last fetch failed), `empty` (the first fetch is under way) or `dead`; of the access key only the \
         end of its id is shown. Logins are counted for each user and endpoint: databases that share both \
         show the same. `class` says why logins fail at present (`denied`, `throttled`, `clock`, \
         `credentials`, `service`, `unreachable`), `last_error` says it in words with the next step. \
         `login_rate` is the pace in logins a second at the endpoint, `login_waiting` how many wait for \
         their turn there; `logins_under_way` is how many logins of the pool are under way, `login_ms_p50` \
         and `login_ms_p99` how many milliseconds the last 128 logins that were accepted there have taken \
         (their turn not counted). `stance` is what becomes of servers whose authorization grows old: \
         `renew` (they are replaced), `keep_to_hard_age` (logins are or may be denied: they serve until \
         `iam_max_age`), `keep_on` (logins fail through no fault of the user: they serve on), `catch_up` \
         (they work again: those kept are replaced one soon after the other) or `close_now`. `renewals` is \
         `in time`, or `late` where servers age faster than they can be replaced, by what logins took \
         lately. `auth_age` is the age of the oldest authorization among the pool's servers, \
         `sv_past_soft_age` and `sv_past_hard_age` are how many are past the age of replacement and past \
         `iam_max_age`, `sv_due` how many will be before a login that begins now would be over \
         (`login_ms_p99`): more than a few mean that the pool will lose servers; `renewed` counts servers \
         closed for their age (a busy pool's are replaced), `extended` transactions that ended beyond \
         `iam_max_age` under `keep_on` and `catch_up`, `over_age` those that were running when it came.",
    ),
    table(
        5,
        "sessions",
        Source::Sessions,
        &SESSIONS,
        "Every client that a worker has, with whom it has proven to be: `principal` is what its token or \
         certificate names, else its user; `issuer` who vouches for that; `user` the role that it works as. \
         Times are in UTC; `until` (NULL: none) is its token's `exp`: it may stay `clock_skew` of the issuer \
         and `identity_expiry_grace` longer. `ending` says why it ends with its transaction: `expired`, \
         `denied`, or what does not hold any more: `role`, `rule`, `method`, `issuer`, `token`, `user`.",
    ),
    table(
        5,
        "issuers",
        Source::Issuers,
        &ISSUERS,
        "Issuers whose tokens are taken (`auth_type=jwt`, rules with `jwt`), one for each entry of \
         `[issuers]`. `keys` is how many keys are known, `fetched` when they were fetched last and `age` how \
         many seconds ago, `next` in how many seconds they will be fetched again; `last_error` says why the \
         last fetch brought none: then those that are known count up to `keys_max_age`. Logins are those by \
         tokens that name the issuer in `iss`.",
    ),
    table(
        5,
        "secrets",
        Source::Secrets,
        &SECRETS,
        "Secrets that others keep (`server_auth=secret_file`, `secretsmanager`; `auth_secret_file`, \
         `auth_secret_arn`): a row for each; never what they say but their user's name. `purpose` is what \
         they are for: `servers` are logged in to with it, `clients` are proven by it, or those of one \
         `user` at whose entry it stands. `state` is `fresh`, `stale` (known, but the last fetch failed), \
         `empty` (the first fetch is under way) or `dead` (nothing was ever known). `version`, `pending` \
         and `previous` are the names of the versions that are known; of a file they are counted from \
         `#1`. `server_user` is whom new servers are logged in to as, `users` how many users it has for \
         clients. `age` is how many seconds ago it was fetched, `changed` how long the version is in use, \
         `next_fetch` in how many seconds it is fetched again (a file is read when it changes, too). \
         `last_error` says why the last fetch failed.",
    ),
    table(
        5,
        "instances",
        Source::Instances,
        &INSTANCES,
        "Servers of PostgreSQL, as `max_server_connections` counts them: one for each entry of \
         `[instances]`, with every host and port that it has, and one for each other that an entry of \
         `[databases]` names. \
         `current_connections` counts all pools' servers there, those that log in and those of replication \
         clients included; one that logs in to a list of hosts counts at each until it is known where it \
         ends. 0 as the most: unlimited.",
    ),
    constant("client_encoding", "UTF-8", &[text("client_encoding")]),
    constant("default_transaction_isolation", "read committed", &[text("default_transaction_isolation")]),
    constant("standard_conforming_strings", "on", &[text("standard_conforming_strings")]),
    constant("datestyle", "ISO", &[text("datestyle")]),
    constant("timezone", "GMT", &[text("timezone")]),
];

#[cfg(test)]
mod tests;
