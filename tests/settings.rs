//! The table of settings against itself, and the files of `configs/` against the table.
//!
//! `BLESS=1` rewrites the generated files instead of comparing them.

use pgweir::config::{Setting, Settings, Snapshot, TABLE, differences, manual, reference};
use std::path::{Path, PathBuf};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")
}

#[test]
fn every_default_parses_and_prints_back() {
    let defaults = Settings::default();
    for row in TABLE {
        let Some(text) = row.default else { continue };
        let mut settings = Settings::default();
        row.set(&mut settings, text).unwrap_or_else(|why| panic!("{}: {why}", row.name));
        assert!(row.same(&settings, &defaults), "{}", row.name);
        // The one setting that is written in octal and shown in decimal.
        let shown = if row.name == "unix_socket_mode" { "511" } else { text };
        assert_eq!(row.show(&defaults).as_deref(), Some(shown), "{}", row.name);
        assert_eq!(row.warning(&defaults, &defaults), None);
    }
}

#[test]
fn names_are_unique_and_explained() {
    for (index, row) in TABLE.iter().enumerate() {
        assert!(TABLE[..index].iter().all(|other| other.name != row.name), "{} stands there twice", row.name);
        assert!(row.doc.ends_with('.') && !row.accepted().is_empty(), "{}", row.name);
        assert_eq!(Setting::named(row.name).map(|found| found.name), Some(row.name));
    }
}

#[test]
fn a_bad_value_names_its_setting_and_what_is_accepted() {
    let bad = "=bad=";
    let mut refused = 0;
    for row in TABLE {
        let text = format!("[pgbouncer]\n{} = {bad}\n", row.name);
        let Err(errors) = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())) else {
            assert!(row.accepted().contains("text") || row.show(&with(row, bad)).as_deref() == Some(bad));
            continue;
        };
        let start = format!(
            "invalid value \"{bad}\" for parameter {} in configuration (p.ini:2): accepted: ",
            row.name
        );
        let told = errors.to_string();
        assert!(told.strip_prefix(&start).is_some_and(|accepted| accepted == row.accepted()), "{told}");
        refused += 1;
    }
    // All that are not free text or lists of it.
    assert!(refused > 60, "only {refused} settings refuse {bad:?}");
}

fn with(row: &Setting, text: &str) -> Settings {
    let mut settings = Settings::default();
    row.set(&mut settings, text).expect("it was accepted before");
    settings
}

/// PgBouncer's settings, and behind them ours.
fn names() -> (Vec<&'static str>, Vec<&'static str>) {
    let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
    let ours =
        names.split_off(names.iter().position(|name| *name == "workers").expect("it is the first of ours"));
    (names, ours)
}

#[test]
fn settings_that_pgbouncer_has_not_stand_behind_its_own_in_order_of_their_addition() {
    assert_eq!(
        names().1,
        [
            "workers",
            "prepared_statements_memory",
            "io_backend",
            "dns_close_moved",
            "allow_core_dump",
            "metrics_listen",
            "metrics_pool_histograms",
            "log_format",
            "max_login_conn",
            "server_login_concurrency",
            "max_scram_iterations",
            "iam_credential_source",
            "iam_sts_region",
            "iam_login_timeout",
            "iam_all_denied",
            "iam_static_stability",
            "iam_strict_lifetime",
            "session_state",
            "server_tls_negotiation",
            "timeout_action",
            "audit_log",
            "audit_file",
            "audit_overflow",
            "audit_queue",
            "audit_statements",
            "audit_redact",
            "emf_interval",
            "emf_file",
            "emf_pooler",
            "identity_on_expired",
            "identity_expiry_grace",
            "identity_on_denied",
            "identity_drain_timeout",
            "deny_principals",
            "identity_recheck",
            "auth_jwt_options",
            "auth_claims_file",
            "application_name_template",
            "request_context_keys",
            "iam_caller_endpoint",
            "iam_caller_server_id",
            "iam_caller_map",
            "iam_caller_rate",
            "client_iam_mode",
            "iam_client_cache_ttl",
            "iam_client_max_age",
            "iam_client_login_rate",
            "iam_client_source_rate",
            "auth_secret_file",
            "auth_secret_arn",
            "max_server_connections"
        ]
    );
}

#[test]
fn the_order_is_show_configs() {
    let (names, _) = names();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    // PgBouncer's one exception.
    let [mode, idle] =
        ["pool_mode", "pool_idle_timeout"].map(|name| sorted.iter().position(|n| *n == name).unwrap());
    sorted.swap(mode, idle);
    // Its underscore sorts after digits.
    let [ciphers13, ca] = ["client_tls13_ciphers", "client_tls_ca_file"]
        .map(|name| sorted.iter().position(|n| *n == name).unwrap());
    assert!(ciphers13 < ca);
    assert_eq!(names, sorted);
}

#[test]
fn the_reference_files_are_what_the_table_prints() {
    let files = [
        ("reference.ini", reference::ini()),
        ("README.md", reference::markdown()),
        ("../packaging/man/pgweir.5", manual::page()),
    ];
    for (name, text) in files {
        let path = configs().join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "configs/{name} is not what the table prints: run with BLESS=1 and commit it"
        );
    }
}

#[test]
fn what_changes_is_told_as_the_table_has_it() {
    const MARKS: [&str; 2] = ["<!-- changes:begin -->\n", "<!-- changes:end -->"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/coming-from-pgbouncer.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(MARKS[0]).expect("the table has a place");
    let (_, after) = rest.split_once(MARKS[1]).expect("the place has an end");
    let written = [before, MARKS[0], &differences::markdown(), MARKS[1], after].concat();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
        return;
    }
    assert!(page == written, "the table of the page is not what the program has: run with BLESS=1");
}

#[test]
fn the_reference_is_a_valid_configuration_of_defaults() {
    let text = reference::ini();
    let reference = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap();
    let bare = Snapshot::load_with("p.ini", None, &|_| Ok(b"[pgbouncer]".to_vec())).unwrap();
    assert_eq!(reference, bare);
    for row in TABLE {
        assert!(text.contains(&format!("\n{} =", row.name)) || text.contains(&format!("\n;{} =", row.name)));
    }
}

#[test]
fn every_example_loads_without_a_warning() {
    for name in ["minimal.ini", "production.ini", "rds_iam.ini", "jwt.ini", "quickstart.ini"] {
        let snapshot =
            Snapshot::load(&configs().join(name), None).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(snapshot.warnings, [""; 0], "{name}");
    }
}
