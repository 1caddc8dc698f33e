//! Tokens against AWS's own signer for Python, which shares no code with ours.
//!
//! `make setup` installs botocore; where it is missing the test is skipped.

use crate::skip::skip;
use pgweir::iam::{Credentials, Endpoint, Service, Token};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

#[test]
fn botocore_makes_the_same_tokens() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let has_botocore = Command::new(&python).args(["-c", "import botocore"]).stderr(Stdio::null()).status();
    if !has_botocore.is_ok_and(|status| status.success()) {
        return skip("no botocore: run make setup").unwrap_or(());
    }
    let long = "SeSsIoN/+=".repeat(320);
    let users = ["app", "a+b@x y", "ünïcode&=?#%/~", "sp ace", &"u".repeat(63)];
    let hosts = [
        ("db.abc.eu-west-1.rds.amazonaws.com", 5432),
        ("App.Cluster-x.cn-north-1.rds.amazonaws.com.cn", 443),
    ];
    let clusters = ["foo0bar1baz2.dsql.us-east-1.on.aws", "Foo.dsql-fnh4.eu-west-3.on.aws"];
    let mut lines = String::new();
    let mut ours = Vec::new();
    for session in [None, Some("short//+="), Some(long.as_str())] {
        for (number, user) in users.into_iter().enumerate() {
            for (host, port) in hosts {
                let endpoint = Endpoint::new(host, port, None).unwrap();
                let epoch = 1_700_000_000 + 86_399 * number as u64;
                let credentials = Credentials::made_of("ASIAX", "s/e+cret=", session.map(Into::into), None);
                let now = UNIX_EPOCH + Duration::from_secs(epoch);
                ours.push(Token::mint(&endpoint, user, &credentials, now).ok().unwrap());
                let (session, host) = (session.unwrap_or("-"), endpoint.host());
                let region = endpoint.region();
                lines += &format!("ASIAX\ts/e+cret=\t{session}\t{epoch}\t{region}\t{host}\t{port}\t{user}\n");
            }
        }
        for (number, (host, user)) in clusters.into_iter().zip(["app", "admin"]).enumerate() {
            let endpoint = Endpoint::of(Service::Dsql, host, 5432, None).unwrap();
            let epoch = 1_700_000_000 + 86_399 * number as u64;
            let credentials = Credentials::made_of("ASIAX", "s/e+cret=", session.map(Into::into), None);
            let now = UNIX_EPOCH + Duration::from_secs(epoch);
            ours.push(Token::mint(&endpoint, user, &credentials, now).ok().unwrap());
            let (session, host, region) = (session.unwrap_or("-"), endpoint.host(), endpoint.region());
            lines += &format!("ASIAX\ts/e+cret=\t{session}\t{epoch}\t{region}\t{host}\t-\t{user}\n");
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/rds_tokens.py");
    let mut child = Command::new(&python)
        .arg(script)
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it was there before");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let theirs = String::from_utf8(output.stdout).expect("tokens are ASCII");
    assert_eq!(theirs.lines().count(), ours.len());
    for (theirs, ours) in theirs.lines().zip(&ours) {
        assert_eq!(ours.expose(), theirs);
    }
}
