//! Logins by `iam_caller`: clients that show what they have signed for AWS STS, signed by AWS's own library,
//! and an STS of the test's own that verifies it and shares no code with the pooler.
//! Source: AWS Security Token Service API Reference, GetCallerIdentity; AWS General Reference, "Signature
//! Version 4".

mod sts;

use crate::common::certs::certs;
use crate::common::raw::{self, Raw};
use crate::common::skip::skip;
use crate::common::{Pooler, PoolerSetup, postgres, programs, wait_until};
use std::path::PathBuf;
use std::process::Command;
use sts::Sts;

/// What the pooler is called.
const SERVER_ID: &str = "pooler.example.org";

/// Roles of principals: a user by its ARN, roles by a pattern, everybody of one account.
const MAP: &str = "
callers  arn      arn:aws:iam::123456789012:user/alice                 app
callers  arn      /arn:aws:iam::123456789012:role/db-([a-z]+)          \\1
accounts account  123456789012                                         app
";

const RULES: &str = "
local   all        all                  trust
host    pgbouncer  all   127.0.0.1/32   trust
hostssl app        all   127.0.0.1/32   iam_caller map=callers
hostssl wide       all   127.0.0.1/32   iam_caller
";

fn setup(sts: &Sts) -> PoolerSetup {
    PoolerSetup::new(postgres())
        .database("wide", "dbname=app")
        .set("auth_type", "hba")
        .set("auth_hba_file", "rules")
        .set("auth_claims_file", "claims")
        .set("iam_caller_endpoint", sts.url())
        .set("iam_caller_server_id", SERVER_ID)
        .set("iam_caller_map", "accounts")
        .set("iam_sts_region", "eu-west-1")
        .set("client_tls_sslmode", "allow")
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .file("rules", RULES)
        .file("claims", MAP)
}

fn python() -> Option<PathBuf> {
    let python = programs::in_repository(".venv/bin/python");
    let has = Command::new(&python).args(["-c", "import botocore"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        Some(python)
    } else {
        skip("no botocore: make setup")
    }
}

/// Requests that botocore has presigned, one for each line of URL, region, server id, key and lifetime.
fn presigned(python: &PathBuf, lines: &[[&str; 5]]) -> Vec<String> {
    const PROGRAM: &str = r#"
import sys
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
for line in sys.argv[1:]:
    url, region, server_id, key, seconds = line.split('\t')
    request = AWSRequest('GET', url, headers={'x-pgweir-server-id': server_id} if server_id else {})
    secret = 'hUsHhUsH/' + key
    session = 'hUsHhUsH//session+' + key + '=' if key.startswith('ASIA') else None
    SigV4QueryAuth(Credentials(key, secret, session), 'sts', region, int(seconds)).add_auth(request)
    print(request.url)
"#;
    let lines = lines.iter().map(|line| line.join("\t"));
    let text = programs::run(Command::new(python).arg("-c").arg(PROGRAM).args(lines));
    text.lines().map(str::to_owned).collect()
}

const QUESTION: &str = "?Action=GetCallerIdentity&Version=2011-06-15";

/// One request of `key` for this pooler.
fn token(python: &PathBuf, sts: &Sts, key: &str) -> String {
    let url = format!("{}/{QUESTION}", sts.url());
    presigned(python, &[[&url, "eu-west-1", SERVER_ID, key, "900"]]).remove(0)
}

/// psql over TLS; what it said, and whether it went well.
fn log_in(pooler: &Pooler, user: &str, database: &str, password: &str) -> Result<String, String> {
    let mut psql = programs::limited(programs::postgres("psql"));
    psql.args(["-X", "-At", "-w", "-h", "127.0.0.1", "-p", &pooler.port.to_string(), "-U", user]);
    psql.args(["-d", database, "-c", "select current_user"]).env("PGPASSWORD", password);
    let output = psql.env("PGSSLMODE", "require").output().expect("psql is installed");
    let said = programs::said(&output).trim_end().to_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[track_caller]
fn refused(outcome: Result<String, String>) {
    let said = outcome.expect_err("must be refused");
    assert!(said.contains("FATAL:  IAM caller authentication failed"), "{said}");
}

#[test]
fn a_caller_may_be_the_roles_that_the_map_gives_to_whom_sts_names() {
    let Some(python) = python() else { return };
    let sts = Sts::start();
    let pooler = setup(&sts).start();
    pooler.wait_for_log("iam_caller_endpoint is http");
    let alice = token(&python, &sts, "AKIAALICE");
    assert_eq!(log_in(&pooler, "app", "app", &alice).as_deref(), Ok("app"));
    assert_eq!(log_in(&pooler, "app", "app", alice.strip_prefix("http://").unwrap()).as_deref(), Ok("app"));
    assert_eq!(sts.calls(), 2, "each text of a token is asked for by itself");
    for _ in 0..3 {
        assert_eq!(log_in(&pooler, "app", "app", &alice).as_deref(), Ok("app"));
    }
    let eks = format!("k8s-aws-v1.{}", base64_url(&alice));
    assert_eq!(log_in(&pooler, "app", "app", &eks).as_deref(), Ok("app"));
    assert_eq!(sts.calls(), 3);
    refused(log_in(&pooler, "other", "app", &alice));
    pooler.wait_for_log("map callers does not let arn:aws:iam::123456789012:user/alice be this role");
    let role = token(&python, &sts, "ASIAOTHER");
    assert_eq!(
        log_in(&pooler, "other", "app", &role).as_deref(),
        Ok("other"),
        "a capture of the role's name"
    );
    refused(log_in(&pooler, "app", "app", &role));
    pooler.wait_for_log("map callers does not let arn:aws:iam::123456789012:role/db-other be this role");
    assert_eq!(log_in(&pooler, "app", "wide", &role).as_deref(), Ok("app"), "the rule has no map of its own");
    let stranger = token(&python, &sts, "AKIASTRANGER");
    refused(log_in(&pooler, "app", "app", &stranger));
    assert_eq!(sts.calls(), 5, "what STS has said holds for every role");
}

fn base64_url(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = (0..=chunk.len()).map(|at| DIGITS[(bits >> (18 - 6 * at) & 63) as usize]);
        out.extend(digits.map(char::from));
    }
    out
}

#[test]
fn what_is_for_anybody_else_is_refused_before_sts_hears_of_it() {
    let Some(python) = python() else { return };
    let (sts, other) = (Sts::start(), Sts::start());
    let pooler = setup(&sts).start();
    let (here, there) = (sts.url(), other.url());
    let [good, elsewhere, assume] = [
        format!("{here}/{QUESTION}"),
        format!("{there}/{QUESTION}"),
        format!("{here}/?Action=AssumeRole&Version=2011-06-15"),
    ];
    let path = format!("{here}/x{QUESTION}");
    let key = "AKIAALICE";
    let mut tokens = presigned(
        &python,
        &[
            [&elsewhere, "eu-west-1", SERVER_ID, key, "900"],
            [&assume, "eu-west-1", SERVER_ID, key, "900"],
            [&path, "eu-west-1", SERVER_ID, key, "900"],
            [&good, "us-east-1", SERVER_ID, key, "900"],
            [&good, "eu-west-1", "", key, "900"],
            [&good, "eu-west-1", SERVER_ID, key, "3600"],
            [&good, "eu-west-1", SERVER_ID, key, "900"],
        ],
    );
    let fine = tokens.pop().expect("the last one is good");
    tokens.push(format!("{fine}&action=AssumeRole"));
    tokens.push(format!("{fine}&X-Amz-Expires=900"));
    tokens.push(fine.replace("http://", "https://"));
    tokens.push(fine.replace("127.0.0.1", "localhost"));
    tokens.push(fine.replace("2011-06-15", "2011%2D06%2D15"));
    tokens.push("app-secret".to_owned());
    tokens.push(format!("k8s-aws-v1.{}", base64_url(&tokens[0])));
    tokens.push("x".repeat(20_000));
    for token in &tokens {
        refused(log_in(&pooler, "app", "app", token));
    }
    assert_eq!((sts.calls(), other.calls()), (0, 0));
    pooler.wait_for_log("IAM caller login failed: what the client has sent is no request of a caller: ");
    for why in ["it is for another host", "it is signed for another region", "it has Action twice"] {
        assert!(pooler.log().contains(why), "{why}");
    }
    assert_eq!(log_in(&pooler, "app", "app", &fine).as_deref(), Ok("app"));
    assert_eq!((sts.calls(), other.calls()), (1, 0));
    // signed for another pooler: the header is ours to set, so the signature is not over it
    let mut alien = presigned(&python, &[[&good, "eu-west-1", "other.example.org", key, "900"]]);
    let alien = alien.remove(0);
    refused(log_in(&pooler, "app", "app", &alien));
    refused(log_in(&pooler, "app", "app", &alien));
    assert_eq!(sts.calls(), 2, "and is not asked for again at once");
    pooler.wait_for_log("AWS STS refuses it: ");
    let log = pooler.log();
    for token in tokens.iter().chain([&fine, &alien]) {
        assert!(!log.contains(token.as_str()), "a token in the log");
    }
    assert!(!log.contains("X-Amz-Signature="), "a part of a token in the log");
}

#[test]
fn no_token_is_asked_for_without_tls() {
    let Some(_) = python() else { return };
    let sts = Sts::start();
    for setup in [
        setup(&sts).set("auth_type", "iam_caller"),
        setup(&sts).set("client_tls_sslmode", "allow").file("rules", "host app all all iam_caller"),
    ] {
        let pooler = setup.start();
        let mut client = Raw::tcp(pooler.port);
        client.startup(&[("user", "app"), ("database", "app")]);
        let outcome = client.outcome();
        assert_eq!(outcome.errors, ["FATAL 08P01: SSL required"], "{outcome:?}");
        assert_eq!(outcome.tags, "E", "nothing is asked for");
    }
}

#[test]
fn where_sts_cannot_tell_only_those_are_let_in_whom_it_has_named() {
    let Some(python) = python() else { return };
    let (sts, elsewhere) = (Sts::start(), Sts::start());
    let pooler = setup(&sts).start();
    let (known, unknown) = (token(&python, &sts, "AKIAALICE"), token(&python, &sts, "ASIAAPP"));
    assert_eq!(log_in(&pooler, "app", "app", &known).as_deref(), Ok("app"));
    let redirect = format!("redirect={}", elsewhere.url());
    let mut asked = sts.calls();
    for fault in
        ["status=500", "status=503", "status=429", "throttling", &redirect, "huge", "garbage", "endless"]
    {
        sts.behave(fault);
        refused(log_in(&pooler, "app", "app", &unknown));
        asked += 1;
        assert_eq!(sts.calls(), asked, "{fault}: asked once each time: it was no verdict");
        assert_eq!(log_in(&pooler, "app", "app", &known).as_deref(), Ok("app"), "{fault}");
    }
    assert_eq!(elsewhere.calls(), 0, "no redirect is followed");
    pooler.wait_for_log("IAM callers cannot log in: AWS STS cannot tell: ");
    sts.behave("hang");
    refused(log_in(&pooler, "app", "app", &unknown));
    sts.behave("");
    assert_eq!(log_in(&pooler, "app", "app", &unknown).as_deref(), Ok("app"), "it is asked again");
    drop(sts);
    assert_eq!(log_in(&pooler, "app", "app", &known).as_deref(), Ok("app"));
}

#[test]
fn one_token_is_one_question_and_questions_keep_their_pace() {
    let Some(python) = python() else { return };
    let sts = Sts::start();
    let pooler = setup(&sts).set("iam_caller_rate", 2).start();
    let one = token(&python, &sts, "AKIAALICE");
    sts.behave("delay");
    std::thread::scope(|scope| {
        let logins: Vec<_> = (0..12).map(|_| scope.spawn(|| log_in(&pooler, "app", "app", &one))).collect();
        wait_until("STS is asked", || sts.calls() == 1);
        sts.behave("");
        for login in logins {
            assert_eq!(login.join().expect("no panic").as_deref(), Ok("app"));
        }
    });
    assert_eq!(sts.calls(), 1);
    let url = format!("{}/{QUESTION}", sts.url());
    // another lifetime is another token
    let lines: Vec<String> = (0..8).map(|number| (800 + number).to_string()).collect();
    let lines: Vec<_> =
        lines.iter().map(|s| [url.as_str(), "eu-west-1", SERVER_ID, "AKIAALICE", s]).collect();
    let (tokens, pooler) = (presigned(&python, &lines), &pooler);
    std::thread::scope(|scope| {
        let log_in = |token| scope.spawn(move || log_in(pooler, "app", "app", token));
        let logins: Vec<_> = tokens.iter().map(|token| log_in(token)).collect();
        for login in logins {
            assert_eq!(login.join().expect("no panic").as_deref(), Ok("app"));
        }
    });
    let times = sts.times();
    assert_eq!(times.len(), 9);
    for two in times[1..].windows(5) {
        let span = two[4].duration_since(two[0]);
        assert!(span.as_millis() >= 900, "five questions within {span:?}, at two a second and two at once");
    }
}

/// A client that shows what it has signed, within TLS.
fn shown(pooler: &Pooler, token: &str) -> Raw {
    let mut client = Raw::tls(pooler.port, "localhost", &certs().ca());
    client.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(client.read().expect("an answer").tag, b'R');
    client.send(&raw::frame(b'p', format!("{token}\0").as_bytes()));
    client
}

#[test]
fn a_session_is_as_long_as_a_login_holds_and_not_as_what_was_signed() {
    let Some(python) = python() else { return };
    let sts = Sts::start();
    let pooler = setup(&sts).start();
    let url = format!("{}/{QUESTION}", sts.url());
    let short = presigned(&python, &[[&url, "eu-west-1", SERVER_ID, "AKIAALICE", "5"]]).remove(0);
    let mut client = shown(&pooler, &short);
    assert_eq!(client.outcome().status, Some(b'I'));
    wait_until("what was signed has expired", || log_in(&pooler, "app", "app", &short).is_err());
    assert_eq!(client.simple("select current_user").value(), "app");

    let pooler = setup(&sts).set("iam_client_max_age", 1).start();
    let mut client = shown(&pooler, &token(&python, &sts, "AKIAALICE"));
    assert_eq!(client.outcome().status, Some(b'I'));
    let last_words = client.last_words();
    assert!(last_words.starts_with("FATAL 28000: "), "{last_words}");
}

#[test]
fn a_reload_that_narrows_ends_the_sessions_that_it_concerns() {
    let Some(python) = python() else { return };
    let sts = Sts::start();
    let pooler = setup(&sts).start();
    let (alice, role) = (token(&python, &sts, "AKIAALICE"), token(&python, &sts, "ASIAAPP"));
    let (mut gone, mut stays) = (shown(&pooler, &alice), shown(&pooler, &role));
    for client in [&mut gone, &mut stays] {
        assert_eq!(client.outcome().status, Some(b'I'));
    }
    assert_eq!(gone.simple("begin").tags, "CZ");
    let narrower =
        MAP.replace("callers  arn      arn:aws:iam::123456789012:user/alice                 app\n", "");
    pooler.overwrite("claims", &narrower);
    pooler.signal("HUP");
    pooler
        .wait_for_log("map callers does not let arn:aws:iam::123456789012:user/alice be this role any more");
    assert_eq!(gone.simple("select 1").value(), "1", "its transaction is finished");
    assert_eq!(gone.simple("commit").commands, ["COMMIT"]);
    let last_words = gone.last_words();
    assert!(
        last_words.starts_with("FATAL 28000: session ended: its role is no longer given"),
        "{last_words}"
    );
    assert_eq!(stays.simple("select 1").value(), "1");
}

#[test]
fn what_callers_need_is_asked_for_at_load() {
    let sts = Sts::start();
    let said = |setup: PoolerSetup| {
        let output = setup.check(&[]);
        assert!(!output.status.success());
        programs::said(&output)
    };
    for (setup, expected) in [
        (setup(&sts).unset("iam_caller_endpoint"), "iam_caller needs iam_caller_endpoint"),
        (setup(&sts).unset("iam_caller_server_id"), "iam_caller needs iam_caller_server_id"),
        (setup(&sts).unset("iam_caller_map"), "iam_caller needs iam_caller_map, or map="),
        (setup(&sts).unset("iam_sts_region"), "no region in iam_caller_endpoint"),
        (
            setup(&sts).set("iam_caller_endpoint", "http://sts.eu-west-1.amazonaws.com"),
            "iam_caller_endpoint must begin with https://",
        ),
        (
            setup(&sts).file("rules", "hostnossl app all all iam_caller"),
            "tokens would come without TLS: iam_caller is for hostssl",
        ),
        (
            setup(&sts).set("auth_type", "iam_caller").set("client_tls_sslmode", "disable"),
            "auth_type=iam_caller needs TLS: ",
        ),
        (setup(&sts).set("iam_caller_map", "nowhere"), "nowhere"),
        (setup(&sts).file("rules", "hostssl app all all iam_caller map=nowhere"), "nowhere"),
        (setup(&sts).unset("auth_claims_file"), "auth_claims_file"),
    ] {
        let said = said(setup);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
