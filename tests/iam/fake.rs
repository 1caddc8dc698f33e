//! AWS in one local HTTP server: IMDSv2, the container credentials endpoint, STS, each with
//! faults that a test sets.
//!
//! Runs in threads of the test's process. A test drives it by [`FakeAws`], or, from another process, by the
//! same texts over HTTP: `PUT /control/SERVICE` with `NAME=VALUE` lines, `GET /control/SERVICE` for the
//! calls seen. Every secret that it gives out contains [`SECRET_MARK`], so that a search of all output
//! finds any that leaked. IMDSv1 is refused; STS looks at who signed but does not check the signature
//! (tokens have checks of their own).

#![allow(dead_code, reason = "each test binary uses its own part of this")]

#[path = "fake/answers.rs"]
mod answers;

use crate::fake::answers::{container, form, imds, sso, sts, sts_error};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// In every secret key, session token and web identity that is given out.
pub const SECRET_MARK: &str = "hUsHhUsH";

/// The instance's role.
const ROLE: &str = "the-role";

/// What IMDSv2 gives out as its session token.
const IMDS_TOKEN: &str = "imds-hUsHhUsH-token";

/// Most bytes of a request.
const REQUEST_BYTES_MAX: u64 = 256 * 1024;

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// `/latest/…`.
    Imds,
    /// `/container`.
    Container,
    /// `POST /`.
    Sts,
    /// `/federation/credentials`, the portal of IAM Identity Center.
    Sso,
}

impl Service {
    /// Its name on the control path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imds => "imds",
            Self::Container => "container",
            Self::Sts => "sts",
            Self::Sso => "sso",
        }
    }
}

/// What a service does instead of its work.
#[derive(Clone, Debug)]
struct Behaviour {
    /// Waits this long before each answer.
    delay_ms: u64,
    /// Answers with this status and nothing of use; 0: does its work.
    status: u16,
    /// Answers with this AWS error code (STS) at `status`.
    code: String,
    /// Answers 200 with something that is no answer.
    garbage: bool,
    /// Seconds that what it gives out lives; negative: has been dead for.
    life_s: i64,
    /// What the caller must show: the container's Authorization, STS's external id, or the
    /// content of the web identity.
    expects: String,
    /// Whether the instance has a role.
    role: bool,
    /// What the instance's metadata names as its role.
    names: String,
    /// The region that what is signed must be signed for; empty: any.
    region: String,
    /// The access key's id that is given out; empty: one that is like AWS's.
    key: String,
    /// The session token that is given out; empty: one with signs that have to be encoded.
    session: String,
    /// Spaces behind each answer, which mean nothing.
    padding: usize,
    /// Seconds that its clock is ahead.
    ahead_s: i64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            delay_ms: 0,
            status: 0,
            code: String::new(),
            garbage: false,
            life_s: 3600,
            expects: String::new(),
            role: true,
            names: ROLE.to_owned(),
            region: String::new(),
            key: String::new(),
            session: String::new(),
            padding: 0,
            ahead_s: 0,
        }
    }
}

impl Behaviour {
    /// Reads `NAME=VALUE` lines; what is not named is as at the start.
    fn read(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once('=').expect("NAME=VALUE");
            match name {
                "delay_ms" => all.delay_ms = value.parse().expect("a number"),
                "status" => all.status = value.parse().expect("a number"),
                "code" => all.code = value.to_owned(),
                "garbage" => all.garbage = value == "1",
                "life_s" => all.life_s = value.parse().expect("a number"),
                "expects" => all.expects = value.to_owned(),
                "ahead_s" => all.ahead_s = value.parse().expect("a number"),
                "role" => all.role = value == "1",
                "names" => all.names = value.to_owned(),
                "region" => all.region = value.to_owned(),
                "key" => all.key = value.to_owned(),
                "session" => all.session = value.to_owned(),
                "padding" => all.padding = value.parse().expect("a number"),
                _ => panic!("no such behaviour: {name}"),
            }
        }
        all
    }
}

#[derive(Default)]
struct State {
    behaviours: HashMap<&'static str, Behaviour>,
    /// Per service, what was asked: a path, or STS's action and the parameters worth knowing.
    calls: HashMap<&'static str, Vec<String>>,
    serial: u64,
    /// Where what is given out is noted.
    ledger: Option<PathBuf>,
}

/// The running fake. Dropping it ends it.
pub struct FakeAws {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
    body: String,
}

struct Response {
    status: u16,
    headers: String,
    body: String,
}

impl FakeAws {
    /// Starts it on a free port.
    pub fn start() -> Self {
        Self::serve("http", None)
    }

    /// Starts it with TLS.
    pub fn start_tls(tls: rustls::ServerConfig) -> Self {
        Self::serve("https", Some(Arc::new(tls)))
    }

    fn serve(scheme: &'static str, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State::default()));
        let ended = Arc::new(AtomicBool::new(false));
        let (served, stop) = (Arc::clone(&state), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), state, tls) = (stream, Arc::clone(&served), tls.clone()) else { continue };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                std::thread::spawn(move || match tls {
                    None => converse(stream, &state),
                    Some(tls) => {
                        let Ok(session) = rustls::ServerConnection::new(tls) else { return };
                        converse(rustls::StreamOwned::new(session, stream), &state);
                    }
                });
            }
        });
        Self { address, scheme, state, ended }
    }

    /// Its port on this machine.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    /// Makes a service behave so from now on (see [`Behaviour`]).
    pub fn set(&self, service: Service, behaviour: &str) {
        lock(&self.state).behaviours.insert(service.name(), Behaviour::read(behaviour));
    }

    /// Notes all credentials given out from now on at the end of this file, a line each: access key, secret
    /// key, session token, end in seconds since the epoch, separated by tabs. Who verifies tokens reads it.
    pub fn note_to(&self, file: PathBuf) {
        lock(&self.state).ledger = Some(file);
    }

    /// What a service was asked, oldest first.
    pub fn calls(&self, service: Service) -> Vec<String> {
        lock(&self.state).calls.get(service.name()).cloned().unwrap_or_default()
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request, one answer.
fn converse(stream: impl Read + Write, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let Some(request) = read(&mut reader) else { return };
    let Some(Response { status, headers, body }) = answer(&request, state) else { return };
    let head = format!(
        "HTTP/1.1 {status} X\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\
         Content-Type: text/plain\r\n\
         {headers}\r\n",
        body.len()
    );
    let stream = reader.get_mut();
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    let _ = stream.flush();
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut reader = reader.take(REQUEST_BYTES_MAX);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: u64 = headers.get("content-length").map_or(Some(0), |text| text.parse().ok())?;
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

fn text(status: u16, body: impl Into<String>) -> Response {
    Response { status, headers: String::new(), body: body.into() }
}

/// `None`: hangs up.
fn answer(request: &Request, state: &Mutex<State>) -> Option<Response> {
    if let Some(name) = request.path.strip_prefix("/control/") {
        return Some(control(request, name, state));
    }
    let service = match request.path.as_str() {
        path if path.starts_with("/latest/") => Service::Imds,
        path if path.starts_with("/container") => Service::Container,
        path if path.starts_with("/federation/credentials?") => Service::Sso,
        "/" => Service::Sts,
        _ => return Some(text(404, "")),
    };
    let parameters = form(&request.body);
    let (behaviour, serial, ledger) = {
        let mut state = lock(state);
        let call = match service {
            Service::Sts => ["Action", "RoleArn", "RoleSessionName", "ExternalId"]
                .iter()
                .filter_map(|name| parameters.get(*name))
                .fold(
                    String::new(),
                    |all, value| if all.is_empty() { value.clone() } else { all + " " + value },
                ),
            _ => format!("{} {}", request.method, request.path),
        };
        state.calls.entry(service.name()).or_default().push(call);
        state.serial += 1;
        let behaviour = state.behaviours.get(service.name()).cloned().unwrap_or_default();
        (behaviour, state.serial, state.ledger.clone())
    };
    std::thread::sleep(Duration::from_millis(behaviour.delay_ms));
    if behaviour.garbage {
        return Some(text(200, format!("{{\"AccessKeyId\": <b>{SECRET_MARK}")));
    }
    if behaviour.status != 0 {
        let body = match service {
            Service::Sts => sts_error(&behaviour.code),
            _ => format!("a page that repeats {SECRET_MARK}"),
        };
        return Some(text(behaviour.status, body));
    }
    let mut made = Made::new(service, behaviour.life_s, serial);
    if !behaviour.key.is_empty() {
        made.key.clone_from(&behaviour.key);
    }
    if !behaviour.session.is_empty() {
        made.session.clone_from(&behaviour.session);
    }
    let mut response = match service {
        Service::Imds => imds(request, &behaviour, &made),
        Service::Container => container(request, &behaviour, &made),
        Service::Sts => sts(request, &parameters, &behaviour, &made),
        Service::Sso => sso(request, &behaviour, &made),
    };
    if let Some(ledger) = ledger.filter(|_| response.body.contains(&made.secret)) {
        made.note_to(&ledger);
    }
    response.body += &" ".repeat(behaviour.padding);
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(behaviour.ahead_s);
    response.headers += &format!("Date: {}\r\n", now.strftime("%a, %d %b %Y %H:%M:%S GMT"));
    Some(response)
}

fn control(request: &Request, name: &str, state: &Mutex<State>) -> Response {
    let service = [Service::Imds, Service::Container, Service::Sts, Service::Sso]
        .into_iter()
        .find(|s| s.name() == name);
    let Some(service) = service else { return text(404, "") };
    let mut state = lock(state);
    match request.method.as_str() {
        "PUT" => {
            state.behaviours.insert(service.name(), Behaviour::read(&request.body));
            text(200, "")
        }
        _ => text(200, state.calls.get(service.name()).map(|calls| calls.join("\n")).unwrap_or_default()),
    }
}

/// Credentials.
struct Made {
    key: String,
    secret: String,
    session: String,
    expires_at: jiff::Timestamp,
}

impl Made {
    /// The ones numbered `serial`.
    fn new(service: Service, life_s: i64, serial: u64) -> Self {
        let name = service.name();
        Self {
            key: format!("ASIA{serial:012}"),
            secret: format!("{SECRET_MARK}/{name}+{serial}"),
            session: format!("{SECRET_MARK}//{name}+session={serial}"),
            expires_at: jiff::Timestamp::now() + jiff::SignedDuration::from_secs(life_s),
        }
    }

    fn note_to(&self, ledger: &Path) {
        let Self { key, secret, session, expires_at } = self;
        let line = format!("{key}\t{secret}\t{session}\t{}\n", expires_at.as_second());
        let file = std::fs::OpenOptions::new().append(true).open(ledger);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the ledger is there");
    }

    fn expiration(&self) -> String {
        self.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    fn json(&self) -> String {
        let Self { key, secret, session, .. } = self;
        format!(
            "{{\"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"LastUpdated\": \"2024-01-01T00:00:00Z\", \
             \"AccessKeyId\": \"{key}\", \"SecretAccessKey\": \"{secret}\", \"Token\": \"{session}\", \
             \"Expiration\": \"{}\"}}",
            self.expiration()
        )
    }
}
