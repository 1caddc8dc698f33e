//! Before a PostgreSQL 18: logins, what it reports and older ones do not, direct TLS, libpq 18 as a client.
//!
//! The machine's own PostgreSQL, which all other tests use, may be older. `make setup` fetches this one.

use crate::cancel::running_at;
use crate::common::certs::certs;
use crate::common::raw::{self, Raw};
use crate::common::skip::skip;
use crate::common::{Pooler, PoolerSetup, Postgres, postgres_18, programs, wait_until};

fn setup() -> Option<(&'static Postgres, PoolerSetup)> {
    let Some(postgres) = postgres_18() else {
        return skip("no PostgreSQL 18: `make setup` could not fetch it");
    };
    Some((postgres, PoolerSetup::new(postgres)))
}

fn version(pooler: &Pooler, user: &str, database: &str) -> String {
    Raw::log_in(pooler.port, user, database).simple("show server_version").value()
}

#[test]
fn it_is_logged_in_to_by_scram() {
    let Some((_, setup)) = setup() else { return };
    let pooler = setup
        .user("scrammer", "scrammer-secret")
        .database("scram", "dbname=app user=scrammer password=scrammer-secret")
        .start();
    assert!(version(&pooler, "app", "scram").starts_with("18."));
    assert!(version(&pooler, "app", "app").starts_with("18."));
}

#[test]
fn what_it_reports_of_a_session_is_each_clients_own() {
    let Some((_, setup)) = setup() else { return };
    let pooler = setup.database("app", "pool_size=1").start();
    let client = |path: &str| {
        let names = [("user", "app"), ("database", "app"), ("search_path", path)];
        Raw::log_in_with(pooler.port, &names)
    };
    let (mut one, mut other) = (client("one, public"), client("other"));
    one.simple("set default_transaction_read_only = on");
    for _ in 0..3 {
        for (client, path, read_only) in [(&mut one, "one, public", "on"), (&mut other, "other", "off")] {
            assert_eq!(client.simple("show search_path").value(), path);
            assert_eq!(client.simple("show default_transaction_read_only").value(), read_only);
        }
    }
    other.simple("set search_path = changed");
    assert_eq!(one.simple("show search_path").value(), "one, public");
    assert_eq!(other.simple("show search_path").value(), "changed");
    let last = other.parameters.iter().rfind(|(name, _)| name == "search_path");
    assert_eq!(last.map(|(_, path)| path.as_str()), Some("changed"), "it is reported");
}

#[test]
fn direct_tls_leads_to_it_and_so_do_cancels() {
    let Some((postgres, setup)) = setup() else { return };
    let ca = certs().ca();
    let more = format!("server_tls_sslmode=verify-full server_tls_ca_file={}", ca.display());
    let entry = |way: &str| {
        format!("host=localhost port={} dbname=app {more} server_tls_negotiation={way}", postgres.port)
    };
    let setup = setup.database_at("direct", &entry("direct")).database_at("asked", &entry("postgres"));
    let pooler = setup.start();
    for database in ["direct", "asked"] {
        let mut client = Raw::log_in(pooler.port, "app", database);
        let tls = client.simple("select version from pg_stat_ssl where pid = pg_backend_pid()");
        assert_eq!(tls.value(), "TLSv1.3", "{database}");
        client.send(&raw::query(&format!("select pg_sleep(60) as over_{database}")));
        wait_until("it runs", || running_at(postgres, &format!("as over_{database}")));
        let mut messenger = Raw::tcp(pooler.port);
        messenger.send(&raw::cancel_request(&client.key));
        assert_eq!(messenger.read(), None, "closed without an answer");
        assert_eq!(client.outcome().errors, ["ERROR 57014: canceling statement due to user request"]);
    }
}

/// psycopg brings libpq 18, which asks for protocol 3.2 if it is told to, and takes 3.0.
#[test]
fn libpq_18_logs_in_and_cancels_by_every_protocol() {
    let Some((_, setup)) = setup() else { return };
    const SCRIPT: &str = "
import psycopg, sys, threading
def cancel(connection):
    with psycopg.connect(sys.argv[1], autocommit=True) as watcher:
        running = \"select from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'\"
        while not watcher.execute(running).rowcount:
            pass
    connection.cancel_safe()
for version in '3.0', '3.2', 'latest':
    with psycopg.connect(sys.argv[1], autocommit=True, max_protocol_version=version) as connection:
        assert psycopg.pq.version() >= 180000, psycopg.pq.version()
        canceler = threading.Thread(target=cancel, args=[connection])
        canceler.start()
        try:
            connection.execute('select pg_sleep(60)')
        except psycopg.errors.QueryCanceled:
            canceler.join()
        else:
            raise SystemExit(f'{version}: nothing was cancelled')
        assert connection.execute('select 1').fetchone() == (1,)
";
    let python = programs::in_repository(".venv/bin/python");
    if !python.exists() {
        return skip("no .venv: run make setup").unwrap_or(());
    }
    let pooler = setup.start();
    let mut command = programs::limited(python);
    command.args(["-c", SCRIPT, &format!("host=127.0.0.1 port={} user=app dbname=app", pooler.port)]);
    programs::run(&mut command);
}
