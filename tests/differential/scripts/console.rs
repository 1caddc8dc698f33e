//! The console: its tables, its commands, its errors.

use super::super::steps::{CONSOLE, Step, Until, ask, leave, log_in, log_in_as, query, send};
use super::super::world::World;
use super::{Script, case, script};
use crate::common::raw::{bind, describe, execute, frame, parse, query as query_frame, sync};

pub fn scripts() -> Vec<Script> {
    [tables(), commands(), refused(), packets(), effects()].concat()
}

fn world() -> World {
    World::new("transaction").database("other", "pool_size=5 pool_mode=session")
}

fn admin(who: usize) -> Step {
    log_in_as(who, &[("user", "admin"), ("database", CONSOLE)])
}

fn stats(who: usize) -> Step {
    log_in_as(who, &[("user", "stats"), ("database", CONSOLE)])
}

const SHOWN: [&str; 24] = [
    "active_sockets",
    "clients",
    "config",
    "databases",
    "dns_hosts",
    "dns_zones",
    "help",
    "lists",
    "mem",
    "peer_pools",
    "peers",
    "pools",
    "servers",
    "sockets",
    "state",
    "totals",
    "users",
    "version",
    "client_encoding",
    "default_transaction_isolation",
    "standard_conforming_strings",
    "datestyle",
    "timezone",
    "what",
];

/// With one client that has asked and one that has a server.
fn busy() -> Vec<Step> {
    vec![log_in(1), query(1, "select 1"), log_in(2), query(2, "begin")]
}

fn tables() -> Vec<Script> {
    let shown = |who, names: &[&str]| -> Vec<Step> {
        names.iter().map(|name| query(who, &format!("show {name}"))).collect()
    };
    let with_clients = [busy(), vec![admin(3)], shown(3, &SHOWN)].concat();
    // Before anybody has come: how many bytes and microseconds there were differs.
    let fresh = ["stats", "stats_totals", "stats_averages", "totals"];
    let seen = ["pools", "state", "fds", "version", "help", "stats_totals"];
    vec![
        script("tables of the console", world(), [case("with clients", with_clients)]),
        script(
            "statistics",
            world(),
            [case("before any client", [vec![admin(1)], shown(1, &fresh)].concat())],
        ),
        script(
            "what a stats user may see",
            world(),
            [case("some", [vec![stats(1)], shown(1, &seen)].concat())],
        ),
    ]
}

/// How a command may be written, and how not.
const SPELLINGS: [&str; 16] = [
    "SHOW STATE",
    "show state;",
    "  show\tstate  ;  ",
    "select state",
    "show \"state\"",
    "show state; show state",
    "show 'state'",
    "show state extra",
    "show",
    "",
    ";",
    "select 1",
    "-- show state",
    "show state -- comment",
    "what ever",
    "reload now",
];

/// What an operator may order, and what is wrong with it.
const COMMANDS: [&str; 50] = [
    "pause nowhere",
    "pause pgbouncer",
    "resume",
    "resume app",
    "resume nowhere",
    "kill nowhere",
    "kill pgbouncer",
    "disable",
    "enable",
    "disable nowhere",
    "enable nowhere",
    "disable pgbouncer",
    "enable pgbouncer",
    "reconnect nowhere",
    "reconnect pgbouncer",
    "reconnect",
    "reconnect app",
    "wait_close",
    "wait_close app",
    "wait_close pgbouncer",
    "wait_close nowhere",
    "shutdown what",
    "kill_client",
    "kill_client x",
    "kill_client 99999",
    "set",
    "set what = 1",
    "set query_timeout = 5",
    "set query_timeout to 6",
    "set query_timeout = '7'",
    "set query_timeout = x",
    "set query_timeout",
    "set pool_mode = whatever",
    "set pool_mode = session",
    "set listen_port = 1",
    "set extra_float_digits = 3",
    "set client_encoding = 'utf8'",
    "set datestyle to 'iso'",
    "set QUERY_TIMEOUT = 1",
    "pause",
    "pause",
    "pause app",
    "suspend",
    "resume",
    "pause app",
    "pause app",
    "resume app",
    "suspend",
    "resume",
    "reload",
];

fn commands() -> Vec<Script> {
    let mut steps = vec![admin(1)];
    steps.extend(SPELLINGS.iter().chain(&COMMANDS).map(|sql| query(1, sql)));
    let long = format!("show {}", "x".repeat(100));
    steps.extend([query(1, &long), query(1, &format!("{} x", "v".repeat(40))), leave(1)]);
    vec![script("commands of the console", world(), [case("spellings", steps)])]
}

fn refused() -> Vec<Script> {
    let commands = [
        "pause",
        "resume",
        "suspend",
        "reload",
        "shutdown",
        "kill app",
        "disable app",
        "enable app",
        "reconnect",
        "wait_close",
        "set query_timeout = 1",
        "set client_encoding = 'utf8'",
        "kill_client 1",
        "pause nowhere",
    ];
    let mut steps = vec![stats(1)];
    steps.extend(commands.map(|sql| query(1, sql)));
    vec![script("what a stats user may not do", world(), [case("commands", steps)])]
}

fn packets() -> Vec<Script> {
    let frames: Vec<(&str, Vec<u8>)> = vec![
        ("Parse", [parse("", "show state"), sync()].concat()),
        ("a batch", [parse("", "show state"), bind("", &[]), execute(), sync()].concat()),
        ("Bind", bind("", &[])),
        ("Describe", describe("s")),
        ("Sync", sync()),
        ("Flush", frame(b'H', &[])),
        ("Close", crate::common::raw::close("s")),
        ("CopyData", frame(b'd', b"x")),
        ("CopyDone", frame(b'c', &[])),
        ("a function call", frame(b'F', &[0; 10])),
        ("an unknown tag", frame(b'?', &[])),
        ("a password", frame(b'p', b"x\0")),
        ("a query without its zero", frame(b'Q', b"show state")),
        ("an empty query message", frame(b'Q', &[])),
        ("a query with a zero within", frame(b'Q', b"show state\0more\0")),
        ("a bad length", vec![b'Q', 0, 0, 0, 3]),
        ("a Terminate", frame(b'X', &[])),
    ];
    let packets = frames
        .into_iter()
        .map(|(name, bytes)| case(name, [admin(1), send(1, bytes, Until::Quiet), query(1, "show state")]));
    let at_once = ["show state", "what", "show state"].map(query_frame);
    let large = format!("show state{}", " ".repeat(10_000));
    let queries = [
        case("queries at once", [admin(1), ask(1, &at_once)]),
        case("a large query", [admin(1), query(1, &large), query(1, "show state")]),
    ];
    vec![script("packets to the console", world(), packets.chain(queries))]
}

/// What commands do to clients.
fn effects() -> Vec<Script> {
    let end = |who| Step::Await { who, until: Until::End };
    let later = |who, sql: &str| send(who, query_frame(sql), Until::Nothing);
    let answered = |who| Step::Await { who, until: Until::Ready(1) };
    let order = |sql: &str| query(3, sql);
    let (one, two, commit) = (query(1, "select 1"), query(2, "select 2"), query(2, "commit"));
    let killed = |what: &str| {
        let (kill, resume) = (order(&format!("kill {what}")), order(&format!("resume {what}")));
        vec![kill, end(1), end(2), resume, log_in(1), one.clone()]
    };
    let waits = Step::Waiting { count: 1 };
    let quiet = Step::Await { who: 3, until: Until::Quiet };
    let paused =
        vec![later(3, "pause app"), two.clone(), commit.clone(), answered(3), later(1, "select 1"), waits];
    let resumed = vec![admin(5), query(5, "resume app"), answered(1)];
    let disabled =
        vec![order("disable app"), log_in(4), one.clone(), commit.clone(), order("enable app"), log_in(4)];
    let reconnected = vec![order("reconnect app"), two, commit.clone(), order("wait_close app"), one.clone()];
    let canceled = vec![later(3, "pause"), admin(5), Step::Cancel { who: 3 }, quiet, commit, one.clone()];
    let cases = [
        ("kill app", killed("app")),
        ("kill", killed("")),
        ("disable app", disabled),
        ("pause waits for a transaction", [paused, resumed].concat()),
        ("reconnect within a transaction", reconnected),
        ("a cancel of PAUSE", canceled),
        ("shutdown", vec![order("shutdown"), end(1), end(2)]),
        ("a setting", vec![order("set server_reset_query = ''"), order("show config"), one]),
    ];
    let with = |steps: Vec<Step>| [busy(), vec![admin(3)], steps].concat();
    let scripts =
        cases.into_iter().map(|(name, steps)| script(name, world(), [case("with clients", with(steps))]));
    scripts.collect()
}
