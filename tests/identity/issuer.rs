//! An issuer of tokens: a process that makes keys and signs by them (PyJWT, a library that has nothing to do
//! with ours), and an HTTP server of 127.0.0.1 that serves the keys, or does not.

use crate::common::certs::certs;
use crate::common::programs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the keys are.
pub(crate) const KEYS: &str = "/keys";
/// Where the discovery document is.
pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Serves what is asked for.
    Serve,
    /// Takes it and never answers.
    Hang,
    /// Sends the asker elsewhere.
    Redirect(String),
    /// Fails.
    Status(u16),
    /// Serves this, whatever is asked for.
    Text(String),
}

struct State {
    answer: Answer,
    keys: Vec<Value>,
    /// Paths that were asked for.
    asked: Vec<String>,
    /// Connections that are left without an answer.
    held: Vec<Box<dyn Stream>>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A running issuer; it ends with the test's process.
pub(crate) struct Issuer {
    url: String,
    state: Arc<Mutex<State>>,
    mint: Mutex<Mint>,
}

struct Mint {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Mint {
    fn ask(&mut self, ask: &Value) -> Value {
        writeln!(self.to, "{ask}").expect("it listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).expect("an answer is JSON")
    }
}

impl Drop for Mint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Issuer {
    /// One with the key `k1`, for RS256.
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// The same, under TLS, as `localhost`.
    pub(crate) fn start_tls() -> Self {
        let chain = CertificateDer::pem_file_iter(certs().server()).expect("it is there");
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(certs().server_key()).expect("a key");
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("there are some")
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .expect("they go together");
        Self::start_with(Some(Arc::new(tls)))
    }

    fn start_with(tls: Option<Arc<ServerConfig>>) -> Self {
        let python = programs::in_repository(".venv/bin/python");
        assert!(python.exists(), "no Python drivers: run make setup");
        let mut child = Command::new(python)
            .arg(programs::in_repository("tests/drivers/mint.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python can be run");
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let url = match tls {
            None => format!("http://127.0.0.1:{port}"),
            Some(_) => format!("https://localhost:{port}"),
        };
        let state = State { answer: Answer::Serve, keys: Vec::new(), asked: Vec::new(), held: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let issuer = Self {
            url: url.clone(),
            state: Arc::clone(&state),
            mint: Mutex::new(Mint { child, to, from: BufReader::new(from) }),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, url, tls) = (Arc::clone(&state), url.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(Box::new(stream), &state, &url),
                    Some(tls) => {
                        let session = ServerConnection::new(tls).expect("it is configured");
                        serve(Box::new(StreamOwned::new(session, stream)), &state, &url);
                    }
                });
            }
        });
        issuer.add_key("k1", "RS256");
        issuer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its tokens say in `iss`.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Where its keys are.
    pub(crate) fn keys_url(&self) -> String {
        format!("{}{KEYS}", self.url())
    }

    /// What an entry of `[issuers]` says of it; `more` follows.
    pub(crate) fn entry(&self, more: &str) -> String {
        format!("issuer={} audience=postgres {more}", self.url())
    }

    /// Makes a key and serves it from now on.
    pub(crate) fn add_key(&self, kid: &str, alg: &str) {
        let key = self.make_key(kid, alg);
        self.state().keys.push(key);
    }

    /// Makes a key that is not served.
    pub(crate) fn make_key(&self, kid: &str, alg: &str) -> Value {
        let mut mint = self.mint.lock().unwrap_or_else(PoisonError::into_inner);
        mint.ask(&json!({"make": kid, "alg": alg}))
    }

    /// Serves no key of that id any more.
    pub(crate) fn remove_key(&self, kid: &str) {
        self.state().keys.retain(|key| key["kid"] != kid);
    }

    /// The set of keys as it is served.
    pub(crate) fn key_set(&self) -> String {
        json!({"keys": self.state().keys}).to_string()
    }

    /// What becomes of requests from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        let mut state = self.state();
        state.answer = answer;
        state.held.clear();
    }

    /// How often `path` was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.state().asked.iter().filter(|asked| *asked == path).count()
    }

    /// The usual claims, good for five minutes, for `sub`.
    pub(crate) fn claims(&self, sub: &str) -> Value {
        let now = now_s();
        json!({"iss": self.url(), "aud": "postgres", "sub": sub, "iat": now, "exp": now + 300})
    }

    /// A token of `k1` with the usual claims.
    pub(crate) fn token(&self, sub: &str) -> String {
        self.sign("k1", "RS256", &self.claims(sub))
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, kid: &str, alg: &str, claims: &Value) -> String {
        self.sign_with(kid, alg, claims, &json!({}))
    }

    /// A token with these claims, and these members more in its header.
    pub(crate) fn sign_with(&self, kid: &str, alg: &str, claims: &Value, headers: &Value) -> String {
        let mut mint = self.mint.lock().unwrap_or_else(PoisonError::into_inner);
        let token = mint.ask(&json!({"sign": kid, "alg": alg, "claims": claims, "headers": headers}));
        token.as_str().expect("a token is text").to_owned()
    }
}

/// Seconds since the epoch.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after it").as_secs()
}

fn serve(mut stream: Box<dyn Stream>, state: &Mutex<State>, url: &str) {
    let Some(path) = asked_path(&mut *stream) else { return };
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.asked.push(path.clone());
    let (status, header, body) = match &state.answer {
        Answer::Hang => {
            state.held.push(stream);
            return;
        }
        Answer::Redirect(to) => (302, format!("Location: {to}\r\n"), String::new()),
        Answer::Status(status) => (*status, String::new(), "no".to_owned()),
        Answer::Text(text) => (200, String::new(), text.clone()),
        Answer::Serve => match &*path {
            KEYS => (200, String::new(), json!({"keys": state.keys}).to_string()),
            DISCOVERY => {
                let keys = format!("{url}{KEYS}");
                (200, String::new(), json!({"issuer": url, "jwks_uri": keys}).to_string())
            }
            _ => (404, String::new(), String::new()),
        },
    };
    drop(state);
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status} x\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
}

/// The path of a request, when all of it is there.
fn asked_path(stream: &mut dyn Stream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let text = String::from_utf8(request).ok()?;
    text.split(' ').nth(1).map(str::to_owned)
}
