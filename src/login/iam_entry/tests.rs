//! What configurations are refused, what is told of them, and what comes out of those that are taken.

use super::*;
use crate::login::registry::tests::snapshot;

const RDS: &str = "host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam";

/// Errors of a configuration, one a line, and its warnings.
fn found(databases: &str, settings: &str) -> (Vec<String>, Vec<String>) {
    let findings = check(&snapshot(databases, settings));
    (findings.errors.iter().map(ToString::to_string).collect(), findings.warnings)
}

fn errors(databases: &str, settings: &str) -> Vec<String> {
    found(databases, settings).0
}

#[test]
fn an_entry_as_aws_names_it_needs_two_keys_and_the_authorities() {
    let text =
        format!("db = {RDS} server_tls_ca_file=rds.pem\n* = {RDS} server_tls_ca_file=rds.pem user=app");
    assert_eq!(found(&text, ""), (Vec::new(), Vec::new()));
    let snapshot = snapshot(&text, "");
    let rules = rules(&snapshot, &snapshot.database("made").unwrap(), "app").unwrap().unwrap();
    assert_eq!(rules.endpoints[0].to_string(), "db.abc.eu-west-1.rds.amazonaws.com:5432");
    assert_eq!((rules.source.to_string(), rules.login_rate), ("default".to_owned(), 20));
    assert!(super::rules(&snapshot, &Database::new("x".into()), "app").is_none(), "not by IAM");
}

#[test]
fn without_authorities_the_error_says_where_they_are() {
    let [error] = &errors(&format!("\ndb = {RDS}"), "")[..] else { panic!("one error") };
    assert!(error.starts_with(
        "invalid parameter server_tls_ca_file of database \"db\" in configuration (test.ini:3): "
    ));
    assert!(error.contains("https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"), "{error}");
    assert!(errors(&format!("db = {RDS}"), "server_tls_ca_file = rds.pem").is_empty());
}

#[test]
fn a_weaker_mode_is_an_error_and_no_silent_upgrade() {
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let entry = format!("db = {RDS} server_tls_ca_file=x");
        let of_settings = errors(&entry, &format!("server_tls_sslmode = {mode}"));
        assert_eq!(of_settings.len(), 1, "{mode}");
        let words = [
            "invalid parameter server_auth of database \"db\" in configuration (test.ini:2): ",
            &format!("server_tls_sslmode={mode} is too weak"),
            "(test.ini:4)",
        ];
        assert!(words.iter().all(|word| of_settings[0].contains(word)), "{of_settings:?}");
        let own = errors(&format!("{entry} server_tls_sslmode={mode}"), "server_tls_sslmode = verify-full");
        assert_eq!(own.len(), 1, "{mode}");
        assert!(own[0].contains(&format!(
            "server_tls_sslmode of database \"db\" in configuration (test.ini:2): {mode}"
        )));
        let alone = format!("{entry} server_tls_sslmode=verify-full");
        assert!(errors(&alone, &format!("server_tls_sslmode = {mode}")).is_empty(), "for this entry alone");
    }
}

#[test]
fn what_a_set_would_weaken_is_refused() {
    let before = snapshot(&format!("db = {RDS} server_tls_ca_file=x"), "");
    assert!(check(&before).errors.is_empty());
    let after = before.with_setting("server_tls_sslmode", "require").unwrap();
    assert!(check(&after).errors[0].to_string().contains("(SET)"));
}

#[test]
fn what_does_not_go_with_tokens_is_refused_with_everything_else() {
    let texts = errors(
        "a = host=/run server_auth=rds_iam iam_host=db.abc.eu-west-1.rds.amazonaws.com password=hunter2 \
         server_tls_ca_file=x\nb = host=db.internal server_auth=rds_iam server_tls_ca_file=x iam_max_age=1 \
         tls_server_name=a..b\nc = host=h tls_server_name=''' '",
        "iam_credential_source = ec2",
    );
    let told = texts.join("\n");
    for words in [
        "\"ec2\" for parameter iam_credential_source in configuration (test.ini:6)",
        "parameter host of database \"a\" in configuration (test.ini:2): server_auth=rds_iam needs a TCP host",
        "parameter password of database \"a\"",
        "parameter host of database \"b\" in configuration (test.ini:3): no region in host name \"db.internal\": set iam_region",
        "parameter iam_max_age of database \"b\"",
        "parameter tls_server_name of database \"b\"",
        "parameter tls_server_name of database \"c\"",
    ] {
        assert!(told.contains(words), "{words}\nis not in\n{told}");
    }
    assert!(!told.contains("hunter2"));
}

#[test]
fn likely_mistakes_and_keys_that_do_nothing_are_told() {
    let ca = "server_tls_ca_file = x";
    let (errors, warnings) = found(
        "alias = host=db.example iam_region=eu-west-1 server_auth=rds_iam\nidle = host=h iam_max_age=60\n\
         slow = host=db.example iam_region=eu-west-1 server_auth=rds_iam iam_login_rate=5",
        ca,
    );
    assert!(errors.is_empty(), "{errors:?}");
    let told = warnings.join("\n");
    for words in [
        "database \"alias\": db.example: not the name of an RDS endpoint",
        "database \"idle\": iam_* keys have no effect",
        "entries differ in iam_login_rate for db.example:5432: the least, 5, counts",
    ] {
        assert!(told.contains(words), "{words}\nis not in\n{told}");
    }
}

#[test]
fn users_have_a_say() {
    let databases = format!(
        "rds = {}\nlocal = host=/run\nforced = host=/run user=x",
        RDS.replace(" server_auth=rds_iam", "")
    );
    let settings = "server_tls_ca_file = x\n[users]\napp = server_auth=rds_iam iam_role_arn=arn:aws:iam::123456789012:role/a\n\
                    odd = iam_max_age=1";
    let (errors, warnings) = found(&databases, settings);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("parameter iam_max_age of user \"odd\" in configuration (test.ini:9)"),
        "{errors:?}"
    );
    let told = warnings.join("\n");
    assert!(
        told.contains("user \"app\": server_auth=rds_iam cannot log in to database \"local\" (host: "),
        "{told}"
    );
    assert!(told.contains("user \"odd\": iam_* keys have no effect") && !told.contains("forced"), "{told}");
    let snapshot = snapshot(&databases, settings);
    let database = snapshot.database("rds").unwrap();
    let rules = rules(&snapshot, &database, "app").unwrap().unwrap();
    assert_eq!(rules.source.to_string(), "default as arn:aws:iam::123456789012:role/a");
    assert!(super::rules(&snapshot, &database, "odd").is_none());
    assert_eq!(foreseen(&snapshot).count(), 1);
}

#[test]
fn the_name_to_verify_is_the_endpoints_own() {
    let text = "a = host=10.0.0.1 iam_host=db.abc.eu-west-1.rds.amazonaws.com\nb = host=h iam_host=i tls_server_name=n";
    let snapshot = snapshot(text, "");
    let name = |database, auth| server_name(&snapshot.database(database).unwrap(), auth);
    use ServerAuth::{Password, RdsIam};
    assert_eq!(name("a", RdsIam).as_deref(), Some("db.abc.eu-west-1.rds.amazonaws.com"));
    assert_eq!((name("a", Password), name("b", RdsIam).as_deref()), (None, Some("n")));
    assert_eq!(name("b", Password).as_deref(), Some("n"));
}
