//! What is told of changes: of secrets, of what a reload reads, of who is denied; and that the queries of
//! docs/audit.md, "As evidence", find them.

use crate::common::raw::{self, Raw};
use crate::common::secrets::{MARK, none_in};
use crate::common::{Pooler, PoolerSetup, postgres, programs, wait_until};
use crate::join::{example, load_audit};
use crate::lines::{audited, field, file, hold_to_schema, of, text, wait_for};
use serde_json::{Value, json};
use std::process::Command;

fn secret_of(user: &str) -> String {
    format!(r#"{{"username":"{user}","password":"{MARK}of-{user}"}}"#)
}

/// Puts another text in a file's place, whole.
fn replace(pooler: &Pooler, name: &str, text: &str) {
    pooler.overwrite("new", text);
    std::fs::rename(pooler.directory().join("new"), pooler.directory().join(name)).expect("it is ours");
}

fn role(name: &str) {
    postgres().psql("postgres", &format!("drop role if exists {name}; create role {name} login"));
}

#[test]
fn a_login_by_a_secret_tells_its_own_user_and_version_and_the_secret_what_becomes_of_it() {
    role("audit_first");
    role("audit_second");
    let pooler = audited()
        .file("secret", &secret_of("audit_first"))
        .database("app", "user=pooled server_auth=secret_file secret_file=secret")
        .start();
    pooler.client().simple("select 1");
    let login = wait_for(&pooler, "server_login", 1).remove(0);
    assert_eq!(field(&login, "user"), "audit_first", "as whom PostgreSQL knows it: {login}");
    assert_eq!(field(&login, "version"), "#1", "{login}");
    let first = of(&text(&pooler), "secret").remove(0);
    let told = ["version", "user", "error", "purpose"].map(|name| field(&first, name));
    assert_eq!(told, ["#1", "audit_first", "null", "servers"], "{first}");
    assert_eq!(field(&first, "secret"), field(&login, "secret"), "they join");

    replace(&pooler, "secret", "{");
    let failed = wait_for(&pooler, "secret", 2).remove(1);
    assert!(field(&failed, "version") == "#1" && field(&failed, "error") != "null", "{failed}");
    replace(&pooler, "secret", &secret_of("audit_second"));
    let second = wait_for(&pooler, "secret", 3).remove(2);
    let told = ["version", "user", "error"].map(|name| field(&second, name));
    assert_eq!(told, ["#2", "audit_second", "null"], "{second}");
    assert!(pooler.ask("reconnect").errors.is_empty());
    pooler.client().simple("select 2");
    let closed = wait_for(&pooler, "server_close", 1).remove(0);
    assert_eq!(field(&closed, "user"), "audit_first", "{closed}");
    let login = wait_for(&pooler, "server_login", 2).remove(1);
    assert_eq!((field(&login, "user"), field(&login, "version")), ("audit_second", "#2"), "{login}");
    none_in("the audit log", &text(&pooler));
    hold_to_schema(&file(&pooler));
}

fn sha256(pooler: &Pooler, name: &str) -> String {
    let told = programs::run(Command::new("sha256sum").arg(pooler.directory().join(name)));
    format!("sha256:{}", told.split(' ').next().expect("a digest"))
}

#[test]
fn a_reload_tells_which_issuers_peers_and_files_are_others() {
    let hba = "local all all trust\nhost all all all trust\n";
    let mut pooler = audited().set("auth_type", "hba").set("auth_hba_file", "hba").file("hba", hba).start();
    let before = sha256(&pooler, "hba");
    pooler.rewrite(|setup| {
        setup
            .issuer("staff", "issuer=https://login.example.org audience=postgres")
            .peer(7, "host=127.0.0.1 port=1")
            .user("eve", &format!("{MARK}of-eve"))
    });
    replace(&pooler, "hba", &format!("{hba}# reviewed\n"));
    pooler.signal("HUP");
    let told = wait_for(&pooler, "config", 1).remove(0);
    let issuer = "issuer=https://login.example.org audience=postgres";
    for (name, after) in [("issuers.staff", issuer), ("peers.7", "(hidden)")] {
        let change = format!("{{\"name\":\"{name}\",\"before\":null,\"after\":\"{after}\"}}");
        assert!(told.contains(&change), "{told}");
    }
    let after = sha256(&pooler, "hba");
    assert_ne!(before, after);
    let change = format!("\"files.auth_hba_file\",\"before\":\"{before}\",\"after\":\"{after}\"");
    assert!(told.contains(&change), "{told}");
    let of_users = "\"files.auth_file\",\"before\":\"(hidden)\",\"after\":\"(hidden)\"";
    assert!(told.contains(of_users), "no digest of what may hold a secret: {told}");
    none_in("the audit log", &text(&pooler));
    hold_to_schema(&file(&pooler));
}

#[test]
fn another_list_of_who_is_denied_is_told_by_its_numbers_and_its_files_digest() {
    let pooler = audited().set("deny_principals", "denied").file("denied", "alice\nbob\n").start();
    let is_told = |count: usize, lines: &str, added: &str, removed: &str| {
        let told = wait_for(&pooler, "deny_list", count);
        assert_eq!(told.len(), count, "told once, whoever read it first: {told:?}");
        let numbers = ["lines", "added", "removed"].map(|name| field(&told[count - 1], name));
        assert_eq!(numbers, [lines, added, removed], "{told:?}");
        assert_eq!(field(&told[count - 1], "digest"), sha256(&pooler, "denied"), "{told:?}");
    };
    is_told(1, "2", "2", "0"); // what it begins with
    replace(&pooler, "denied", "bob\ncarol\n/dev-.*\n");
    is_told(2, "3", "2", "1");
    replace(&pooler, "denied", "bob\n");
    pooler.ask("reload");
    is_told(3, "1", "0", "2");
    pooler.ask("set deny_principals = ''");
    let told = wait_for(&pooler, "deny_list", 4).remove(3);
    assert_eq!(["lines", "removed", "digest"].map(|name| field(&told, name)), ["0", "1", "null"], "{told}");
    hold_to_schema(&file(&pooler));
}

const LIMIT: &str = "no more connections allowed (max_user_client_connections)";
const DENIED: &str = "principal is denied";

/// Days, events, principals and reasons of another process. Eve was refused for something else, then denied,
/// was let in again, and is denied again; a limit refuses her once more. Zoe never came in. Whom an issuer
/// calls eve, too, is somebody else, who comes and goes.
const EARLIER: [(&str, &str, &str, &str); 9] = [
    ("2025-01-01", "login_refused", "eve", LIMIT),
    ("2025-02-01", "login_refused", "eve", DENIED),
    ("2026-02-01", "login", "eve", ""),
    ("2026-02-02", "login_refused", "eve", LIMIT),
    ("2026-02-03", "logout", "eve", "client close request"),
    ("2026-03-01", "login_refused", "eve", DENIED),
    ("2026-03-02", "login_refused", "eve", DENIED),
    ("2026-04-01", "login_refused", "zoe", DENIED),
    ("2026-05-01", "login", "eve of idp", ""),
];

/// Lines of that process, in order; somebody has forged a token at its end, and two statements were told.
fn earlier() -> Vec<Value> {
    let of_principal = |(day, event, whose, reason): (&str, &str, &str, &str)| {
        let (principal, issuer) = whose.split_once(" of ").unzip();
        let method = if issuer.is_some() { "jwt" } else { "trust" };
        json!({
            "ts": at(day), "event": event, "principal": principal.unwrap_or(whose), "issuer": issuer,
            "method": method, "reason": reason,
        })
    };
    let forged = json!({
        "ts": at("2026-04-02"), "event": "login_refused", "principal": null, "claimed_issuer": "idp",
        "method": "jwt", "client": {"addr": "192.0.2.7"}, "reason": "JWT authentication failed",
        "detail": "the token's signature is not that of key a",
    });
    let statement = |text: &str| json!({"ts": at("2026-04-03"), "event": "statement", "text": text});
    let mut lines: Vec<_> = EARLIER.map(of_principal).into();
    lines.push(forged);
    let without = ["select ?", "select \"it's 1\", a1, $1 from \"2\" -- ?"];
    let with = ["select 'x'", "select 1", "where a=-5", "select $a$ $a$", "limit 1.5"];
    lines.extend(without.into_iter().chain(with).map(statement));
    for (line, seq) in lines.iter_mut().zip(1..) {
        (line["process"], line["seq"]) = ("00000000".into(), seq.into());
    }
    lines
}

fn at(day: &str) -> String {
    format!("{day}T00:00:00.000000Z")
}

#[test]
fn the_queries_for_auditors_find_what_they_ask_for() {
    role("audit_third");
    let pooler = audited()
        .file("secret", &secret_of("audit_third"))
        .database("app", "user=pooled server_auth=secret_file secret_file=secret")
        .set("deny_principals", "denied")
        .file("denied", "")
        .start();
    let mut client = pooler.client();
    client.simple("select 1");
    let mut canceller = Raw::tcp(pooler.port);
    canceller.send(&raw::cancel_request(&[0; 8]));
    canceller.last_words();
    pooler.ask("set pool_mode = 'session'");
    replace(&pooler, "denied", "trust app\n");
    assert!(client.last_words().contains("denied"));
    let mut refused = Raw::tcp(pooler.port);
    refused.startup(&[("user", "app"), ("database", "app")]);
    refused.last_words();
    for event in ["logout", "login_refused", "config", "deny_list", "cancel", "console"] {
        wait_for(&pooler, event, 1);
    }
    wait_until("the session that ended is told", || text(&pooler).contains("session ended: "));
    let postgres = postgres();
    postgres.psql("postgres", "create database evidence");
    load_audit(postgres, "evidence", &file(&pooler));
    for line in earlier() {
        postgres.psql("evidence", &format!("insert into audit values ($${line}$$)"));
    }
    let block = example("evidence");
    let queries: Vec<_> = block.split(";\n").map(str::trim).filter(|query| !query.is_empty()).collect();
    assert_eq!(queries.len(), 12);
    let answers: Vec<_> = queries.iter().map(|query| postgres.psql("evidence", query)).collect();
    for (query, answer) in queries.iter().zip(&answers) {
        assert!(!answer.trim().is_empty(), "it finds nothing: {query}");
    }
    let of = |topic: &str| {
        let at = queries.iter().position(|query| query.contains(topic)).expect("there is such a query");
        &answers[at]
    };
    assert!(of("A.8.3:").contains("app|app|audit_third"), "{}", of("A.8.3:"));
    assert!(of("A.5.17").contains("audit_third"), "{}", of("A.5.17"));
    let missing = of("how many lines are missing");
    assert!(missing.lines().count() == 2 && missing.lines().all(|row| row.ends_with("|0|f")), "{missing}");
    let locked = of("A.5.18").lines().find(|row| row.starts_with("app|")).expect("its principal");
    let times: Vec<_> = locked.split('|').skip(3).collect();
    assert!(times.len() == 3 && times.is_sorted() && !times[0].is_empty(), "in, ended, refused: {locked}");
    let locked: Vec<_> = of("A.5.18").lines().filter(|row| !row.starts_with("app|")).collect();
    let eve = "eve|trust||2026-02-01T00:00:00.000000Z||2026-03-01T00:00:00.000000Z";
    assert_eq!(locked, [eve, "zoe|trust||||2026-04-01T00:00:00.000000Z"]);
    let forged = "|idp|192.0.2.7|JWT authentication failed|the token's signature is not that of key a";
    assert!(of("forged").contains(forged), "{}", of("forged"));
    let changed = of("A.8.32");
    let digest = sha256(&pooler, "denied");
    assert!(changed.contains("pool_mode") && changed.contains(&format!("1 added, 0 removed, {digest}")));
    assert_eq!(of("A.8.11").trim(), "7|5");
}

#[test]
fn the_queries_for_auditors_find_servers_and_sessions_that_were_there_before_the_log() {
    role("audit_earlier");
    let mut pooler = PoolerSetup::new(postgres())
        .file("secret", &secret_of("audit_earlier"))
        .database("app", "user=pooled server_auth=secret_file secret_file=secret")
        .start();
    let mut client = pooler.client();
    client.simple("select 1");
    pooler.rewrite(|setup| setup.set("audit_log", "file").set("audit_file", "audit.log"));
    pooler.ask("reload");
    let server = wait_for(&pooler, "server", 1).remove(0);
    assert_eq!((field(&server, "user"), field(&server, "generation")), ("audit_earlier", "0"), "{server}");
    assert!(server.contains("\"credential\":{\"secret\":") && !server.contains("login_us"), "{server}");
    wait_for(&pooler, "session", 1);
    client.simple("select 2");
    let transaction = wait_for(&pooler, "transaction", 1).remove(0);
    assert_eq!(field(&transaction, "id"), field(&server, "id"), "{transaction}");
    assert_eq!(of(&text(&pooler), "server_login"), [""; 0], "none was opened meanwhile");
    hold_to_schema(&file(&pooler));
    let postgres = postgres();
    postgres.psql("postgres", "create database evidence_earlier");
    load_audit(postgres, "evidence_earlier", &file(&pooler));
    let block = example("evidence");
    for (topic, expected) in [
        ("A.8.5:", "|app|trust|"),
        ("A.8.3:", "app|app|audit_earlier"),
        ("A.5.17:", "|audit_earlier|{\"secret\""),
        ("A.8.24:", "server|none|1\nsession|none|1"),
    ] {
        let query = block.split(";\n").find(|query| query.contains(topic)).expect("there is such a query");
        let answer =
            postgres.psql("evidence_earlier", &format!("select * from ({query}) as found order by 1"));
        assert!(answer.contains(expected), "{topic} {answer}");
    }
}
