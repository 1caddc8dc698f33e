//! Tokens against AWS's own signer for Python, which shares no code with ours.
//!
//! `make setup` installs botocore; where it is missing the test says so on standard error and proves nothing.

use pgweir::iam::{Credentials, Endpoint, Token};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

/// Reads one line a token (key, secret, session, epoch, region, host, port, user), writes one token a line.
const SCRIPT: &str = r#"
import datetime, sys
import botocore.auth, botocore.credentials, botocore.session
from botocore.signers import RequestSigner
from botocore.hooks import HierarchicalEmitter
from botocore.model import ServiceId

def frozen(epoch):
    now = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda *a, **k: now.replace(tzinfo=None)
    class Frozen(datetime.datetime):
        @classmethod
        def utcnow(cls): return now.replace(tzinfo=None)
        @classmethod
        def now(cls, tz=None): return now if tz else now.replace(tzinfo=None)
    module = type(sys)('datetime')
    module.__dict__.update(datetime.__dict__)
    module.datetime = Frozen
    botocore.auth.datetime = module

for line in sys.stdin:
    key, secret, session, epoch, region, host, port, user = line.rstrip('\n').split('\t')
    frozen(int(epoch))
    credentials = botocore.credentials.Credentials(key, secret, session if session != '-' else None)
    events = HierarchicalEmitter()
    signer = RequestSigner(ServiceId('RDS'), region, 'rds-db', 'v4', credentials, events)
    request = {
        'url_path': '/', 'query_string': '', 'headers': {}, 'method': 'GET', 'context': {},
        'body': {'Action': 'connect', 'DBUser': user},
        'url': 'https://%s:%s/?' % (host, port),
    }
    url = signer.generate_presigned_url(
        request, operation_name='connect', expires_in=900, region_name=region, signing_name='rds-db')
    print(url[len('https://'):])
"#;

#[test]
fn botocore_makes_the_same_tokens() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let has_botocore = Command::new(&python).args(["-c", "import botocore"]).stderr(Stdio::null()).status();
    if !has_botocore.is_ok_and(|status| status.success()) {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED botocore_makes_the_same_tokens: no botocore, run make setup"
        );
        return;
    }
    let long = "SeSsIoN/+=".repeat(320);
    let users = ["app", "a+b@x y", "ünïcode&=?#%/~", "sp ace", &"u".repeat(63)];
    let hosts = [
        ("db.abc.eu-west-1.rds.amazonaws.com", 5432),
        ("App.Cluster-x.cn-north-1.rds.amazonaws.com.cn", 443),
    ];
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
    }
    let mut child = Command::new(&python)
        .args(["-c", SCRIPT])
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
