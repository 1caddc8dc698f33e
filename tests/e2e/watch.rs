//! What operators watch: the page of metrics, log lines in both forms, the line of statistics.
//! Source: PgBouncer, doc/usage.md (SHOW STATS) and doc/config.md (Log settings); Prometheus
//! documentation, "Exposition formats".

use crate::common::page::{self, get, value};
use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, free_port, postgres, programs, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

fn with_metrics() -> (Pooler, u16) {
    let port = free_port();
    let pooler = PoolerSetup::new(postgres()).set("metrics_listen", format!("127.0.0.1:{port}")).start();
    page::wait_for(port);
    (pooler, port)
}

#[test]
fn the_page_counts_what_clients_do() {
    let (pooler, port) = with_metrics();
    let mut client = pooler.client();
    client.simple("begin");
    client.simple("select 1");
    let of_pool = |name: &str| value(port, &format!("{name}{{database=\"app\",user=\"app\"}}"));
    assert_eq!(of_pool("pgbouncer_pools_server_active_connections"), Some(1.0));
    assert_eq!(of_pool("pgweir_client_linked_connections"), Some(1.0));
    client.simple("commit");
    client.simple("select pg_sleep(0.2)");
    assert_eq!(of_pool("pgbouncer_pools_server_active_connections"), Some(0.0));
    assert_eq!(of_pool("pgbouncer_pools_client_active_connections"), Some(1.0));
    assert_eq!(of_pool("pgweir_client_idle_connections"), Some(1.0));
    let of_database = |name: &str| value(port, &format!("{name}{{database=\"app\"}}"));
    for (name, of_pool_name, count) in [
        ("sql_transactions_pooled", "transactions", 2.0),
        ("queries_pooled", "queries", 4.0),
        ("server_assignments", "server_assignments", 2.0),
    ] {
        assert_eq!(of_database(&format!("pgbouncer_stats_totals_{name}_total")), Some(count), "{name}");
        assert_eq!(of_pool(&format!("pgweir_pool_{of_pool_name}_total")), Some(count), "{of_pool_name}");
    }
    assert_eq!(of_pool("pgweir_client_logins_total"), Some(1.0));
    for (name, count) in [
        ("pgweir_query_seconds", 4.0),
        ("pgweir_transaction_seconds", 2.0),
        ("pgweir_client_wait_seconds", 2.0),
        ("pgweir_client_login_seconds", 1.0),
    ] {
        assert_eq!(of_pool(&format!("{name}_count")), Some(count), "{name}");
    }
    let sum = of_pool("pgweir_query_seconds_sum").expect("a sum");
    assert!((0.2..10.0).contains(&sum), "{sum}");
    let below = |edge: &str| {
        let series = format!("pgweir_query_seconds_bucket{{database=\"app\",user=\"app\",le=\"{edge}\"}}");
        value(port, &series).expect("a bucket")
    };
    assert!(below("0.131072") <= 3.0, "the sleep took longer");
    assert_eq!(below("+Inf"), 4.0);
    // Scrapes agree with the console.
    let totals = pooler.ask("show stats_totals").records();
    let row = totals.iter().find(|row| row["database"] == "app").expect("the database is listed");
    let received = of_database("pgbouncer_stats_totals_received_bytes_total").expect("a count");
    assert_eq!(row["bytes_received"], format!("{received}"));
}

/// What pgbouncer_exporter asks SHOW CLIENTS, SHOW DATABASES and the system for.
#[test]
fn the_page_tells_of_clients_databases_and_the_process() {
    let (pooler, port) = with_metrics();
    let mut client = pooler.client();
    client.simple("set application_name = 'shop'");
    let alike = |application: &str, state: &str| {
        let labels = format!("application_name=\"{application}\",state=\"{state}\"");
        value(port, &format!("pgbouncer_client_connections{{database=\"app\",user=\"app\",{labels}}}"))
    };
    assert_eq!(alike("shop", "idle"), Some(1.0));
    client.simple("begin");
    assert_eq!((alike("shop", "idle"), alike("shop", "active")), (None, Some(1.0)));
    let console = pooler.console();
    let own = "database=\"pgbouncer\",user=\"admin\",application_name=\"\",state=\"idle\"";
    assert_eq!(value(port, &format!("pgbouncer_client_connections{{{own}}}")), Some(1.0));
    drop(console);
    let page = get(port, "/metrics").1;
    let of_app = page.lines().find(|line| {
        line.starts_with("pgbouncer_databases_current_connections{name=\"app\",host=\"")
            && line.contains(",force_user=\"\",pool_mode=\"\"} ")
    });
    assert!(of_app.is_some_and(|line| line.ends_with(" 1")), "{of_app:?}");
    for name in ["resident_memory_bytes", "virtual_memory_bytes", "open_fds", "cpu_seconds_total", "threads"]
    {
        assert!(value(port, &format!("process_{name}")) > Some(0.0), "{name}");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let age = now.as_secs_f64() - value(port, "process_start_time_seconds").expect("it is known");
    assert!((0.0..600.0).contains(&age), "{age}");
}

/// By prometheus_client, which has nothing of ours: both formats, and what they have in common.
#[test]
fn both_formats_are_read_by_others() {
    let (pooler, port) = with_metrics();
    pooler.client().simple("select 1");
    let python = programs::in_repository(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run make setup", python.display());
    let mut read = programs::limited(python);
    read.arg(programs::in_repository("tests/drivers/read_metrics.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    programs::run(read.arg(format!("http://127.0.0.1:{port}/metrics")));
}

#[test]
fn only_the_page_and_its_index_are_served() {
    let (_pooler, port) = with_metrics();
    assert_eq!(get(port, "/metrics").0, "HTTP/1.1 200 OK");
    assert!(get(port, "/").1.contains("/metrics"));
    // Its sockets take connections a moment before it accepts them.
    wait_until("it is ready", || get(port, "/ready").0.contains("200"));
    assert_eq!(get(port, "/ready"), ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    assert_eq!(get(port, "/live"), ("HTTP/1.1 200 OK".into(), "live\n".into()));
    assert_eq!(get(port, "/etc/passwd").0, "HTTP/1.1 404 Not Found");
}

/// By gzip(1), which has nothing of ours.
#[test]
fn who_takes_gzip_is_sent_the_page_packed() {
    let (pooler, port) = with_metrics();
    pooler.client().simple("select 1");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nAccept-Encoding: deflate, gzip\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let (head, packed) = (String::from_utf8_lossy(&answer[..end]), &answer[end..]);
    assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", packed.len())), "{head}");
    let mut unpack = Command::new("gzip");
    unpack.args(["-dc"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut unpack = unpack.spawn().expect("gzip is installed");
    unpack.stdin.take().expect("piped").write_all(packed).expect("a pipe takes a page this small");
    let output = unpack.wait_with_output().expect("it ends");
    assert!(output.status.success(), "it is whole");
    let page = String::from_utf8(output.stdout).expect("a text");
    assert!(page.contains("pgweir_client_logins_total{database=\"app\",user=\"app\"} 1\n"));
    assert!(packed.len() < page.len() / 4, "{} of {}", packed.len(), page.len());
}

#[test]
fn log_lines_have_pgbouncers_form_and_change_to_json() {
    let mut pooler = PoolerSetup::new(postgres()).set("verbose", 0).start();
    drop(pooler.client());
    pooler.wait_for_log("closing because: client unexpected eof");
    let log = pooler.log();
    let line = log.lines().find(|line| line.contains("login attempt: db=app")).expect("logins are logged");
    let words: Vec<&str> = line.splitn(8, ' ').collect();
    assert_eq!((words[0].len(), words[1].len()), ("2026-11-22".len(), "04:13:50.980".len()), "{line}");
    assert_eq!((words[3], words[4]), (&*format!("[{}]", pooler.pid()), "LOG"), "{line}");
    assert!(words[5].starts_with("C-0x") && words[6].starts_with("app/app@127.0.0.1:"), "{line}");
    assert_eq!(words[7], "login attempt: db=app user=app tls=no replication=no", "{line}");

    pooler.rewrite(|setup| setup.set("log_format", "json"));
    pooler.signal("HUP");
    wait_until("lines are JSON", || {
        drop(pooler.client());
        pooler.log().lines().any(|line| {
            line.starts_with("{\"at\":\"")
                && line.ends_with("}")
                && line.contains(",\"db\":\"app\",\"user\":\"app\",")
        })
    });
}

#[test]
fn verbosity_can_be_set_while_running() {
    let pooler = PoolerSetup::new(postgres()).start();
    let cancel_nothing = || Raw::tcp(pooler.port).send(&raw::cancel_request(&[1, 2, 3, 4, 5, 6, 7, 8]));
    cancel_nothing();
    assert_eq!(pooler.ask("set verbose=1").commands, ["SET verbose=1"]);
    wait_until("more is said", || {
        cancel_nothing();
        pooler.log().contains("] DEBUG failed cancel request: unknown key")
    });
}

#[test]
fn every_period_ends_with_a_line_of_statistics() {
    let pooler = PoolerSetup::new(postgres()).set("stats_period", 1).start();
    let mut client = pooler.client();
    wait_until("a period counts queries", || {
        client.simple("select 1");
        pooler.log().lines().any(|line| {
            line.contains(" LOG stats: ")
                && !line.contains(" 0 queries/s,")
                && line.contains(" xacts/s, ")
                && line.ends_with(" us")
        })
    });
}

#[test]
fn the_pages_answer_beside_those_that_are_slow_to_ask_and_to_read() {
    let (pooler, port) = with_metrics();
    drop(pooler.client());
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("the page is served");
    let mut slow: Vec<TcpStream> = Vec::new();
    for number in 0..48 {
        let mut stream = connect();
        let request: &[u8] = if number % 2 == 0 { b"GET /re" } else { b"GET /metrics HTTP/1.1\r\n\r\n" };
        let _ = stream.write_all(request); // it may have had to make room
        slow.push(stream);
    }
    for _ in 0..3 {
        assert_eq!(get(port, "/ready").1, "ready\n");
        assert_eq!(get(port, "/metrics").0, "HTTP/1.1 200 OK");
    }
    assert_eq!(pooler.client().simple("select 'served'").value(), "served");
}
