//! Peers: a cancel request that comes to another process than its client's is forwarded, in PgBouncer's
//! layout of keys; so many at a time as a peer's pool has room for, and never in a circle.

use crate::cancel::running;
use crate::common::raw::{self, Raw};
use crate::common::{PATIENCE, Pooler, PoolerSetup, page, postgres, wait_until, wait_until_for};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The peer of that id.
fn setup(id: u16) -> PoolerSetup {
    PoolerSetup::new(postgres()).set("peer_id", id)
}

/// Makes processes known to each other as 1, 2, …; a peer with an even number by its Unix socket.
fn introduce(group: &mut [&mut Pooler]) {
    let address = |(at, pooler): (usize, &&mut Pooler)| match at % 2 {
        0 => format!("host=127.0.0.1 port={}", pooler.port),
        _ => format!("host={} port={}", pooler.directory().display(), pooler.port),
    };
    let addresses: Vec<_> = group.iter().enumerate().map(address).collect();
    for pooler in group {
        pooler.rewrite(|setup| {
            let peers = (1..).zip(&addresses);
            peers.fold(setup, |setup, (id, address)| setup.peer(id, address))
        });
        assert_eq!(pooler.ask("reload").errors, [""; 0]);
    }
}

/// A cancel request at the process that listens on `port`.
fn request(port: u16, key: &[u8]) -> TcpStream {
    let mut messenger = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    messenger.set_read_timeout(Some(PATIENCE)).expect("a positive duration");
    messenger.write_all(&raw::cancel_request(key)).expect("it is taken");
    messenger
}

/// Waits until whoever sent a request is closed, without an answer.
fn closed(mut messenger: TcpStream) {
    assert_eq!(messenger.read(&mut [0]).expect("an end in order"), 0);
}

fn sleep(client: &mut Raw, marker: &str) {
    client.send(&raw::query(&format!("select pg_sleep(60) as {marker}")));
    wait_until("the query runs", || running(&format!("as {marker}")));
}

const CANCELED: [&str; 1] = ["ERROR 57014: canceling statement due to user request"];

#[test]
fn a_request_at_another_process_reaches_the_query() {
    let mut group = [setup(1).start(), setup(2).start()];
    let [one, other] = &mut group;
    introduce(&mut [one, other]);
    for (name, here, there, own_id) in [("one", 0, 1, 1), ("other", 1, 0, 2)] {
        let (here, there) = (&group[here], &group[there]);
        let mut client = here.client();
        assert_eq!(client.key[1..3], [own_id, 0], "the key says whose it is");
        assert_eq!(client.key[7] & 3, 3);
        sleep(&mut client, &format!("of_{name}"));
        closed(request(there.port, &client.key));
        assert_eq!(client.outcome().errors, CANCELED);
        assert_eq!(client.simple("select 1").value(), "1", "the connection lives on");
        let [prefix, reason] = [format!(": peer-{own_id}@"), "successfully sent cancel request".to_owned()];
        let told = |side: &str| {
            let log = there.log();
            log.lines().any(|line| line.contains(side) && line.contains(&prefix) && line.contains(&reason))
        };
        wait_until("both ends are told", || told(" LOG C-") && told(" LOG S-"));
    }
}

/// What listens where a peer should: a test that looks at every byte.
struct FakePeer {
    listener: TcpListener,
}

impl FakePeer {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("a setting");
        Self { listener }
    }

    fn address(&self) -> String {
        format!("host=127.0.0.1 port={}", self.listener.local_addr().expect("is bound").port())
    }

    /// The next one who has come.
    fn next(&self) -> Option<TcpStream> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a setting");
                Some(stream)
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                None
            }
        }
    }

    /// The next one, waited for, and what he says.
    fn hear(&self) -> (TcpStream, Vec<u8>) {
        let mut came = None;
        wait_until("a request comes", || {
            came = self.next();
            came.is_some()
        });
        let mut stream = came.expect("was there a moment ago");
        let mut said = vec![0; 16];
        stream.read_exact(&mut said).expect("a whole request");
        (stream, said)
    }
}

/// The row of that peer in SHOW PEER_POOLS.
fn row(pooler: &Pooler, id: u16) -> Option<BTreeMap<String, String>> {
    let rows = pooler.ask("show peer_pools").records();
    rows.into_iter().find(|row| row["peer_id"] == id.to_string())
}

/// Requests on their way to that peer, and those that wait.
fn counts(pooler: &Pooler, id: u16) -> (String, String) {
    let row = row(pooler, id).expect("something was forwarded");
    assert_eq!(row["cl_active_cancel_req"], row["sv_active_cancel"]);
    (row["cl_active_cancel_req"].clone(), row["cl_waiting_cancel_req"].clone())
}

fn are(active: &str, waiting: &str) -> (String, String) {
    (active.to_owned(), waiting.to_owned())
}

/// A key of that peer that may be forwarded so many times.
fn key_of(id: u16, hops: u8) -> [u8; 8] {
    let [low, high] = id.to_le_bytes();
    [0x11, low, high, 0xaa, 0xbb, 0xcc, 0xdd, 0xf0 | hops]
}

#[test]
fn a_key_is_forwarded_as_pgbouncer_does_it() {
    let peer = FakePeer::new();
    let setup = setup(1).set("verbose", 1).peer(1, "host=nowhere.invalid").peer(258, &peer.address());
    let pooler = setup.start();
    assert_eq!(row(&pooler, 258), None, "nothing was forwarded yet");
    for hops in [3, 2, 1] {
        let messenger = request(pooler.port, &key_of(258, hops));
        let (stream, said) = peer.hear();
        assert_eq!(said, raw::cancel_request(&key_of(258, hops - 1)));
        assert_eq!(counts(&pooler, 258), are("1", "0"));
        assert!(!has_ended(&messenger), "it waits until the peer has closed");
        drop(stream);
        closed(messenger);
    }
    let end = |key: [u8; 8]| closed(request(pooler.port, &key));
    end(key_of(258, 0));
    pooler.wait_for_log("closing because: failed to forward cancel request because its TTL was exhausted");
    end(key_of(2, 3));
    pooler.wait_for_log("closing because: could not find peer to forward request to");
    end(key_of(1, 3));
    pooler.wait_for_log("closing because: failed cancel request");
    assert!(peer.next().is_none(), "none of these was forwarded");
    wait_until("none is left", || counts(&pooler, 258) == are("0", "0"));
    assert_eq!(pooler.ask("show peers").records().len(), 2, "its own entry is shown, too");
    let lists = pooler.ask("show lists").records();
    let of = |list: &str| lists.iter().find(|row| row["list"] == list).map(|row| row["items"].clone());
    assert_eq!((of("peers").as_deref(), of("peer_pools").as_deref()), (Some("2"), Some("1")));
}

#[test]
fn a_peers_pool_bounds_its_requests_and_no_other_pool_is_touched() {
    let peer = FakePeer::new();
    let setup = setup(1).database("app", "pool_size=1").set("cancel_wait_timeout", 1).with_page();
    let mut pooler = setup.peer(2, &format!("{} pool_size=2", peer.address())).start();
    let mut client = pooler.client();
    client.simple("begin");
    let mut messengers: Vec<_> = (0..5).map(|_| request(pooler.port, &key_of(2, 3))).collect();
    let held = [peer.hear(), peer.hear()];
    wait_until("three wait", || counts(&pooler, 2) == are("2", "3"));
    let requests = |state| format!("pgweir_peer_{state}_cancel_requests{{peer_id=\"2\"}}");
    let told = ["active", "waiting"].map(|state| page::value(pooler.page_port(), &requests(state)));
    assert_eq!(told, [Some(2.0), Some(3.0)]);
    let pools = pooler.ask("show pools").records();
    assert!(pools.iter().all(|row| row["cl_waiting_cancel_req"] == "0" && row["sv_active_cancel"] == "0"));
    // Whoever waits too long is closed, whoever is on the way is not.
    wait_until("they are closed", || counts(&pooler, 2) == are("2", "0"));
    pooler.wait_for_log("cancel request given up: cancel_wait_timeout");
    assert!(peer.next().is_none());
    // A reload gives it more room at once, and then less.
    pooler.rewrite(|setup| setup.set("cancel_wait_timeout", 20));
    pooler.ask("reload");
    messengers.extend((0..2).map(|_| request(pooler.port, &key_of(2, 3))));
    wait_until("two wait", || counts(&pooler, 2) == are("2", "2"));
    pooler.rewrite(|setup| setup.peer(2, &format!("{} pool_size=3", peer.address())));
    pooler.ask("reload");
    let third = peer.hear();
    wait_until("one waits", || counts(&pooler, 2) == are("3", "1"));
    drop((held, third));
    drop(peer.hear());
    messengers.into_iter().for_each(closed);
    assert_eq!(client.simple("commit").status, Some(b'I'));
}

#[test]
fn peers_change_on_reload() {
    let [peer, another] = [FakePeer::new(), FakePeer::new()];
    let mut pooler = setup(1).peer(2, &peer.address()).start();
    let first = request(pooler.port, &key_of(2, 3));
    drop(peer.hear());
    drop(first);
    pooler.rewrite(|setup| setup.peer(2, &another.address()));
    pooler.ask("reload");
    let second = request(pooler.port, &key_of(2, 3));
    drop(another.hear());
    closed(second);
    pooler.rewrite(|setup| setup.without_peers());
    pooler.ask("reload");
    assert_eq!(row(&pooler, 2), None, "its pool is gone with it");
    closed(request(pooler.port, &key_of(2, 3)));
    pooler.wait_for_log("could not find peer to forward request to");
    // Without an id of its own it is nobody's peer, and its keys have no mark.
    pooler.rewrite(|setup| setup.peer(2, &peer.address()).unset("peer_id"));
    pooler.ask("reload");
    pooler.wait_for_log("section [peers] has no effect without peer_id");
    closed(request(pooler.port, &key_of(2, 3)));
    let marked = (0..20).filter(|_| pooler.client().key[7] & 3 == 3).count();
    assert!(marked < 20, "every bit of a key is random");
    assert!(peer.next().is_none() && another.next().is_none());
}

#[test]
fn a_peer_that_is_not_there_costs_its_requester_no_wait() {
    let pooler = setup(1).peer(2, &format!("host=/nonexistent,127.0.0.1 port={}", closed_port())).start();
    closed(request(pooler.port, &key_of(2, 3)));
    pooler.wait_for_log("cancel request given up: connect failed: ");
    pooler.wait_for_log("closing because: failed to send cancel request");
}

fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("is bound").port()
}

#[test]
fn a_request_goes_in_no_circle() {
    let mut group = [setup(1).start(), setup(2).start()];
    // Each takes the other for the third.
    let ports = [group[1].port, group[0].port];
    for (pooler, port) in group.iter_mut().zip(ports) {
        pooler.rewrite(|setup| setup.peer(3, &format!("host=127.0.0.1 port={port}")));
        pooler.ask("reload");
    }
    closed(request(group[0].port, &key_of(3, 3)));
    let forwarded = |pooler: &Pooler| pooler.log().matches(" S-").count();
    wait_until("three times, and no more", || {
        let ended = group.iter().any(|pooler| pooler.log().contains("its TTL was exhausted"));
        ended && forwarded(&group[0]) == 2 && forwarded(&group[1]) == 1
    });
}

#[test]
fn a_flood_of_foreign_keys_is_bounded() {
    let peer = FakePeer::new();
    let setup = setup(1).set("max_login_conn", 20).set("client_login_timeout", 60);
    let pooler = setup.peer(2, &format!("{} pool_size=3", peer.address())).start();
    let mut client = pooler.client();
    let mut console = pooler.console();
    let flood: Vec<_> = (0..200).map(|_| request(pooler.port, &key_of(2, 3))).collect();
    let held: Vec<_> = (0..3).map(|_| peer.hear()).collect();
    // All of them come in, and have to make room for each other.
    wait_until_for("all have come", 3 * PATIENCE, || {
        assert!(peer.next().is_none(), "more than its pool has room for");
        let counts = console.simple("show peer_pools").records();
        let waiting: u32 = counts[0]["cl_waiting_cancel_req"].parse().expect("a number");
        assert!(waiting <= 20, "{waiting} wait");
        assert_eq!(counts[0]["sv_active_cancel"], "3");
        flood.iter().filter(|stream| has_ended(stream)).count() >= 180
    });
    assert_eq!(client.simple("select 1").value(), "1", "a client that is in is served");
    drop(held);
}

fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a setting");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a setting");
    match peeked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
