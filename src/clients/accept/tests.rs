//! Who is accepted when, and that nobody is turned away for what the kernel does not know of him.

use super::*;
use crate::clients::accepting::Accepting;
use crate::clients::client::tests::{Receivers, welcomed};

use crate::wire::startup;
use rustix::event::epoll;
use std::io::Write;
use std::net::{TcpListener, TcpStream};

#[test]
fn what_one_client_meets_is_not_waited_out() {
    use rustix::io::Errno;
    let of_one = |errno: Errno| is_of_one_client(&errno.into());
    assert!([Errno::CONNABORTED, Errno::HOSTUNREACH].into_iter().all(of_one));
    assert!(is_of_one_client(&io::ErrorKind::NotConnected.into()), "it has no address any more");
    let lasting = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOSPC, Errno::INVAL, Errno::ACCESS];
    assert!(!lasting.into_iter().any(of_one));
}

#[tokio::test]
async fn a_socket_that_refuses_for_ever_gives_way_to_queries() {
    let (context, _doors) = context();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
    listener.set_nonblocking(true).unwrap();
    let door = Door::new(Arc::new(Listening::Tcp(listener)), watch());
    let mut rounds = std::pin::pin!(context.rounds(&door));
    std::future::poll_fn(|context| {
        assert!(rounds.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_takes_those_whom_the_kernel_has_let_in() {
    let (context, _doors) = context();
    let (door, address) = door();
    let _clients: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    context.clients.plane.set_phase(Phase::WaitForServers);
    let open = watch::Sender::new(false);
    accept(Arc::clone(&context), Arc::new(door), open.subscribe()).await;
    let mail = context.clients.plane.workers[0].take();
    assert_eq!(mail.iter().filter(|mail| matches!(mail, Mail::Task(_))).count(), 5);
    assert!(TcpStream::connect(address).is_err(), "nobody else comes in");
}

#[tokio::test]
async fn a_shutdown_gives_way_to_queries_after_so_many_clients() {
    let (context, _doors) = context();
    let (door, address) = door();
    let _clients: Vec<_> =
        (0..limits::ACCEPTS_PER_ROUND + 2).map(|_| TcpStream::connect(address).unwrap()).collect();
    let begun = || context.clients.plane.workers[0].take().len();
    let mut last_round = std::pin::pin!(context.last_round(&door));
    std::future::poll_fn(|task| {
        assert!(last_round.as_mut().poll(task).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(begun(), limits::ACCEPTS_PER_ROUND);
    last_round.await;
    assert_eq!(begun(), 2);
}

#[test]
fn mapped_addresses_are_shown_as_ipv4() {
    let mapped = canonical("[::ffff:10.0.0.1]:7".parse().unwrap());
    assert_eq!(mapped.to_string(), "10.0.0.1:7");
}

#[tokio::test]
async fn suspending_holds_who_comes_then_and_resuming_lets_go() {
    let (client, clients) = async_channel();
    let accepting = Arc::new(Accepting::default());
    let accept = {
        let accepting = accepting.clone();
        move || {
            let (accepting, clients) = (accepting.clone(), clients.clone());
            tokio::spawn(
                async move { accepting.while_on(|| async { clients.lock().await.recv().await }).await },
            )
        }
    };
    client.send(1).unwrap();
    assert_eq!(accept().await.unwrap(), Some(1));
    let waiting = accept();
    tokio::task::yield_now().await; // it waits in accept() already
    accepting.set(false);
    client.send(2).unwrap();
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
    }
    accepting.set(true);
    assert_eq!(waiting.await.unwrap(), Some(2));
}

type Clients = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<u32>>>;

fn async_channel() -> (mpsc::UnboundedSender<u32>, Clients) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Arc::new(tokio::sync::Mutex::new(receiver)))
}

/// What the first worker's accept loops lead to, where a pool has had its first server.
fn context() -> (Arc<AcceptContext>, Receivers) {
    hall_with("")
}

fn hall_with(settings: &str) -> (Arc<AcceptContext>, Receivers) {
    let (clients, doors) = welcomed("d =", &format!("auth_type = trust\n{settings}"), "u");
    let context = AcceptContext {
        clients,
        handshakes: Arc::new(Handshakes::start("context", 1, 0).unwrap()),
        worker: WorkerId(0),
        keepalive: false,
        is_inherited: false,
    };
    (Arc::new(context), doors)
}

fn watch() -> Watch {
    Watch::new(Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap()), 1)
}

/// A listening socket, and where it listens.
fn door() -> (Door, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let door = Door::new(Arc::new(Listening::Tcp(listener)), watch());
    (door, address)
}

#[tokio::test]
async fn a_round_takes_so_many_clients_and_no_more() {
    let (context, _doors) = context();
    let (door, address) = door();
    let count = 2 * limits::ACCEPTS_PER_ROUND + 3;
    let _clients: Vec<_> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
    let begun = || {
        context.clients.plane.workers[0].take().iter().filter(|mail| matches!(mail, Mail::Task(_))).count()
    };
    for expected in [limits::ACCEPTS_PER_ROUND, limits::ACCEPTS_PER_ROUND, 3] {
        context.round(&door).await;
        assert_eq!(begun(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_round_that_has_taken_all_there_are_makes_no_pause() {
    let (context, _doors) = context();
    let (door, address) = door();
    let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let began = tokio::time::Instant::now();
    context.round(&door).await;
    assert_eq!(context.clients.plane.workers[0].take().len(), 3);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_round_gives_way_when_it_has_taken_its_clients() {
    let (context, _doors) = context();
    let (door, address) = door();
    let count = 3 * limits::ACCEPTS_PER_ROUND;
    let _clients: Vec<_> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut rounds = std::pin::pin!(context.rounds(&door));
    std::future::poll_fn(|context| {
        assert!(rounds.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(
        context.clients.plane.workers[0].take().len(),
        limits::ACCEPTS_PER_ROUND,
        "others are asked in between"
    );
}

/// As the kernel tells it of a process in a namespace that cannot be seen from here: the
/// number 0. So it does of TCP's.
#[tokio::test]
async fn who_comes_over_a_unix_socket_from_a_process_without_a_number_logs_in() {
    let (context, _doors) = context();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut hello = Vec::new();
    startup::write_startup(&mut hello, [("user", "u"), ("database", "d")]);
    client.write_all(&hello).unwrap();
    let socket = listener.accept().unwrap().0;
    socket.set_nonblocking(true).unwrap();
    let way = Way { local: None, keepalive: false };
    let nobody = Address::Unix { port: 0, pid: 0, uid: 0 };
    let login_slot = context.clients.unauthenticated.enter(&nobody);
    Arc::clone(&context).log_in(Accepted::Unix(socket.into()), way, login_slot, watch()).await;
    let letters = context.clients.plane.workers.iter().flat_map(|worker| worker.take());
    let logins: Vec<_> = letters
        .filter_map(|mail| if let Mail::Client(client) = mail { Some(client.1) } else { None })
        .collect();
    let [login] = &*logins else { panic!("{} are in", logins.len()) };
    assert!(
        matches!(login.identity.remote, Address::Unix { pid: 0, uid: u32::MAX, .. }),
        "{:?}",
        login.identity
    );
}

#[tokio::test]
async fn who_cannot_be_known_comes_as_nobody() {
    let (context, _doors) = context();
    let (pipe, _end) = rustix::pipe::pipe().unwrap(); // no socket: the kernel says nothing of its other end
    let nobody = Address::Unix { port: 0, pid: 0, uid: 0 };
    let login_slot = context.clients.unauthenticated.enter(&nobody);
    let way = Way { local: None, keepalive: false };
    let loop_place = LoopPlace { watch: watch(), exit: exit(&context.handshakes).0 };
    let arrival =
        arrival(&context.clients.plane, Accepted::Unix(pipe), &way, login_slot, loop_place, WorkerId(0))
            .unwrap();
    assert!(matches!(arrival.remote, Address::Unix { pid: 0, uid: u32::MAX, .. }), "{:?}", arrival.remote);
}

#[tokio::test]
async fn who_waits_for_a_place_when_accepting_is_suspended_comes_in_when_it_goes_on() {
    let (context, _doors) = hall_with("max_login_conn = 1");
    let (door, address) = door();
    let _client = TcpStream::connect(address).unwrap();
    let first = context.clients.unauthenticated.enter(&Address::Unix { port: 0, pid: 0, uid: 0 });
    let mut round = std::pin::pin!(context.round(&door));
    let mut begun = async || {
        std::future::poll_fn(|context| {
            let _ = round.as_mut().poll(context); // rounds have no value
            std::task::Poll::Ready(())
        })
        .await;
        context.clients.plane.workers[0].take().iter().filter(|mail| matches!(mail, Mail::Task(_))).count()
    };
    assert_eq!(begun().await, 0, "there is no room");
    context.clients.accepting.set(false);
    drop(first);
    assert_eq!(begun().await, 0, "there is, but nobody is accepted");
    context.clients.accepting.set(true);
    assert_eq!(begun().await, 1);
}
