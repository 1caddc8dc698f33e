//! Passwords that a directory knows, which does not answer: who waits for it, and what that costs others.

use super::*;
use crate::auth::ldap::LdapOptions;
use std::net::TcpListener;

/// Clients whose directory is there, and says nothing.
fn clients_of_a_silent_directory() -> (Arc<Clients>, Receivers, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = format!("ldapserver=127.0.0.1 ldapport={port} ldapprefix=uid=");
    let mut policy = policy("d =", "auth_type = ldap");
    policy.ldap.options = Some(LdapOptions::parse(options.as_bytes()).unwrap().into());
    let (clients, doors) = clients_by(policy);
    (clients, doors, listener)
}

/// A client that has sent its password.
async fn asking(clients: &Arc<Clients>) -> UnixStream {
    let mut peer = over_tcp(clients);
    say_hello(&mut peer, &[("user", "u"), ("database", "d")]).await;
    assert_eq!(message(&mut peer).await.unwrap().0, tags::server::AUTHENTICATION);
    let mut out = Vec::new();
    authentication::write_password(&mut out, b"pencil");
    peer.write_all(&out).await.unwrap();
    peer
}

#[tokio::test]
async fn who_waits_for_a_turn_at_a_directory_makes_room_for_others() {
    const WAITING: usize = 3;
    let (clients, _doors, _directory) = clients_of_a_silent_directory();
    let mut peers = Vec::new();
    for _ in 0..limits::LDAP_LOGINS_EACH_MAX + WAITING {
        peers.push(asking(&clients).await);
    }
    let servers = clients.plane.policy.load().ldap.options.clone().unwrap().servers.clone();
    let turns = clients.ldap_turns.of(&servers);
    until(|| turns.counts() == (limits::LDAP_LOGINS_EACH_MAX, WAITING)).await;
    let remote = Address::Tcp(TCP.parse().unwrap());
    let limit = peers.len();
    let patience = Duration::from_millis(5 * limits::LOGIN_GRACE_MS);
    let mut newcomers = Vec::new();
    for _ in 0..WAITING {
        let admitted = tokio::time::timeout(patience, clients.unauthenticated.admit(&remote, || limit)).await;
        newcomers.push(admitted.expect("one of those who wait has to go"));
    }
    assert_eq!(clients.unauthenticated.cut_off(), WAITING as u64);
    assert_eq!(turns.counts(), (limits::LDAP_LOGINS_EACH_MAX, 0), "whose turn it is stays");
}
