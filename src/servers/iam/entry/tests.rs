//! What configurations are refused, what is told of them, and what comes out of those that are taken.

use super::*;
use crate::control::tests::snapshot;

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
    assert_eq!(found(&text, "pool_mode = transaction"), (Vec::new(), Vec::new()));
    let snapshot = snapshot(&text, "");
    let rules = rules(&snapshot, &snapshot.database("made").unwrap(), "app").unwrap().unwrap();
    assert_eq!(rules.endpoints[0].to_string(), "db.abc.eu-west-1.rds.amazonaws.com:5432");
    assert_eq!((rules.source.to_string(), rules.login_rate), ("default".to_owned(), 20));
    assert!(
        crate::servers::iam::entry::rules(&snapshot, &Database::new("x".into()), "app").is_none(),
        "not by IAM"
    );
}

#[test]
fn dsql_has_one_database_and_its_own_authority() {
    const DSQL: &str = "host=foo0bar1.dsql.us-east-1.on.aws server_auth=dsql_iam";
    let text = format!("db = {DSQL} server_tls_ca_file=x\n* = {DSQL} server_tls_ca_file=x");
    assert_eq!(found(&text, "pool_mode = transaction"), (Vec::new(), Vec::new()));
    let snapshot = snapshot(&text, "");
    for name in ["db", "made"] {
        let database = snapshot.database(name).unwrap();
        assert_eq!((&*database.name, &*database.dbname), (name, DSQL_DATABASE));
        let rules = rules(&snapshot, &database, "admin").unwrap().unwrap();
        assert_eq!(rules.endpoints[0].service(), Service::Dsql);
    }
    let [database, authority] = &errors(&format!("db = {DSQL} dbname=db"), "")[..] else { panic!("two") };
    assert!(database.contains("dbname") && database.contains("set dbname=postgres"), "{database}");
    assert!(
        authority.contains("fetch https://www.amazontrust.com/repository/AmazonRootCA1.pem"),
        "{authority}"
    );
    // The word of a user alone changes no entry's database.
    let users = "db = host=foo0bar1.dsql.us-east-1.on.aws server_tls_ca_file=x dbname=";
    let with_user =
        |dbname| check(&snapshot_of(&format!("{users}{dbname}"), "[users]\nu = server_auth=dsql_iam"));
    assert!(with_user("postgres").warnings.iter().all(|warning| !warning.contains("cannot log in")));
    assert!(with_user("db").warnings.iter().any(|warning| warning.contains("set dbname=postgres")));
}

/// The other one's name is taken by a value where this is called.
fn snapshot_of(databases: &str, settings: &str) -> Snapshot {
    snapshot(databases, settings)
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
fn each_partition_is_sent_to_its_own_authorities() {
    let told = |entry: &str| errors(&format!("db = server_auth=rds_iam {entry}"), "").join("\n");
    for (entry, words) in [
        (
            "host=db.abc.cn-north-1.rds.amazonaws.com.cn",
            "fetch https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/",
        ),
        (
            "host=10.0.0.1 iam_host=db.abc.us-gov-west-1.rds.amazonaws.com",
            "https://truststore.pki.us-gov-west-1.rds.",
        ),
        (
            "host=db.example iam_region=us-gov-east-1",
            "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/",
        ),
        ("host=db.abc.eusc-de-east-1.rds.amazonaws.eu", "the RDS documentation of that partition"),
        ("host=db.example", "fetch https://truststore.pki.rds.amazonaws.com/"),
        ("host=p.proxy-abc.eu-west-1.rds.amazonaws.com", "an RDS Proxy needs those of Amazon Trust Services"),
    ] {
        assert!(told(entry).contains(words), "{words}\nis not in\n{}", told(entry));
    }
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
        "parameter host of database \"a\" in configuration (test.ini:2): server_auth=rds_iam needs a TCP \
         host",
        "parameter password of database \"a\"",
        "parameter host of database \"b\" in configuration (test.ini:3): no region in host name \
         \"db.internal\": set iam_region",
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
    let settings = "server_tls_ca_file = x\n\
        [users]\n\
        app = server_auth=rds_iam iam_role_arn=arn:aws:iam::123456789012:role/a\n\
        odd = iam_max_age=1";
    let (errors, warnings) = found(&databases, settings);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("parameter iam_max_age of user \"odd\" in configuration (test.ini:9)"),
        "{errors:?}"
    );
    let told = warnings.join("\n");
    assert!(told.contains("user \"app\": cannot log in by IAM to database \"local\" (host: "), "{told}");
    assert!(told.contains("user \"odd\": iam_* keys have no effect") && !told.contains("forced"), "{told}");
    let snapshot = snapshot(&databases, settings);
    let database = snapshot.database("rds").unwrap();
    let rules = rules(&snapshot, &database, "app").unwrap().unwrap();
    assert_eq!(rules.source.to_string(), "default as arn:aws:iam::123456789012:role/a");
    assert!(crate::servers::iam::entry::rules(&snapshot, &database, "odd").is_none());
    assert_eq!(foreseen(&snapshot).count(), 1);
}

const CA: &str = "server_tls_ca_file = x\npool_mode = transaction";

#[test]
fn a_user_is_judged_beside_the_entries_that_it_goes_to() {
    let databases = format!("a = {RDS} iam_credential_source=profile\nb = {RDS}");
    let settings = |users: &str| format!("{CA}\niam_credential_source = imds\n[users]\n{users}");
    let (errors, warnings) = found(&databases, &settings("v = iam_profile=x"));
    assert_eq!(errors, [""; 0], "the profile is for a");
    assert_eq!(
        warnings,
        ["user \"v\": cannot log in by IAM to database \"b\" \
             (iam_profile: iam_credential_source=imds reads no profile)"]
    );
    let role = "iam_role_arn=arn:aws:iam::123456789012:role/r";
    let (errors, warnings) = found(&format!("a = {RDS} {role}"), &settings("v = iam_external_id=tenant"));
    assert_eq!((errors, warnings), (Vec::new(), Vec::new()), "the role is the entry's");
    let (errors, warnings) = found(&databases, &settings("v = iam_external_id=tenant"));
    assert_eq!(errors, [""; 0]);
    assert!(
        warnings[0].starts_with(
            "user \"v\": cannot log in by IAM to database \"a\" (iam_external_id: it belongs to a role"
        ),
        "{warnings:?}"
    );
    for wrong in ["iam_credential_source=env iam_profile=x", "iam_external_id=?", "iam_session_name='a b'"] {
        let (errors, _) = found(&databases, &settings(&format!("v = {wrong}")));
        assert!(errors.len() == 1 && errors[0].contains("of user \"v\""), "{wrong}: {errors:?}");
    }
}

#[test]
fn a_session_name_without_a_session_is_told() {
    const NAMED: &str = "iam_session_name=pool";
    const ROLE: &str = "iam_role_arn=arn:aws:iam::123456789012:role/r";
    let warnings = |databases: &str, more: &str| found(databases, &format!("{CA}\n{more}")).1;
    for source in ["imds", "env", "container", "process"] {
        let told = warnings(&format!("a = {RDS} {NAMED} iam_credential_source={source}"), "");
        let words = format!(
            "database \"a\": iam_session_name has no effect with iam_credential_source={source} and no role: "
        );
        assert!(told.len() == 1 && told[0].starts_with(&words), "{told:?}");
        assert_eq!(
            warnings(&format!("a = {RDS} {NAMED} iam_credential_source={source} {ROLE}"), ""),
            [""; 0]
        );
    }
    for source in ["web_identity", "profile", "default"] {
        assert_eq!(warnings(&format!("a = {RDS} {NAMED} iam_credential_source={source}"), ""), [""; 0]);
    }
    let imds = format!("a = {RDS} iam_credential_source=imds");
    let of_user = format!("[users]\nu = {ROLE}");
    assert_eq!(warnings(&format!("{imds} {NAMED}"), &of_user), [""; 0], "u's sessions have that name");
    let told = warnings(&imds, &format!("[users]\nu = {NAMED}"));
    assert!(told.len() == 1 && told[0].starts_with("user \"u\": iam_session_name has no effect"), "{told:?}");
}

#[test]
fn an_endpoint_that_full_pools_would_ask_too_much_of_is_told() {
    let told = |entries: usize, keys: &str| {
        let entries: String =
            (0..entries).map(|i| format!("d{i} = {RDS} pool_mode=transaction {keys}\n")).collect();
        found(&entries, "server_tls_ca_file = x").1
    };
    assert_eq!(told(100, "pool_size=20 iam_max_age=900"), [""; 0]);
    let warnings = told(100, "pool_size=20 iam_max_age=60");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("full pools want 39.2 logins a second") && warnings[0].contains("=20"));
    assert_eq!(told(100, "pool_size=20 iam_max_age=60 iam_login_rate=40").len(), 1, "a tenth is others'");
    assert_eq!(told(100, "pool_size=20 iam_max_age=60 iam_login_rate=44"), [""; 0]);
    assert_eq!(told(60, "pool_size=0 iam_max_age=60"), [""; 0], "nobody knows how many it will have");
    assert_eq!(told(100, "pool_size=20 max_db_connections=9 iam_max_age=60"), [""; 0], "half as many");
    let of_one_user = "user=app pool_size=20 iam_max_age=60";
    assert_eq!(told(100, of_one_user).len(), 1);
    let entries: String =
        (0..100).map(|i| format!("d{i} = {RDS} pool_mode=transaction {of_one_user}\n")).collect();
    let settings = "server_tls_ca_file = x\nmax_user_connections = 50";
    assert_eq!(found(&entries, settings).1, [""; 0], "a user's limit is one for all its databases");
    let settings = "server_tls_ca_file = x\nmax_server_connections = 50";
    assert_eq!(found(&entries, settings).1, [""; 0], "so is the server's");
}

#[test]
fn entries_in_session_pooling_are_told_in_one_line() {
    let entries = |modes: &[&str]| -> String {
        modes.iter().enumerate().map(|(i, mode)| format!("d{i} = {RDS} {mode}\n")).collect()
    };
    let told =
        |databases: &str, settings: &str| found(databases, &format!("server_tls_ca_file = x\n{settings}")).1;
    let (session, transaction) = ("pool_mode=session", "pool_mode=transaction");
    let warnings = told(&entries(&["", transaction, session, "pool_mode=statement"]), "");
    assert_eq!(
        warnings,
        ["database \"d0\", \"d2\": in session pooling a server that was logged in to by IAM serves beyond \
          iam_max_age until its client leaves; set pool_mode=transaction, or client_idle_timeout"]
    );
    assert!(
        told(&entries(&[""; 9]), "")[0].starts_with("database \"d0\", \"d1\", \"d2\" and 6 more: in session")
    );
    assert_eq!(told("local = host=/run", ""), [""; 0]);
    let of_user = told(&entries(&[transaction]), "[users]\nu = pool_mode=session");
    assert!(
        of_user.len() == 1 && of_user[0].starts_with("database \"d0\": in session pooling"),
        "{of_user:?}"
    );
    let forced = entries(&["user=app pool_mode=transaction"]);
    assert_eq!(told(&forced, "[users]\nu = pool_mode=session"), [""; 0], "nobody logs in as u there");
    assert_eq!(
        told(&entries(&[transaction]), "[users]\nu = pool_mode=session server_auth=password"),
        [""; 0]
    );
}

#[test]
fn whoever_runs_auth_query_beside_a_forced_user_is_foreseen() {
    let users = "[users]\nasker = server_auth=rds_iam iam_role_arn=arn:aws:iam::123456789012:role/asker";
    let host = RDS.replace(" server_auth=rds_iam", "");
    let sources = |databases: &str, settings: &str| -> Vec<String> {
        foreseen(&snapshot(databases, settings)).map(|rules| rules.source.to_string()).collect()
    };
    const ROLE: &str = "default as arn:aws:iam::123456789012:role/asker";
    let own = format!("a = {host} user=app auth_user=asker");
    assert_eq!(sources(&own, &format!("{CA}\n{users}")), [ROLE]);
    let elsewhere = format!("a = host=/run user=app auth_user=asker auth_dbname=b\nb = {host} user=app");
    assert_eq!(sources(&elsewhere, &format!("{CA}\n{users}")), [ROLE]);
    let made = format!("a = host=/run user=app\n* = {host} user=app");
    assert_eq!(sources(&made, &format!("{CA}\nauth_user = asker\nauth_dbname = made\n{users}")), [ROLE]);
    assert_eq!(sources(&format!("a = {host} user=app"), &format!("{CA}\n{users}")), [""; 0]);
    let (errors, warnings) = found(&own, &format!("pool_mode = transaction\n{users}"));
    assert_eq!(errors, [""; 0]);
    assert!(
        warnings[0].starts_with(
            "user \"asker\": runs auth_query there, but cannot log in by IAM to database \"a\" \
             (server_tls_ca_file: "
        ),
        "{warnings:?}"
    );
}

#[test]
fn users_with_equal_keys_are_judged_once() {
    let same = (0..100).map(|i| format!("u{i} = server_auth=rds_iam\n")).collect::<String>();
    let settings = format!("{CA}\n[users]\n{same}v = server_auth=rds_iam iam_max_age=60\nw = pool_size=3");
    let databases = format!("rds = {}\nlocal = host=/run", RDS.replace(" server_auth=rds_iam", ""));
    let (errors, warnings) = found(&databases, &settings);
    assert_eq!((errors.len(), warnings.len()), (0, 2), "{errors:?} {warnings:?}");
    assert!(
        warnings[0].starts_with("user \"u0\" and 99 with the same keys: cannot log in by IAM"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].starts_with("user \"v\": cannot log in by IAM to database \"local\""),
        "{warnings:?}"
    );
    assert_eq!(foreseen(&snapshot(&databases, &settings)).count(), 2);
}

#[test]
fn the_name_to_verify_is_the_endpoints_own() {
    let text = "a = host=10.0.0.1 iam_host=db.abc.eu-west-1.rds.amazonaws.com\n\
        b = host=h iam_host=i tls_server_name=n";
    let snapshot = snapshot(text, "");
    let name = |database, auth| server_name(&snapshot.database(database).unwrap(), auth);
    use ServerAuth::{Password, RdsIam};
    assert_eq!(name("a", RdsIam).as_deref(), Some("db.abc.eu-west-1.rds.amazonaws.com"));
    assert_eq!((name("a", Password), name("b", RdsIam).as_deref()), (None, Some("n")));
    assert_eq!(name("b", Password).as_deref(), Some("n"));
}

#[test]
fn a_role_may_be_a_template_of_names_that_stand_in_the_files() {
    const TEMPLATE: &str = "iam_role_arn=arn:aws:iam::123456789012:role/t/{database}-{user}";
    const OF_DATABASE: &str = "iam_role_arn=arn:aws:iam::123456789012:role/t-{database}";
    let snapshot = snapshot(
        &format!("acme = {RDS} user=app {TEMPLATE}\nglobex = {RDS} {OF_DATABASE}"),
        &format!("{CA}\n[users]\nbob = iam_role_arn=arn:aws:iam::123456789012:role/u-{{user}}-{{database}}"),
    );
    assert!(check(&snapshot).errors.is_empty(), "{:?}", check(&snapshot).errors);
    let role = |database: &str, user: &str| {
        let rules = rules(&snapshot, &snapshot.database(database).unwrap(), user).unwrap().unwrap();
        rules.source.role().unwrap().arn().rsplit_once(":role/").unwrap().1.to_owned()
    };
    assert_eq!(role("acme", "app"), "t/acme-app");
    assert_eq!(role("globex", "anybody"), "t-globex");
    assert_eq!(role("globex", "bob"), "u-bob-globex");
}

#[test]
fn no_name_that_a_client_chooses_becomes_part_of_a_role() {
    const ARN: &str = "arn:aws:iam::123456789012:role";
    for (databases, words) in [
        (
            format!("* = {RDS} user=app iam_role_arn={ARN}/t-{{database}}"),
            "{database} would come from the client",
        ),
        (format!("a = {RDS} iam_role_arn={ARN}/t-{{user}}"), "{user} would come from the client"),
        (format!("a = {RDS} iam_role_arn={ARN}/{{role}}"), "accepted in braces: database, user"),
        (format!("a = {RDS} iam_role_arn=arn:aws:iam::{{database}}:role/x"), "the ARN of a role"),
    ] {
        let told = errors(&databases, CA).join("\n");
        assert!(told.contains("iam_role_arn") && told.contains(words), "{databases}: {told}");
    }
}
