//! The rig by itself: what RDS answers to good and bad tokens, it answers too, byte by byte where
//! a pooler decides by them.
//!
//! The tokens are made by botocore, which shares no code with pgweir or with the verifier. Source: behaviour
//! of a real PostgreSQL with PAM, as measured.

use crate::common::certs::{RDS_HOST, certs};
use crate::common::raw::{self, Raw};
use crate::common::skip::skip;
use crate::common::story::{SOME, Story};
use crate::common::{programs, secrets, wait_until};
use crate::fake;
use crate::rig::{KEY, LONG_USER, ODD_USER, RDS_PORT, REGION, Rds, SECRET, whoami};
use std::io::Write;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a token is made of.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub key: &'a str,
    pub secret: &'a str,
    pub session: Option<&'a str>,
    /// Made so many seconds ago.
    pub ago_s: i64,
    pub region: &'a str,
    pub host: &'a str,
    pub port: u16,
    pub user: &'a str,
}

/// A request whose token is good for `app`.
pub const GOOD: Request<'static> = Request {
    key: KEY,
    secret: SECRET,
    session: None,
    ago_s: 0,
    region: REGION,
    host: RDS_HOST,
    port: RDS_PORT,
    user: "app",
};

/// One token each; `None`: there is no botocore here, which has been said.
pub fn botocore(requests: &[Request<'_>]) -> Option<Vec<String>> {
    let python = programs::in_repository(".venv/bin/python");
    let mut command = programs::limited(&python);
    command.arg(programs::in_repository("tests/drivers/rds_tokens.py")).env("PYTHONUTF8", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    if !python.exists() {
        return skip("no botocore: run make setup");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("our days").as_secs().cast_signed();
    let mut child = command.spawn().expect("python runs");
    let mut input = child.stdin.take().expect("piped");
    for Request { key, secret, session, ago_s, region, host, port, user } in requests {
        let (session, epoch) = (session.unwrap_or("-"), now - ago_s);
        writeln!(input, "{key}\t{secret}\t{session}\t{epoch}\t{region}\t{host}\t{port}\t{user}")
            .expect("it reads");
    }
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let tokens: Vec<_> = String::from_utf8(output.stdout).expect("ASCII").lines().map(Into::into).collect();
    assert_eq!(tokens.len(), requests.len(), "a token each");
    Some(tokens)
}

/// How a login ended: the authentication requests in order, and the error, if one came.
fn log_in(rds: &Rds, user: &str, database: &str, password: &str) -> (Vec<u32>, Option<String>) {
    let mut raw = Raw::tls(rds.port, RDS_HOST, &certs().ca());
    raw.startup(&[("user", user), ("database", database)]);
    let mut requests = Vec::new();
    while let Some(frame) = raw.read() {
        match frame.tag {
            b'R' => {
                let kind = u32::from_be_bytes(*frame.body.first_chunk().expect("a number"));
                requests.push(kind);
                match kind {
                    3 => raw.send(&raw::frame(b'p', format!("{password}\0").as_bytes())),
                    10 => break, // SASL: not ours to answer
                    _ => {}
                }
            }
            b'E' => return (requests, Some(frame.message())),
            b'Z' => break,
            _ => {}
        }
    }
    (requests, None)
}

fn refusal(user: &str) -> Option<String> {
    Some(format!("FATAL 28000: PAM authentication failed for user \"{user}\""))
}

#[test]
fn both_fakes_mark_their_secrets_alike() {
    assert_eq!(secrets::MARK, fake::SECRET_MARK);
    assert!(SECRET.contains(secrets::MARK));
}

#[test]
fn leaks_are_recognised() {
    for text in [SECRET, "db.x:5432/?Action=connect&DBUser=a", "fine\n X-Amz-Signature=00"] {
        let found = std::panic::catch_unwind(|| secrets::none_in("a text", text));
        assert!(found.is_err(), "{text}");
    }
    secrets::none_in("a text", "token of role app, made for db.x:5432\n");
}

#[test]
fn stories_that_are_not_so_are_recognised() {
    let Some(rds) = Rds::start() else { return };
    let pooler = rds.pooler().start();
    assert_eq!(whoami(&pooler, "app"), "app");
    let told = Story::FINE.told_by(&pooler);
    for story in [
        Story { class: "denied", ..Story::FINE },
        Story { last_error: "no connection", ..Story::FINE },
        Story { ok: 7..=7, ..Story::FINE },
        Story { failed: &[("throttled", SOME)], ..Story::FINE },
        Story { stance: "keep_on", ..Story::FINE },
        Story { credentials: "stale", ..Story::FINE },
        Story { unfetched: &[("timeout", SOME)], ..Story::FINE },
        Story { skew_s: Some(0..=0), ..Story::FINE },
        Story { not_ready: "suspended", ..Story::FINE },
    ] {
        assert_eq!(story.contradictions(&told).len(), 1);
    }
    for (column, value) in [
        ("logins_ok", "7"),
        ("logins_denied", "1"),
        ("throttled", "1"),
        ("logins_failed", "1"),
        ("cred_state", "dead"),
        ("cred_expires_in", "60"),
        ("renewed", "1"),
    ] {
        let mut told = told.clone();
        told.row.insert(column.into(), value.into());
        assert_eq!(told.contradictions().len(), 1, "{column}");
    }
}

#[test]
fn good_tokens_are_taken_and_all_bad_ones_refused_alike() {
    let Some(rds) = Rds::start() else { return };
    let session = format!("{}//+=", secrets::MARK).repeat(260);
    rds.add_key("ASIALONG", SECRET, &session, "-");
    rds.add_key("ASIADEAD", SECRET, "-", "1000000000");
    let rows = [
        (GOOD, 200, "ok"),
        (Request { ago_s: 880, ..GOOD }, 200, "ok"),
        (Request { user: "reader", ..GOOD }, 200, "ok"),
        (Request { user: ODD_USER, ..GOOD }, 200, "ok"),
        (Request { user: LONG_USER, ..GOOD }, 200, "ok"),
        (Request { key: "ASIALONG", session: Some(&session), ..GOOD }, 200, "ok"),
        (Request { ago_s: 910, ..GOOD }, 400, "ExpiredToken"),
        (Request { ago_s: -400, ..GOOD }, 400, "InvalidToken: from the future"),
        (Request { key: "ASIADEAD", ..GOOD }, 400, "ExpiredToken: credentials"),
        (Request { region: "eu-west-1", ..GOOD }, 400, "InvalidToken: scope"),
        (Request { host: "db.example.com", ..GOOD }, 400, "InvalidToken: made for db.example.com:5432"),
        (Request { port: 5433, ..GOOD }, 400, "InvalidToken: made for"),
        (Request { key: "AKIAOTHER", ..GOOD }, 403, "NotAuthorized: no such access key"),
        (Request { secret: "another", ..GOOD }, 403, "NotAuthorized: signature"),
        (Request { session: Some("x"), ..GOOD }, 403, "NotAuthorized: session token"),
        (Request { key: "ASIALONG", session: Some("short"), ..GOOD }, 403, "NotAuthorized: session token"),
    ];
    let Some(tokens) = botocore(&rows.map(|(request, ..)| request)) else { return };
    for ((request, code, reason), token) in rows.into_iter().zip(&tokens) {
        let (asked, error) = log_in(&rds, request.user, "app", token);
        let verdict = rds.verdicts().pop().expect("it was asked");
        assert_eq!((verdict.code, verdict.user.as_str()), (code, request.user), "{verdict:?}");
        assert!(verdict.reason.starts_with(reason), "{verdict:?}");
        assert_eq!(error, if code == 200 { None } else { refusal(request.user) });
        assert_eq!(asked, if code == 200 { vec![3, 0] } else { vec![3] });
    }
    assert!(tokens[5].len() > 3000, "a long one was among them");
    let (asked, error) = log_in(&rds, "reader", "app", &tokens[0]);
    assert_eq!((asked, error), (vec![3], refusal("reader")), "a token of another role");
    let (asked, error) = log_in(&rds, "app", "nowhere", &tokens[0]);
    assert_eq!(asked, [3, 0], "the token was fine");
    assert_eq!(error.as_deref(), Some("FATAL 3D000: database \"nowhere\" does not exist"));
    assert!(rds.log().contains("pam_authenticate failed: Permission denied"), "in RDS's own words");
}

#[test]
fn tokens_that_were_tampered_with_are_refused() {
    let Some(rds) = Rds::start() else { return };
    let Some(tokens) = botocore(&[GOOD]) else { return };
    let good = &tokens[0];
    let (head, signature) = good.split_at(good.len() - 64);
    let turned: String = signature.chars().rev().collect();
    for bad in [
        format!("{head}{turned}"),
        good.replace("Expires=900", "Expires=9000"),
        good.replace("DBUser=app", "DBUser=app&DBUser=app"),
        good.replace("/?Action", "/?action=connect&Action"),
        good.replace("SignedHeaders=host", "SignedHeaders=host%3Bdate"),
        good.replace("/?", "?"),
        format!("{good}&X-Amz-Signature={signature}"),
        format!("{good}{}", "0".repeat(60_000)),
        "app-secret".into(),
    ] {
        assert_eq!(log_in(&rds, "app", "app", &bad), (vec![3], refusal("app")));
        assert!(matches!(rds.codes("app").last(), Some(400 | 403)), "the verifier said so");
    }
    assert_eq!(rds.codes("app").len(), 9, "it was asked each time");
    assert_eq!(log_in(&rds, "app", "app", good), (vec![3, 0], None));
}

#[test]
fn every_fault_of_the_service_looks_like_a_refusal() {
    let Some(rds) = Rds::start_with("authentication_timeout = '2s'") else { return };
    let Some(tokens) = botocore(&[GOOD]) else { return };
    let attempt = || log_in(&rds, "app", "app", &tokens[0]);
    for (behaviour, code) in
        [("denied=app", 403), ("fault=1", 500), ("ahead_s=1200", 400), ("ahead_s=-1200", 400)]
    {
        rds.behave(behaviour);
        assert_eq!(attempt(), (vec![3], refusal("app")), "{behaviour}");
        assert_eq!(rds.verdicts().last().map(|verdict| verdict.code), Some(code), "{behaviour}");
    }
    for mild in ["ahead_s=290", "ahead_s=-290", "denied=app\nonly=reader", "limit=50", "delay_ms=300"] {
        rds.behave(mild);
        assert_eq!(attempt(), (vec![3, 0], None), "{mild}");
    }
    rds.behave("limit=1");
    let ends: Vec<_> = (0..5).map(|_| attempt().1).collect();
    assert!(ends.contains(&refusal("app")), "{ends:?}");
    assert!(rds.codes("app").contains(&429));
    // PostgreSQL gives up and hangs up without a word.
    rds.behave("delay_ms=4000");
    assert_eq!(attempt(), (vec![3], None));
    wait_until("it says why", || rds.log().contains("canceling authentication due to timeout"));
}

#[test]
fn only_members_of_rds_iam_over_tls_are_asked_for_a_token() {
    let Some(rds) = Rds::start() else { return };
    let (asked, error) = log_in(&rds, "app", "app", "");
    assert_eq!((asked, error.as_deref()), (vec![3], Some("FATAL 28P01: empty password returned by client")));
    for user in ["plain", "nobody"] {
        assert_eq!(log_in(&rds, user, "app", ""), (vec![10], None), "{user} is asked for SCRAM");
    }
    rds.psql("postgres", "revoke rds_iam from app");
    assert_eq!(log_in(&rds, "app", "app", ""), (vec![10], None));
    let mut open = Raw::tcp(rds.port);
    open.startup(&[("user", "reader"), ("database", "app")]);
    let words = open.last_words();
    assert!(words.starts_with("FATAL 28000: pg_hba.conf rejects connection for host"), "{words}");
    assert!(words.ends_with("no encryption"), "{words}");
    assert!(rds.verdicts().is_empty(), "nobody was asked to verify a token");
}

#[test]
fn a_session_outlives_every_change_of_permissions() {
    let Some(rds) = Rds::start() else { return };
    let Some(tokens) = botocore(&[GOOD]) else { return };
    let mut raw = Raw::tls(rds.port, RDS_HOST, &certs().ca());
    raw.startup(&[("user", "app"), ("database", "app")]);
    raw.read();
    raw.send(&raw::frame(b'p', format!("{}\0", tokens[0]).as_bytes()));
    assert_eq!(raw.outcome().status, Some(b'I'));
    rds.behave("denied=app");
    rds.psql("postgres", "revoke rds_iam from app; alter role app nologin");
    assert_eq!(raw.simple("select current_user").value(), "app", "only closing it makes the change bite");
}
