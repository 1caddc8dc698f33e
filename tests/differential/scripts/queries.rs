//! Simple queries, transactions and COPY.

use super::super::steps::{Until, ask, leave, log_in, log_in_as, query, send};
use super::super::world::World;
use super::{Script, case, in_each_mode, script};
use crate::common::raw::{frame, query as query_frame, sync};

pub fn scripts() -> Vec<Script> {
    [simple(), transactions(), parameters(), copy(), others()].concat()
}

fn simple() -> Vec<Script> {
    let queries = [
        "select 1",
        "",
        ";",
        "  -- a comment",
        "select 1; select 2",
        "select 1/0",
        "select 1; select 1/0; select 2",
        "selec 1",
        "select * from nowhere",
        "select * from items order by id",
        "select null, '', 'text'",
        "select repeat('x', 20000)",
        "select generate_series(1, 500)",
        "insert into items values (10, 'ten') returning *",
        "insert into items values (1, 'again')",
        "update items set name = 'x' where id = 2",
        "delete from items where id = 3",
        "do $$ begin raise notice 'noticed'; raise warning 'warned'; end $$",
        "do $$ begin raise exception 'raised' using detail = 'd', hint = 'h', errcode = 'P0042'; end $$",
        "create temp table t (i int); drop table t",
        "explain (costs off) select 1",
        "show transaction_isolation",
        "vacuum items",
        "select 'unterminated",
        "notify channel",
        "discard all",
        "deallocate all",
        "reset all",
        "checkpoint",
    ];
    let mut steps = vec![log_in(1)];
    steps.extend(queries.map(|sql| query(1, sql)));
    steps.push(leave(1));
    let large = format!("select length('{}')", "y".repeat(100_000));
    let pipelined: Vec<_> = ["select 1", "select 1/0", "select 2", ""].map(query_frame).into();
    let cases = [
        case("simple queries", steps),
        case("a large query", [log_in(1), query(1, &large), query(1, "select 1")]),
        case("queries sent at once", [log_in(1), ask(1, &pipelined), query(1, "select 3")]),
        case("a query byte by byte", byte_by_byte("select 'slow'")),
    ];
    in_each_mode("simple", &cases)
}

fn byte_by_byte(sql: &str) -> Vec<super::Step> {
    let bytes = query_frame(sql);
    let (last, first) = bytes.split_last().expect("a frame");
    let mut steps = vec![log_in(1)];
    steps.extend(first.iter().map(|byte| send(1, vec![*byte], Until::Nothing)));
    steps.push(send(1, vec![*last], Until::Ready(1)));
    steps
}

fn transactions() -> Vec<Script> {
    let block =
        ["begin", "select 1", "savepoint s", "select 1/0", "select 2", "rollback to s", "select 3", "commit"];
    let failed = ["begin", "select 1/0", "select 1", "commit", "select 4"];
    let nested = ["begin", "begin", "commit", "commit", "rollback"];
    let at_once =
        ["begin; select 1; commit", "begin; select 1/0; commit", "rollback", "begin; select 5", "commit"];
    let steps = |queries: &[&str]| {
        let mut steps = vec![log_in(1)];
        steps.extend(queries.iter().map(|sql| query(1, sql)));
        steps
    };
    let mut left = steps(&["begin", "insert into items values (20, 'lost')"]);
    left.extend([leave(1), log_in(2), query(2, "select count(*) from items")]);
    let mut two = vec![log_in(1), log_in(2)];
    two.extend([
        query(1, "select 1"),
        query(2, "begin"),
        query(1, "select 2"),
        query(2, "commit"),
        query(1, "select 3"),
    ]);
    let cases = [
        case("a transaction", steps(&block)),
        case("a failed transaction", steps(&failed)),
        case("nested transactions", steps(&nested)),
        case("transactions in one query", steps(&at_once)),
        case("a transaction left", left),
        case("two clients", two),
    ];
    in_each_mode("transactions", &cases)
}

fn parameters() -> Vec<Script> {
    let mut steps = vec![log_in(1), log_in(2)];
    for sql in [
        "set application_name = 'of one'",
        "set datestyle = 'sql, dmy'",
        "set timezone = 'Asia/Tokyo'",
        "set client_encoding = 'latin1'",
        "set standard_conforming_strings = off",
        "set intervalstyle = 'iso_8601'",
        "set application_name = 'a''quote'",
    ] {
        steps.extend([query(1, sql), query(2, "select current_date is null"), query(1, "select 1")]);
    }
    let show = "select current_setting('datestyle'), current_setting('timezone'), \
                current_setting('application_name')";
    steps.extend([
        query(1, show),
        query(2, show),
        query(1, "reset datestyle"),
        query(1, show),
        query(2, show),
    ]);
    let local = [
        log_in(1),
        log_in(2),
        query(1, "begin"),
        query(1, "set local datestyle = 'german'"),
        query(1, "rollback"),
        query(1, "begin; set timezone = 'Asia/Tokyo'; rollback"),
        query(2, show),
        query(1, show),
    ];
    // Neither is in a transaction: each has the server in turn.
    let cases = [case("parameters", steps), case("parameters undone", local)];
    in_each_mode("parameters", &cases).into_iter().map(Script::of_today).collect()
}

fn copy() -> Vec<Script> {
    let begin = query(1, "copy items from stdin");
    let (rows, bad) = (frame(b'd', b"30\tthirty\n31\t\\N\n"), frame(b'd', b"not a number\tx\n"));
    let (done, fail) = (frame(b'c', &[]), frame(b'f', b"given up\0"));
    let ready = Until::Ready(1);
    let select = query(1, "select count(*) from items");
    let sent = |frames: &[&Vec<u8>]| {
        let bytes = frames.iter().flat_map(|frame| frame.iter().copied()).collect();
        [log_in(1), begin.clone(), send(1, bytes, ready), select.clone()]
    };
    let late = send(1, done.clone(), Until::Nothing);
    let early = [log_in(1), begin.clone(), send(1, bad.repeat(3), ready), late, select.clone()];
    let left = send(1, rows.clone(), Until::Nothing);
    let left = [log_in(1), begin.clone(), left, leave(1), log_in(1), select.clone()];
    let whole = [query_frame("copy items from stdin"), rows.clone(), done.clone()].concat();
    let stray = send(1, [rows.clone(), done.clone()].concat(), Until::Nothing);
    let out = ["copy items to stdout", "copy (select 1/0) to stdout"].map(|sql| query(1, sql));
    let absent = query(1, "copy nowhere from stdin");
    let cases = [
        case("copy out", [&[log_in(1)], &out[..]].concat()),
        case("copy in", sent(&[&rows, &done])),
        case("failed by the client", sent(&[&rows, &fail])),
        case("failed by the server", sent(&[&bad, &done])),
        case("failed by the server before its end", early),
        case("a Sync amid", sent(&[&rows, &sync(), &done])),
        case("a query amid", sent(&[&rows, &query_frame("select 7")])),
        case("all at once", [log_in(1), send(1, whole, Until::Ready(2)), select.clone()]),
        case("left amid", left),
        case("stray copy data", [log_in(1), stray, select.clone()]),
        case("of a table that is not there", [log_in(1), absent, select]),
    ];
    in_each_mode("copy", &cases)
}

fn others() -> Vec<Script> {
    // lower(text): function 870, one argument and the result as text
    let call = |oid: u32, argument: &str| {
        let length = u32::try_from(argument.len()).expect("short").to_be_bytes();
        let head = [&oid.to_be_bytes()[..], &[0, 0, 0, 1], &length].concat();
        frame(b'F', &[&head, argument.as_bytes(), &[0, 0]].concat())
    };
    let killed = [log_in(1), query(1, "select pg_terminate_backend(pg_backend_pid())"), query(1, "select 1")];
    let called = [log_in(1), ask(1, &[call(870, "ABC")]), ask(1, &[call(1, "x")]), query(1, "select 1")];
    let reset = World::new("transaction").set("server_reset_query_always", "1");
    let left = "create temp table t (i int)";
    let always = [log_in(1), query(1, left), query(1, "select to_regclass('pg_temp.t') is null")];
    let connect_query = World::new("transaction").database("with", "connect_query='set work_mem to 777'");
    let with = [log_in_as(1, &[("user", "app"), ("database", "with")]), query(1, "show work_mem")];
    let cases = [case("function calls", called), case("a backend that ends itself", killed)];
    let mut scripts = in_each_mode("others", &cases);
    scripts.push(script("server_reset_query_always", reset, [case("a reset", always)]));
    scripts.push(script("connect_query", connect_query, [case("a setting", with)]));
    scripts
}
