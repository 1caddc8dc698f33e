//! Columns that several tables of SHOW share, and those of SHOW IAM; what one table alone has stands with it.
//!
//! Names, types and order are PgBouncer's to the letter, since tools read them by position; SHOW IAM is ours,
//! and a new column comes at its end.

use crate::console::rows::{Column, Type};

pub(super) const fn text(name: &'static str) -> Column {
    Column { name, kind: Type::Text }
}

pub(super) const fn int4(name: &'static str) -> Column {
    Column { name, kind: Type::Int4 }
}

pub(super) const fn int8(name: &'static str) -> Column {
    Column { name, kind: Type::Int8 }
}

pub(super) const fn numeric(name: &'static str) -> Column {
    Column { name, kind: Type::Numeric }
}

pub(super) const fn bytea(name: &'static str) -> Column {
    Column { name, kind: Type::Bytea }
}

/// Columns of a client or server.
pub(super) const SOCKET: [Column; 21] = [
    text("type"),
    text("user"),
    text("database"),
    text("replication"),
    text("state"),
    text("addr"),
    int4("port"),
    text("local_addr"),
    int4("local_port"),
    text("connect_time"),
    text("request_time"),
    int4("wait"),
    int4("wait_us"),
    int4("close_needed"),
    text("ptr"),
    text("link"),
    int4("remote_pid"),
    text("tls"),
    text("application_name"),
    int4("prepared_statements"),
    int4("id"),
];

/// What SHOW SOCKETS adds to them.
pub(super) const BUFFERS: [Column; 7] = [
    int4("recv_pos"),
    int4("pkt_pos"),
    int4("pkt_remain"),
    int4("send_pos"),
    int4("send_remain"),
    int4("pkt_avail"),
    int4("send_avail"),
];

pub(super) const SOCKET_AND_BUFFERS: [Column; SOCKET.len() + BUFFERS.len()] = {
    let mut all = [text(""); SOCKET.len() + BUFFERS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < SOCKET.len() { SOCKET[at] } else { BUFFERS[at - SOCKET.len()] };
        at += 1;
    }
    all
};

/// Columns of SHOW IAM: ours, PgBouncer has no such table.
pub(super) const SECRETS: [Column; 14] = [
    text("secret"),
    text("purpose"),
    text("state"),
    text("version"),
    text("pending"),
    text("previous"),
    text("server_user"),
    int8("users"),
    int8("age"),
    int8("changed"),
    int8("next_fetch"),
    int8("fetches"),
    int8("failures"),
    text("last_error"),
];

pub(super) const IAM: [Column; 31] = [
    text("database"),
    text("user"),
    text("endpoint"),
    text("region"),
    text("source"),
    text("principal"),
    text("cred_state"),
    int8("cred_expires_in"),
    text("key_tail"),
    int8("last_refresh"),
    int8("last_login"),
    int8("logins_ok"),
    int8("logins_denied"),
    int8("throttled"),
    int8("logins_failed"),
    text("class"),
    int4("login_rate"),
    int4("login_waiting"),
    int4("logins_under_way"),
    int8("login_ms_p50"),
    int8("login_ms_p99"),
    text("stance"),
    text("renewals"),
    int8("auth_age"),
    int4("sv_past_soft_age"),
    int4("sv_past_hard_age"),
    int4("sv_due"),
    int8("renewed"),
    int8("extended"),
    int8("over_age"),
    text("last_error"),
];

pub(super) const STATS: [Column; 25] = [
    text("database"),
    numeric("total_server_assignment_count"),
    numeric("total_xact_count"),
    numeric("total_query_count"),
    numeric("total_received"),
    numeric("total_sent"),
    numeric("total_xact_time"),
    numeric("total_query_time"),
    numeric("total_wait_time"),
    numeric("total_client_parse_count"),
    numeric("total_server_parse_count"),
    numeric("total_bind_count"),
    numeric("total_client_login_count"),
    numeric("avg_server_assignment_count"),
    numeric("avg_xact_count"),
    numeric("avg_query_count"),
    numeric("avg_recv"),
    numeric("avg_sent"),
    numeric("avg_xact_time"),
    numeric("avg_query_time"),
    numeric("avg_wait_time"),
    numeric("avg_client_parse_count"),
    numeric("avg_server_parse_count"),
    numeric("avg_bind_count"),
    numeric("avg_client_login_count"),
];

pub(super) const STATS_TOTALS: [Column; 13] = [
    text("database"),
    numeric("server_assignment_count"),
    numeric("xact_count"),
    numeric("query_count"),
    numeric("bytes_received"),
    numeric("bytes_sent"),
    numeric("xact_time"),
    numeric("query_time"),
    numeric("wait_time"),
    numeric("client_parse_count"),
    numeric("server_parse_count"),
    numeric("bind_count"),
    numeric("client_login_count"),
];

/// The mixed prefixes are PgBouncer's.
pub(super) const STATS_AVERAGES: [Column; 13] = [
    text("database"),
    numeric("server_assignment_count"),
    numeric("xact_count"),
    numeric("query_count"),
    numeric("bytes_received"),
    numeric("bytes_sent"),
    numeric("xact_time"),
    numeric("query_time"),
    numeric("wait_time"),
    numeric("avg_client_parse_count"),
    numeric("avg_server_parse_count"),
    numeric("avg_bind_count"),
    numeric("avg_client_login_count"),
];

pub(super) const SESSIONS: [Column; 14] = [
    int4("id"),
    text("session"),
    text("principal"),
    text("method"),
    text("issuer"),
    text("user"),
    text("database"),
    text("addr"),
    int4("port"),
    text("since"),
    text("until"),
    text("state"),
    text("ending"),
    text("application_name"),
];

pub(super) const ISSUERS: [Column; 11] = [
    text("name"),
    text("issuer"),
    int4("keys"),
    text("fetched"),
    int8("age"),
    int8("next"),
    int8("fetches"),
    int8("fetches_failed"),
    text("last_error"),
    int8("logins_accepted"),
    int8("logins_refused"),
];

pub(super) const INSTANCES: [Column; 4] =
    [text("name"), text("endpoints"), int8("max_server_connections"), int8("current_connections")];
