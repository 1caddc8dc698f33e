//! A server that records what it is sent: whether a token was among it.

use crate::common::certs::{RDS_HOST, certs};
use crate::common::{PoolerSetup, secrets};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What the server does with the password that it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Accept,
    Refuse,
    HangUp,
}

/// How the server behaves.
pub(super) struct Behaviour {
    /// Certificate and key; `None`: no TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// The first authentication request.
    pub(super) asks: &'static [u8],
    /// Answers to passwords in turn; the last one stays.
    pub(super) replies: Vec<Reply>,
}

/// One connection as it came in.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) at: Instant,
    /// All bytes of the protocol, as they were read: inside TLS, where there was any.
    pub(super) said: Arc<Mutex<Vec<u8>>>,
    pub(super) in_tls: bool,
}

impl Visit {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("nobody panics under it")).into_owned()
    }
}

/// A server that records.
pub(super) struct Recorder {
    pub(super) port: u16,
    visits: Arc<Mutex<Vec<Visit>>>,
}

impl Recorder {
    pub(super) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the stage is set");
        let port = listener.local_addr().expect("the stage is set").port();
        let visits = Arc::new(Mutex::new(Vec::new()));
        let recorder = Self { port, visits: Arc::clone(&visits) };
        let behaviour = Arc::new(Mutex::new(behaviour));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behaviour, visits) = (Arc::clone(&behaviour), Arc::clone(&visits));
                std::thread::spawn(move || receive(stream, &behaviour, &visits));
            }
        });
        recorder
    }

    pub(super) fn usual(replies: &[Reply]) -> Self {
        Self::start(Behaviour { tls: rds_tls(), asks: CLEARTEXT, replies: replies.to_vec() })
    }

    pub(super) fn visits(&self) -> Vec<Visit> {
        self.visits.lock().expect("nobody panics under it").clone()
    }

    /// The tokens that were sent, in order.
    pub(super) fn tokens(&self) -> Vec<String> {
        let token = |visit: &Visit| {
            let text = visit.text();
            let from = text.find(RDS_HOST)?;
            let token = text[from..].split('\0').next()?.to_owned();
            assert!(visit.in_tls, "a token outside TLS");
            Some(token)
        };
        self.visits().iter().filter_map(token).collect()
    }

    /// Not a byte of a token has come: nothing after the startup message but a goodbye.
    pub(super) fn assert_no_token(&self) {
        for visit in self.visits() {
            let text = visit.text();
            for word in ["amazonaws", "Action=", "X-Amz", "AKIA", secrets::MARK] {
                assert!(!text.contains(word), "{word} has left: {text:?}");
            }
            let said = visit.said.lock().expect("nobody panics under it");
            let length = said.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
            assert!(said.get(length).is_none_or(|tag| *tag == b'X'), "something was answered: {text:?}");
        }
    }

    /// An entry of a database that lies here.
    pub(super) fn entry(&self, more: &str) -> String {
        format!(
            "host=127.0.0.1 port={} iam_host={RDS_HOST} iam_port=5432 server_auth=rds_iam \
             iam_credential_source=env server_tls_ca_file={} {more}",
            self.port,
            certs().ca().display()
        )
    }

    /// A pooler whose database `app` lies here.
    pub(super) fn pooler(&self, more: &str) -> PoolerSetup {
        let text = self.entry(more);
        PoolerSetup::at(self.port)
            .unset("server_tls_sslmode")
            .environment("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .environment("AWS_SECRET_ACCESS_KEY", secrets::MARK)
            .environment("AWS_EC2_METADATA_DISABLED", "true")
            .environment("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
            .database_at("app", &text)
            .set("server_login_retry", 600)
            .set("default_pool_size", 1) // so that tokens can be counted
            .with_page()
    }
}

pub(super) fn tls(certificate: &Path, key: &Path) -> Option<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .expect("the stage is set")
        .map(|der| der.expect("PEM of our own"))
        .collect();
    let config = ServerConfig::builder().with_no_client_auth();
    Some(Arc::new(
        config
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).expect("the stage is set"))
            .expect("the stage is set"),
    ))
}

pub(super) fn rds_tls() -> Option<Arc<ServerConfig>> {
    tls(&certs().rds(), &certs().rds_key())
}

/// What of a stream a login needs.
pub(super) trait Both: Read + Write {}

impl<T: Read + Write> Both for T {}

fn receive(mut stream: TcpStream, behaviour: &Mutex<Behaviour>, visits: &Mutex<Vec<Visit>>) {
    let tls = behaviour.lock().expect("nobody panics under it").tls.clone();
    let said = Arc::new(Mutex::new(Vec::new()));
    let visit = Visit { at: Instant::now(), said: Arc::clone(&said), in_tls: tls.is_some() };
    let mut request = [0; 8];
    let Ok(()) = stream.read_exact(&mut request) else { return };
    visits.lock().expect("nobody panics under it").push(visit);
    if request[4..] != [4, 210, 22, 47] {
        said.lock().expect("nobody panics under it").extend_from_slice(&request);
        return;
    }
    let mut stream: Box<dyn Both> = match tls {
        Some(config) => {
            stream.write_all(b"S").expect("the stage is set");
            Box::new(StreamOwned::new(ServerConnection::new(config).expect("the stage is set"), stream))
        }
        None => {
            stream.write_all(b"N").expect("the stage is set");
            Box::new(stream)
        }
    };
    let _ = converse(&mut *stream, behaviour, &said); // however it ends
}

pub(super) fn read_message(
    stream: &mut dyn Both,
    said: &Mutex<Vec<u8>>,
    is_tagged: bool,
) -> std::io::Result<Vec<u8>> {
    let mut header = vec![0; if is_tagged { 5 } else { 4 }];
    for at in 0..header.len() {
        stream.read_exact(&mut header[at..=at])?;
        said.lock().expect("nobody panics under it").push(header[at]);
    }
    let length = u32::from_be_bytes(*header.last_chunk().expect("the stage is set")) as usize;
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body)?;
    said.lock().expect("nobody panics under it").extend_from_slice(&body);
    Ok([header, body].concat())
}

pub(super) fn converse(
    stream: &mut dyn Both,
    behaviour: &Mutex<Behaviour>,
    said: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    let startup = read_message(stream, said, false)?;
    if startup[4..8] == 80_877_102u32.to_be_bytes() {
        return Ok(()); // a cancel request
    }
    let asks = behaviour.lock().expect("nobody panics under it").asks;
    stream.write_all(asks)?;
    stream.flush()?;
    if asks != OK {
        read_message(stream, said, true)?;
        let mut behaviour = behaviour.lock().expect("nobody panics under it");
        let is_last = behaviour.replies.len() == 1;
        let reply = if is_last { behaviour.replies[0] } else { behaviour.replies.remove(0) };
        drop(behaviour);
        match reply {
            Reply::Accept => {}
            Reply::Refuse => {
                let fields = "SFATAL\0C28000\0MPAM authentication failed for user \"app\"\0\0";
                stream.write_all(&crate::common::raw::frame(b'E', fields.as_bytes()))?;
                return stream.flush();
            }
            Reply::HangUp => return Ok(()),
        }
        stream.write_all(OK)?;
    }
    stream.write_all(&crate::common::raw::frame(b'S', b"server_version\x0015.4\0"))?;
    stream.write_all(&crate::common::raw::frame(b'K', &[0, 0, 0, 77, 1, 2, 3, 4]))?;
    stream.write_all(READY)?;
    stream.flush()?;
    loop {
        let message = read_message(stream, said, true)?;
        match message[0] {
            b'Q' if message.windows(5).any(|part| part == b"sleep") => continue,
            b'Q' => {}
            // An auth_query has been asked: the user's secret is `pw`.
            b'S' => {
                for (tag, body) in [(b'1', &b""[..]), (b'2', b""), (b'T', b"\0\x02")] {
                    stream.write_all(&crate::common::raw::frame(tag, body))?;
                }
                stream.write_all(&crate::common::raw::frame(b'D', b"\0\x02\0\0\0\x03eve\0\0\0\x02pw"))?;
            }
            _ => continue,
        }
        stream.write_all(&crate::common::raw::frame(b'C', b"SELECT 0\0"))?;
        stream.write_all(READY)?;
        stream.flush()?;
    }
}

pub(super) const CLEARTEXT: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 3];

pub(super) const MD5: &[u8] = &[b'R', 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4];

pub(super) const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";

pub(super) const OK: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 0];

pub(super) const READY: &[u8] = &[b'Z', 0, 0, 0, 5, b'I'];
