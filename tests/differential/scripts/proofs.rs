//! Authentication: right, wrong, and nonsense.

use super::super::steps::{CONSOLE, Secret, Step, Until, query};
use super::super::world::World;
use super::{Script, case, script};
use crate::common::raw::{SSL_REQUEST, frame, query as query_frame, startup_message};

pub fn scripts() -> Vec<Script> {
    [proofs(), others(), false_proofs()].concat()
}

const METHODS: [&str; 3] = ["plain", "md5", "scram-sha-256"];

fn by(method: &'static str) -> World {
    World::new("transaction").set("auth_type", method)
}

fn startup(user: &str, database: &str, secret: Secret, until: Until) -> Step {
    let first = startup_message(196_608, &[("user", user), ("database", database)]);
    Step::Connect { who: 1, first, secret, until }
}

fn log_in(user: &str, database: &str, secret: Secret) -> [Step; 2] {
    let asked = if database == CONSOLE { "show datestyle" } else { "select current_user" };
    [startup(user, database, secret, Until::Ready(1)), query(1, asked)]
}

fn proofs() -> Vec<Script> {
    let logins = [
        ("right", "app", "app", "app-secret"),
        ("wrong", "app", "app", "wrong"),
        ("empty", "app", "app", ""),
        ("an unknown user", "nobody", "app", "nobody-secret"),
        ("an unknown database", "app", "nowhere", "app-secret"),
        ("an unknown database, wrong", "app", "nowhere", "wrong"),
        ("neither known", "nobody", "nowhere", "wrong"),
        ("a user without a password", "postgres", "app", "x"),
        ("the console", "admin", CONSOLE, "admin-secret"),
        ("the console, wrong", "admin", CONSOLE, "wrong"),
        ("the console, not allowed", "app", CONSOLE, "app-secret"),
        ("the console, not allowed, wrong", "app", CONSOLE, "wrong"),
        ("the console, an unknown user", "nobody", CONSOLE, "wrong"),
    ];
    let scripts = METHODS.map(|method| {
        let cases = logins.map(|(name, user, database, password)| {
            case(name, log_in(user, database, Secret::Password(password.into())))
        });
        script(format!("proofs by {method}"), by(method), cases)
    });
    scripts.into()
}

fn others() -> Vec<Script> {
    let forced = by("md5").database("forced", "user=other");
    let steps = log_in("app", "forced", Secret::Password("app-secret".into()));
    let logins = [("whoever", "forced"), ("app", "app"), ("whoever", CONSOLE), ("admin", CONSOLE)];
    let cases = logins
        .map(|(user, database)| case(format!("{user} on {database}"), log_in(user, database, Secret::None)));
    vec![
        script("a forced user", forced, [case("by md5", steps)]),
        script("auth_type any", by("any").database("forced", "user=other"), cases),
    ]
}

fn false_proofs() -> Vec<Script> {
    let word = |words: &[u8]| frame(b'p', words);
    let sasl = |mechanism: &str, first: &str| {
        let length = u32::try_from(first.len()).expect("short").to_be_bytes();
        word(&[mechanism.as_bytes(), &[0], &length, first.as_bytes()].concat())
    };
    let answers = [
        ("no terminator", word(b"app-secret")),
        ("an empty message", word(b"")),
        ("two zeros", word(b"\0\0")),
        ("a long password", word(&[&[b'x'; 3000][..], &[0]].concat())),
        ("a query", query_frame("select 1")),
        ("a Terminate", frame(b'X', &[])),
        ("an unknown tag", frame(b'?', &[])),
        ("a second startup", startup_message(196_608, &[("user", "app"), ("database", "app")])),
        ("an SSLRequest", SSL_REQUEST.to_vec()),
        ("a wrong mechanism", sasl("SCRAM-SHA-1", "n,,n=,r=abc")),
        ("channel binding", sasl("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc")),
        ("channel binding by the plain mechanism", sasl("SCRAM-SHA-256", "p=tls-unique,,n=,r=abc")),
        ("channel binding possible", sasl("SCRAM-SHA-256", "y,,n=,r=abc")),
        ("an authorization identity", sasl("SCRAM-SHA-256", "n,a=app,n=,r=abc")),
        ("no nonce", sasl("SCRAM-SHA-256", "n,,n=")),
        ("an empty nonce", sasl("SCRAM-SHA-256", "n,,n=,r=")),
        ("a mandatory extension", sasl("SCRAM-SHA-256", "n,,m=x,n=,r=abc")),
        ("no initial response", word(b"SCRAM-SHA-256\0\xff\xff\xff\xff")),
        ("no mechanism", word(b"\0")),
    ];
    let scripts = METHODS.map(|method| {
        let cases = answers.iter().map(|(name, answer)| {
            case(*name, [startup("app", "app", Secret::Bytes(answer.clone()), Until::Quiet)])
        });
        // An older PgBouncer does not survive all of them.
        script(format!("false proofs by {method}"), by(method), cases).of_today()
    });
    scripts.into()
}
