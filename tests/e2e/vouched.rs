//! Logins that nobody is asked for: by a certificate, by the account at the other end of a Unix socket.
//! Source: PgBouncer, doc/config.md (`auth_type`, "HBA file format").

use crate::common::certs::certs;
use crate::common::{Pooler, PoolerSetup, account, postgres, programs, wait_until};
use std::path::PathBuf;
use std::process::Command;

/// A pooler whose clients show certificates of our authority.
fn by_certificate(mode: &str) -> PoolerSetup {
    PoolerSetup::new(postgres())
        .set("client_tls_sslmode", mode)
        .set("client_tls_ca_file", certs().ca().display())
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .set("auth_type", "cert")
}

/// Who psql is on the server, or why it is not let in.
pub fn outcome(mut psql: Command, target: &str) -> Result<String, String> {
    psql.args(["-X", "-At", "-w", "-c", "select current_user", "-d", target]);
    let output = psql.output().expect("psql is installed");
    let said = programs::said(&output).trim_end().to_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// psql as `user` over TLS, with a certificate.
pub fn with_certificate(pooler: &Pooler, user: &str, own: &(PathBuf, PathBuf)) -> Result<String, String> {
    let (certificate, key) = (own.0.display(), own.1.display());
    let target = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user={user} dbname=app sslmode=require \
         sslcert={certificate} sslkey={key}",
        pooler.port
    );
    outcome(programs::limited(programs::postgres("psql")), &target)
}

/// psql as `user` over the Unix socket, under the account that the pooler runs as.
fn from_account(pooler: &Pooler, user: &str) -> Result<String, String> {
    let target = format!("host={} port={} user={user} dbname=app", pooler.directory().display(), pooler.port);
    outcome(account::command(programs::postgres("psql")), &target)
}

#[test]
fn a_certificate_says_who_its_holder_is() {
    let pooler = by_certificate("verify-full").start();
    for (common, names) in [("app", &[][..]), ("x", &["app"]), ("APP", &[]), ("x", &["y", "App"])] {
        let outcome = with_certificate(&pooler, "app", &certs().client(common, names));
        assert_eq!(outcome.as_deref(), Ok("app"), "{common} {names:?}");
    }
    let own = certs().client("app", &[]);
    let refusals = [
        ("other", &own, "TLS certificate name mismatch"),
        ("app", &certs().client("app\0.example", &[]), "zero byte in a name of the certificate"),
        ("app", &certs().client("app", &["app", "app\0.x"]), "zero byte in a name of the certificate"),
        ("app", &certs().client("*", &["*"]), "TLS certificate name mismatch"),
    ];
    for (user, own, why) in refusals {
        let before = pooler.log().matches(why).count();
        let refused = with_certificate(&pooler, user, own).expect_err("must be refused");
        assert!(refused.contains("certificate authentication failed"), "{refused}");
        wait_until("the log tells why", || pooler.log().matches(why).count() > before);
    }
    let unknown = with_certificate(&pooler, "nobody-known", &certs().client("nobody-known", &[]));
    assert!(unknown.expect_err("must be refused").contains("certificate authentication failed"));
    let local = from_account(&pooler, "app").expect_err("must be refused");
    assert!(local.contains("certificate authentication failed"), "{local}");
    pooler.wait_for_log("TLS connection required");
}

#[test]
fn a_user_whose_certificate_is_among_the_authorities_signs_for_nobody() {
    let forged = certs().forged("app");
    let pooler =
        by_certificate("verify-full").set("client_tls_ca_file", forged.authorities.display()).start();
    let refused = with_certificate(&pooler, "app", &forged.own).expect_err("must be refused");
    assert!(!refused.contains("certificate authentication failed"), "the handshake fails: {refused}");
    pooler.wait_for_log("TLS handshake error: invalid peer certificate: UnknownIssuer");
    assert_eq!(with_certificate(&pooler, "app", &certs().client("app", &[])).as_deref(), Ok("app"));
    let file = forged.authorities.display();
    let told = format!(
        "WARNING client_tls_ca_file: {file}: the 2nd certificate (CN=carol) is no authority: \
         its basicConstraints do not say CA:TRUE"
    );
    assert_eq!(pooler.log().matches(&told).count(), 1, "{}", pooler.log());
}

#[test]
fn certificates_that_nobody_verifies_prove_nothing() {
    let refused = by_certificate("require").check(&[]);
    let said = programs::said(&refused);
    assert!(!refused.status.success());
    assert!(said.contains("auth_type=cert requires client_tls_sslmode=verify-full"), "{said}");
    let mut pooler = by_certificate("verify-full").start();
    pooler.rewrite(|setup| setup.set("client_tls_sslmode", "prefer"));
    pooler.signal("HUP");
    pooler.wait_for_log("auth_type=cert requires client_tls_sslmode=verify-full");
    assert_eq!(with_certificate(&pooler, "app", &certs().client("app", &[])).as_deref(), Ok("app"));
}

#[test]
fn an_account_of_the_machine_says_who_its_processes_are() {
    let own = account::name();
    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "peer")
        .database("app", "user=app password=app-secret")
        .user(&own, "")
        .start();
    assert_eq!(from_account(&pooler, &own).as_deref(), Ok("app"), "the entry's user, once it is let in");
    let target = format!("host=127.0.0.1 port={} user={own} dbname=app", pooler.port);
    let by_tcp = outcome(account::command(programs::postgres("psql")), &target);
    for refused in [from_account(&pooler, "other"), from_account(&pooler, "nobody-known"), by_tcp] {
        let refused = refused.expect_err("must be refused");
        assert!(refused.contains("unix socket login rejected"), "{refused}");
    }
}
