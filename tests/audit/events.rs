//! What each kind of line tells, and that none holds a secret.

use crate::common::raw::{self, Raw};
use crate::common::{secrets, wait_until};
use crate::lines::{audited, field, file, hold_to_schema, of, text, wait_for};

#[test]
fn a_session_leaves_its_login_its_transactions_and_its_logout() {
    let pooler = audited().start();
    let mut client = Raw::log_in_with(
        pooler.port,
        &[("user", "app"), ("database", "app"), ("application_name", "shop\"\\\n\u{7}")],
    );
    client.simple("select 1");
    client.simple("begin");
    client.simple("select 2");
    client.simple("rollback");
    client.ask(&[raw::parse("", "select 3"), raw::bind("", &[]), raw::execute(), raw::sync()]);
    drop(client);
    let logout = wait_for(&pooler, "logout", 1).remove(0);
    let session = field(&logout, "session");
    assert_eq!((field(&logout, "transactions"), field(&logout, "queries")), ("3", "5"), "{logout}");
    assert_eq!((field(&logout, "user"), field(&logout, "principal")), ("app", "app"));
    let login = of(&text(&pooler), "login").remove(0);
    assert_eq!((field(&login, "session"), field(&login, "method")), (session, "trust"), "{login}");
    let transactions = of(&text(&pooler), "transaction");
    let told: Vec<_> = transactions.iter().map(|line| (field(line, "txn"), field(line, "queries"))).collect();
    assert_eq!(told, [("1", "1"), ("2", "3"), ("3", "1")]);
    for line in &transactions {
        assert_eq!((field(line, "session"), field(line, "outcome")), (session, "complete"));
        assert!(field(line, "begin") <= field(line, "end"), "{line}");
        assert_eq!(field(line, "pid"), field(&of(&text(&pooler), "server_login")[0], "pid"));
    }
    let counts = hold_to_schema(&file(&pooler));
    assert!(counts.contains("start 1") && counts.contains("server_login 1"), "{counts}");
}

#[test]
fn transactions_that_end_in_another_way_are_told_so_and_long_ones_meanwhile() {
    let pooler = audited().start();
    let mut leaves = pooler.client();
    leaves.simple("begin");
    let link = wait_for(&pooler, "link", 1).remove(0);
    assert_eq!((field(&link, "outcome"), field(&link, "txn")), ("open", "1"), "{link}");
    drop(leaves);
    let left = wait_for(&pooler, "transaction", 1).remove(0);
    assert_eq!((field(&left, "outcome"), field(&left, "session")), ("client_left", field(&link, "session")));
    wait_for(&pooler, "server_close", 1);

    let mut loses = pooler.client();
    loses.simple("select 1");
    loses.simple("select pg_terminate_backend(pg_backend_pid())");
    let lost = wait_for(&pooler, "transaction", 3).remove(2);
    assert_eq!(field(&lost, "outcome"), "server_closed", "{lost}");
    hold_to_schema(&file(&pooler));
}

#[test]
fn a_transaction_of_which_a_limit_has_cancelled_a_query_names_the_limit() {
    for limit in ["query_timeout", "transaction_timeout"] {
        let pooler = audited().set("timeout_action", "cancel").set(limit, "1").start();
        let mut client = pooler.client();
        assert_eq!(client.simple("select pg_sleep(60)").errors.len(), 1);
        client.simple("select 1");
        let lines = wait_for(&pooler, "transaction", 2);
        assert_eq!(field(&lines[0], "canceled_by"), limit, "{lines:?}");
        assert_eq!(field(&lines[0], "outcome"), "complete", "its session goes on");
        assert!(!lines[1].contains("canceled_by"), "{lines:?}");
        hold_to_schema(&file(&pooler));
    }
}

#[test]
fn a_transaction_tells_which_request_it_was_for_and_the_next_one_does_not() {
    let pooler = audited().set("request_context_keys", "traceparent, x-amzn-trace-id").start();
    let mut client = pooler.client();
    client.simple("select 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/");
    client.simple("select 2");
    client.simple("set pgweir.context = 'x-amzn-trace-id=Root%3D1-5759e988'");
    client.simple("select 3");
    let lines = wait_for(&pooler, "transaction", 3);
    let traced = "\"context\":{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}";
    assert!(lines[0].contains(traced), "{}", lines[0]);
    assert!(!lines[1].contains("context"), "{}", lines[1]);
    let last = lines.last().expect("there are three");
    assert!(last.contains("\"context\":{\"x-amzn-trace-id\":\"Root=1-5759e988\"}"), "{last}");
    hold_to_schema(&file(&pooler));
}

#[test]
fn refusals_cancels_commands_and_changes_are_told_without_a_secret() {
    let mut pooler = audited()
        .set("auth_type", "md5")
        .user("ada", "the-secret-of-ada")
        .set("audit_statements", "text")
        .start();
    let mut refused = Raw::tcp(pooler.port);
    refused.startup(&[("user", "nobody\n\"x\""), ("database", "app")]);
    assert!(refused.read().is_some(), "it is asked for a password");
    drop(refused);
    let line = wait_for(&pooler, "login_refused", 1).remove(0);
    assert!(line.contains("\"user\":\"nobody\\n\\\"x\\\"\"") && line.contains("\"reason\":\""), "{line}");

    let mut canceller = Raw::tcp(pooler.port);
    canceller.send(&raw::cancel_request(&[0; 8]));
    canceller.last_words();
    let cancel = wait_for(&pooler, "cancel", 1).remove(0);
    assert!(!cancel.contains("session") && field(&cancel, "outcome").starts_with("failed"), "{cancel}");

    pooler.rewrite(|setup| setup.set("auth_type", "trust").user("eve", "the-secret-of-eve"));
    pooler.signal("HUP");
    let config = wait_for(&pooler, "config", 1).remove(0);
    let change = "{\"name\":\"auth_type\",\"before\":\"md5\",\"after\":\"trust\"}";
    assert!(config.contains(change), "{config}");
    pooler.ask("set pool_mode = 'session'");
    pooler.ask("set auth_ldap_options = 'ldapbindpasswd=the-secret-of-ldap'");
    pooler.ask("alter user eve password 'the-secret-of-eve'");
    pooler.ask("show pools");
    let told = wait_for(&pooler, "console", 4);
    let told: Vec<_> = told.iter().map(|line| field(line, "command")).collect();
    let expected =
        ["SET pool_mode = session", "SET auth_ldap_options = (hidden)", "(not understood)", "SHOW POOLS"];
    assert_eq!(told, expected);

    let mut client = pooler.client();
    client.simple("select 'the-secret-of-sql', 7 from pg_class limit 0");
    client.simple("alter role app password 'the-secret-of-app'");
    client.simple("alter role app password null");
    let statements = wait_for(&pooler, "statement", 3);
    assert_eq!(field(&statements[0], "text"), "select ? from pg_class limit ?", "{}", statements[0]);
    let all = text(&pooler);
    secrets::none_in("the audit log", &all);
    assert!(!all.contains("the-secret-of"), "{all}");
    hold_to_schema(&file(&pooler));
}

#[test]
fn statements_are_told_once_each_whole_or_cut_by_name_and_by_fingerprint() {
    let pooler = audited()
        .set("audit_statements", "text")
        .set("audit_redact", 0)
        .set("max_prepared_statements", 10)
        .start();
    let mut client = pooler.client();
    let batch =
        [raw::parse("s1", "select $1::int + 5"), raw::bind("s1", &["1"]), raw::execute(), raw::sync()];
    client.ask(&batch);
    client.ask(&[raw::bind("s1", &["the-value"]), raw::execute(), raw::sync()]);
    client.simple(&format!("select 5 /* {} */", "x".repeat(100_000)));
    client.simple("select 'kept', 8");
    client.ask(&[raw::parse(&"n".repeat(10_000), "select 9"), raw::sync()]);
    let mut told = wait_for(&pooler, "statement", 6);
    let long = told.pop().expect("there are six");
    assert_eq!(field(&long, "name"), "n".repeat(4_096), "a name is bounded as a text is");
    let kinds: Vec<_> = told.iter().map(|line| (field(line, "kind"), field(line, "name"))).collect();
    assert_eq!(kinds, [("parse", "s1"), ("bind", "s1"), ("bind", "s1"), ("query", ""), ("query", "")]);
    assert_eq!(field(&told[0], "text"), "select $1::int + 5");
    assert_eq!((field(&told[3], "cut"), field(&told[4], "cut")), ("true", "false"));
    assert!(told[4].contains("\"text\":\"select 'kept', 8\""), "{}", told[4]);
    assert!(!text(&pooler).contains("the-value"), "parameters are never told");
    hold_to_schema(&file(&pooler));
}

#[test]
fn one_turned_on_by_a_reload_tells_who_is_there_and_one_turned_off_tells_nothing_more() {
    let mut pooler = crate::common::PoolerSetup::new(crate::common::postgres()).start();
    let mut client = pooler.client();
    client.simple("select 1");
    pooler.rewrite(|setup| setup.set("audit_log", "file").set("audit_file", "audit.log"));
    pooler.ask("reload");
    let session = wait_for(&pooler, "session", 1).remove(0);
    client.simple("select 2");
    let transaction = wait_for(&pooler, "transaction", 1).remove(0);
    assert_eq!(field(&transaction, "session"), field(&session, "session"));
    assert_eq!(field(&transaction, "txn"), "1");
    pooler.rewrite(|setup| setup.set("audit_log", "off"));
    pooler.ask("reload");
    wait_until("the end is written", || text(&pooler).contains("\"audit_log\",\"before\":\"file\""));
    let before = text(&pooler);
    client.simple("select 3");
    drop(client);
    pooler.ask("show pools");
    assert_eq!(text(&pooler), before);
    hold_to_schema(&file(&pooler));
}

#[test]
fn each_refusal_says_by_which_method_and_names_no_principal_that_was_not_proven() {
    let pooler = audited()
        .set("auth_type", "hba")
        .set("auth_hba_file", "hba.conf")
        .file("hba.conf", "host all ada all scram-sha-256\nhost app eve all reject\nhost all app all trust\n")
        .user("ada", "the-secret-of-ada")
        .user("eve", "the-secret-of-eve")
        .set("max_db_client_connections", 1)
        .start();
    let _held = pooler.client();
    let cases = [
        ("ada", "app", "scram-sha-256", "null", ""),
        ("eve", "app", "reject", "null", "login rejected"),
        ("nobody", "app", "none", "null", "no authentication method is found"),
        ("app", "no-such", "trust", "app", "no such database: no-such"),
        ("app", "app", "trust", "app", "client connections exceeded (max_db_client_connections)"),
    ];
    for (count, (user, database, method, principal, reason)) in (1..).zip(cases) {
        let mut client = Raw::tcp(pooler.port);
        client.startup(&[("user", user), ("database", database)]);
        client.read();
        drop(client);
        let line = wait_for(&pooler, "login_refused", count).remove(count - 1);
        let told = (field(&line, "user"), field(&line, "method"), field(&line, "principal"));
        assert_eq!(told, (user, method, principal), "{line}");
        assert!(line.contains(&format!("\"reason\":\"{reason}")) && !line.contains("issuer"), "{line}");
    }
    hold_to_schema(&file(&pooler));
}
