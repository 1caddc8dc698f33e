//! The extended protocol: batches, errors amid, portals, statements with and without names.

use super::super::steps::{Step, Until, ask, leave, log_in, query, send};
use super::super::world::{KNOWS_STATEMENTS, World};
use super::{Script, case, in_each_mode, script};
use crate::common::raw::{bind, close, describe, execute, frame, parse, query as query_frame, sync};

pub fn scripts() -> Vec<Script> {
    [unnamed(), portals(), named(), untracked(), errors(), texts()].concat()
}

fn flush() -> Vec<u8> {
    frame(b'H', &[])
}

fn describe_portal(name: &str) -> Vec<u8> {
    frame(b'D', format!("P{name}\0").as_bytes())
}

fn close_portal(name: &str) -> Vec<u8> {
    frame(b'C', format!("P{name}\0").as_bytes())
}

/// Bind of a portal with a name, without parameters.
fn bind_portal(portal: &str, statement: &str) -> Vec<u8> {
    frame(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn execute_portal(name: &str, rows: u32) -> Vec<u8> {
    frame(b'E', &[name.as_bytes(), &[0], &rows.to_be_bytes()].concat())
}

fn unnamed() -> Vec<Script> {
    let batch = |sql: &str, values: &[&str]| {
        [parse("", sql), bind("", values), describe_portal(""), execute(), sync()]
    };
    let one = batch("select $1::int + 1", &["41"]);
    let two = [one.concat(), batch("select 'two'", &[]).concat()].concat();
    let twice = send(1, two, Until::Ready(2));
    let in_one = |sql: &str| batch(sql, &[]).concat();
    let without_end =
        send(1, [parse("", "select 1"), bind("", &[]), execute(), flush()].concat(), Until::Tag(b"CE"));
    let end = ask(1, &[sync()]);
    let mixed = ask(1, &[parse("", "select 1"), query_frame("select 2"), sync()]);
    let cases = [
        case("a batch", [log_in(1), ask(1, &one), ask(1, &one), leave(1)]),
        case(
            "a transaction by batches at once",
            [log_in(1), send(1, ["begin", "select 8", "commit"].map(in_one).concat(), Until::Ready(3))],
        ),
        case("two batches at once", [log_in(1), twice]),
        case(
            "a batch that is flushed, then ended",
            [log_in(1), without_end, end.clone(), query(1, "select 3")],
        ),
        case("a Sync alone", [log_in(1), end.clone(), ask(1, &[sync(), sync()]), query(1, "select 1")]),
        case("a Flush alone", [log_in(1), send(1, flush(), Until::Nothing), query(1, "select 1")]),
        case("a query amid a batch", [log_in(1), mixed, query(1, "select 3")]),
        case("an empty statement", [log_in(1), ask(1, &[parse("", ""), bind("", &[]), execute(), sync()])]),
        case(
            "a transaction by batches",
            [
                log_in(1),
                ask(1, &batch("begin", &[])),
                ask(1, &batch("select 1", &[])),
                ask(1, &batch("commit", &[])),
            ],
        ),
        case(
            "a batch left amid",
            [
                log_in(1),
                send(1, [parse("", "select 1"), flush()].concat(), Until::Tag(b"1")),
                leave(1),
                log_in(1),
                query(1, "select 1"),
            ],
        ),
    ];
    in_each_mode("unnamed", &cases)
}

fn portals() -> Vec<Script> {
    let rows = parse("", "select generate_series(1, 5)");
    let partly = ask(
        1,
        &[
            rows.clone(),
            bind_portal("p", ""),
            execute_portal("p", 2),
            execute_portal("p", 2),
            execute_portal("p", 0),
            sync(),
        ],
    );
    let closed =
        ask(1, &[rows.clone(), bind_portal("p", ""), close_portal("p"), execute_portal("p", 0), sync()]);
    let held = [
        query(1, "begin"),
        ask(1, &[rows, bind_portal("p", ""), execute_portal("p", 2), sync()]),
        ask(1, &[describe_portal("p"), execute_portal("p", 0), close_portal("p"), sync()]),
        query(1, "commit"),
    ];
    let cases = [
        case("a portal read partly", [log_in(1), partly]),
        case("a portal closed", [log_in(1), closed]),
        case("a portal over batches", [&[log_in(1)][..], &held].concat()),
        case("a portal that is not there", [log_in(1), ask(1, &[execute_portal("q", 0), sync()])]),
        case("a cursor", [log_in(1), query(1, "declare c cursor for select 1"), query(1, "fetch c")]),
    ];
    in_each_mode("portals", &cases)
}

const SHARED: &str = "shared by two clients";
const KEPT: &str = "one that an error keeps from being forgotten";

/// A statement of the clients below.
fn make() -> Vec<u8> {
    parse("s", "select $1::text")
}

fn made(who: usize) -> Step {
    ask(who, &[make(), sync()])
}

fn run(value: &str) -> Step {
    ask(1, &[bind("s", &[value]), execute(), sync()])
}

/// What a client does with statements that have names, one step after the other.
fn orders() -> Vec<(&'static str, Vec<Step>)> {
    let closed = ask(1, &[close("s"), sync()]);
    let described = ask(1, &[describe("s"), sync()]);
    let again = ask(1, &[make(), describe("s"), bind("s", &["three"]), execute(), sync()]);
    let after = query(1, "select 1");
    let at_once = send(1, close("s"), Until::Quiet);
    let changes =
        [close("s"), parse("n", "select 1"), close("x"), parse("s", "select 2"), close("n"), flush()];
    let mixed = send(1, changes.concat(), Until::Quiet);
    let (prepared, executed) = (query(1, "prepare q as select 5"), query(1, "execute q"));
    let second = ask(2, &[make(), bind("s", &["two"]), execute(), sync()]);
    let second_closed = ask(2, &[close("s"), sync()]);
    vec![
        ("made and run", vec![made(1), described.clone(), run("one"), run("two"), closed.clone(), again]),
        ("run after it was closed", vec![made(1), closed.clone(), run("x"), after.clone()]),
        ("run that is not there", vec![run("x"), after.clone()]),
        ("described that is not there", vec![described, after.clone()]),
        ("closed that is not there", vec![closed, after.clone()]),
        ("closed without a Sync", vec![made(1), at_once, after.clone()]),
        ("closed and made without a Sync", vec![made(1), mixed, ask(1, &[sync()]), after.clone()]),
        ("made twice", vec![made(1), made(1), after.clone()]),
        ("forgotten by DEALLOCATE ALL", vec![made(1), query(1, "deallocate all"), run("x"), after.clone()]),
        ("forgotten by DISCARD ALL", vec![made(1), query(1, "discard all"), run("x"), after]),
        ("of SQL", vec![prepared, executed.clone(), query(1, "deallocate q"), executed]),
        (SHARED, vec![made(1), second, run("one"), second_closed, run("one again")]),
    ]
}

/// What goes wrong, or too far, within batches.
fn batches() -> Vec<(&'static str, Vec<Step>)> {
    let failed = parse("s", "selec");
    let unnamed = parse("", "selec");
    let after = query(1, "select 1");
    let other = parse("t", "select $1::text");
    let both = [make(), other, bind("t", &["t"]), execute(), bind("s", &["s"]), execute(), sync()];
    let two = [parse("a", "commit"), parse("b", "select 3"), sync()];
    let behind = [failed.clone(), sync(), parse("c", "commit"), sync()];
    let used = |name: &str| [bind(name, &[]), execute(), sync()].concat();
    let many = ["s0", "s1", "s2", "s3"];
    let first = many.map(|name| send(1, [parse(name, "select 1"), used(name)].concat(), Until::Ready(1)));
    let more = many.map(|name| send(1, used(name), Until::Ready(1)));
    vec![
        ("made twice at once", vec![ask(1, &[make(), make(), sync()]), after.clone()]),
        ("failed, made again", vec![ask(1, &[failed, sync()]), made(1), after.clone()]),
        ("made behind an error", vec![ask(1, &[unnamed, make(), sync()]), run("x"), after]),
        ("two with one text", vec![ask(1, &both)]),
        ("more than a server may hold", [first, more].concat()),
        (KEPT, vec![ask(2, &two), ask(1, &behind)]),
    ]
}

fn cases_of_names() -> Vec<super::Case> {
    let both = |steps| [vec![log_in(1), log_in(2)], steps].concat();
    orders().into_iter().chain(batches()).map(|(name, steps)| case(name, both(steps))).collect()
}

fn named() -> Vec<Script> {
    let mut scripts = Vec::new();
    for mode in ["transaction", "statement"] {
        for statements in [200, 2] {
            let world = World::new(mode).statements(statements);
            let name = format!("statements ({mode}, at most {statements})");
            scripts.push(script(name, world, cases_of_names()).since(KNOWS_STATEMENTS));
        }
    }
    scripts
}

fn untracked() -> Vec<Script> {
    let world = |mode| World::new(mode).statements(0);
    // A session would have its server for good: another would wait for it.
    let alone = cases_of_names().into_iter().filter(|(name, _)| name != SHARED && name != KEPT);
    vec![
        script("statements (session, not tracked)", world("session"), alone),
        script("statements (transaction, not tracked)", world("transaction"), cases_of_names()),
    ]
}

fn errors() -> Vec<Script> {
    let good = |sql: &str| [parse("", sql), bind("", &[]), execute()].concat();
    let failing = [good("select 1"), good("select 1/0"), good("select 2"), sync()].concat();
    let behind = [failing.clone(), good("select 3"), sync()].concat();
    let flushed = [parse("", "selec"), flush()].concat();
    let cases = [
        case("an error amid a batch", [log_in(1), send(1, failing, Until::Ready(1)), query(1, "select 4")]),
        case("an error, and a batch behind", [log_in(1), send(1, behind, Until::Ready(2))]),
        case(
            "an error that is flushed",
            [log_in(1), send(1, flushed, Until::Tag(b"E")), ask(1, &[sync()]), query(1, "select 1")],
        ),
        case(
            "a wrong number of parameters",
            [log_in(1), ask(1, &[parse("", "select $1::int"), bind("", &[]), execute(), sync()])],
        ),
        case(
            "a wrong parameter",
            [log_in(1), ask(1, &[parse("", "select $1::int"), bind("", &["x"]), execute(), sync()])],
        ),
        case(
            "two commands in one statement",
            [log_in(1), ask(1, &[parse("", "select 1; select 2"), sync()])],
        ),
        case(
            "copy in by a batch",
            [
                log_in(1),
                send(1, [good("copy items from stdin"), flush()].concat(), Until::Tag(b"GE")),
                send(1, [frame(b'd', b"40\tforty\n"), frame(b'c', &[]), sync()].concat(), Until::Ready(1)),
                query(1, "select count(*) from items"),
            ],
        ),
        case(
            "copy in by a batch with its Sync ahead",
            [
                log_in(1),
                send(1, [good("copy items from stdin"), sync()].concat(), Until::Tag(b"GE")),
                send(
                    1,
                    [frame(b'd', b"41\tforty-one\n"), frame(b'c', &[]), sync()].concat(),
                    Until::Ready(1),
                ),
                query(1, "select count(*) from items"),
            ],
        ),
    ];
    in_each_mode("errors", &cases)
}

fn texts() -> Vec<Script> {
    let long = format!("select '{}'", "z".repeat(30_000));
    let typed = frame(b'P', b"typed\0select $1\0\0\x01\0\0\0\x17");
    let bad_count = frame(b'P', b"typed\0select $1\0\0\x05\0\0\0\x17");
    let name = "n".repeat(300);
    let cases = [
        case(
            "a long text",
            [log_in(1), ask(1, &[parse("long", &long), bind("long", &[]), execute(), sync()])],
        ),
        case("a typed parameter", [log_in(1), ask(1, &[typed, bind("typed", &["5"]), execute(), sync()])]),
        case(
            "fewer types than said",
            [log_in(1), send(1, [bad_count, sync()].concat(), Until::Ready(1)), query(1, "select 1")],
        ),
        case(
            "a long name",
            [log_in(1), ask(1, &[parse(&name, "select 1"), bind(&name, &[]), execute(), sync()])],
        ),
    ];
    vec![script("texts of statements", World::new("transaction"), cases).since(KNOWS_STATEMENTS)]
}
