//! Startup in every shape.

use super::super::steps::{CONSOLE, Secret, Step, Until, connect, leave, log_in, log_in_as, query, send};
use super::super::world::World;
use super::{Script, case, script};
use crate::common::raw::{SSL_REQUEST, cancel_request, frame, query as query_frame, startup_message};

const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// Protocol 3.0.
const VERSION: u32 = 0x0003_0000;

const APP: [(&str, &str); 2] = [("user", "app"), ("database", "app")];

pub fn scripts() -> Vec<Script> {
    let of_today = [parameters(), versions(), options(), broken(), startups()].concat();
    let of_today: Vec<_> = of_today.into_iter().map(Script::of_today).collect();
    [of_today, requests(), again(), limits()].concat()
}

fn world() -> World {
    World::new("transaction")
}

fn with(name: &'static str, value: &'static str) -> Step {
    log_in_as(1, &[APP[0], APP[1], (name, value)])
}

fn startups() -> Vec<Script> {
    let parameters: [(&str, &[(&str, &str)]); 12] = [
        ("plain", &APP),
        ("no user", &[("database", "app")]),
        ("an empty user", &[("user", ""), ("database", "app")]),
        ("no database", &[("user", "app")]),
        ("an unknown database", &[("user", "app"), ("database", "nowhere")]),
        ("an unknown user", &[("user", "nobody"), ("database", "app")]),
        ("neither known", &[("user", "nobody"), ("database", "nowhere")]),
        ("a user that PostgreSQL does not know", &[("user", "stats"), ("database", "app")]),
        ("an unknown parameter", &[APP[0], APP[1], ("what", "ever")]),
        ("extra_float_digits", &[APP[0], APP[1], ("extra_float_digits", "3")]),
        ("the console, not allowed", &[("user", "app"), ("database", CONSOLE)]),
        ("the console, a user unknown", &[("user", "nobody"), ("database", CONSOLE)]),
    ];
    let cases = parameters.map(|(name, list)| case(name, [log_in_as(1, list), query(1, "select 1")]));
    vec![script("startup", world(), cases)]
}

fn parameters() -> Vec<Script> {
    let tracked = [
        ("application_name", "differ"),
        ("client_encoding", "latin1"),
        ("DateStyle", "German"),
        ("datestyle", "iso"),
        ("TimeZone", "Europe/Vienna"),
        ("TimeZone", "nowhere"),
        ("standard_conforming_strings", "off"),
        ("IntervalStyle", "iso_8601"),
        ("default_transaction_read_only", "on"),
        ("search_path", "public"),
        ("replication", "off"),
        ("replication", "what"),
    ];
    let cases = tracked.map(|(name, value)| {
        let show = |who| query(who, &format!("show {name}"));
        case(format!("{name}={value}"), [with(name, value), show(1), log_in(2), show(2), show(1)])
    });
    let ignored = world().set("ignore_startup_parameters", "extra_float_digits,what");
    let both = log_in_as(1, &[APP[0], APP[1], ("extra_float_digits", "3"), ("what", "x")]);
    vec![
        script("startup with parameters", world(), cases),
        script("ignored parameters", ignored, [case("two", [both, query(1, "show extra_float_digits")])]),
    ]
}

fn versions() -> Vec<Script> {
    let extended = [APP[0], APP[1], ("_pq_.one", "1"), ("_pq_.two", "2")];
    let messages = [
        ("2.0", startup_message(0x0002_0000, &APP)),
        ("1.0", startup_message(0x0001_0000, &APP)),
        ("3.0 with _pq_", startup_message(VERSION, &extended)),
        ("3.1", startup_message(0x0003_0001, &APP)),
        ("3.2", startup_message(0x0003_0002, &APP)),
        ("3.2 with _pq_", startup_message(0x0003_0002, &extended)),
        ("3.9999", startup_message(0x0003_270f, &APP)),
        ("4.0", startup_message(0x0004_0000, &APP)),
        ("zero", startup_message(0, &APP)),
    ];
    let cases =
        messages.map(|(name, message)| case(name, [connect(1, message, ""), query(1, "select 1"), leave(1)]));
    vec![script("versions of the protocol", world(), cases)]
}

fn options() -> Vec<Script> {
    let texts = [
        "-c datestyle=german",
        "-cdatestyle=german",
        "--datestyle=german",
        "-c DateStyle=german --application_name=from-options",
        "-c application_name=with\\ blank",
        "-c search_path=public",
        "--search_path=public",
        "-c extra_float_digits=3",
        "-c",
        "-c ",
        "-c datestyle",
        "-c=",
        "-c=1",
        "-cx",
        "--",
        "--datestyle",
        "-x",
        "word",
        "-c datestyle=german -c",
        "\\",
        "-c application_name=\\",
        "-c datestyle=german\\",
        " -c  datestyle=german ",
        "",
    ];
    let show = query(1, "select current_setting('datestyle'), current_setting('application_name')");
    let cases = texts.map(|text| case(format!("{text:?}"), [with("options", text), show.clone()]));
    let lenient = world().set("ignore_startup_parameters", "options");
    let both = with("options", "-c geqo=off -c datestyle=german");
    let show = query(1, "select current_setting('datestyle'), current_setting('geqo')");
    vec![
        script("options", world(), cases),
        script("options that are ignored", lenient, [case("one of two", [both, show])]),
    ]
}

fn requests() -> Vec<Script> {
    let startup = startup_message(VERSION, &APP);
    let first =
        |first: &[u8], until| Step::Connect { who: 1, first: first.into(), secret: Secret::None, until };
    let then = |bytes: &[u8], until| send(1, bytes.to_vec(), until);
    let answered = Until::Tag(b"NS");
    let ready = Until::Ready(1);
    let (ssl, gss) = (&SSL_REQUEST, &GSS_REQUEST);
    let at_once = |request: &[u8]| [first(&[request, &startup].concat(), ready)];
    let cases = [
        case("SSLRequest", [first(ssl, answered), then(&startup, ready)]),
        case("GSSENCRequest", [first(gss, answered), then(&startup, ready)]),
        case("SSLRequest twice", [first(ssl, answered), then(ssl, answered), then(&startup, ready)]),
        case("GSSENCRequest twice", [first(gss, answered), then(gss, answered), then(&startup, ready)]),
        case("GSSENCRequest, SSLRequest", [first(gss, answered), then(ssl, answered), then(&startup, ready)]),
        case("SSLRequest and a startup at once", at_once(ssl)),
        case("GSSENCRequest and a startup at once", at_once(gss)),
        case("a cancel with a key of nobody's", [first(&cancel_request(&[7; 8]), Until::End)]),
        case("a cancel with a short key", [first(&cancel_request(&[7; 4]), Until::End)]),
        case("a cancel with a long key", [first(&cancel_request(&[7; 32]), Until::End)]),
    ];
    vec![script("requests before the startup", world(), cases)]
}

/// A StartupMessage with these bytes behind the version.
fn startup_of(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len() + 8).expect("short").to_be_bytes();
    [&length[..], &VERSION.to_be_bytes(), bytes].concat()
}

fn broken() -> Vec<Script> {
    let long_name = "u".repeat(200);
    let messages = [
        ("unterminated", startup_of(b"user\0app\0database\0app\0")),
        ("trailing bytes", startup_of(b"user\0app\0database\0app\0\0more\0")),
        ("a value without an end", startup_of(b"user\0app\0data")),
        ("a name without a value", startup_of(b"user\0app\0database\0")),
        ("bytes that are no UTF-8", startup_of(b"user\0app\0database\0a\xff\xfe\0\0")),
        ("a long user", startup_message(VERSION, &[("user", &long_name), ("database", "app")])),
        ("a long database", startup_message(VERSION, &[("user", "app"), ("database", &long_name)])),
        ("a newline in the name", startup_message(VERSION, &[("user", "a\nb"), ("database", "app")])),
        ("twice the user", startup_message(VERSION, &[("user", "other"), APP[0], APP[1]])),
        ("no parameter", startup_message(VERSION, &[])),
        ("no version", vec![0, 0, 0, 4]),
        ("half a version", vec![0, 0, 0, 6, 0, 3]),
        ("nothing behind the version", vec![0, 0, 0, 8, 0, 3, 0, 0]),
        ("length 3", vec![0, 0, 0, 3, 0, 3, 0, 0]),
        ("length 0", vec![0; 8]),
        ("a length of 64 KB", [&[0, 1, 0, 0, 0, 3, 0, 0][..], &[0; 64]].concat()),
        ("all ones", vec![0xff; 64]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a query", query_frame("select 1")),
        ("a password", frame(b'p', b"secret\0")),
    ];
    let cases = messages.map(|(name, first)| {
        let step = Step::Connect { who: 1, first, secret: Secret::None, until: Until::Quiet };
        case(name, [step, query(1, "select 1")])
    });
    vec![script("broken startups", world(), cases)]
}

fn again() -> Vec<Script> {
    let first = startup_message(VERSION, &APP).repeat(2);
    let at_once = Step::Connect { who: 1, first, secret: Secret::None, until: Until::End };
    let cases = |name| [case(name, [at_once.clone()])];
    vec![
        script("a second startup at once", world(), cases("by trust")),
        script("a second startup amid", world().set("auth_type", "md5"), cases("by md5")),
    ]
}

fn limits() -> Vec<Script> {
    let name = query(1, "select left(current_setting('application_name'), 18)");
    // With its header and the zero at its end.
    let of_bytes = |count: usize| query(1, &format!("select '{}'", "x".repeat(count - 15)));
    let one_more = vec![log_in(1), log_in(2), log_in(3), leave(1), query(2, "select 1")];
    let set = |key, value, steps: Vec<Step>| script(key, world().set(key, value), [case(value, steps)]);
    vec![
        set("max_client_conn", "2", one_more),
        set("max_packet_size", "1000", vec![log_in(1), of_bytes(1000), of_bytes(1001)]),
        set("disable_pqexec", "1", vec![log_in(1), query(1, "select 1")]),
        set("application_name_add_host", "1", vec![with("application_name", "differ"), name]),
    ]
}
