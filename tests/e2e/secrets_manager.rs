//! Secrets of AWS Secrets Manager (`server_auth=secretsmanager`): both ways of rotation under load (case 25),
//! outages and refusals of AWS, and how often it is asked. Every password has the mark by which a leak is
//! found in a log.

use crate::common::certs::certs;
use crate::common::raw::{self, Raw};
use crate::common::secrets::none_in;
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};
use crate::secrets::{alter, json, load_seconds, role, row, under_load, whoami};
use crate::vault::{KEY, SECRET_KEY, Vault, arn};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A pooler whose database `app` is logged in to by the secret called `name`.
fn setup(vault: &Vault, name: &str, more: &str) -> PoolerSetup {
    let keys = format!(
        "user=pooled server_auth=secretsmanager secret_arn={} iam_credential_source=env {more}",
        arn(name)
    );
    PoolerSetup::new(postgres())
        .database("app", &keys)
        .environment("AWS_ENDPOINT_URL", vault.url())
        .environment("AWS_ACCESS_KEY_ID", KEY)
        .environment("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
}

/// The secret moves on as at the end of a rotation.
fn finish(vault: &Vault, name: &str, [old, new]: [(&str, &str); 2]) {
    vault.put(name, PREVIOUS, Some(old));
    vault.put(name, CURRENT, Some(new));
    vault.put(name, PENDING, None);
}

fn wait_for_version(pooler: &Pooler, version: &str) {
    wait_until(&format!("version {version} is fetched"), || row(pooler)["version"] == version);
}

#[test]
fn servers_are_logged_in_to_by_the_current_version() {
    role("sm_plain", "first");
    let vault = Vault::start();
    vault.put("plain", CURRENT, Some(("v1", &json("sm_plain", "first"))));
    let pooler = setup(&vault, "plain", "").start();
    assert_eq!(whoami(&mut pooler.client()), "sm_plain");
    assert_eq!(vault.calls(), ["plain AWSCURRENT"], "it is asked once, and for a stage");
    let row = row(&pooler);
    assert_eq!([&row["secret"], &row["state"], &row["version"]], [&arn("plain"), "fresh", "v1"]);
    assert_eq!([&row["server_user"], &row["purpose"]], ["sm_plain", "servers"]);
    none_in("SHOW SECRETS", &format!("{row:?}"));
}

#[test]
fn a_rotation_of_one_user_under_load_costs_no_client_an_error() {
    role("sm_single", "0");
    let vault = Vault::start();
    vault.put("single", CURRENT, Some(("v0", &json("sm_single", "0"))));
    let pooler = setup(&vault, "single", "pool_size=4 server_lifetime=1").start();
    under_load(&pooler, load_seconds(), |number| {
        let version = |number: u32| (format!("v{number}"), json("sm_single", &number.to_string()));
        let (old, new) = (version(number - 1), version(number));
        // createSecret, setSecret, then a gap in which the current version is of no use, finishSecret
        vault.put("single", PENDING, Some((&new.0, &new.1)));
        alter("sm_single", &number.to_string());
        let refused = format!("version {} was refused", old.0);
        wait_until("a login meets the gap", || pooler.log().contains(&refused));
        finish(&vault, "single", [(&old.0, &old.1), (&new.0, &new.1)]);
    });
    assert!(vault.calls().iter().any(|call| call.ends_with(PENDING)), "{:?}", vault.calls());
}

#[test]
fn a_rotation_of_alternating_users_under_load_costs_no_client_an_error() {
    role("sm_a", "0");
    role("sm_b", "0");
    let vault = Vault::start();
    vault.put("turns", CURRENT, Some(("v0", &json("sm_a", "0"))));
    let pooler = setup(&vault, "turns", "pool_size=4 server_lifetime=1").start();
    let users = || {
        let sql = "select string_agg(distinct usename, ',') from pg_stat_activity where usename in \
                   ('sm_a', 'sm_b')";
        postgres().psql("postgres", sql)
    };
    let mut before = ("v0".to_owned(), json("sm_a", "0"));
    under_load(&pooler, load_seconds(), |number| {
        let user = ["sm_a", "sm_b"][number as usize % 2];
        alter(user, &number.to_string());
        let new = (format!("v{number}"), json(user, &number.to_string()));
        finish(&vault, "turns", [(&before.0, &before.1), (&new.0, &new.1)]);
        before = new;
        pooler.ask("reload"); // in place of five minutes
        wait_for_version(&pooler, &before.0);
        wait_until("servers are of the other user alone", || users() == user);
    });
    let log = pooler.log();
    assert!(log.contains("new servers are logged in to as sm_b"), "{log}");
    assert!(!log.contains("was refused"), "both users stay valid: {log}");
}

#[test]
fn a_refusal_tries_what_is_pending_then_what_was_before() {
    role("sm_stages", "third");
    let vault = Vault::start();
    vault.put("stages", CURRENT, Some(("v2", &json("sm_stages", "second"))));
    vault.put("stages", PENDING, Some(("v3", &json("sm_stages", "third"))));
    vault.put("stages", PREVIOUS, Some(("v1", &json("sm_stages", "first"))));
    let pooler = setup(&vault, "stages", "").set("server_lifetime", 0).start();
    assert_eq!(whoami(&mut pooler.client()), "sm_stages");
    let refusals = || pooler.log().matches("was refused").count();
    assert_eq!(refusals(), 1);
    assert_eq!(whoami(&mut pooler.client()), "sm_stages");
    assert_eq!(refusals(), 1, "the next login begins with what was taken");
    alter("sm_stages", "first");
    assert_eq!(whoami(&mut pooler.client()), "sm_stages");
    assert_eq!([&row(&pooler)["version"], &row(&pooler)["previous"]], ["v2", "v1"]);
    // AWS has nothing else: what is known stays, and nobody is let in
    alter("sm_stages", "fourth");
    let calls = vault.calls().len();
    // logged in by what is known of the servers: it is a query that needs one
    let mut clients: Vec<_> = (0..20).map(|_| pooler.client()).collect();
    for client in &mut clients {
        client.send(&raw::query("select 1"));
    }
    pooler.wait_for_log("no version of secret");
    let more = vault.calls().len() - calls;
    assert!(more <= 3 * 10, "{more} calls for 20 clients");
    alter("sm_stages", "second");
    for mut client in clients {
        let outcome = client.outcome();
        assert_eq!(outcome.status, Some(b'I'), "a rotation may be under way: it waits: {outcome:?}");
    }
}

#[test]
fn an_outage_keeps_the_last_version_and_says_what_to_do() {
    role("sm_outage", "first");
    let vault = Vault::start();
    vault.put("outage", CURRENT, Some(("v1", &json("sm_outage", "first"))));
    let pooler = setup(&vault, "outage", "").set("server_lifetime", 0).start();
    assert_eq!(whoami(&mut pooler.client()), "sm_outage");
    for (fault, word, advice) in [
        ("AccessDeniedException", "AWS denies reading it", "secretsmanager:GetSecretValue"),
        ("DecryptionFailure", "AWS cannot decrypt it", "kms:Decrypt"),
        ("InvalidRequestException", "it is to be deleted", "RestoreSecret"),
        ("ResourceNotFoundException", "there is no such secret", "secret_arn"),
        ("InternalServiceError", "the service failed", ""),
        ("garbage", "the service failed", ""),
        ("ThrottlingException", "AWS asks for fewer calls", ""),
    ] {
        vault.fail(Some(fault));
        pooler.ask("reload");
        wait_until(fault, || row(&pooler)["last_error"].contains(word));
        assert!(pooler.log().contains(advice), "{fault}");
        assert_eq!(row(&pooler)["state"], "stale");
        assert_eq!(whoami(&mut pooler.client()), "sm_outage", "{fault}");
    }
    let shown = row(&pooler);
    none_in("SHOW SECRETS", &format!("{shown:?}"));
    vault.fail(None);
    pooler.ask("reload");
    wait_until("it is over", || row(&pooler)["state"] == "fresh");
}

#[test]
fn clients_wait_for_a_secret_that_is_slow_to_come() {
    role("sm_slow", "first");
    let vault = Vault::start();
    vault.put("slow", CURRENT, Some(("v1", &json("sm_slow", "first"))));
    vault.fail(Some("hang"));
    let pooler = setup(&vault, "slow", "").start();
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    wait_until("it is asked", || !vault.calls().is_empty());
    assert_eq!(row(&pooler)["state"], "empty");
    vault.fail(None);
    assert_eq!(client.outcome().status, Some(b'I'));
    assert_eq!(whoami(&mut client), "sm_slow");
}

#[test]
fn no_secret_at_the_start_is_an_error_with_its_next_step() {
    let vault = Vault::start();
    vault.fail(Some("AccessDeniedException"));
    let pooler = setup(&vault, "none", "").set("query_wait_timeout", 2).start();
    pooler.wait_for_log("not known: AWS denies reading it");
    pooler.wait_for_log("secretsmanager:GetSecretValue");
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    let error = format!("{:?}", client.outcome().errors);
    assert!(error.contains("is not known"), "{error}");
    assert_eq!(row(&pooler)["state"], "dead");
}

#[test]
fn trouble_with_iam_elsewhere_leaves_clients_the_reason_that_there_is_no_secret() {
    let vault = Vault::start();
    vault.fail(Some("AccessDeniedException"));
    let unsigned = format!(
        "iam_host=db.example.eu-west-1.rds.amazonaws.com server_auth=rds_iam iam_credential_source=profile \
         iam_profile=none server_tls_sslmode=verify-full server_tls_ca_file={}",
        certs().ca().display()
    );
    let pooler = setup(&vault, "none", "").set("query_wait_timeout", 2).database("unsigned", &unsigned);
    let pooler = pooler.start();
    pooler.wait_for_log("no such profile");
    pooler.wait_for_log("not known: AWS denies reading it");
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    let error = format!("{:?}", client.outcome().errors);
    assert!(error.contains("is not known"), "{error}");
}
