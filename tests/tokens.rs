//! Where tokens go, and where not a byte of one goes: the whole program against a server that
//! records all that it is sent.
//!
//! The server speaks as much of the protocol as a login needs, does what its test tells it, and keeps every
//! byte that comes in, inside TLS and outside. Tokens are only looked at, never verified: that is the matter
//! of the tests against a real PostgreSQL.

#[path = "common/mod.rs"]
mod common;
#[path = "tokens/reloads.rs"]
mod reloads;

use common::certs::{RDS_HOST, certs};
use common::raw::{Outcome, Raw};
use common::story::{SOME, Story};
use common::{Pooler, PoolerSetup, secrets, wait_until};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CLEARTEXT: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 3];
const MD5: &[u8] = &[b'R', 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4];
const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
const OK: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 0];
const READY: &[u8] = &[b'Z', 0, 0, 0, 5, b'I'];

/// What the server does with the password that it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Accept,
    Refuse,
    HangUp,
}

/// How the server behaves.
struct Behaviour {
    /// Certificate and key; `None`: no TLS.
    tls: Option<Arc<ServerConfig>>,
    /// The first authentication request.
    asks: &'static [u8],
    /// Answers to passwords in turn; the last one stays.
    replies: Vec<Reply>,
}

/// One connection as it came in.
#[derive(Clone, Debug)]
struct Visit {
    at: Instant,
    /// All bytes of the protocol, as they were read: inside TLS, where there was any.
    said: Arc<Mutex<Vec<u8>>>,
    in_tls: bool,
}

impl Visit {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("nobody panics under it")).into_owned()
    }
}

/// A server that records.
struct Recorder {
    port: u16,
    visits: Arc<Mutex<Vec<Visit>>>,
}

fn tls(certificate: &Path, key: &Path) -> Option<Arc<ServerConfig>> {
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

fn rds_tls() -> Option<Arc<ServerConfig>> {
    tls(&certs().rds(), &certs().rds_key())
}

impl Recorder {
    fn start(behaviour: Behaviour) -> Self {
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

    fn usual(replies: &[Reply]) -> Self {
        Self::start(Behaviour { tls: rds_tls(), asks: CLEARTEXT, replies: replies.to_vec() })
    }

    fn visits(&self) -> Vec<Visit> {
        self.visits.lock().expect("nobody panics under it").clone()
    }

    /// The tokens that were sent, in order.
    fn tokens(&self) -> Vec<String> {
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
    fn assert_no_token(&self) {
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
    fn entry(&self, more: &str) -> String {
        format!(
            "host=127.0.0.1 port={} iam_host={RDS_HOST} iam_port=5432 server_auth=rds_iam \
             iam_credential_source=env server_tls_ca_file={} {more}",
            self.port,
            certs().ca().display()
        )
    }

    /// A pooler whose database `app` lies here.
    fn pooler(&self, more: &str) -> PoolerSetup {
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

/// What of a stream a login needs.
trait Both: Read + Write {}
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

fn read_message(stream: &mut dyn Both, said: &Mutex<Vec<u8>>, is_tagged: bool) -> std::io::Result<Vec<u8>> {
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

fn converse(
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
                stream.write_all(&common::raw::frame(b'E', fields.as_bytes()))?;
                return stream.flush();
            }
            Reply::HangUp => return Ok(()),
        }
        stream.write_all(OK)?;
    }
    stream.write_all(&common::raw::frame(b'S', b"server_version\x0015.4\0"))?;
    stream.write_all(&common::raw::frame(b'K', &[0, 0, 0, 77, 1, 2, 3, 4]))?;
    stream.write_all(READY)?;
    stream.flush()?;
    loop {
        let message = read_message(stream, said, true)?;
        match message[0] {
            b'Q' if message.windows(5).any(|part| part == b"sleep") => continue,
            b'Q' => {}
            // an auth_query has been asked: the user's secret is `pw`
            b'S' => {
                for (tag, body) in [(b'1', &b""[..]), (b'2', b""), (b'T', b"\0\x02")] {
                    stream.write_all(&common::raw::frame(tag, body))?;
                }
                stream.write_all(&common::raw::frame(b'D', b"\0\x02\0\0\0\x03eve\0\0\0\x02pw"))?;
            }
            _ => continue,
        }
        stream.write_all(&common::raw::frame(b'C', b"SELECT 0\0"))?;
        stream.write_all(READY)?;
        stream.flush()?;
    }
}

/// What a client hears that logs in and asks something.
fn ask(pooler: &Pooler) -> Result<Outcome, String> {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", "app")]);
    let outcome = raw.outcome();
    match outcome.errors.first() {
        Some(error) => Err(error.clone()),
        None => Ok(raw.simple("select 1")),
    }
}

fn end(pooler: Pooler) {
    secrets::none_in("the log", &pooler.log());
}

#[test]
fn a_verified_server_that_asks_gets_a_token_of_its_own() {
    let server = Recorder::usual(&[Reply::Accept]);
    let pooler = server.pooler("").start();
    assert!(ask(&pooler).unwrap().errors.is_empty());
    let tokens = server.tokens();
    assert_eq!(tokens.len(), 1);
    assert!(
        tokens[0].starts_with(&format!("{RDS_HOST}:5432/?Action=connect&DBUser=app&")),
        "the endpoint's own"
    );
    assert!(tokens[0].contains("eu-central-1%2Frds-db%2Faws4_request"));
    let said = server.visits()[0].text();
    assert!(said.contains("user\0app\0database\0app\0"), "{said:?}");
    end(pooler);
}

/// Nobody is sent a token who is not proven to be the endpoint; clients learn why when their time is over.
fn sends_nothing(behaviour: Behaviour, ca: &Path) {
    let server = Recorder::start(behaviour);
    let own = format!("server_tls_ca_file={}", ca.display());
    let pooler = server.pooler(&own).set("query_wait_timeout", 2).start();
    let error = ask(&pooler).expect_err("no server");
    assert!(
        error.starts_with(
            "FATAL 08006: query_wait_timeout: no verified TLS with the server; no token was sent"
        ),
        "{error}"
    );
    assert!(!server.visits().is_empty(), "it was called");
    Story::UNTRUSTED.told_by(&pooler);
    server.assert_no_token();
    end(pooler);
}

#[test]
fn another_authority_sees_no_token() {
    sends_nothing(
        Behaviour { tls: rds_tls(), asks: CLEARTEXT, replies: vec![Reply::Accept] },
        &certs().other_ca(),
    );
}

#[test]
fn a_server_without_tls_sees_no_token() {
    sends_nothing(Behaviour { tls: None, asks: CLEARTEXT, replies: vec![Reply::Accept] }, &certs().ca());
}

#[test]
fn another_name_sees_no_token() {
    let tls = tls(&certs().stranger(), &certs().stranger_key());
    sends_nothing(Behaviour { tls, asks: CLEARTEXT, replies: vec![Reply::Accept] }, &certs().ca());
}

#[test]
fn a_request_for_another_proof_gets_no_token() {
    for (asks, words) in [
        (SASL, "role app is not a member of rds_iam: the server asked for SCRAM"),
        (MD5, "role app is not a member of rds_iam: the server asked for md5"),
        (OK, "the server let role app in without asking for a token"),
    ] {
        let server = Recorder::start(Behaviour { tls: rds_tls(), asks, replies: vec![Reply::Accept] });
        let pooler = server.pooler("").start();
        let error = ask(&pooler).unwrap_err();
        assert!(error.starts_with(&format!("FATAL 28000: {words} (endpoint {RDS_HOST}:5432")), "{error}");
        server.assert_no_token();
        assert_eq!(server.visits().len(), 1, "what a new token cannot cure is not tried again at once");
        pooler.wait_for_log(words);
        let story = Story {
            class: "denied",
            last_error: words,
            ok: 0..=0,
            failed: &[("denied", SOME)],
            stance: "keep_to_hard_age",
            ..Story::FINE
        };
        story.told_by(&pooler);
        end(pooler);
    }
}

#[test]
fn a_refused_token_is_followed_by_a_fresh_one_and_clients_notice_nothing() {
    let server = Recorder::usual(&[Reply::Refuse, Reply::Accept]);
    let pooler = server.pooler("").start();
    assert!(ask(&pooler).unwrap().errors.is_empty());
    assert_eq!(server.tokens().len(), 2);
    pooler.wait_for_log("logins by IAM as role app succeed again");
    end(pooler);
}

#[test]
fn a_user_that_is_denied_is_told_and_tried_again_with_pauses() {
    let server = Recorder::usual(&[Reply::Refuse, Reply::Refuse, Reply::Refuse, Reply::Accept]);
    let pooler = server.pooler("").start();
    let error = ask(&pooler).unwrap_err();
    let why = "the token for role app was refused, probably because the principal has no permission";
    assert!(error.starts_with(&format!("FATAL 28000: {why}")), "{error}");
    assert_eq!(server.tokens().len(), 3, "a fresh token, fresh credentials");
    wait_until("it is let in again without a reload", || ask(&pooler).is_ok());
    let log = pooler.log();
    assert_eq!(log.matches("login by IAM failed (denied)").count(), 1, "told once: {log}");
    assert!(log.contains("check rds-db:connect for dbuser app"), "{log}");
    end(pooler);
}

#[test]
fn a_server_that_hangs_up_over_a_token_is_waited_for() {
    let server = Recorder::usual(&[Reply::HangUp, Reply::Accept]);
    let pooler = server.pooler("").start();
    assert!(ask(&pooler).unwrap().errors.is_empty(), "it was slow once");
    let gone = Recorder::usual(&[Reply::HangUp]);
    let pooler = gone.pooler("").set("query_wait_timeout", 2).start();
    let error = ask(&pooler).unwrap_err();
    let why = "the server closed the connection while it checked the token of role app";
    assert!(error.starts_with(&format!("FATAL 08006: query_wait_timeout: {why}")), "{error}");
    end(pooler);
}

#[test]
fn without_credentials_the_pooler_starts_and_clients_learn_why_they_waited() {
    let server = Recorder::usual(&[Reply::Accept]);
    let setup = server.pooler("iam_credential_source=container").set("query_wait_timeout", 2);
    let pooler = setup.environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", "").start();
    let error = ask(&pooler).unwrap_err();
    assert!(
        error.starts_with(
            "FATAL 08006: query_wait_timeout: no AWS credentials: no credentials found, source container"
        ),
        "{error}"
    );
    assert!(server.visits().is_empty(), "no use to knock without a token");
    let closings = pooler.log().matches("closing because: no AWS credentials").count();
    assert_eq!(closings, 1, "one line, not one a second: {}", pooler.log());
    end(pooler);
}

#[test]
fn a_dead_host_of_a_list_costs_no_login() {
    let server = Recorder::usual(&[Reply::Accept]);
    for balance in ["round-robin", "disable"] {
        let more = format!("host=127.0.0.2,127.0.0.1 load_balance_hosts={balance}");
        // the dead one listens nowhere: the recorder's port on another address of the loopback network
        let pooler = server.pooler(&more).start();
        assert!(ask(&pooler).unwrap().errors.is_empty(), "{balance}");
        end(pooler);
    }
}

/// The roles that tokens were made for, in order, each once in a row.
fn roles(server: &Recorder) -> Vec<String> {
    let role = |token: &String| {
        let (_, rest) = token.split_once("DBUser=").expect("every token has one");
        rest.split('&').next().unwrap_or_default().to_owned()
    };
    let mut roles: Vec<_> = server.tokens().iter().map(role).collect();
    roles.dedup(); // a pool may open one server more than it needs
    roles
}

#[test]
fn whoever_the_servers_user_is_its_token_is_its_own() {
    let server = Recorder::usual(&[Reply::Accept]);
    let text = |pooler: PoolerSetup, name: &str, more: &str| {
        let entry = format!(
            "host=127.0.0.1 port={} iam_host={RDS_HOST} server_tls_ca_file={} {more}",
            server.port,
            certs().ca().display()
        );
        pooler.database_at(name, &entry)
    };
    let setup = text(server.pooler(""), "forced", "server_auth=rds_iam user=reports");
    let setup = text(setup, "*", "server_auth=rds_iam");
    let setup = text(setup, "mixed", "").user_settings("other", "server_auth=rds_iam");
    let pooler = setup.set("iam_credential_source", "env").start();
    for (user, database) in [("app", "forced"), ("app", "made"), ("other", "mixed")] {
        assert!(Raw::log_in(pooler.port, user, database).simple("select 1").errors.is_empty(), "{database}");
    }
    assert_eq!(roles(&server), ["reports", "app", "other"]);
    let said: Vec<String> = server.visits().iter().map(Visit::text).collect();
    assert!(said[1].contains("database\0made\0"), "{said:?}");
    end(pooler);
}

#[test]
fn auth_query_runs_as_a_user_that_logs_in_by_iam() {
    let server = Recorder::usual(&[Reply::Accept]);
    let pooler = server.pooler("auth_user=lookup").set("auth_type", "plain").start();
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "eve"), ("database", "app")]);
    assert_eq!(raw.read().map(|frame| frame.tag), Some(b'R'));
    assert_eq!(roles(&server), ["lookup"]);
    raw.send(&common::raw::frame(b'p', b"pw\0"));
    assert_eq!(raw.outcome().status, Some(b'I'), "it is who it says");
    assert_eq!(roles(&server), ["lookup", "eve"], "a token, and not the secret that was found");
    end(pooler);
}

#[test]
fn logins_keep_to_the_budget_of_their_endpoint() {
    let server = Recorder::usual(&[Reply::Accept]);
    let pooler = server.pooler("iam_login_rate=5 pool_size=20").set("pool_mode", "session").start();
    let clients: Vec<Raw> = (0..14).map(|_| Raw::log_in(pooler.port, "app", "app")).collect();
    let asked: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                assert!(client.simple("select 1").errors.is_empty());
                client
            })
        })
        .collect();
    let _held: Vec<Raw> = asked.into_iter().map(|thread| thread.join().unwrap()).collect();
    let times: Vec<Instant> = server.visits().iter().map(|visit| visit.at).collect();
    assert_eq!(times.len(), 14);
    for (index, from) in times.iter().enumerate() {
        let within = times[index..].iter().filter(|at| **at - *from < Duration::from_millis(950)).count();
        // a burst of 5 and 5 more; what is late by some of them arrives closer together
        assert!(within <= 12, "{within} logins within a second");
    }
    assert!(times[13] - times[0] > Duration::from_millis(1_500), "{:?}", times[13] - times[0]);
    end(pooler);
}

#[test]
fn a_trouble_that_has_passed_is_noticed_although_no_server_is_wanted() {
    let server = Recorder::usual(&[Reply::Accept, Reply::HangUp, Reply::HangUp, Reply::Accept]);
    let setup = server.pooler("pool_size=1").database_at("other", &server.entry(""));
    let pooler = setup.set("query_wait_timeout", 1).start();
    let _served = Raw::log_in(pooler.port, "app", "app");
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", "other")]);
    assert!(
        raw.last_words().contains("closed the connection while it checked the token"),
        "the same role is in trouble"
    );
    // nobody wants a server any more, and the pool that has one has no room for another
    pooler.wait_for_log("logins by IAM as role app succeed again");
    let probe = server.visits().pop().expect("it was called").text();
    assert!(probe.contains("database\0pgweir_login_probe\0"), "no session of the database comes of it");
    assert_eq!(server.tokens().len(), 4);
    end(pooler);
}

#[test]
fn a_cancel_request_takes_the_way_of_its_server() {
    let server = Recorder::usual(&[Reply::Accept]);
    let pooler = server.pooler("").set("query_wait_timeout", 5).start();
    let mut client = Raw::log_in(pooler.port, "app", "app");
    client.send(&common::raw::query("sleep"));
    wait_until("the query has come", || server.visits()[0].text().contains("sleep"));
    Raw::tcp(pooler.port).send(&common::raw::cancel_request(&client.key));
    wait_until("the cancel request has come", || server.visits().len() == 2);
    let cancel = server.visits().remove(1);
    wait_until("it is whole", || cancel.said.lock().unwrap().len() == 16);
    assert!(cancel.in_tls);
    assert_eq!(cancel.said.lock().unwrap()[8..], [0, 0, 0, 77, 1, 2, 3, 4], "the server's own key");
    end(pooler);
}

#[test]
fn a_database_whose_token_cannot_be_safe_is_no_configuration() {
    let server = Recorder::usual(&[Reply::Accept]);
    let mut pooler = server.pooler("").set("server_tls_sslmode", "require").launch();
    assert!(!pooler.wait().success());
    assert!(pooler.log().contains("pgweir.ini:") && pooler.log().contains("verify-full"), "{}", pooler.log());
    let running = server.pooler("").start();
    let outcome = running.ask("set server_tls_sslmode = 'prefer'");
    assert_eq!(outcome.errors.len(), 1, "{outcome:?}");
    running.wait_for_log("server_tls_sslmode=prefer is too weak");
    assert!(ask(&running).is_ok(), "and nothing has changed");
}
