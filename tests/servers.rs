//! The server side of the login plane against a real PostgreSQL: launcher, ledger, connects,
//! logins, cancels, auth_query.
//!
//! Real workers, no listener: a test's clients are socket pairs handed to a worker as the login plane does
//! it, so what is seen here is only how servers come, and go.

#[path = "common/mod.rs"]
mod common;
#[path = "servers/rig.rs"]
mod rig;

use common::raw::Raw;
use common::{free_port, postgres, wait_until};
use pgweir::auth::scram::derive_keys;
use pgweir::auth::{ScramSecret, Secret};
use pgweir::base::{Micros, WorkerId};
use pgweir::clients::auth_query;
use pgweir::config::PeerId;
use pgweir::control::{CancelEnd, Phase};
use pgweir::core::{Answer, Command, Scope, Stance};
use pgweir::wire::Fault;
use rig::*;
use std::sync::Arc;
use std::time::Duration;

const TRANSACTION: &str = "pool_mode=transaction";

#[test]
fn every_way_of_logging_in() {
    let databases = "clear = {pg} dbname=app user=plain password=plain-secret\n\
                     md5 = {pg} dbname=app user=md5er password=md5er-secret\n\
                     scram = {pg} dbname=app user=scrammer password=scrammer-secret\n\
                     list = {pg} dbname=app\n\
                     tls = {pg} dbname=app user=tlser password=tlser-secret";
    let rig = Rig::new(databases, TRANSACTION, "\"scrammer\" \"scrammer-secret\"");
    for (database, user) in
        [("clear", "plain"), ("md5", "md5er"), ("scram", "scrammer"), ("list", "scrammer"), ("tls", "tlser")]
    {
        let reported = rig.welcome(database, user).unwrap_or_else(|fault| panic!("{database}: {fault:?}"));
        assert!(reported.iter().any(|(name, value)| name == "server_version" && value.starts_with("15")));
        assert_eq!(rig.client(database, user).simple("select current_user").value(), user);
    }
    let ssl = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(rig.client("tls", "tlser").simple(ssl).value(), "t", "prefer takes TLS where there is any");
}

#[test]
fn tls_is_verified_as_far_as_the_mode_says() {
    let certs = common::certs::certs();
    let mode = |mode: &str, ca: &std::path::Path, host: &str| {
        let database = format!("db = host={host} port={} dbname=app user=app", postgres().port);
        let settings =
            format!("server_tls_sslmode={mode}\nserver_tls_ca_file={}\nserver_login_retry=60", ca.display());
        let rig = Rig::new(&database, &settings, "");
        let pool = rig.pool("db", "app");
        rig.plane.launcher.need_server(pool.id);
        let welcome = rig.plane.welcome(&pool);
        let failed = async {
            while pool.failing().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            pool.failing().map(|text| text.to_string())
        };
        rig.runtime.block_on(async {
            tokio::select! {
                welcome = welcome => { welcome.expect("a welcome"); None }
                failed = failed => failed,
            }
        })
    };
    assert_eq!(mode("verify-full", &certs.ca(), "localhost"), None);
    assert_eq!(mode("verify-ca", &certs.ca(), "127.0.0.1"), None);
    assert_eq!(mode("require", &certs.other_ca(), "127.0.0.1"), None);
    let refused = Some("TLS handshake failed".to_owned());
    assert_eq!(mode("verify-full", &certs.ca(), "127.0.0.1"), refused);
    assert_eq!(mode("verify-ca", &certs.other_ca(), "127.0.0.1"), refused);
    assert_eq!(mode("verify-full", &certs.other_ca(), "127.0.0.1"), refused);
}

#[test]
fn keys_that_a_client_has_proven_are_passed_through() {
    let stored = postgres().psql("postgres", "select rolpassword from pg_authid where rolname = 'scrammer'");
    let settings = format!("{TRANSACTION}\nserver_login_retry=600");
    let rig = Rig::new("db = {pg} dbname=app", &settings, &format!("\"scrammer\" \"{stored}\""));
    assert_eq!(rig.welcome("db", "scrammer"), Err(Fault::WrongPasswordType));
    let secret = Arc::new(Secret::parse(&stored));
    let Secret::Scram(verifier) = &*secret else { panic!("not a SCRAM verifier: {stored}") };
    let ScramSecret { salt, iterations, .. } = &**verifier;
    rig.plane.secrets.learn_keys("scrammer", &secret, derive_keys(b"scrammer-secret", salt, *iterations));
    rig.welcome("db", "scrammer").expect("a login with the client's keys, without the retry's pause");
}

#[test]
fn a_refusal_is_the_answer_to_all_who_come_until_it_is_none_any_more() {
    let rig = Rig::new("late = {pg} dbname=late", "server_login_retry=1", "");
    for _ in 0..5 {
        assert_eq!(rig.welcome("late", "app").unwrap_err().sqlstate(), "3D000");
    }
    postgres().psql("postgres", "create database late");
    wait_until("whoever comes is let in", || rig.welcome("late", "app").is_ok());
}

#[test]
fn another_secret_is_tried_at_once() {
    let retry = "server_login_retry=600";
    let rig = Rig::new("db = {pg} dbname=app user=plain password=wrong\nfile = {pg} dbname=app", retry, "");
    let welcome = |database| rig.welcome(database, "plain").map(drop);
    let refused = |database| welcome(database).map_err(|fault| fault.sqlstate().to_owned());
    for _ in 0..8 {
        assert_eq!(refused("db"), Err("28P01".to_owned()));
    }
    rig.adopt("db = {pg} dbname=app user=plain password=plain-secret\nfile = {pg} dbname=app", retry, "");
    assert_eq!(refused("db"), Ok(()), "a reload brings the right one");
    rig.plane.secrets.learn("file", "plain", Arc::new(Secret::parse("old")));
    for _ in 0..8 {
        assert_eq!(refused("file"), Err("28P01".to_owned()));
    }
    rig.plane.secrets.learn("file", "plain", Arc::new(Secret::parse("plain-secret")));
    assert_eq!(refused("file"), Ok(()), "what auth_query says of a client is news, too");
}

#[test]
fn a_refusal_is_relayed_to_all_who_wait() {
    let rig = Rig::new("gone = {pg} dbname=nowhere\ndb = {pg} dbname=app user=plain password=wrong", "", "");
    let refused = rig.welcome("gone", "app").unwrap_err();
    assert_eq!((refused.sqlstate(), &*refused.text()), ("3D000", "database \"nowhere\" does not exist"));
    let refused = rig.welcome("db", "plain").unwrap_err();
    assert_eq!(refused.sqlstate(), "28P01");
    let mut client = rig.client("db", "plain");
    client.send(&common::raw::query("select 1"));
    let words = client.last_words();
    assert!(words.contains("cached error: password authentication failed for user \"plain\""), "{words}");
    wait_until("the places are back", || rig.plane.places.all_servers() == 0);
}

#[test]
fn a_server_that_is_not_there_keeps_clients_waiting_until_it_is() {
    let nobody = format!("db = host=127.0.0.1 port={} dbname=app", free_port());
    let rig = Rig::new(&nobody, "server_login_retry=600", "");
    let pool = rig.pool("db", "app");
    let waiting = {
        let (plane, pool) = (Arc::clone(&rig.plane), Arc::clone(&pool));
        rig.runtime.spawn(async move { plane.welcome(&pool).await.map(|_| ()) })
    };
    wait_until("a connect has failed", || pool.failing().is_some());
    assert_eq!(pool.failing().as_deref().map(String::as_str), Some("connect failed"));
    assert!(!waiting.is_finished());
    rig.adopt("db = {pg} dbname=app", "server_login_retry=600", "");
    rig.runtime.block_on(waiting).expect("no panic").expect("a welcome, without the retry's pause");
    assert_eq!(pool.failing(), None);
}

#[test]
fn one_client_has_one_server_opened() {
    let databases: Vec<_> = (0..60).map(|n| format!("d{n} = {{pg}} dbname=app")).collect();
    let rig = Rig::new(&databases.join("\n"), TRANSACTION, "");
    for n in 0..60 {
        let database = format!("d{n}");
        rig.welcome(&database, "app").expect("a login");
        let (mut client, _) = rig.client_on(n % WORKERS, &database, "app");
        assert_eq!(client.simple("select 1").value(), "1");
        assert_eq!(client.simple("select 2").value(), "2");
    }
    wait_until("no login is under way", || {
        (0..60).all(|n| rig.plane.places.pool_servers(rig.pool(&format!("d{n}"), "app").id).0 == 0)
    });
    let more: Vec<_> = (0..60).filter(|n| rig.live(&format!("d{n}"), "app") > 1).collect();
    assert!(more.is_empty(), "pools with more than one server: {more:?}");
}

#[test]
fn a_dead_host_of_a_list_costs_no_retry() {
    let port = postgres().port;
    for balance in ["round-robin", "disable"] {
        // Nobody listens on the second address of the loopback network.
        let database =
            format!("db = host=127.0.0.2,127.0.0.1 port={port} dbname=app load_balance_hosts={balance}");
        let rig = Rig::new(&database, "server_login_retry=600\nserver_connect_timeout=5", "");
        rig.welcome("db", "app").expect("the second host answers");
    }
}

#[test]
fn pool_size_is_never_exceeded_and_is_used() {
    let rig = Rig::new("capped = {pg} dbname=app pool_size=3 application_name=capped", TRANSACTION, "");
    let clients: Vec<Raw> = (0..24).map(|n| rig.client_on(n % WORKERS, "capped", "app").0).collect();
    let rounds = clients.into_iter().map(|mut client| {
        std::thread::spawn(move || {
            for _ in 0..5 {
                assert_eq!(client.simple("select count(*) from pg_sleep(0.01)").value(), "1");
            }
        })
    });
    let mut rounds: Vec<_> = rounds.collect();
    let mut most = 0;
    while rounds.iter().any(|round| !round.is_finished()) {
        most = most.max(sessions_named("capped"));
    }
    rounds.drain(..).for_each(|round| round.join().expect("every query is answered"));
    assert!(most <= 3, "PostgreSQL saw {most} sessions");
    assert!(rig.live("capped", "app") <= 3);
    wait_until("the pool is full", || rig.live("capped", "app") == 3);
}

/// Sessions that PostgreSQL sees with this `application_name`.
fn sessions_named(name: &str) -> u32 {
    let sql = format!("select count(*) from pg_stat_activity where application_name = '{name}'");
    postgres().psql("postgres", &sql).parse().expect("a count")
}

fn is_alive(pid: &str) -> bool {
    postgres().psql("postgres", &format!("select count(*) from pg_stat_activity where pid = {pid}")) == "1"
}

#[test]
fn an_old_server_goes_when_another_has_come() {
    let rig = Rig::new("aging = {pg} dbname=app pool_size=2 application_name=aging", TRANSACTION, "");
    let mut client = rig.client("aging", "app");
    let old = rig.old_server("aging", "app");
    let mut fewest = u32::MAX;
    wait_until("the old one has gone", || {
        fewest = fewest.min(sessions_named("aging"));
        !is_alive(&old)
    });
    assert!(fewest > 0, "there was always one");
    assert_eq!(sessions_named("aging"), 1, "one for one");
    assert_ne!(client.simple("select pg_backend_pid()").value(), old);
    wait_until("its place is back", || rig.live("aging", "app") == 1);
}

#[test]
fn at_a_cap_an_old_server_goes_first_and_never_amid_a_transaction() {
    let rig = Rig::new("aged = {pg} dbname=app pool_size=1 application_name=aged", TRANSACTION, "");
    let (mut client, pool) = (rig.client("aged", "app"), rig.pool("aged", "app"));
    pool.set_stance(Stance::KeepToHardAge);
    let old = rig.old_server("aged", "app");
    assert_eq!(client.simple("begin; select pg_backend_pid()").value(), old);
    pool.set_stance(Stance::Renew);
    rig.plane.launcher.need_renewal(pool.id);
    wait_until("it is to retire", || pool.is_retirement_wanted());
    rig.runtime.block_on(rig.plane.ask_all(|| Command::Sweep(Scope::Pool(pool.id))));
    assert_eq!(client.simple("select pg_backend_pid()").value(), old);
    assert_eq!(client.simple("commit").status, Some(b'I'));
    let mut most = 0;
    wait_until("the old one has gone", || {
        most = most.max(sessions_named("aged"));
        !is_alive(&old)
    });
    wait_until("it is replaced, though nobody asks", || {
        most = most.max(sessions_named("aged"));
        rig.live("aged", "app") == 1 && sessions_named("aged") == 1
    });
    assert_eq!(most, 1, "the cap holds");
    assert_ne!(client.simple("select pg_backend_pid()").value(), old);
}

#[test]
fn an_old_server_that_nobody_would_miss_is_not_replaced() {
    let rig = Rig::new("lonely = {pg} dbname=app application_name=lonely", TRANSACTION, "");
    let old = rig.old_server("lonely", "app");
    wait_until("it has gone", || !is_alive(&old));
    wait_until("its place is back", || rig.live("lonely", "app") == 0);
    assert_eq!(sessions_named("lonely"), 0);
}

#[test]
fn idle_servers_of_other_pools_make_room() {
    let settings = format!("{TRANSACTION}\nmax_db_connections=1");
    let rig = Rig::new("shared = {pg} dbname=app", &settings, "");
    let (mut first, mut second) = (rig.client("shared", "app"), rig.client_on(1, "shared", "other").0);
    let shared = Scope::Database("shared".into());
    for _ in 0..3 {
        assert_eq!(first.simple("select current_user").value(), "app");
        assert_eq!(rig.plane.places.servers_in(&shared), 1);
        assert_eq!(second.simple("select current_user").value(), "other");
        assert_eq!(rig.plane.places.servers_in(&shared), 1);
    }
}

#[test]
fn the_reserve_opens_for_those_who_wait_too_long() {
    let settings = format!("{TRANSACTION}\nreserve_pool_size=1\nreserve_pool_timeout=0.2");
    let rig = Rig::new("reserve = {pg} dbname=app pool_size=1", &settings, "");
    let mut holder = rig.client("reserve", "app");
    assert_eq!(holder.simple("begin").status, Some(b'T'));
    assert_eq!(rig.client_on(1, "reserve", "app").0.simple("select 1").value(), "1");
    assert_eq!(rig.live("reserve", "app"), 2);
}

#[test]
fn the_minimum_is_kept_for_an_entry_with_its_own_user() {
    let rig = Rig::new("min = {pg} dbname=app user=app min_pool_size=2 pool_size=5", TRANSACTION, "");
    wait_until("two servers without any client", || rig.live("min", "anybody") == 2);
    let pool = rig.pool("min", "anybody");
    rig.servers.reconnect(Some("min"));
    wait_until("both are opened anew", || {
        let answers = rig.runtime.block_on(rig.plane.ask_all(|| Command::Servers));
        let rows = answers.into_iter().flat_map(|answer| match answer {
            Answer::Servers(rows) => rows,
            _ => Vec::new(),
        });
        let fresh: Vec<_> = rows.map(|row| row.close_needed).collect();
        fresh == [false, false] && pool.live_count() == 2
    });
}

#[test]
fn a_pool_that_is_killed_gives_its_places_back() {
    let rig = Rig::new("victim = {pg} dbname=app", TRANSACTION, "");
    let mut client = rig.client("victim", "app");
    assert_eq!(client.simple("select 1").value(), "1");
    rig.pool("victim", "app").database.set_paused(true);
    rig.plane.kill(Some("victim"));
    assert!(client.last_words().contains("database removed"));
    wait_until("no server is left", || rig.plane.places.all_servers() == 0);
}

#[test]
fn an_entry_that_a_reload_takes_away_is_gone() {
    let rig = Rig::new("stays = {pg} dbname=app\ngoes = {pg} dbname=app", TRANSACTION, "");
    let (mut stays, mut goes) = (rig.client("stays", "app"), rig.client("goes", "app"));
    assert_eq!(stays.simple("select 1").value(), "1");
    assert_eq!(goes.simple("select 1").value(), "1");
    rig.adopt("stays = {pg} dbname=app", TRANSACTION, "");
    assert!(goes.last_words().contains("database removed"));
    assert!(rig.plane.pool("goes", "app").is_none());
    assert_eq!(stays.simple("select 2").value(), "2");
    wait_until("its place is back", || rig.plane.places.all_servers() == 1);
}

#[test]
fn a_cancel_request_reaches_the_query_and_nothing_else() {
    let rig = Rig::new("cancel = {pg} dbname=app pool_size=1", TRANSACTION, "");
    let (mut client, socket_id) = rig.client_on(1, "cancel", "app");
    let key = rig.plane.cancel_keys.issue(WorkerId(1), socket_id, PeerId(0)).expect("randomness");
    let cancel = |key| rig.runtime.block_on(rig.plane.cancel(key));
    assert_eq!(cancel(key.key()), CancelEnd::OfIdle);
    assert_eq!(client.simple("select 1").value(), "1");
    client.send(&common::raw::query("select pg_sleep(60)"));
    wait_until("the query runs", || {
        let sql =
            "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";
        postgres().psql("postgres", sql) == "1"
    });
    assert_eq!(cancel([1; 8]), CancelEnd::UnknownKey);
    assert_eq!(cancel(key.key()), CancelEnd::Taken);
    let outcome = client.outcome();
    assert_eq!(outcome.errors, ["ERROR 57014: canceling statement due to user request"]);
    assert_eq!(client.simple("select 2").value(), "2");
    let waited = rig.pool("cancel", "app").id;
    wait_until("the cancel's place is back", || rig.plane.places.pool_cancels(waited) == 0);
}

#[test]
fn auth_query_finds_secrets_and_says_what_is_wrong() {
    let query = "select rolname, rolpassword from pg_authid where rolname = $1";
    let settings = format!("{TRANSACTION}\nauth_user=postgres\nauth_query={query}");
    let databases = "db = {pg} dbname=app\nbad = {pg} dbname=app auth_query='select 1'\n\
                     broken = {pg} dbname=app auth_query='select nonsense from nowhere where x=$1'\n\
                     astray = {pg} dbname=app auth_dbname=missing\nsick = {pg} dbname=nowhere";
    let rig = Rig::new(databases, &settings, "");
    let lookup =
        |database, user| rig.runtime.block_on(auth_query::lookup(&rig.clients, database, user, || ()));
    let found = lookup("db", "scrammer").expect("an answer").expect("such a user");
    assert!(found.is_password("scrammer", b"scrammer-secret"));
    assert!(
        lookup("db", "app").expect("an answer").expect("such a user").is_empty(),
        "NULL is nothing's secret"
    );
    assert_eq!(lookup("db", "nobody"), Ok(None));
    for database in ["bad", "broken", "astray"] {
        assert_eq!(lookup(database, "app"), Err(Fault::Config), "{database}");
    }
    assert_eq!(lookup("sick", "app").unwrap_err().sqlstate(), "3D000");
    assert_eq!(rig.plane.secrets.found("db", "scrammer"), None, "kept once it has proven somebody");
    rig.pool("db", "postgres").database.set_disabled(true);
    let disabled = lookup("db", "app").unwrap_err();
    assert_eq!(disabled.text(), "authentication database \"db\" is disabled");
}

#[test]
fn connect_query_runs_at_each_login_and_its_errors_are_ignored() {
    let databases = "set = {pg} dbname=app connect_query='set work_mem=\"77MB\"'\n\
                     wrong = {pg} dbname=app connect_query='nonsense'\n\
                     open = {pg} dbname=app connect_query='begin' timezone=Asia/Tokyo";
    let rig = Rig::new(databases, TRANSACTION, "");
    assert_eq!(rig.client("set", "app").simple("show work_mem").value(), "77MB");
    assert_eq!(rig.client("wrong", "app").simple("select 1").value(), "1");
    let mut open = rig.client("open", "app");
    assert_eq!(open.simple("show timezone").value(), "Asia/Tokyo");
    assert_eq!(open.simple("select 1").status, Some(b'I'), "no transaction of a stranger");
}

#[test]
fn shutdown_ends_the_wait_for_a_welcome() {
    let nobody = format!("db = host=127.0.0.1 port={} dbname=app", free_port());
    let rig = Rig::new(&nobody, "", "");
    let pool = rig.pool("db", "app");
    let waiting = {
        let (plane, pool) = (Arc::clone(&rig.plane), Arc::clone(&pool));
        rig.runtime.spawn(async move { plane.welcome(&pool).await.map(|_| ()) })
    };
    wait_until("a connect has failed", || pool.failing().is_some());
    rig.plane.begin_shutdown(Phase::WaitForServers);
    assert_eq!(rig.runtime.block_on(waiting).expect("no panic"), Err(Fault::ServerShuttingDown));
    assert!(rig.plane.now() > Micros(0));
}
