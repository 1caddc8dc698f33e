//! AWS Secrets Manager as one local HTTP server, with faults that a test sets.
//!
//! Knows GetSecretValue alone. Checks each signature by itself; who signs otherwise is refused as AWS does.
//! Without a stage it is asked for nothing: the pooler always names one. STS, asked for at the same address,
//! is refused.

use aws_lc_rs::{digest, hmac};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The region of all secrets.
const REGION: &str = "eu-west-1";

/// Who may ask.
pub const KEY: &str = "AKIAVAULT";

/// What signs for that; it has the mark of secrets.
pub const SECRET_KEY: &str = "hUsHhUsH-signs";

#[derive(Default)]
struct State {
    /// By ARN and stage: version and text.
    versions: HashMap<(String, String), (String, String)>,
    /// What was asked: ARN's name and stage.
    calls: Vec<String>,
    /// This error in place of an answer; `hang` and `garbage` are no codes of AWS's.
    fault: Option<String>,
}

/// The running vault. Dropping it ends it.
pub struct Vault {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
}

/// The ARN of the secret called `name`.
pub fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:123456789012:secret:{name}-AbCdEf")
}

impl Vault {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (state, ended) = (Arc::<Mutex<State>>::default(), Arc::new(AtomicBool::new(false)));
        let (served, stop) = (Arc::clone(&state), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (state, stop) = (Arc::clone(&served), Arc::clone(&stop));
                std::thread::spawn(move || converse(stream, &state, &stop));
            }
        });
        Self { address, state, ended }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.address.port())
    }

    /// Gives a version of a secret its stage; `None`: there is none at that stage any more.
    pub fn put(&self, name: &str, stage: &str, version: Option<(&str, &str)>) {
        let key = (arn(name), stage.to_owned());
        let mut state = lock(&self.state);
        match version {
            Some((id, text)) => drop(state.versions.insert(key, (id.into(), text.into()))),
            None => drop(state.versions.remove(&key)),
        }
    }

    /// Answers with this error from now on; `None`: does its work.
    pub fn fail(&self, fault: Option<&str>) {
        lock(&self.state).fault = fault.map(str::to_owned);
    }

    /// What was asked, oldest first: name and stage.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.state).calls.clone()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn converse(stream: TcpStream, state: &Mutex<State>, ended: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut reader = BufReader::new(stream);
    let Some((headers, body)) = read(&mut reader) else { return };
    let (status, answer) = answer(&headers, &body, state);
    while answer == "hang" && !ended.load(Ordering::SeqCst) && lock(state).fault.as_deref() == Some("hang") {
        std::thread::sleep(Duration::from_millis(20));
    }
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\
         Content-Type: application/x-amz-json-1.1\r\n\r\n",
        answer.len()
    );
    let stream = reader.get_mut();
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes()));
}

fn read(reader: &mut impl BufRead) -> Option<(HashMap<String, String>, String)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
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
    Some((headers, body))
}

fn error(status: u16, code: &str) -> (u16, String) {
    let message = match code {
        "AccessDeniedException" => {
            "User: arn:aws:iam::123456789012:user/pool is not authorized to perform: \
             secretsmanager:GetSecretValue on resource: app"
        }
        // what an answer repeats of a request must not be shown
        _ => "what was sent: hUsHhUsH",
    };
    (status, format!("{{\"__type\":\"{code}\",\"Message\":\"{message}\"}}"))
}

fn answer(headers: &HashMap<String, String>, body: &str, state: &Mutex<State>) -> (u16, String) {
    if headers.get("x-amz-target").map(String::as_str) != Some("secretsmanager.GetSecretValue") {
        return (403, String::new());
    }
    let of = |name: &str| {
        let rest = body.split_once(&format!("\"{name}\":\"")).map_or("", |(_, rest)| rest);
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let (arn, stage) = (of("SecretId"), of("VersionStage"));
    let mut state = lock(state);
    let name = arn.rsplit(':').next().unwrap_or_default().trim_end_matches("-AbCdEf").to_owned();
    state.calls.push(format!("{name} {stage}"));
    match state.fault.as_deref() {
        Some("hang") => return (200, "hang".to_owned()),
        Some("garbage") => return (200, "{\"SecretString\": <b>hUsHhUsH".to_owned()),
        Some("InternalServiceError") => return error(500, "InternalServiceError"),
        Some(code) => return error(400, code),
        None => {}
    }
    if !is_signed(headers, body) {
        return error(400, "InvalidSignatureException");
    }
    match state.versions.get(&(arn.clone(), stage.clone())) {
        None => error(400, "ResourceNotFoundException"),
        Some((id, text)) => {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let answer = format!(
                "{{\"ARN\":\"{arn}\",\"CreatedDate\":1.7E9,\"Name\":\"{name}\",\"SecretString\":\"{text}\",\
                 \"VersionId\":\"{id}\",\"VersionStages\":[\"{stage}\"]}}"
            );
            (200, answer)
        }
    }
}

/// Whether the request is signed as AWS wants it (IAM User Guide, "Create a signed AWS API request").
fn is_signed(headers: &HashMap<String, String>, body: &str) -> bool {
    let of = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    let part = |name: &str| {
        let rest = of("authorization").split_once(name).map_or("", |(_, rest)| rest);
        rest.split(',').next().unwrap_or_default().trim().to_owned()
    };
    let (time, names) = (of("x-amz-date"), part("SignedHeaders="));
    if time.len() != 16 {
        return false;
    }
    let scope = format!("{}/{REGION}/secretsmanager/aws4_request", &time[..8]);
    let signed: String = names.split(';').map(|name| format!("{name}:{}\n", of(name))).collect();
    let request = format!("POST\n/\n\n{signed}\n{names}\n{}", sha256(body));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(&request));
    let chain = |key: Vec<u8>, part: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec()
    };
    let key = format!("AWS4{SECRET_KEY}").into_bytes();
    let key = [&time[..8], REGION, "secretsmanager", "aws4_request"].into_iter().fold(key, chain);
    part("Credential=") == format!("{KEY}/{scope}") && part("Signature=") == hex(&chain(key, &text))
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
