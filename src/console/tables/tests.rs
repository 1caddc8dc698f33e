//! The tables against the specification, and the pages made from them.

use super::*;

/// The columns as the specification writes them: `name:type`, the type carrying on
/// until the next one is named.
fn columns(name: &str) -> String {
    let mut text = String::new();
    let mut kind = None;
    for column in find(name).unwrap().columns {
        if !text.is_empty() {
            text += " ";
        }
        text += column.name;
        if kind != Some(column.kind) {
            text += &format!(":{:?}", column.kind).to_lowercase();
            kind = Some(column.kind);
        }
    }
    text
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn columns_and_types_are_pgbouncers() {
    let socket = "type:text user database replication state addr port:int4 local_addr:text local_port:int4 \
        connect_time:text request_time wait:int4 wait_us close_needed ptr:text link remote_pid:int4 tls:text \
        application_name prepared_statements:int4 id";
    let buffers = "recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail";
    let figures = "server_assignment_count:numeric xact_count query_count bytes_received bytes_sent \
        xact_time query_time wait_time";
    let expected: &[(&str, &str)] = &[
        ("help", ""),
        ("clients", socket),
        ("servers", socket),
        ("sockets", &format!("{socket} {buffers}")),
        ("active_sockets", &format!("{socket} {buffers}")),
        ("config", "key:text value default changeable"),
        (
            "databases",
            "name:text host port:int4 database:text force_user pool_size:int4 min_pool_size \
             reserve_pool_size server_lifetime pool_mode:text load_balance_hosts max_connections:int4 \
             current_connections max_client_connections current_client_connections paused disabled",
        ),
        (
            "fds",
            "fd:int4 task:text user database addr port:int4 cancel:int8 link:int4 client_encoding:text \
             std_strings datestyle timezone password scram_client_key:bytea scram_server_key",
        ),
        ("lists", "list:text items:int4"),
        ("mem", "name:text size:int4 used free memtotal"),
        ("peers", "peer_id:int4 host:text port:int4 pool_size"),
        ("peer_pools", "peer_id:int4 cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login"),
        (
            "pools",
            "database:text user cl_active:int4 cl_waiting cl_active_cancel_req cl_waiting_cancel_req \
             sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait \
             maxwait_us pool_mode:text load_balance_hosts",
        ),
        (
            "stats",
            "database:text total_server_assignment_count:numeric total_xact_count total_query_count \
             total_received total_sent total_xact_time total_query_time total_wait_time \
             total_client_parse_count total_server_parse_count total_bind_count total_client_login_count \
             avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time \
             avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count \
             avg_client_login_count",
        ),
        (
            "stats_totals",
            &format!(
                "database:text {figures} client_parse_count server_parse_count bind_count client_login_count"
            ),
        ),
        (
            "stats_averages",
            &format!(
                "database:text {figures} avg_client_parse_count avg_server_parse_count avg_bind_count \
                 avg_client_login_count"
            ),
        ),
        ("totals", "name:text value:numeric"),
        (
            "iam",
            "database:text user endpoint region source principal cred_state cred_expires_in:int8 \
             key_tail:text last_refresh:int8 last_login logins_ok logins_denied throttled logins_failed \
             class:text login_rate:int4 login_waiting logins_under_way login_ms_p50:int8 login_ms_p99 \
             stance:text renewals auth_age:int8 sv_past_soft_age:int4 sv_past_hard_age sv_due renewed:int8 \
             extended over_age last_error:text",
        ),
        (
            "sessions",
            "id:int4 session:text principal method issuer user database addr port:int4 since:text until \
             state ending application_name",
        ),
        (
            "issuers",
            "name:text issuer keys:int4 fetched:text age:int8 next fetches fetches_failed last_error:text \
             logins_accepted:int8 logins_refused",
        ),
        (
            "secrets",
            "secret:text purpose state version pending previous server_user users:int8 age changed \
             next_fetch fetches failures last_error:text",
        ),
        ("instances", "name:text endpoints max_server_connections:int8 current_connections"),
        (
            "users",
            "name:text pool_size reserve_pool_size pool_mode max_user_connections:int4 current_connections \
             max_user_client_connections current_client_connections",
        ),
        ("dns_hosts", "hostname:text ttl:int8 addrs:text"),
        ("dns_zones", "zonename:text serial:int8 count:int4"),
        ("state", "key:text value"),
        ("version", "version:text"),
        ("client_encoding", "client_encoding:text"),
        ("default_transaction_isolation", "default_transaction_isolation:text"),
        ("standard_conforming_strings", "standard_conforming_strings:text"),
        ("datestyle", "datestyle:text"),
        ("timezone", "timezone:text"),
    ];
    for (name, expected) in expected {
        assert_eq!(columns(name), *expected, "SHOW {name}");
    }
    assert_eq!(expected.len(), TABLES.len(), "a table without a line here");
}

#[test]
fn only_fds_needs_an_admin() {
    for shown in TABLES {
        assert_eq!(shown.access == Access::Admins, shown.name == "fds", "{}", shown.name);
    }
}

#[test]
fn help_reads_as_pgbouncers_and_tells_of_iam() {
    assert!(help().starts_with(
        "\n\
         \tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION\n\
         \tSHOW PEERS|PEER_POOLS\n\
         \tSHOW FDS|SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE\n\
         \tSHOW DNS_HOSTS|DNS_ZONES\n\
         \tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS\n\
         \tSHOW IAM|SESSIONS|ISSUERS|SECRETS|INSTANCES\n\
         \tSET key = arg\n\
         \tRELOAD\n\
         \tPAUSE [<db>]\n"
    ));
    assert!(help().ends_with("\n\tWAIT_CLOSE [<db>]\n\tIAM REFRESH [<db>]"));
}

#[test]
fn the_console_page_of_the_documentation_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
        std::fs::write(path, markdown()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, markdown(), "docs/console.md is stale: run `BLESS=1 cargo test console_page`");
}
