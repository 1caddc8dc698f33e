//! Which clients may take up a TLS session again, and which must shake hands anew.

use super::tests::Files;
use super::{Acceptor, acceptor};
use rustls::HandshakeKind::{self, Full, Resumed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection};
use std::sync::Arc;

/// A client that remembers sessions, and shows a certificate where it is asked for one.
fn client(files: &Files) -> Arc<ClientConfig> {
    Arc::new(files.client(Some(files), &[]))
}

/// Shakes hands in memory and takes what the server sends behind that.
fn connect(ours: &Acceptor, client: &Arc<ClientConfig>) -> HandshakeKind {
    let mut server = ServerConnection::new(Arc::clone(&ours.config)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    let kind = server.handshake_kind().unwrap();
    assert_eq!(client.handshake_kind(), Some(kind));
    kind
}

fn made(files: &Files, more: &[(&str, &str)]) -> Acceptor {
    acceptor(&files.settings(more)).unwrap().unwrap()
}

const VERSIONS: [(&str, &str); 2] =
    [("client_tls_protocols", "tlsv1.2"), ("client_tls_protocols", "tlsv1.3")];

#[test]
fn a_client_that_comes_again_resumes_its_session() {
    let files = Files::new();
    for version in VERSIONS {
        let (ours, client) = (made(&files, &[version]), client(&files));
        let kinds = [(); 3].map(|()| connect(&ours, &client));
        assert_eq!(kinds, [Full, Resumed, Resumed], "{version:?}");
        let stranger = self::client(&files);
        assert_eq!(connect(&ours, &stranger), Full, "another's ticket is another's");
    }
}

#[test]
fn a_reload_that_changes_nothing_of_tls_keeps_tickets_good() {
    let files = Files::new();
    for version in VERSIONS {
        let (ours, client) = (made(&files, &[version]), client(&files));
        assert_eq!(connect(&ours, &client), Full);
        let again = made(&files, &[version, ("client_tls_sslmode", "prefer")]).or_before(Some(&ours));
        assert_eq!(connect(&again, &client), Resumed, "{version:?}");
    }
}

#[test]
fn what_changes_in_certificate_key_or_suites_makes_tickets_worthless() {
    let (files, others) = (Files::new(), Files::new());
    let read = |files: &Files, name: &str| std::fs::read_to_string(files.path(name)).unwrap();
    let both = read(&files, "ca.crt") + &read(&others, "ca.crt");
    std::fs::write(files.path("ca.crt"), both).unwrap();
    let (cert, key) = (others.path("site.crt"), others.path("site.key"));
    let renewed = [("client_tls_cert_file", &*cert), ("client_tls_key_file", &*key)];
    let narrowed = [("client_tls13_ciphers", "TLS_AES_256_GCM_SHA384")];
    for version in VERSIONS {
        let changes: [&[(&str, &str)]; 2] = [&renewed, &narrowed];
        for change in changes {
            let (ours, client) = (made(&files, &[version]), client(&files));
            assert_eq!(connect(&ours, &client), Full);
            let changed = made(&files, &[&[version], change].concat()).or_before(Some(&ours));
            assert_eq!(connect(&changed, &client), Full, "{version:?} {change:?}");
            let back = made(&files, &[version]).or_before(Some(&changed));
            assert_eq!(connect(&back, &client), Full, "and nothing brings them back");
        }
    }
}

#[test]
fn where_certificates_of_clients_are_looked_at_they_are_each_time() {
    let files = Files::new();
    let ca = files.path("ca.crt");
    for version in VERSIONS {
        for mode in ["require", "verify-ca", "verify-full"] {
            let client = client(&files);
            let open = made(&files, &[version]);
            assert_eq!(connect(&open, &client), Full);
            let demand = [version, ("client_tls_ca_file", &*ca), ("client_tls_sslmode", mode)];
            let ours = made(&files, &demand).or_before(Some(&open));
            let again = made(&files, &demand).or_before(Some(&ours));
            for acceptor in [&ours, &ours, &again] {
                assert_eq!(connect(acceptor, &client), Full, "{version:?} {mode}");
            }
        }
    }
}
