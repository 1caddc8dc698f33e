//! What came before counts: who had left is counted no more, what is told stands in the log.

use super::*;
use crate::core::{Answer, ClientIdentity, Command};
use crate::worker::Reply;

/// Lets everybody else go on.
async fn a_while() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_is_refused_can_read_why_in_the_log() {
    let (clients, _doors) = clients_of("d =", "");
    clients.plane.log.add(); // as if the line about it were slow to be written
    let mut peer = over_tcp(&clients);
    say_hello(&mut peer, &[("user", "u"), ("geqo", "off")]).await;
    tokio::select! {
        biased;
        message = message(&mut peer) => panic!("told too early: {message:?}"),
        () = a_while() => clients.plane.log.advance(1),
    }
    assert_eq!(refusal(&mut peer, "").await, "unsupported startup parameter: geqo");
}

#[tokio::test]
async fn who_asks_for_a_cancel_is_closed_when_the_log_has_what_became_of_it() {
    let (clients, _doors) = clients_of("d =", "");
    clients.plane.log.add(); // as if the line about it were slow to be written
    let mut peer = over_tcp(&clients);
    let mut request = Vec::new();
    startup::write_cancel_request(&mut request, 1, b"keys");
    peer.write_all(&request).await.unwrap();
    tokio::select! {
        biased;
        message = message(&mut peer) => panic!("closed too early: {message:?}"),
        () = a_while() => clients.plane.log.advance(1),
    }
    assert_eq!(message(&mut peer).await, None, "closed without an answer");
}

/// Where each worker's answer to the barrier goes that it has been sent.
async fn barriers(clients: &Clients) -> Vec<Reply> {
    let mut barriers = Vec::new();
    while barriers.len() < clients.plane.workers.len() {
        for mail in clients.plane.workers.iter().flat_map(|worker| worker.take()) {
            if let Mail::Command(Command::Barrier, reply) = mail {
                barriers.push(reply);
            }
        }
        tokio::task::yield_now().await;
    }
    barriers
}

#[tokio::test]
async fn who_finds_a_limit_reached_is_refused_when_the_workers_have_heard_who_left() {
    for leaves in [true, false] {
        let (clients, _doors) = welcomed("d =", "auth_type = trust\nmax_client_conn = 1", "u");
        let limits = clients.plane.policy.load().snapshot.client_limits("u", None);
        let mut other = clients.plane.admissions.admit(&"d".into(), &"u".into(), &limits).ok();
        assert!(other.is_some());
        let mut peer = over_tcp(&clients);
        say_hello(&mut peer, &[("user", "u"), ("database", "d")]).await;
        let barriers = barriers(&clients).await;
        assert_eq!(clients.plane.admissions.refused(), [0; 3], "nobody is refused yet");
        if leaves {
            other = None;
        }
        barriers.into_iter().for_each(|reply| reply(Answer::Done));
        if leaves {
            tokio::spawn(welcome_clients(Arc::clone(&clients)));
            let said = conversation(&mut peer, "").await;
            assert_eq!(said.last().unwrap().0, tags::server::READY_FOR_QUERY);
        } else {
            let words = refusal(&mut peer, "").await;
            assert_eq!(words, "no more connections allowed (max_client_conn)");
            assert_eq!(clients.plane.admissions.refused(), [1, 0, 0]);
        }
        drop(other);
    }
}

#[tokio::test]
async fn clients_of_the_console_are_heard_out_too() {
    let (clients, _doors) =
        clients_of("d =", "auth_type = trust\nstats_users = u\nmax_db_client_connections = 1");
    let plane = &clients.plane;
    let limits = plane.policy.load().snapshot.client_limits("u", None);
    let counted = plane.admissions.admit_to_console(&"pgbouncer".into(), &"u".into(), Some(&limits));
    let present = plane.console_clients.enter(Arc::new(ClientIdentity::of_console_for_tests(1)));
    present.rests();
    let mut peer = over_tcp(&clients);
    say_hello(&mut peer, &[("user", "u"), ("database", "pgbouncer")]).await;
    present.look.notified().await;
    drop(counted);
    present.leave();
    barriers(&clients).await.into_iter().for_each(|reply| reply(Answer::Done));
    assert_eq!(message(&mut peer).await.unwrap().0, tags::server::AUTHENTICATION);
    assert_eq!(plane.admissions.refused(), [0; 3]);
}
