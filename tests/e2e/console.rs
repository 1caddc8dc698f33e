//! The admin database: exact columns, commands and their effects, errors.
//! Source: PgBouncer, doc/usage.md ("Admin console").

use crate::common::raw::{self, Raw};
use crate::common::{PoolerSetup, postgres, wait_until};

/// SHOW tables and their columns, in order.
const TABLES: &[(&str, &str)] = &[
    ("clients", CONNECTIONS),
    ("servers", CONNECTIONS),
    ("config", "key value default changeable"),
    (
        "databases",
        "name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime \
         pool_mode load_balance_hosts max_connections current_connections max_client_connections \
         current_client_connections paused disabled",
    ),
    ("lists", "list items"),
    ("mem", "name size used free memtotal"),
    ("peers", "peer_id host port pool_size"),
    ("peer_pools", "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login"),
    (
        "pools",
        "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active \
         sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode \
         load_balance_hosts",
    ),
    (
        "stats_totals",
        "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time \
         query_time wait_time client_parse_count server_parse_count bind_count client_login_count",
    ),
    ("totals", "name value"),
    (
        "iam",
        "database user endpoint region source principal cred_state cred_expires_in key_tail last_refresh \
         last_login logins_ok logins_denied throttled logins_failed class login_rate login_waiting \
         logins_under_way login_ms_p50 login_ms_p99 stance renewals auth_age sv_past_soft_age \
         sv_past_hard_age sv_due renewed extended over_age last_error",
    ),
    (
        "sessions",
        "id session principal method issuer user database addr port since until state ending \
         application_name",
    ),
    (
        "issuers",
        "name issuer keys fetched age next fetches fetches_failed last_error logins_accepted logins_refused",
    ),
    (
        "secrets",
        "secret purpose state version pending previous server_user users age changed next_fetch fetches \
         failures last_error",
    ),
    ("instances", "name endpoints max_server_connections current_connections"),
    (
        "users",
        "name pool_size reserve_pool_size pool_mode max_user_connections current_connections \
         max_user_client_connections current_client_connections",
    ),
    ("dns_hosts", "hostname ttl addrs"),
    ("dns_zones", "zonename serial count"),
    ("state", "key value"),
    ("version", "version"),
];

const CONNECTIONS: &str = "type user database replication state addr port local_addr local_port connect_time \
    request_time wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id";

#[test]
fn every_show_has_its_columns() {
    let pooler = PoolerSetup::new(postgres()).start();
    pooler.client().simple("select 1");
    let mut console = pooler.console();
    for (table, columns) in TABLES {
        let outcome = console.simple(&format!("SHOW {};", table.to_uppercase()));
        assert_eq!(outcome.columns.join(" "), *columns, "SHOW {table}");
        assert_eq!((outcome.commands, outcome.status), (vec!["SHOW".to_owned()], Some(b'I')), "SHOW {table}");
    }
    let help = console.simple("show help");
    assert!(help.notices[0].contains("Console usage"), "{help:?}");
}

#[test]
fn lists_and_pools_count_what_is_there() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("begin");
    let _idle = pooler.client();
    let mut console = pooler.console();
    let pools = console.simple("show pools").records();
    let pool = pools
        .iter()
        .find(|row| row["database"] == "app" && row["user"] == "app")
        .expect("the pool is listed");
    // PgBouncer counts clients without a query among the active ones.
    assert_eq!(
        (pool["cl_active"].as_str(), pool["sv_active"].as_str(), pool["cl_waiting"].as_str()),
        ("2", "1", "0")
    );
    let servers = console.simple("show servers").records();
    let pid = client.simple("select pg_backend_pid()").value();
    assert_eq!(
        (servers.len(), servers[0]["remote_pid"].clone(), servers[0]["state"].as_str()),
        (1, pid, "active")
    );
    let clients = console.simple("show clients").records();
    assert_eq!(clients.iter().filter(|row| row["database"] == "app").count(), 2);
    let own = clients.iter().find(|row| row["database"] == "pgbouncer").expect("its own row");
    assert_eq!(own["state"], "idle", "no server is linked to it");
    let lists = console.simple("show lists").records();
    assert!(lists.iter().any(|row| row["list"] == "used_clients" && row["items"] == "3"), "{lists:?}");
}

#[test]
fn statistics_count_transactions_and_queries() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    for sql in ["select 1", "begin", "select 2", "commit"] {
        client.simple(sql);
    }
    let rows = pooler.ask("show stats_totals").records();
    let row = rows.iter().find(|row| row["database"] == "app").expect("the database is listed");
    assert_eq!((row["xact_count"].as_str(), row["query_count"].as_str()), ("2", "4"));
    assert!(row["bytes_received"] != "0" && row["bytes_sent"] != "0");
}

#[test]
fn pause_waits_for_servers_and_resume_lets_go() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("begin");
    let mut console = pooler.console();
    console.send(&raw::query("pause"));
    wait_until("it pauses", || {
        pooler.ask("show state").records().iter().any(|row| row["key"] == "paused" && row["value"] == "yes")
    });
    assert_eq!(client.simple("commit").status, Some(b'I'), "what runs may end");
    assert_eq!(console.outcome().commands, ["PAUSE"]);
    assert_eq!(pooler.ask("pause").errors, ["ERROR 08P01: already suspended/paused"]);
    client.send(&raw::query("select 5"));
    wait_until("the client waits", || {
        pooler.ask("show pools").records().iter().any(|row| row["cl_waiting"] == "1")
    });
    assert_eq!(pooler.ask("resume").commands, ["RESUME"]);
    assert_eq!(client.outcome().value(), "5");
    assert_eq!(pooler.ask("resume").errors, ["ERROR 08P01: pooler is not paused/suspended"]);
}

#[test]
fn a_cancelled_pause_resumes() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("begin");
    let mut console = pooler.console();
    let key = console.key.clone();
    console.send(&raw::query("pause"));
    wait_until("it pauses", || {
        pooler.ask("show state").records().iter().any(|row| row["key"] == "paused" && row["value"] == "yes")
    });
    Raw::tcp(pooler.port).send(&raw::cancel_request(&key));
    wait_until("it runs again", || {
        pooler.ask("show state").records().iter().any(|row| row["key"] == "paused" && row["value"] == "no")
    });
    assert_eq!(client.simple("commit").status, Some(b'I'));
}

#[test]
fn reconnect_replaces_servers_when_they_come_free() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let mut client = pooler.client();
    let old = client.simple("select pg_backend_pid()").value();
    client.simple("begin");
    assert_eq!(pooler.ask("reconnect app").commands, ["RECONNECT"]);
    assert_eq!(client.simple("select pg_backend_pid()").value(), old, "not in the middle of a transaction");
    client.simple("commit");
    assert_ne!(client.simple("select pg_backend_pid()").value(), old);
    assert_eq!(pooler.ask("wait_close").commands, ["WAIT_CLOSE"]);
    pooler.wait_for_log("closing because: close_needed (age=");
}

#[test]
fn kill_drops_everybody_until_resume() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("begin");
    assert_eq!(pooler.ask("kill app").commands, ["KILL"]);
    assert!(client.last_words().ends_with("database removed"));
    assert_eq!(pooler.ask("resume app").commands, ["RESUME"]);
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn kill_client_ends_exactly_one() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut victim = Raw::log_in_with(
        pooler.port,
        &[("user", "app"), ("database", "app"), ("application_name", "victim")],
    );
    let mut other = pooler.client();
    let mut console = pooler.console();
    let clients = console.simple("show clients").records();
    let id = &clients.iter().find(|row| row["application_name"] == "victim").expect("is listed")["id"];
    assert_eq!(console.simple(&format!("kill_client {id}")).commands, ["KILL_CLIENT"]);
    assert_eq!(victim.last_words(), "FATAL 08P01: admin forced disconnect");
    assert_eq!(other.simple("select 1").value(), "1");
    assert_eq!(console.simple("kill_client 999999").errors, ["ERROR 08P01: client not found"]);
}

#[test]
fn a_disabled_database_takes_no_new_clients() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut old = pooler.client();
    assert_eq!(pooler.ask("disable app").commands, ["DISABLE"]);
    let mut refused = Raw::tcp(pooler.port);
    refused.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(refused.last_words(), "FATAL 08P01: database \"app\" is disabled");
    assert_eq!(old.simple("select 1").value(), "1");
    assert_eq!(pooler.ask("enable app").commands, ["ENABLE"]);
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn set_changes_a_setting_at_once() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut console = pooler.console();
    assert_eq!(console.simple("set query_timeout = 1").commands, ["SET query_timeout=1"]);
    let shown = console.simple("show config").records();
    assert!(shown.iter().any(|row| row["key"] == "query_timeout" && row["value"] == "1"));
    let mut client = pooler.client();
    client.send(&raw::query("select pg_sleep(30)"));
    assert_eq!(client.last_words(), "FATAL 08P01: query timeout");
    assert_eq!(console.simple("set no_such_setting = 1").errors, ["ERROR 08P01: SET failed"]);
}

#[test]
fn nonsense_is_answered_and_the_extended_protocol_refused() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut console = pooler.console();
    for text in ["frobnicate", ";", "show nothing", "show version; show version"] {
        let outcome = console.simple(text);
        assert_eq!(outcome.errors, [format!("ERROR 08P01: invalid command '{text}', use SHOW HELP;")]);
        assert_eq!(outcome.status, Some(b'I'));
    }
    assert_eq!(console.simple("pause no_such").errors, ["ERROR 08P01: no such database: no_such"]);
    let refused = console.ask(&[raw::parse("", "show version"), raw::sync()]);
    assert_eq!(refused.errors[0], "ERROR 08P01: extended query protocol not supported by admin console");
}

#[test]
fn suspend_stops_traffic_until_resume() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    assert_eq!(client.simple("select 1").value(), "1");
    let mut console = pooler.console();
    assert_eq!(console.simple("suspend").commands, ["SUSPEND"]);
    client.send(&raw::query("select 2"));
    assert_eq!(console.simple("resume").commands, ["RESUME"]);
    assert_eq!(client.outcome().value(), "2");
}

#[test]
fn whoever_has_been_welcomed_is_known() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut console = pooler.console();
    let mut clients = Vec::new();
    for count in 1..=30 {
        clients.push(pooler.client());
        let rows = console.simple("show clients").records();
        let states: Vec<_> =
            rows.iter().filter(|row| row["database"] != "pgbouncer").map(|row| &*row["state"]).collect();
        assert_eq!(states, vec!["idle"; count]);
    }
}

#[test]
fn connections_that_log_in_are_told_apart() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("it listens").port();
    let pooler =
        PoolerSetup::new(postgres()).database_at("stuck", &format!("host=127.0.0.1 port={port}")).start();
    let mut client = Raw::tcp(pooler.port);
    client.send(&raw::startup_message(196_608, &[("user", "app"), ("database", "stuck")]));
    let state = |table: &str, kind: &str| {
        let rows = pooler.ask(&format!("show {table}")).records();
        let row = rows.into_iter().find(|row| row["database"] == "stuck" && row["type"] == kind);
        row.map(|row| (row["state"].clone(), row["port"].clone()))
    };
    wait_until("the server is told", || state("servers", "S") == Some(("new".into(), port.to_string())));
    assert_eq!(state("sockets", "S").expect("it is there").0, "sv_login");
    assert_eq!(state("sockets", "C").expect("it is there").0, "cl_waiting");
    assert_eq!(state("clients", "C"), None, "only those that have logged in");
    let pools = pooler.ask("show pools").records();
    let pool = pools.iter().find(|row| row["database"] == "stuck").expect("the pool is listed");
    assert_eq!(pool["sv_login"], "1");
}
