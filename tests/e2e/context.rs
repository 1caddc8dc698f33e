//! The context of a request, from wherever a client says it, in the log of what is cancelled for it.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, postgres};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn pooler() -> Pooler {
    PoolerSetup::new(postgres())
        .set("request_context_keys", "traceparent, x-amzn-trace-id")
        .set("timeout_action", "cancel")
        .set("query_timeout", 1)
        .start()
}

fn log_in(pooler: &Pooler, more: (&str, &str)) -> Raw {
    Raw::log_in_with(pooler.port, &[("user", "app"), ("database", "app"), more])
}

fn is_canceled(client: &mut Raw, sql: &str) {
    let outcome = client.simple(sql);
    assert_eq!(outcome.errors, ["ERROR 57014: canceling statement due to user request"]);
}

#[test]
fn a_context_is_known_from_the_login_a_set_and_a_comment() {
    let pooler = pooler();
    let mut by_options = log_in(&pooler, ("options", "-c pgweir.x_amzn_trace_id=Root=1-one"));
    is_canceled(&mut by_options, "select pg_sleep(60)");
    pooler.wait_for_log("query is canceled: query_timeout, x-amzn-trace-id=Root=1-one");
    let mut client = log_in(&pooler, ("pgweir.traceparent", "of the login"));
    is_canceled(&mut client, "select pg_sleep(60)");
    pooler.wait_for_log("query is canceled: query_timeout, traceparent=of the login");
    assert_eq!(client.simple("set pgweir.context = 'traceparent=of the session'").commands, ["SET"]);
    is_canceled(&mut client, "select pg_sleep(60)");
    pooler.wait_for_log("query is canceled: query_timeout, traceparent=of the session");
    let comment = format!("/*action='x',traceparent='{TRACE}'*/");
    is_canceled(&mut client, &format!("select pg_sleep(60) {comment}"));
    pooler.wait_for_log(&format!("query is canceled: query_timeout, traceparent={TRACE}"));
    let parse = raw::parse("", &format!("select pg_sleep(60) {}", comment.replace("-01", "-02")));
    client.ask(&[parse, raw::bind("", &[]), raw::execute(), raw::sync()]);
    pooler.wait_for_log(&format!("traceparent={}", TRACE.replace("-01", "-02")));
    // A comment is its transaction's.
    assert_eq!(client.simple("reset pgweir.context").commands, ["RESET"]);
    is_canceled(&mut client, "select pg_sleep(60)");
    let log = pooler.log();
    let last = log.lines().rfind(|line| line.contains("query is canceled")).expect("a line");
    assert!(last.ends_with("traceparent=of the login"), "{last}");
}

#[test]
fn no_session_of_postgresql_keeps_a_context() {
    let pooler = pooler();
    let mut client = pooler.client();
    client.simple("set pgweir.context = 'traceparent=secret'");
    client.simple("begin");
    client.simple("set pgweir.context = 'traceparent=secret'");
    let batch = [raw::parse("", "set pgweir.context = 'traceparent=secret'"), raw::bind("", &[])];
    assert_eq!(client.ask(&[batch.concat(), raw::execute(), raw::sync()]).commands, ["SET"]);
    assert_eq!(client.simple("select current_setting('pgweir.context', true)").value(), "");
    assert_eq!(client.simple("commit").commands, ["COMMIT"]);
}

#[test]
fn no_spelling_of_a_set_leaves_a_context_with_the_server() {
    let pooler = pooler();
    let mut client = pooler.client();
    let mut next = pooler.client();
    let long = format!("set pgweir.context = 'traceparent=secret,x={}'", "x".repeat(9_000));
    for sql in [
        "/* route='x' */ set pgweir.context = 'traceparent=secret'",
        "set pgweir.context = 'traceparent=secret' -- x",
        "set pgweir.context = $$traceparent=secret$$",
        "set pgweir.context = E'traceparent=secret'",
        "set \"pgweir\" . \"context\" to 'traceparent=secret';",
        "set \"pgweir.context\" to \"traceparent=secret\"",
        "select 1; set pgweir.context = 'traceparent=secret'; select 2",
        "set pgweir.context = U&'traceparent=secret'",
        "set pgweir.context = 'traceparent='\n'secret'",
        &long,
    ] {
        client.simple(sql);
        client.ask(&[raw::parse("", sql), raw::bind("", &[]), raw::execute(), raw::sync()]);
        client.simple("begin");
        client.simple(sql);
        client.simple("commit");
        let left = next.simple("select coalesce(current_setting('pgweir.context', true), '')");
        assert_eq!(left.value(), "", "{sql}");
    }
}

#[test]
fn without_keys_such_a_parameter_is_refused_as_ever() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "app"), ("pgweir.traceparent", TRACE)]);
    assert!(client.last_words().contains("unsupported startup parameter: pgweir.traceparent"));
}
