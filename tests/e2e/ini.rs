//! How configuration files are read: lines, sections, included files, values, connection strings; and what
//! is told of one that cannot be read.
//! Source: PgBouncer, doc/config.md ("Configuration file", "Connection string parameters"); src/loader.c.

use crate::common::{Pooler, PoolerSetup, postgres, programs, raw::Raw};
use std::collections::BTreeMap;

fn settings(pooler: &Pooler) -> BTreeMap<String, String> {
    let rows = pooler.ask("show config").records();
    rows.into_iter().map(|mut row| (row.remove("key").expect("is there"), row["value"].clone())).collect()
}

/// Puts a file in force that is the usual one and this behind it.
#[track_caller]
fn reload_with(pooler: &Pooler, usual: &str, more: &str) {
    pooler.overwrite("pgweir.ini", &format!("{usual}\n{more}"));
    assert_eq!(pooler.ask("reload").commands, ["RELOAD"], "{more}\n{}", pooler.log());
}

fn usual_file(pooler: &Pooler) -> String {
    std::fs::read_to_string(pooler.directory().join("pgweir.ini")).expect("was written")
}

#[test]
fn lines_and_values_are_read_as_pgbouncer_reads_them() {
    let pooler = PoolerSetup::new(postgres()).start();
    let usual = usual_file(&pooler);
    let more = "
        ; a comment
        # another
        query_timeout=16
        max_user_connections = 0x40
   idle_transaction_timeout   =   1.5
        max_db_connections = 010
        server_reset_query =
        pool_mode = SESSION
        server_idle_timeout = 7
        server_idle_timeout = 8
        application_name_add_host = 1\r
";
    reload_with(&pooler, &usual, more);
    let settings = settings(&pooler);
    let read = [
        ("query_timeout", "16"),
        ("max_user_connections", "64"),
        ("idle_transaction_timeout", "1.5"),
        ("max_db_connections", "8"),
        ("server_reset_query", ""),
        ("pool_mode", "session"),
        ("server_idle_timeout", "8"),
        ("application_name_add_host", "1"),
    ];
    for (name, value) in read {
        assert_eq!(settings[name], value, "{name}");
    }
}

#[test]
fn a_comment_behind_a_value_is_part_of_it() {
    let pooler = PoolerSetup::new(postgres()).start();
    reload_with(&pooler, &usual_file(&pooler), "server_check_query = select 1 ; as always");
    assert_eq!(settings(&pooler)["server_check_query"], "select 1 ; as always");
}

#[test]
fn a_section_goes_on_when_it_comes_again_and_the_main_one_begins_anew() {
    let pooler = PoolerSetup::new(postgres()).set("query_timeout", 9).start();
    let usual = usual_file(&pooler);
    let own = |name: &str| usual.lines().find(|line| line.starts_with(name)).expect("is set").to_owned();
    // what has a default is at it again; what has none keeps its value
    let again = format!(
        "[databases]\nlate = host=127.0.0.1 port={} dbname=other\n[pgbouncer]\nauth_type = trust\n\
         server_tls_sslmode = disable\nadmin_users = admin\n{}\n{}\n{}\n",
        pooler.postgres_port(),
        own("listen_port = "),
        own("unix_socket_dir = "),
        own("auth_file = "),
    );
    assert_eq!(settings(&pooler)["query_timeout"], "9");
    reload_with(&pooler, &usual, &again);
    assert_eq!(settings(&pooler)["query_timeout"], "0");
    assert_eq!(settings(&pooler)["listen_addr"], "127.0.0.1");
    for (name, database) in [("app", "app"), ("late", "other")] {
        let mut client = Raw::log_in(pooler.port, "app", name);
        assert_eq!(client.simple("select current_database()").value(), database);
    }
}

#[test]
fn an_included_file_goes_on_in_the_section_and_leaves_its_own_behind() {
    let pooler = PoolerSetup::new(postgres())
        .file("first.ini", "query_timeout = 21\n%include second.ini\nother = host=127.0.0.1\n")
        .file("second.ini", "[databases]\n")
        .start();
    reload_with(&pooler, &usual_file(&pooler), "%include first.ini\nlast = host=127.0.0.1\n");
    assert_eq!(settings(&pooler)["query_timeout"], "21");
    let databases = pooler.ask("show databases").records();
    for name in ["other", "last"] {
        assert!(databases.iter().any(|row| row["name"] == name), "{name}: {databases:?}");
    }
}

#[test]
fn connection_strings_are_read_as_pgbouncer_reads_them() {
    let pooler = PoolerSetup::new(postgres()).start();
    let port = pooler.postgres_port();
    let more = format!(
        "[databases]
         'a name with blanks' = host=127.0.0.1 port={port} dbname = app
         quoted = host='127.0.0.1' port={port} dbname='app' connect_query='select ''x'''
         empty =
         numbers = host=127.0.0.1 port={port} dbname=app pool_size=0x3
"
    );
    reload_with(&pooler, &usual_file(&pooler), &more);
    for database in ["a name with blanks", "quoted"] {
        let mut client = Raw::log_in(pooler.port, "app", database);
        assert_eq!(client.simple("select current_database()").value(), "app", "{database}");
    }
    let databases = pooler.ask("show databases").records();
    let row = |name: &str| databases.iter().find(|row| row["name"] == name).expect("is there");
    assert_eq!(
        (&*row("empty")["database"], &*row("empty")["host"], &*row("empty")["port"]),
        ("empty", "", "5432")
    );
    assert_eq!(row("numbers")["pool_size"], "3");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_nothing_of_it_is_in_force() {
    let pooler = PoolerSetup::new(postgres()).start();
    let usual = usual_file(&pooler);
    let lines = usual.lines().count();
    let broken = [
        ("query_timeout = soon", "invalid value \"soon\" for parameter query_timeout in configuration"),
        ("query_timeout = -1", "invalid value \"-1\" for parameter query_timeout in configuration"),
        ("pool_mode = some", "invalid value \"some\" for parameter pool_mode in configuration"),
        ("nosuch = 1", "unknown parameter: pgbouncer/nosuch"),
        ("[nosuch]", "invalid section \"nosuch\" in configuration"),
        ("\"query_timeout\" = 1", "syntax error in configuration"),
        ("no equals sign", "syntax error in configuration"),
        ("[databases]\nx = host", "syntax error in connection string"),
        ("[databases]\nx = nosuch=1", "unrecognized connection parameter: nosuch"),
        ("[databases]\nx = port=0", "port"),
        ("[databases]\nx = pool_size=3junk", "pool_size"),
        ("[databases]\npgbouncer = host=127.0.0.1", "database name \"pgbouncer\" is reserved"),
        ("[users]\nx = nosuch=1", "unrecognized user parameter: nosuch"),
    ];
    for (text, said) in broken {
        let place = format!("pgweir.ini:{}", lines + 2 + text.lines().count());
        pooler.overwrite("pgweir.ini", &format!("{usual}\nserver_lifetime = 1\n{text}\n"));
        let before = pooler.log().len();
        assert_eq!(pooler.ask("reload").errors.len(), 1, "{text}");
        let log = pooler.log();
        let told = log[before..].lines().find(|line| line.contains(said));
        let told = told.unwrap_or_else(|| panic!("{text}: nobody says {said:?}:\n{}", &log[before..]));
        assert!(told.contains(" ERROR ") && told.contains(&place), "{text} at {place}: {told}");
        assert_eq!(settings(&pooler)["server_lifetime"], "3600", "{text}");
    }
}

#[test]
fn a_key_before_any_section_and_a_file_without_the_main_one_are_refused() {
    let rows = [
        ("query_timeout = 1\n[pgbouncer]\n", "early.ini:1"),
        ("[databases]\nx =\n", "main section missing from config file"),
    ];
    for (text, said) in rows {
        let pooler = PoolerSetup::new(postgres()).file("early.ini", text).start();
        let mut command = programs::limited(programs::pooler());
        let output = command.arg("--check").arg(pooler.directory().join("early.ini")).output();
        let output = output.expect("can be run");
        let words = programs::said(&output);
        assert!(output.status.code() == Some(1) && words.contains(said), "{text:?}: {words}");
    }
}
