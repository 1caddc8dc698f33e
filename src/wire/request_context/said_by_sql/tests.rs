//! What is read of SQL about the context, and what servers are told in its place.

use super::*;
use proptest::prelude::*;

fn alone(sql: &str) -> Option<SetContext> {
    SaidBySql::read(sql.as_bytes()).and_then(|said| said.alone().cloned())
}

fn told(sql: &str) -> String {
    let said = SaidBySql::read(sql.as_bytes());
    let text = said.and_then(|said| said.for_server(sql.as_bytes()));
    String::from_utf8(text.unwrap_or_else(|| sql.into())).expect("text")
}

fn sets(sql: &str) -> Vec<SetContext> {
    SaidBySql::read(sql.as_bytes()).map_or(Vec::new(), |said| said.sets().cloned().collect())
}

fn session(text: &str) -> SetContext {
    SetContext::Session(text.to_owned())
}

#[test]
fn a_set_is_read_however_it_is_written() {
    for (sql, read) in [
        ("SET pgweir.context = 'route=a'", session("route=a")),
        (" set session PGWEIR.context to 'it''s';", session("it's")),
        ("set pgweir.context='';;", session("")),
        ("set  pgweir.context\t=\n'route=a';\u{b}", session("route=a")),
        ("/* route='x' */ SET pgweir.context = 'route=a'", session("route=a")),
        ("-- one\nSET pgweir.context /* two */ = 'route=a' -- three", session("route=a")),
        ("SET pgweir.context = 'route=a' /*traceparent='00-…'*/;", session("route=a")),
        ("SET pgweir.context = $$route=a$$", session("route=a")),
        ("SET pgweir.context = $x$route=$$a$x$", session("route=$$a")),
        (r"SET pgweir.context = E'route=\'a\\'", session(r"route='a\")),
        ("SET \"pgweir.context\" = 'route=a'", session("route=a")),
        ("SET \"pgweir\" . Context = 'route=a'", session("route=a")),
        ("SET pgweir.context = \"route=a\"", session("route=a")),
        ("SET pgweir.context TO Route", session("route")),
        ("set local pgweir.context='a=b'", SetContext::Local("a=b".to_owned())),
        ("set local pgweir.context to default", SetContext::Local(String::new())),
        ("set pgweir.context to default", SetContext::Default),
        ("reset pgweir.context ;", SetContext::Reset),
        ("reset \"pgweir\".context", SetContext::Reset),
    ] {
        assert_eq!(alone(sql), Some(read), "{sql}");
        assert!(!told(sql).contains("route"), "{sql}");
    }
}

#[test]
fn the_context_goes_back_with_all_else() {
    for sql in ["RESET ALL", "discard all;", "/* a */ Reset /* b */ all -- c"] {
        assert_eq!((sets(sql), alone(sql)), (vec![SetContext::Reset], None), "{sql}");
        assert_eq!(told(sql), sql);
    }
    let asyncpg = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;";
    assert_eq!((sets(asyncpg), told(asyncpg)), (vec![SetContext::Reset], asyncpg.to_owned()));
}

#[test]
fn statements_that_set_or_reset_no_context_are_left_alone() {
    for sql in [
        "",
        "set",
        "reset",
        "select 1",
        "select 1; select 2",
        "select 'set pgweir.context = ''a''; reset all'",
        "select $$; set pgweir.context = 'a';$$; select 2",
        "select 1 /* ; reset all */; -- reset all",
        "set pgweir.contexts = 'a'",
        "set pgweir.context.more = 'a'",
        "set application_name = 'pgweir.context'",
        "set local = 'a'",
        "set session characteristics as transaction read only",
        "discard plans",
        "reset all more",
        "set all",
        "reset application_name",
        "select 1; set pgweir.context = 'a",
    ] {
        assert_eq!(SaidBySql::read(sql.as_bytes()), None, "{sql}");
    }
}

#[test]
fn joined_statements_reach_a_server_without_the_context() {
    let sql = "begin; SET pgweir.context = 'route=a';select ';x'; set local pgweir.context to $$route=b$$";
    let expected = "begin; SET pgweir.context TO '';select ';x'; SET pgweir.context TO ''";
    assert_eq!(told(sql), expected);
    assert_eq!(sets(sql), [session("route=a"), SetContext::Local("route=b".to_owned())]);
    assert_eq!(alone(sql), None);
    let reset = "select 1; reset pgweir.context";
    assert_eq!(
        (told(reset), sets(reset)),
        ("select 1; RESET pgweir.context".to_owned(), vec![SetContext::Reset])
    );
}

#[test]
fn a_value_that_nobody_reads_is_an_error_of_the_server() {
    for value in [
        "= 'route=' || 'b'",
        "= 'route=a', 'b'",
        "= 'route=a'\n'b'",
        "= U&'route=a'",
        "= E'route=\\n'",
        "FROM CURRENT",
        "= $1",
        "=",
        "",
        "= 'route=a\\'",
    ] {
        let sql = format!("set pgweir.context {value}");
        assert_eq!(told(&sql), "SET pgweir.context TO", "{sql}");
        assert_eq!((sets(&sql), alone(&sql)), (vec![], None), "{sql}");
    }
    let unsure = r"set pgweir.context = 'route=a'; set pgweir.context = 'route=\''; select 1";
    assert_eq!(told(unsure), "SET pgweir.context TO ''; SET pgweir.context TO");
}

#[test]
fn the_front_of_a_long_text_tells() {
    for sql in
        ["set pgweir.context = 'aaa", "/* a */ set local \"pgweir\".context to $$", "set pgweir.context;"]
    {
        assert!(SaidBySql::is_begun_by(sql.as_bytes()), "{sql}");
    }
    for sql in
        ["insert into t values ('set pgweir.context = ", "set search_path = 'a", "/* set pgweir.context", ""]
    {
        assert!(!SaidBySql::is_begun_by(sql.as_bytes()), "{sql}");
    }
}

#[test]
fn a_deallocated_name_is_as_the_protocol_has_it() {
    let name =
        |sql: &str| deallocated(sql.as_bytes()).map(|name| String::from_utf8_lossy(&name).into_owned());
    assert_eq!(name("DEALLOCATE Abc;").as_deref(), Some("abc"));
    assert_eq!(name("deallocate prepare \"Abc\"").as_deref(), Some("Abc"));
    for sql in
        ["deallocate all", "deallocate prepare all", "deallocate", "select 1", "deallocate a; select 1"]
    {
        assert_eq!(name(sql), None, "{sql}");
    }
}

/// What the reader has rules for.
const ANY: &str = r#"((?i:set|reset|all|discard) |[ /*'"$;a=.\\]|pgweir\.context|\PC){0,30}"#;

proptest! {
    #[test]
    fn no_server_hears_of_a_context(
        ahead in "(select [a-z0-9]{1,5}( '[a-z;]{0,5}')?; ?|/\\* ?; ?\\*/ ?|-- a\n){0,3}",
        set in "(SET|set|sEt)( (LOCAL|local|Session))? ",
        name in "(pgweir\\.context|\"pgweir\" ?\\. ?\"CONTEXT\")( ?= ?| (to|TO) )",
        value in "('[a-z=,; ]{0,9}SECRET[a-z=;]{0,9}'|\\$\\$SECRET;\\$\\$|\"SECRET\"|E'SECRET')",
        behind in "( ?; ?| /\\* b \\*/ ?| -- c\n)?(; ?select 1)?",
    ) {
        let sql = format!("{ahead}{set}{name}{value}{behind}");
        prop_assert!(!told(&sql).contains("SECRET"), "{} is told as {}", sql, told(&sql));
        prop_assert_eq!(sets(&sql).len(), 1, "{}", sql);
    }

    #[test]
    fn any_text_is_read_without_a_panic(sql in ANY) {
        if let Some(said) = SaidBySql::read(sql.as_bytes()) {
            let _ = (said.for_server(sql.as_bytes()), said.alone(), said.sets().count());
        }
        let _ = (SaidBySql::is_begun_by(sql.as_bytes()), deallocated(sql.as_bytes()));
    }
}
