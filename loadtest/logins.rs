//! Clients that log in, leave and come again: the load of `loadtest/logins.py`.
//!
//! As cheap as a client can be, so that it is the pooler that is measured: one thread, SCRAM's keys
//! derived once, certificates believed unseen. Measures latencies and counts; whose CPU time it was is
//! its caller's to look up, between the two lines that it prints: one when the clients are warm, one of
//! JSON when the time is over.

use lexopt::Arg::Long;
use lexopt::ValueExt;
use pgweir::auth::scram::{NONCE_BYTES, ScramClient, ServerProof, nonce_text};
use pgweir::auth::{ScramKeys, Secret};
use pgweir::base::Password;
use pgweir::wire::authentication::{self, AuthRequest, SCRAM_SHA_256};
use pgweir::wire::{FrameHeader, HEADER_BYTES, backend, startup, tags};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Failure = Box<dyn Error>;

/// Most bytes of one message of a pooler during a login.
const MESSAGE_BYTES_MAX: u32 = 1 << 16;
/// Most iterations that a pooler may ask for.
const ITERATIONS_MAX: u32 = 100_000;
/// Failures after which it gives up: what is measured would be no logins.
const FAILURES_MAX: u64 = 100;

/// What it was asked to do.
struct Orders {
    port: u16,
    user: String,
    password: String,
    database: String,
    clients: usize,
    warm_up: Duration,
    seconds: f64,
    tls: Option<TlsConnector>,
}

fn orders() -> Result<Orders, Failure> {
    let mut orders = Orders {
        port: 6432,
        user: "postgres".to_owned(),
        password: String::new(),
        database: "postgres".to_owned(),
        clients: 16,
        warm_up: Duration::from_millis(500),
        seconds: 3.0,
        tls: None,
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("port") => orders.port = args.value()?.parse()?,
            Long("user") => orders.user = args.value()?.string()?,
            Long("password") => orders.password = args.value()?.string()?,
            Long("database") => orders.database = args.value()?.string()?,
            Long("clients") => orders.clients = args.value()?.parse()?,
            Long("seconds") => orders.seconds = args.value()?.parse()?,
            Long("tls") => orders.tls = Some(connector(false)?),
            Long("tls-resumed") => orders.tls = Some(connector(true)?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(orders)
}

fn connector(resumes: bool) -> Result<TlsConnector, Failure> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // What every pooler speaks: none must pay for a key exchange that the other does not know.
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    config.resumption = if resumes { Resumption::in_memory_sessions(16) } else { Resumption::disabled() };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Believes every certificate: to judge them is none of the pooler's costs.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What all clients share.
struct Load {
    orders: Orders,
    /// SCRAM's keys, with the salt and iterations that they are for.
    keys: RefCell<Option<(String, ScramKeys)>>,
    is_measured: Cell<bool>,
    latencies_us: RefCell<Vec<u64>>,
    resumed: Cell<u64>,
    failures: Cell<u64>,
}

impl Load {
    /// Logs in and leaves, again and again.
    async fn come_and_go(self: Rc<Self>) {
        loop {
            let begun = Instant::now();
            match self.log_in().await {
                Ok(is_resumed) if self.is_measured.get() => {
                    self.latencies_us.borrow_mut().push(begun.elapsed().as_micros() as u64);
                    self.resumed.set(self.resumed.get() + u64::from(is_resumed));
                }
                Ok(_) => {}
                Err(error) => {
                    self.failures.set(self.failures.get() + 1);
                    eprintln!("a login failed: {error}");
                    if self.failures.get() >= FAILURES_MAX {
                        return;
                    }
                }
            }
        }
    }

    /// One login; whether its TLS session was an earlier one resumed.
    async fn log_in(&self) -> Result<bool, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.orders.port));
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let Some(tls) = &self.orders.tls else {
            self.prove(socket).await?;
            return Ok(false);
        };
        let mut out = Vec::new();
        startup::write_ssl_request(&mut out);
        socket.write_all(&out).await?;
        if socket.read_u8().await? != tags::SSL_YES {
            return Err("no TLS".into());
        }
        let mut stream = tls.connect(ServerName::try_from("localhost")?, socket).await?;
        let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        self.prove(&mut stream).await?;
        Ok(is_resumed)
    }

    async fn prove(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Failure> {
        let mut out = Vec::new();
        let who = [("user", &*self.orders.user), ("database", &*self.orders.database)];
        startup::write_startup(&mut out, who);
        let mut proof = Proof::None;
        let (mut input, mut at) = (Vec::with_capacity(2_048), 0);
        loop {
            if !out.is_empty() {
                stream.write_all(&out).await?;
                stream.flush().await?;
                out.clear();
            }
            while let Some(frame) = frame(&input[at..])? {
                at += frame.len();
                if frame[0] == tags::server::READY_FOR_QUERY {
                    stream.write_all(&[tags::client::TERMINATE, 0, 0, 0, 4]).await?;
                    return Ok(stream.flush().await?);
                }
                proof = self.answer(frame, proof, &mut out)?;
            }
            if out.is_empty() {
                input.drain(..at);
                at = 0;
                if stream.read_buf(&mut input).await? == 0 {
                    return Err("the pooler has hung up".into());
                }
            }
        }
    }

    /// Answers one message of the pooler.
    fn answer(&self, frame: &[u8], proof: Proof, out: &mut Vec<u8>) -> Result<Proof, Failure> {
        let payload = &frame[HEADER_BYTES..];
        match frame[0] {
            tags::server::ERROR_RESPONSE => {
                return Err(backend::ErrorFields::read(payload)?.message().into_owned().into());
            }
            tags::server::AUTHENTICATION => {}
            _ => return Ok(proof),
        }
        match (authentication::request(payload)?, proof) {
            (AuthRequest::Ok, proof) => Ok(proof),
            (AuthRequest::CleartextPassword, proof) => {
                authentication::write_password(out, self.orders.password.as_bytes());
                Ok(proof)
            }
            (AuthRequest::Md5Password { salt }, proof) => {
                let secret = Secret::parse(&self.orders.password);
                let answer = secret.md5_answer(&self.orders.user, salt).ok_or("no password")?;
                authentication::write_password(out, answer.expose().as_bytes());
                Ok(proof)
            }
            (AuthRequest::Sasl(_), _) => {
                let mut nonce = [0; NONCE_BYTES];
                nonce.fill_with(|| fastrand::u8(..));
                let (client, first) = ScramClient::start(nonce_text(nonce));
                authentication::write_sasl_initial(out, SCRAM_SHA_256, first.as_bytes());
                Ok(Proof::Begun(client))
            }
            (AuthRequest::SaslContinue(challenge), Proof::Begun(client)) => {
                let (proof, last) = self.scram(client, challenge)?;
                authentication::write_sasl_response(out, last.as_bytes());
                Ok(Proof::Sent(proof))
            }
            (AuthRequest::SaslFinal(last), Proof::Sent(proof)) => {
                proof.check(last)?;
                Ok(Proof::None)
            }
            (other, _) => Err(format!("not expected: {other:?}").into()),
        }
    }

    fn scram(&self, client: ScramClient, challenge: &[u8]) -> Result<(ServerProof, String), Failure> {
        let text = std::str::from_utf8(challenge)?;
        let (_, salt) = text.split_once(",s=").ok_or("no salt")?;
        let challenge = client.challenged(challenge, ITERATIONS_MAX)?;
        let mut keys = self.keys.borrow_mut();
        let (_, keys) = match keys.take().filter(|(of, _)| of == salt) {
            Some(known) => keys.insert(known),
            None => {
                let sum = challenge.sum(&Password::new(self.orders.password.as_str()));
                keys.insert((salt.to_owned(), sum.compute()))
            }
        };
        Ok(challenge.answer(keys))
    }
}

/// How far a SCRAM exchange is.
enum Proof {
    None,
    Begun(ScramClient),
    Sent(ServerProof),
}

/// The message at the front of `input`, if it is whole.
fn frame(input: &[u8]) -> Result<Option<&[u8]>, Failure> {
    let header = FrameHeader::read(input, MESSAGE_BYTES_MAX)?;
    Ok(header.and_then(|header| input.get(..header.frame_bytes)))
}

async fn run(orders: Orders) -> Result<(), Failure> {
    let load = Rc::new(Load {
        keys: RefCell::default(),
        is_measured: Cell::new(false),
        latencies_us: RefCell::default(),
        resumed: Cell::new(0),
        failures: Cell::new(0),
        orders,
    });
    for _ in 0..load.orders.clients {
        tokio::task::spawn_local(Rc::clone(&load).come_and_go());
    }
    tokio::time::sleep(load.orders.warm_up).await;
    say("warm")?;
    load.is_measured.set(true);
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs_f64(load.orders.seconds)).await;
    load.is_measured.set(false);
    let seconds = begun.elapsed().as_secs_f64();
    let mut latencies = load.latencies_us.take();
    latencies.sort_unstable();
    let at = |part: usize| latencies.get(latencies.len() * part / 100).copied().unwrap_or_default();
    say(&format!(
        "{{\"logins\": {}, \"seconds\": {seconds:.3}, \"resumed\": {}, \"failures\": {}, \"p50_us\": {}, \
         \"p99_us\": {}}}",
        latencies.len(),
        load.resumed.get(),
        load.failures.get(),
        at(50),
        at(99),
    ))
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn main() -> Result<(), Failure> {
    let orders = orders()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(orders))
}
