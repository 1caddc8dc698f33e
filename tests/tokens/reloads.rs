//! What a reload, or a SET, means for servers that were logged in to by a token before it.

use super::common::certs::certs;
use super::common::raw::Raw;
use super::common::wait_until;
use super::{Recorder, Reply, end};
use std::time::{Duration, Instant};

#[test]
fn a_reload_changes_how_servers_are_logged_in_to() {
    let server = Recorder::usual(&[Reply::Accept]);
    let mut pooler = server.pooler("").start();
    let mut client = Raw::log_in(pooler.port, "app", "app");
    assert!(client.simple("select 1").errors.is_empty());
    let ca = certs().ca();
    let plain = format!(
        "host=localhost port={} password=app-secret server_tls_sslmode=verify-full server_tls_ca_file={}",
        server.port,
        ca.display()
    );
    pooler.rewrite(|setup| setup.database_at("app", &plain));
    assert!(pooler.ask("reload").errors.is_empty());
    wait_until("the password takes the token's place", || {
        assert!(client.simple("select 1").errors.is_empty());
        server.visits().iter().any(|visit| visit.text().contains("app-secret"))
    });
    assert_eq!(server.tokens().len(), 1, "and no token more");
    pooler.rewrite(|setup| {
        setup.database_at("app", &plain.replace("password=app-secret", "server_auth=rds_iam"))
    });
    let refused = pooler.ask("reload");
    assert_eq!(refused.errors.len(), 1, "localhost is no endpoint: {refused:?}");
    assert!(client.simple("select 1").errors.is_empty(), "what runs goes on");
    end(pooler);
}

#[test]
fn servers_of_another_principal_are_replaced_and_of_other_rules_are_not() {
    let server = Recorder::usual(&[Reply::Accept]);
    let entry = server.entry("").replace("iam_credential_source=env", "");
    let mut pooler = server.pooler("").database_at("app", &entry).set("iam_credential_source", "env").start();
    let mut client = Raw::log_in(pooler.port, "app", "app");
    let mut serves = || client.simple("select 1").errors.is_empty();
    assert!(serves());
    pooler.rewrite(|setup| setup.database_at("app", &format!("{entry} iam_login_rate=5 iam_on_denied=keep")));
    assert!(pooler.ask("reload").errors.is_empty());
    assert!(serves() && server.tokens().len() == 1, "the same principal");
    assert!(pooler.ask("set iam_credential_source = 'default'").errors.is_empty());
    wait_until("the setting has changed it", || serves() && server.tokens().len() == 2);
    pooler.rewrite(|setup| setup.user_settings("app", "iam_credential_source=env"));
    assert!(pooler.ask("reload").errors.is_empty());
    wait_until("the user has changed it", || serves() && server.tokens().len() == 3);
    pooler.rewrite(|setup| setup.database_at("app", &format!("{entry} iam_credential_source=container")));
    assert!(pooler.ask("reload").errors.is_empty());
    assert!(serves() && server.tokens().len() == 3, "the user's word goes first");
    end(pooler);
}

#[test]
fn a_lowered_age_counts_for_servers_that_are_there() {
    let server = Recorder::usual(&[Reply::Accept]);
    let mut pooler = server.pooler("iam_max_age=86400").start();
    let mut client = Raw::log_in(pooler.port, "app", "app");
    let born_at = Instant::now();
    assert!(client.simple("select 1").errors.is_empty());
    pooler.rewrite(|setup| setup.database_at("app", &server.entry("iam_max_age=10")));
    assert!(pooler.ask("reload").errors.is_empty());
    pooler.wait_for_log("closing because: authorization renewed");
    assert!(born_at.elapsed() > Duration::from_secs(7), "four fifths of it, and as late as any");
    assert!(client.simple("select 1").errors.is_empty());
    end(pooler);
}

#[test]
fn rules_of_how_long_servers_are_kept_count_at_once() {
    let server = Recorder::usual(&[Reply::Accept, Reply::HangUp]);
    let setup = server.pooler("").database_at("other", &server.entry("")).set("query_wait_timeout", 1);
    let mut pooler = setup.start();
    let _served = Raw::log_in(pooler.port, "app", "app");
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", "other")]);
    assert!(
        raw.last_words().contains("closed the connection while it checked the token"),
        "the role is in trouble"
    );
    let mut rewritten = |strict: &str, stance: &str| {
        pooler.rewrite(|setup| setup.database_at("app", &server.entry(strict)));
        assert!(pooler.ask("reload").errors.is_empty());
        wait_until(stance, || {
            let rows = pooler.ask("show iam").records();
            rows.iter().any(|row| row["database"] == "app" && row["stance"] == stance)
        });
    };
    rewritten("iam_strict_lifetime=0", "keep_on");
    rewritten("iam_strict_lifetime=1", "keep_to_hard_age");
    assert_eq!(server.visits()[0].text().matches("database\0app\0").count(), 1);
    end(pooler);
}
