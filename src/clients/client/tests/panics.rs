//! What a client's login that panics costs: that login, and everything that it held comes back.

use super::*;
use crate::tasks;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

/// A client whose login panics when it reads on once the trap is set: the login, the client's end, the trap.
fn trapped(clients: &Arc<Clients>) -> (JoinHandle<Option<()>>, UnixStream, Arc<AtomicBool>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let remote = Address::Tcp(TCP.parse().unwrap());
    let local = Address::Unix { port: 6432, pid: 1, uid: 1 };
    let (login_slot, trap) = (clients.unauthenticated.enter(&remote), Arc::new(AtomicBool::new(false)));
    let socket = Socket::Trap(ours, Arc::clone(&trap));
    let arrival =
        Arrival { socket, remote: remote.clone(), local, login_slot, home: None, is_on_kept_file: false };
    (tasks::spawn("client login", remote, serve(Arc::clone(clients), arrival)), theirs, trap)
}

fn counts(clients: &Clients) -> [usize; 4] {
    let visits = clients.plane.pool_entry("d", "u").unwrap().client_count() as usize;
    [clients.unauthenticated.count(), clients.logins.count(), clients.plane.admissions.all() as usize, visits]
}

#[tokio::test]
async fn a_login_that_panics_gives_everything_back_and_is_named() {
    let (lines, _guard) = Lines::listen();
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    for is_proven in [false, true] {
        let (login, mut peer, trap) = trapped(&clients);
        if is_proven {
            say_hello(&mut peer, &[("user", "u"), ("database", "d")]).await;
        }
        let here = if is_proven { [0, 1, 1, 1] } else { [1, 1, 0, 0] };
        until(|| counts(&clients) == here).await;
        trap.store(true, Ordering::Relaxed);
        peer.write_all(b"more").await.unwrap();
        assert_eq!(login.await.unwrap(), None, "it ends by its panic");
        assert_eq!(counts(&clients), [0; 4]);
        assert!(message(&mut peer).await.is_none(), "its connection is closed");
    }
    assert!(
        lines.has_error(&format!("client login ({TCP}) has panicked and was ended, all else goes on")),
        "{lines:?}"
    );
    let mut next = over_tcp(&clients);
    say_hello(&mut next, &[("user", "u"), ("database", "d")]).await;
    until(|| counts(&clients) == [0, 1, 1, 1]).await;
}
