//! TLS on simulated wires: real sessions at both ends. The handshake is done in memory before the wire is
//! used, as the login plane does it before a worker has the connection; from then on the wire carries
//! records, cut and delayed like all bytes.
//!
//! Ciphertext differs from run to run, its lengths do not: so nothing that is decided depends on it. What the
//! far end reads is compared with what the core has said is to be sent there, and what the core hears with
//! what the far end has said.

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection, version,
};
use std::collections::VecDeque;
use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

/// Most bytes of one record.
pub const RECORD_BYTES_MAX: usize = 18 * 1024;

/// Both ends' settings for TLS 1.3 and 1.2, with a certificate of this thread's own.
struct Configs {
    server: [Arc<ServerConfig>; 2],
    client: [Arc<ClientConfig>; 2],
}

thread_local! {
    static CONFIGS: Configs = Configs::new();
}

impl Configs {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["sim".to_owned()]).expect("a certificate");
        let cert = made.cert.der().clone();
        let key = made.signing_key.serialize_der();
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).expect("a root");
        let versions = [&version::TLS13, &version::TLS12];
        let server = versions.map(|version| {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
            let config = ServerConfig::builder_with_protocol_versions(&[version]).with_no_client_auth();
            let mut config = config.with_single_cert(vec![cert.clone()], key).expect("a key");
            config.send_tls13_tickets = 0;
            Arc::new(config)
        });
        let client = versions.map(|version| {
            let config = ClientConfig::builder_with_protocol_versions(&[version]);
            Arc::new(config.with_root_certificates(roots.clone()).with_no_client_auth())
        });
        Self { server, client }
    }
}

/// The far end's session, and what it has said and the core has not consumed.
pub struct Far {
    tls: Box<Connection>,
    /// The pooler's session, until its worker gets the connection.
    near: Option<Box<Connection>>,
    pub said: VecDeque<u8>,
    /// Its last word is TLS's own goodbye.
    pub is_polite: bool,
    /// It has heard that of the pooler.
    pub has_heard_goodbye: bool,
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Far").field("said", &self.said.len()).finish_non_exhaustive()
    }
}

impl Far {
    /// Two sessions, handshake done; the pooler's end is the server's towards clients.
    pub fn new(near_is_server: bool, is_old_version: bool, is_polite: bool) -> Self {
        let (mut server, mut client) = CONFIGS.with(|configs| {
            let at = usize::from(is_old_version);
            let name = ServerName::try_from("sim").expect("a name");
            let server = ServerConnection::new(Arc::clone(&configs.server[at])).expect("a server");
            let client = ClientConnection::new(Arc::clone(&configs.client[at]), name).expect("a client");
            (Connection::from(server), Connection::from(client))
        });
        server.set_buffer_limit(None);
        client.set_buffer_limit(None);
        while server.is_handshaking() || client.is_handshaking() {
            pass(&mut client, &mut server);
            pass(&mut server, &mut client);
        }
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
        let (near, far) = if near_is_server { (server, client) } else { (client, server) };
        Self {
            tls: Box::new(far),
            near: Some(Box::new(near)),
            said: VecDeque::new(),
            is_polite,
            has_heard_goodbye: false,
        }
    }

    /// The pooler's end, once.
    pub fn take_near(&mut self) -> Option<Box<Connection>> {
        self.near.take()
    }

    /// The records that say this, and whatever else the session has to say.
    pub fn say(&mut self, plain: &[u8], renews_keys: bool) -> Vec<u8> {
        if renews_keys {
            // There is no such thing before TLS 1.3.
            drop(self.tls.refresh_traffic_keys());
        }
        self.tls.writer().write_all(plain).expect("a session without a limit");
        self.said.extend(plain);
        records(&mut self.tls)
    }

    pub fn say_goodbye(&mut self) -> Vec<u8> {
        self.tls.send_close_notify();
        records(&mut self.tls)
    }

    /// The core has been given `input` and has consumed so much of it; how much it keeps.
    pub fn consume(&mut self, input: &[u8], consumed: usize) -> usize {
        let is_said =
            input.len() <= self.said.len() && self.said.iter().zip(input).all(|(said, heard)| said == heard);
        assert!(is_said, "the core hears what nobody has said");
        self.said.drain(..consumed);
        input.len() - consumed
    }

    /// What stands in these bytes of the pooler's, as far as the records are whole.
    pub fn hear(&mut self, mut cipher: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !cipher.is_empty() && !self.has_heard_goodbye {
            self.tls.read_tls(&mut cipher).expect("memory");
            let state = self.tls.process_new_packets().expect("records as they were sealed");
            self.has_heard_goodbye = state.peer_has_closed();
            let mut part = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut part).expect("what is there");
            plain.extend(part);
        }
        plain
    }
}

fn records(tls: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut out).expect("memory");
    }
    out
}

fn pass(from: &mut Connection, to: &mut Connection) {
    let bytes = records(from);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).expect("memory");
        to.process_new_packets().expect("a handshake");
    }
}
