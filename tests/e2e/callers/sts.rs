//! An AWS STS for GetCallerIdentity as a presigned GET: verifies the signature over what has come, headers
//! that are signed among them, and names the caller. Runs in threads of the test's process.

use aws_lc_rs::{digest, hmac};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Who holds which key. Secrets are `hUsHhUsH/` and the id.
const PRINCIPALS: [(&str, &str); 4] = [
    ("AKIAALICE", "arn:aws:iam::123456789012:user/alice"),
    ("ASIAOTHER", "arn:aws:sts::123456789012:assumed-role/db-other/session-of-bob"),
    ("ASIAAPP", "arn:aws:sts::123456789012:assumed-role/db-app/session-of-bob"),
    ("AKIASTRANGER", "arn:aws:iam::210987654321:user/alice"),
];

#[derive(Default)]
struct State {
    behaviour: Mutex<String>,
    changed: Condvar,
    calls: Mutex<Vec<Instant>>,
    ends: AtomicBool,
}

/// The running STS. Dropping it ends it.
pub(super) struct Sts {
    port: u16,
    state: Arc<State>,
}

impl Sts {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.ends.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, port, &state));
            }
        });
        Self { port, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on: nothing, `status=N`, `throttling`, `redirect=URL`, `huge`, `garbage`, `endless`, `hang`,
    /// or `delay`, which holds answers back until the next call of this.
    pub(super) fn behave(&self, behaviour: &str) {
        *self.state.behaviour.lock().expect("no panic") = behaviour.to_owned();
        self.state.changed.notify_all();
    }

    /// How often it was asked.
    pub(super) fn calls(&self) -> usize {
        self.times().len()
    }

    /// When it was asked.
    pub(super) fn times(&self) -> Vec<Instant> {
        self.state.calls.lock().expect("no panic").clone()
    }
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::Relaxed);
        self.behave("");
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn serve(stream: TcpStream, port: u16, state: &State) {
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor is free"));
    let mut stream = stream;
    while let Some((path, headers)) = request(&mut reader) {
        if state.ends.load(Ordering::Relaxed) {
            return;
        }
        state.calls.lock().expect("no panic").push(Instant::now());
        let mut behaviour = state.behaviour.lock().expect("no panic");
        while *behaviour == "delay" {
            behaviour = state.changed.wait(behaviour).expect("no panic");
        }
        let behaviour = behaviour.clone();
        if answer(&mut stream, &behaviour, || judge(&path, &headers, port)).is_err() {
            return;
        }
    }
}

/// The next request: its path, and its headers in lower case.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<(String, String)>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let path = line.strip_prefix("GET ")?.split(' ').next()?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Some((path, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn answer(
    stream: &mut TcpStream,
    behaviour: &str,
    judge: impl FnOnce() -> Result<String, &'static str>,
) -> std::io::Result<()> {
    let error = |code: &str| {
        format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>hUsHhUsH</Message></Error></ErrorResponse>"
        )
    };
    let (status, more, body) = match behaviour.split_once('=').unwrap_or((behaviour, "")) {
        ("status", status) => (status.parse().expect("a number"), String::new(), error("InternalFailure")),
        ("throttling", _) => (400, String::new(), error("Throttling")),
        ("redirect", url) => (307, format!("location: {url}/\r\n"), String::new()),
        ("garbage", _) => (200, String::new(), "<html>hello</html>".to_owned()),
        ("huge", _) => {
            (200, String::new(), format!("{}{}", judge().unwrap_or_default(), " ".repeat(1 << 20)))
        }
        ("endless", _) => {
            write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            for _ in 0..10_000 {
                write!(stream, "400\r\n{}\r\n", "x".repeat(1024))?;
            }
            return Ok(());
        }
        ("hang", _) => {
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            let _ = stream.read(&mut [0]); // until the pooler has lost patience
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        _ => match judge() {
            Ok(body) => (200, String::new(), body),
            Err(code) => (403, String::new(), error(code)),
        },
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: text/xml\r\n{more}content-length: {length}\r\n\r\n{body}"
    )
}

/// The caller of a request, if its signature is right.
fn judge(path: &str, headers: &[(String, String)], port: u16) -> Result<String, &'static str> {
    let (place, query) = path.split_once('?').ok_or("MissingAction")?;
    let parameters: Vec<(&str, &str)> = query.split('&').filter_map(|one| one.split_once('=')).collect();
    let of = |name: &str| {
        let mut found = parameters.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| *value).ok_or("MissingParameter")
    };
    let header = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    if place != "/" || of("Action")? != "GetCallerIdentity" || header("host") != format!("127.0.0.1:{port}") {
        return Err("InvalidAction");
    }
    let credential = of("X-Amz-Credential")?.replace("%2F", "/");
    let (key, scope) = credential.split_once('/').ok_or("IncompleteSignature")?;
    let (_, arn) = PRINCIPALS.iter().find(|(id, _)| *id == key).ok_or("InvalidClientTokenId")?;
    let signed = of("X-Amz-SignedHeaders")?.replace("%3B", ";");
    let mut all: Vec<_> = parameters.iter().filter(|(name, _)| *name != "X-Amz-Signature").collect();
    all.sort_unstable();
    let all: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut canonical = format!("GET\n/\n{}\n", all.join("&"));
    for name in signed.split(';') {
        let _ = writeln!(canonical, "{name}:{}", header(name));
    }
    let _ = write!(canonical, "\n{signed}\n{}", hex(digest::digest(&digest::SHA256, b"").as_ref()));
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let words = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", of("X-Amz-Date")?);
    let mut with = format!("AWS4hUsHhUsH/{key}").into_bytes();
    for part in scope.split('/') {
        with = mac(&with, part);
    }
    if hex(&mac(&with, &words)) != of("X-Amz-Signature")? {
        return Err("SignatureDoesNotMatch");
    }
    let account = &arn[13..25];
    Ok(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n\
         <GetCallerIdentityResult>\n<Arn>{arn}</Arn>\n<UserId>AIDAEXAMPLE</UserId>\n\
         <Account>{account}</Account>\n</GetCallerIdentityResult>\n\
         <ResponseMetadata>\n<RequestId>01234567</RequestId>\n</ResponseMetadata>\n\
         </GetCallerIdentityResponse>\n"
    ))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
