//! Clients that wait, cancels, timeouts, and servers that cannot be had.

use super::super::steps::{Secret, Step, Until, ask, leave, log_in, log_in_as, query, send};
use super::super::world::World;
use super::{Script, case, script};
use crate::common::raw::{bind, execute, parse, query as query_frame, sync};

pub fn scripts() -> Vec<Script> {
    [queues(), cancels(), timeouts(), servers()].concat()
}

fn world() -> World {
    World::new("transaction")
}

fn later(who: usize, sql: &str) -> Step {
    send(who, query_frame(sql), Until::Nothing)
}

fn answered(who: usize) -> Step {
    Step::Await { who, until: Until::Ready(1) }
}

fn ended(who: usize) -> Step {
    Step::Await { who, until: Until::End }
}

/// Client 1 has the only server, in a transaction.
fn taken(then: impl Into<Vec<Step>>) -> Vec<Step> {
    [vec![log_in(1), log_in(2), query(1, "begin")], then.into()].concat()
}

fn queues() -> Vec<Script> {
    let batch = [parse("", "select 'batch'"), bind("", &[]), execute(), sync()].concat();
    let waiting = |count| Step::Waiting { count };
    let commit = query(1, "commit");
    let two = [
        log_in(3),
        later(2, "insert into items values (50, 'first')"),
        waiting(1),
        later(3, "select count(*) from items"),
        waiting(2),
        commit.clone(),
        answered(2),
        answered(3),
    ];
    let cases = [
        case("a client waits", taken([later(2, "select 2"), waiting(1), commit.clone(), answered(2)])),
        case(
            "a batch waits",
            taken([send(2, batch, Until::Nothing), waiting(1), commit.clone(), answered(2)]),
        ),
        case(
            "a client leaves the queue",
            taken([later(2, "select 2"), waiting(1), leave(2), commit, query(1, "select 1")]),
        ),
        case("two wait", taken(two)),
    ];
    vec![script("clients that wait", world(), cases)]
}

fn cancels() -> Vec<Script> {
    let sleeps =
        [later(1, "select pg_sleep(20)"), Step::Running { count: 1 }, Step::Cancel { who: 1 }, answered(1)];
    let amid = [&[log_in(1), query(1, "begin")], &sleeps[..], &[query(1, "rollback")]].concat();
    let alone = [&[log_in(1)], &sleeps[..], &[query(1, "select 1")]].concat();
    let nothing = Step::Cancel { who: 1 };
    let idle = [log_in(1), nothing.clone(), query(1, "select 1"), nothing, query(1, "select 2")];
    let cases = [case("of a query", alone), case("within a transaction", amid), case("of nothing", idle)];
    let waiting = taken([
        later(2, "select 2"),
        Step::Waiting { count: 1 },
        Step::Cancel { who: 2 },
        query(1, "commit"),
        answered(2),
    ]);
    vec![
        script("cancels (session)", World::new("session"), cases.clone()),
        script("cancels (transaction)", world(), cases),
        script("cancels of those that wait", world(), [case("one", waiting)]),
    ]
}

fn timeouts() -> Vec<Script> {
    const SECONDS: &str = "0.4";
    let set = |key, steps: Vec<Step>| script(key, world().set(key, SECONDS), [case(key, steps)]);
    let begun = vec![log_in(1), query(1, "begin"), ended(1)];
    let half = Step::Connect { who: 1, first: vec![0, 0], secret: Secret::None, until: Until::End };
    let notified = [
        later(2, "select 2"),
        Step::Await { who: 2, until: Until::Tag(b"N") },
        query(1, "commit"),
        answered(2),
    ];
    let notify = world().set("query_wait_notify", "1");
    vec![
        set("query_timeout", vec![log_in(1), query(1, "select 1"), query(1, "select pg_sleep(2)")]),
        set("query_wait_timeout", taken([later(2, "select 2"), ended(2), query(1, "commit")])),
        set("idle_transaction_timeout", begun.clone()),
        set("client_idle_timeout", vec![log_in(1), query(1, "select 1"), ended(1)]),
        set("transaction_timeout", begun).of_today(),
        set("client_login_timeout", vec![half]),
        script("query_wait_notify", notify, [case("1", taken(notified))]).of_today(),
    ]
}

fn servers() -> Vec<Script> {
    let entries = [
        ("a database that PostgreSQL has not", "dbname=absent"),
        ("a wrong password to the server", "user=scrammer password=wrong"),
        ("no password for the server", "user=plain"),
        ("a login role that PostgreSQL has not", "user=nobody"),
        ("a server by cleartext", "user=plain password=plain-secret"),
        ("a server by md5", "user=md5er password=md5er-secret"),
        ("a server by SCRAM", "user=scrammer password=scrammer-secret"),
    ];
    let on = |who| log_in_as(who, &[("user", "app"), ("database", "entry")]);
    let scripts = entries.map(|(name, entry)| {
        let steps = [on(1), query(1, "select current_user"), on(2)];
        script(name, world().database("entry", entry), [case("a login", steps)])
    });
    let encodings = "client_encoding=latin1 datestyle=german timezone=Asia/Tokyo";
    let show = "select current_setting('client_encoding'), current_setting('datestyle'), \
                current_setting('timezone')";
    let steps = [on(1), query(1, show), ask(1, &[query_frame("reset datestyle"), query_frame(show)])];
    let set = script("an entry's encodings", world().database("entry", encodings), [case("shown", steps)]);
    scripts.into_iter().chain([set]).map(Script::of_today).collect()
}
