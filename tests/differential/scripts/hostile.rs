//! Bytes that no client should send, where they can do harm.

use super::super::steps::{Step, Until, leave, log_in, query, send};
use super::super::world::World;
use super::{Script, case, in_each_mode, script};
use crate::common::raw::{
    SSL_REQUEST, bind, cancel_request, execute, frame, parse, query as query_frame, startup_message, sync,
};

pub fn scripts() -> Vec<Script> {
    [tags(), lengths(), contents(), cut()].concat()
}

/// To somebody who has logged in, at rest.
fn frames() -> Vec<(String, Vec<u8>)> {
    let startup = startup_message(196_608, &[("user", "app"), ("database", "app")]);
    let named = [
        ("a startup", startup),
        ("an SSLRequest", SSL_REQUEST.to_vec()),
        ("a CancelRequest", cancel_request(&[1; 8])),
        ("zeros", vec![0; 64]),
        ("all ones", vec![0xff; 64]),
    ];
    let tags = b"!?AGIKNRTVWZ1237acdfnpst\x00\x16\x80\xff";
    let tagged = tags.iter().map(|tag| (format!("tag {}", tag.escape_ascii()), frame(*tag, &[])));
    named.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).chain(tagged).collect()
}

fn world() -> World {
    World::new("transaction")
}

fn tags() -> Vec<Script> {
    let cases = frames().into_iter().map(|(name, bytes)| {
        let sent = send(1, bytes, Until::Quiet);
        case(name, [log_in(1), log_in(2), sent, query(1, "select 1"), query(2, "select 2")])
    });
    vec![script("tags of nobody's", world(), cases)]
}

fn lengths() -> Vec<Script> {
    let mut cases = Vec::new();
    for tag in *b"QPBDECSHXdcfF" {
        for length in [0_u32, 3, 5, 0x7fff_ffff, 0xffff_ffff] {
            if length == 5 && b"SHc".contains(&tag) {
                continue; // with a body: see `contents`
            }
            let bytes = [&[tag][..], &length.to_be_bytes(), &[0; 16]].concat();
            let steps = [log_in(1), log_in(2), send(1, bytes, Until::Quiet), leave(1), query(2, "select 2")];
            cases.push(case(format!("length {length} of {}", char::from(tag)), steps));
        }
    }
    vec![script("lengths that cannot be", world(), cases)]
}

fn contents() -> Vec<Script> {
    let frames = [
        ("a query without its zero", frame(b'Q', b"select 1")),
        ("a query with a zero within", frame(b'Q', b"select 1\0 more\0")),
        ("a query that is no UTF-8", frame(b'Q', b"select '\xff\xfe'\0")),
        ("a Parse without an end", frame(b'P', b"no terminator")),
        ("a Parse without a text", frame(b'P', b"named\0")),
        ("a Parse without types", frame(b'P', b"named\0select 1\0")),
        ("a Bind without a statement", frame(b'B', b"\0named")),
        ("a Bind without more", frame(b'B', b"\0named\0")),
        ("an empty Bind", frame(b'B', b"")),
        ("an empty Describe", frame(b'D', b"")),
        ("a Describe of neither", frame(b'D', b"Xname\0")),
        ("a Describe without an end", frame(b'D', b"Sname")),
        ("a Close of neither", frame(b'C', b"Xname\0")),
        ("an empty Close", frame(b'C', b"")),
        ("a Close without an end", frame(b'C', b"Sname")),
        ("an Execute without an end", frame(b'E', b"portal")),
        ("a Sync with a body", frame(b'S', b"body")),
        ("a Flush with a body", frame(b'H', b"body")),
        ("a function call without arguments", frame(b'F', b"")),
        ("a Terminate with a body", frame(b'X', b"body")),
    ];
    let scripts = [0, 200].map(|statements| {
        let cases = frames.iter().map(|(name, bytes)| {
            let sent = send(1, [bytes.clone(), sync()].concat(), Until::Quiet);
            case(*name, [log_in(1), log_in(2), sent, leave(1), query(2, "select 2")])
        });
        script(format!("contents, {statements} statements"), world().statements(statements), cases)
    });
    scripts.into()
}

/// What breaks off, and who goes on.
fn cut() -> Vec<Script> {
    let gone = |who| Step::Leave { who, words: Vec::new() };
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let batch = [parse("", "select 1"), bind("", &[]), execute(), sync()].concat();
    let cases = [
        ("half a query", vec![send(1, half(query_frame("select 1")), Until::Nothing), gone(1)]),
        (
            "half a query within a transaction",
            vec![query(1, "begin"), send(1, half(query_frame("select 1")), Until::Nothing), gone(1)],
        ),
        ("half a batch", vec![send(1, half(batch), Until::Nothing), gone(1)]),
        (
            "half a large query",
            vec![send(1, half(query_frame(&"x".repeat(100_000))), Until::Nothing), gone(1)],
        ),
        (
            "a query whose answer nobody reads",
            vec![send(1, query_frame("select 1"), Until::Nothing), gone(1)],
        ),
    ];
    let cases = cases.map(|(name, steps)| {
        let after = vec![log_in(2), query(2, "select 2")];
        case(name, [vec![log_in(1)], steps, after].concat())
    });
    in_each_mode("what breaks off", &cases)
}
