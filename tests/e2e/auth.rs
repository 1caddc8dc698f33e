//! Who gets in: every method on the client side, every kind of stored secret, every demand of the server.
//! Source: PgBouncer, doc/config.md ("Authentication settings").

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, account, postgres, programs};

/// psql as `user` with `password` on database `app`; what it said, and whether it went well.
pub(super) fn try_log_in(pooler: &Pooler, host: &str, user: &str, password: &str) -> Result<String, String> {
    let mut psql = programs::limited(programs::postgres("psql"));
    psql.args(["-X", "-At", "-w", "-h", host, "-p", &pooler.port.to_string(), "-U", user, "-d", "app"]);
    psql.args(["-c", "select current_user"]).env("PGPASSWORD", password);
    let output = psql.output().expect("psql is installed");
    let said = programs::said(&output).trim_end().to_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn socket(pooler: &Pooler) -> String {
    pooler.directory().display().to_string()
}

/// What PostgreSQL keeps of a role's password.
fn stored(role: &str) -> String {
    postgres().psql("postgres", &format!("select rolpassword from pg_authid where rolname = '{role}'"))
}

#[test]
fn passwords_are_asked_for_and_checked_by_every_method() {
    for method in ["plain", "md5", "scram-sha-256"] {
        let pooler = PoolerSetup::new(postgres()).set("auth_type", method).start();
        for host in ["127.0.0.1", &socket(&pooler)] {
            assert_eq!(
                try_log_in(&pooler, host, "app", "app-secret").as_deref(),
                Ok("app"),
                "{method} {host}"
            );
            let text = if method == "scram-sha-256" { "SASL" } else { "password" };
            for (user, password) in [("app", "wrong"), ("nobody-known", "app-secret")] {
                let refused = try_log_in(&pooler, host, user, password).expect_err("must be refused");
                assert!(refused.contains(&format!("{text} authentication failed")), "{method}: {refused}");
                assert!(!pooler.log().contains("app-secret"), "a password in the log");
            }
        }
        pooler.wait_for_log("no such user: nobody-known");
    }
}

#[test]
fn trust_knows_its_users_and_any_does_not_care() {
    let pooler = PoolerSetup::new(postgres()).start();
    assert_eq!(try_log_in(&pooler, "127.0.0.1", "app", "").as_deref(), Ok("app"));
    let refused = try_log_in(&pooler, "127.0.0.1", "nobody-known", "").expect_err("must be refused");
    assert!(refused.contains("\"trust\" authentication failed"), "{refused}");
    let pooler = PoolerSetup::new(postgres()).set("auth_type", "any").database("app", "user=other").start();
    assert_eq!(try_log_in(&pooler, &socket(&pooler), "nobody-known", "").as_deref(), Ok("other"));
}

#[test]
fn stored_secrets_of_every_kind_serve_the_methods_they_can() {
    let (md5, scram) = (stored("md5er"), stored("scrammer"));
    let rows = [
        ("plain", &md5, "md5er", true),
        ("plain", &scram, "scrammer", true),
        ("md5", &md5, "md5er", true),
        ("md5", &scram, "scrammer", true),
        ("scram-sha-256", &scram, "scrammer", true),
        ("scram-sha-256", &md5, "md5er", false),
    ];
    for (method, secret, user, works) in rows {
        let pooler = PoolerSetup::new(postgres())
            .set("auth_type", method)
            .database("app", "user=app password=x")
            .user(user, secret)
            .start();
        let outcome = try_log_in(&pooler, "127.0.0.1", user, &format!("{user}-secret"));
        assert_eq!(outcome.is_ok(), works, "{method} with {secret}: {outcome:?}");
        assert!(try_log_in(&pooler, "127.0.0.1", user, "wrong").is_err());
    }
    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "hba")
        .set("auth_hba_file", "rules.conf")
        .file("rules.conf", "host all all all md5\n")
        .user("scrammer", &scram)
        .start();
    let by_scram = try_log_in(&pooler, "127.0.0.1", "scrammer", "scrammer-secret");
    assert_eq!(
        by_scram.as_deref(),
        Ok("scrammer"),
        "a rule's md5 is SCRAM, too, and its keys serve the server"
    );
}

#[test]
fn a_password_may_be_as_long_as_postgresql_takes_it() {
    let long = "p".repeat(65_530);
    for user in ["long_plain", "long_scram"] {
        postgres().psql("postgres", &format!("create role {user} login password '{long}'"));
        let pooler = PoolerSetup::new(postgres()).set("auth_type", "plain").user(user, &long).start();
        assert_eq!(try_log_in(&pooler, "127.0.0.1", user, &long).as_deref(), Ok(user));
        for wrong in [&long[1..], &format!("{long}p")] {
            assert!(try_log_in(&pooler, "127.0.0.1", user, wrong).is_err(), "{} bytes", wrong.len());
        }
        let pooler = PoolerSetup::new(postgres()).set("auth_type", "scram-sha-256").user(user, &long).start();
        assert_eq!(try_log_in(&pooler, "127.0.0.1", user, &long).as_deref(), Ok(user), "{user} by SCRAM");
        assert!(try_log_in(&pooler, "127.0.0.1", user, &long[1..]).is_err());
    }
}

#[test]
fn passwords_that_have_expired_or_are_not_there_let_nobody_in() {
    for (role, more) in [
        ("expired", "password 'expired-secret' valid until '2001-01-01'"),
        ("lasting", "password 'lasting-secret' valid until 'infinity'"),
        ("unsecret", ""),
    ] {
        postgres().psql("postgres", &format!("create role {role} login {more}"));
    }
    for method in ["plain", "md5", "scram-sha-256"] {
        let pooler =
            PoolerSetup::new(postgres()).set("auth_type", method).set("auth_user", "postgres").start();
        let lasting = try_log_in(&pooler, "127.0.0.1", "lasting", "lasting-secret");
        assert_eq!(lasting.as_deref(), Ok("lasting"), "{method}");
        for user in ["expired", "unsecret"] {
            let refused =
                try_log_in(&pooler, "127.0.0.1", user, &format!("{user}-secret")).expect_err("refused");
            assert!(refused.contains("authentication failed"), "{method} {user}: {refused}");
        }
    }
}

#[test]
fn servers_are_given_what_they_ask_for() {
    for user in ["plain", "md5er", "scrammer"] {
        let secret = format!("{user}-secret");
        let pooler = PoolerSetup::new(postgres()).user(user, &secret).start();
        assert_eq!(try_log_in(&pooler, "127.0.0.1", user, "").as_deref(), Ok(user), "from the userlist");
        let text = format!("user={user} password={secret}");
        let pooler = PoolerSetup::new(postgres()).database("app", &text).start();
        assert_eq!(
            try_log_in(&pooler, "127.0.0.1", "app", "").as_deref(),
            Ok(user),
            "from the database's row"
        );
    }
}

#[test]
fn hashes_are_passed_through_to_the_server() {
    let pooler = PoolerSetup::new(postgres()).set("auth_type", "md5").user("md5er", &stored("md5er")).start();
    assert_eq!(try_log_in(&pooler, "127.0.0.1", "md5er", "md5er-secret").as_deref(), Ok("md5er"));
    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "scram-sha-256")
        .user("scrammer", &stored("scrammer"))
        .start();
    assert_eq!(try_log_in(&pooler, "127.0.0.1", "scrammer", "scrammer-secret").as_deref(), Ok("scrammer"));
}

/// Of the secrets only verifiers are known, each with a salt of its own: the server takes the keys that its
/// user has proven to us, and no others.
#[test]
fn a_forced_users_keys_are_its_own_whoever_logs_in_and_outlive_the_servers() {
    let pooler = PoolerSetup::new(postgres())
        .database("forced", "user=scrammer dbname=app pool_size=1")
        .set("auth_type", "scram-sha-256")
        .user("scrammer", &stored("scrammer"))
        .user("tlser", &stored("tlser"))
        .start();
    let ask = |user: &str, database: &str, sql: &str| {
        let mut psql = programs::limited(programs::postgres("psql"));
        let target = format!("host=127.0.0.1 port={} user={user} dbname={database}", pooler.port);
        psql.args(["-X", "-At", "-w", "-c", sql, "-d", &target]).env("PGPASSWORD", format!("{user}-secret"));
        programs::run(&mut psql)
    };
    let server_of = |user| {
        let said = ask(user, "forced", "select current_user, pg_backend_pid()");
        said.trim_end().strip_prefix("scrammer|").expect("the forced user").to_owned()
    };
    let mut before = server_of("scrammer");
    for user in ["tlser", "scrammer", "tlser", "tlser"] {
        ask("admin", "pgbouncer", "reconnect forced");
        let server = server_of(user);
        assert_ne!(server, before, "a login of its own, for {user}");
        before = server;
    }
}

#[test]
fn auth_query_finds_users_that_no_file_names() {
    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "scram-sha-256")
        .set("auth_user", "postgres")
        .set("auth_query", "select rolname, rolpassword from pg_authid where rolname = $1 and rolcanlogin")
        .start();
    for _ in 0..2 {
        assert_eq!(
            try_log_in(&pooler, "127.0.0.1", "scrammer", "scrammer-secret").as_deref(),
            Ok("scrammer")
        );
    }
    assert!(try_log_in(&pooler, "127.0.0.1", "scrammer", "wrong").is_err());
    assert!(try_log_in(&pooler, "127.0.0.1", "nobody-known", "x").is_err());
}

#[test]
fn auth_query_runs_as_its_login_has_it_whatever_a_client_has_set() {
    let query = "select rolname, '' from pg_catalog.pg_authid \
                 where rolname = $1 and current_setting('TimeZone') <> 'Asia/Tokyo'";
    let pooler = PoolerSetup::new(postgres())
        .set("pool_mode", "transaction")
        .set("auth_user", "postgres")
        .set("auth_query", query)
        .user("postgres", "")
        .database("app", "pool_size=1")
        .start();
    let mut client = Raw::log_in(pooler.port, "postgres", "app");
    client.simple("set timezone = 'Asia/Tokyo'");
    assert_eq!(Raw::log_in(pooler.port, "other", "app").simple("select current_user").value(), "other");
    assert_eq!(client.simple("show timezone").value(), "Asia/Tokyo");
}

/// Whoever owns a database may set its search path, and with it what names mean to auth_user, a superuser.
#[test]
fn the_default_auth_query_means_the_catalog_whatever_a_databases_owner_calls_so() {
    postgres().psql("postgres", "create database redirected");
    postgres().psql(
        "redirected",
        "create schema mine; \
         create view mine.pg_authid as select 'intruder'::name as rolname, 'guess' as rolpassword, \
         null::timestamptz as rolvaliduntil, true as rolcanlogin; \
         create function mine.now() returns timestamptz language plpgsql as $$ begin raise 'run'; end $$; \
         alter database redirected set search_path = mine, pg_catalog",
    );
    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "plain")
        .set("auth_user", "postgres")
        .user("postgres", "")
        .database("redirected", "user=postgres")
        .start();
    let log_in = |user, password| {
        let mut psql = pooler.psql();
        psql.args(["-U", user, "-d", "redirected", "-c", "select current_user"]);
        psql.env("PGPASSWORD", password).output().expect("psql runs").status.success()
    };
    assert!(log_in("scrammer", "scrammer-secret"));
    assert!(!log_in("intruder", "guess"));
}

/// A function that gives one row whatever it finds says by a NULL name that it has found nobody.
#[test]
fn an_auth_query_that_answers_null_knows_no_such_user() {
    let query = "select case when $1 = 'other' then $1 end, 'of-the-query'";
    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "plain")
        .set("auth_user", "postgres")
        .set("auth_query", query)
        .start();
    let refused = try_log_in(&pooler, "127.0.0.1", "nobody-known", "of-the-query").expect_err("is unknown");
    assert!(refused.contains("no such user"), "{refused}");
    assert!(!pooler.log().contains("error in auth_query"), "{}", pooler.log());
}

#[test]
fn servers_are_reached_over_their_unix_socket() {
    let directory = postgres().socket_directory().display().to_string();
    let text = format!("host={directory} port={} dbname=app", postgres().port);
    let pooler = PoolerSetup::new(postgres()).database_at("app", &text).start();
    let mut client = pooler.client();
    assert_eq!(client.simple("select coalesce(host(inet_server_addr()), 'unix')").value(), "unix");
}

#[test]
fn several_hosts_are_tried_in_turn() {
    let text = format!("host=127.0.0.1,localhost port={} dbname=app pool_size=2", postgres().port);
    let pooler = PoolerSetup::new(postgres()).database_at("app", &text).start();
    let mut clients = [pooler.client(), pooler.client()];
    for client in &mut clients {
        assert_eq!(client.simple("begin").status, Some(b'T'));
    }
    for port in clients.iter_mut().map(|client| client.simple("select inet_server_port()").value()) {
        assert_eq!(port, postgres().port.to_string());
    }
}

/// PostgreSQL 15 does not report `search_path`: nobody could set it back for the next client.
#[test]
fn a_startup_parameter_that_the_server_does_not_report_is_left_out() {
    let pooler = PoolerSetup::new(postgres()).set("pool_mode", "transaction").start();
    let start =
        [("user", "app"), ("database", "app"), ("search_path", "x;begin"), ("IntervalStyle", "iso_8601")];
    let mut client = Raw::log_in_with(pooler.port, &start);
    assert_eq!(client.simple("show search_path").value(), "\"$user\", public");
    assert_eq!(client.simple("show intervalstyle").value(), "iso_8601");
    assert!(client.parameters.iter().all(|(name, _)| name != "search_path"), "{:?}", client.parameters);
}

#[test]
fn startup_parameters_are_taken_refused_or_ignored() {
    let pooler = PoolerSetup::new(postgres()).set("ignore_startup_parameters", "extra_float_digits").start();
    let fine = [
        ("user", "app"),
        ("database", "app"),
        ("extra_float_digits", "2"),
        ("options", "-c TimeZone=Asia/Tokyo"),
    ];
    assert_eq!(Raw::log_in_with(pooler.port, &fine).simple("show timezone").value(), "Asia/Tokyo");
    let rows = [
        (&[("database", "app")][..], "no username supplied"),
        (&[("user", "app"), ("work_mem", "1MB")], "unsupported startup parameter: work_mem"),
        (
            &[("user", "app"), ("options", "-c work_mem=1MB")],
            "unsupported startup parameter in options: work_mem",
        ),
        (&[("user", "app"), ("database", "no-such")], "no such database: no-such"),
    ];
    for (parameters, text) in rows {
        let mut raw = Raw::tcp(pooler.port);
        raw.startup(parameters);
        assert_eq!(raw.last_words(), format!("FATAL 08P01: {text}"));
    }
}

#[test]
fn newer_protocols_are_negotiated_down() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut raw = Raw::tcp(pooler.port);
    let parameters = [("user", "app"), ("database", "app"), ("_pq_.shiny", "1")];
    raw.send(&raw::startup_message(0x0003_0002, &parameters));
    let first = raw.read().expect("an answer");
    assert_eq!(first.tag, b'v');
    assert_eq!(first.body, [&[0, 3, 0, 0, 0, 0, 0, 1][..], b"_pq_.shiny\0"].concat());
    assert_eq!(raw.outcome().status, Some(b'I'));
    let mut old = Raw::tcp(pooler.port);
    old.send(&raw::startup_message(0x0002_0000, &[]));
    assert_eq!(old.last_words(), "FATAL 08P01: old V2 protocol not supported");
}

#[test]
fn the_console_over_the_unix_socket_needs_no_password_from_its_own_account() {
    let pooler = PoolerSetup::new(postgres()).set("auth_type", "scram-sha-256").start();
    let console = |user: &str| {
        let mut psql = account::command("timeout");
        psql.arg("100").arg(programs::postgres("psql"));
        psql.args(["-X", "-At", "-w", "-h", &socket(&pooler), "-p", &pooler.port.to_string(), "-U", user]);
        psql.args(["-d", "pgbouncer", "-c", "show version"]).output().expect("psql is installed")
    };
    let own = console("pgbouncer");
    assert!(own.status.success() && programs::said(&own).contains("PgBouncer"), "{own:?}");
    assert!(!console("admin").status.success(), "only the name pgbouncer is let in");
}

#[test]
fn the_console_is_for_its_users_only() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", "pgbouncer")]);
    assert_eq!(raw.last_words(), "FATAL 08P01: not allowed");
    let mut stats = Raw::log_in(pooler.port, "stats", "pgbouncer");
    assert!(!stats.simple("show pools").rows.is_empty());
    assert_eq!(stats.simple("reload").errors, ["ERROR 08P01: admin access needed"]);
}
