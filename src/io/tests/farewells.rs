//! How connections end: theirs and ours.

use super::*;
use crate::base::limits;
use crate::core::Farewell;
use crate::wire::tags;
use std::thread;

const TERMINATE: &[u8] = &[tags::client::TERMINATE, 0, 0, 0, 4];

/// A machine that pauses whoever sends something, and consumes nothing.
fn hold(peer: Peer, _: &[u8], net: &mut dyn Net) -> usize {
    net.pause(peer);
    0
}

/// Adopts one end of a pair under `peer`, with a counted guard.
fn adopt(bench: &mut Bench, peer: Peer) -> (UnixStream, Alive) {
    let (mut near, far) = unix_pair();
    let alive = Alive::default();
    near.guard = alive.guard();
    bench.driver.adopt(peer, near);
    (far, alive)
}

#[test]
fn the_end_of_a_peer_is_reported_after_its_bytes() {
    let mut bench = Bench::new();
    let (mut far, alive) = adopt(&mut bench, CLIENT);
    let mut got = Vec::new();
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| {
        got.extend_from_slice(input);
        input.len()
    });
    far.write_all(b"last words").expect("write");
    drop(far);
    bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(CLIENT)));
    drop(machine);
    assert_eq!(got, b"last words");
    assert_eq!((alive.count(), bench.driver.connections()), (0, 0));
}

#[test]
fn a_waiting_client_that_goes_is_reported_at_once() {
    let mut bench = Bench::new();
    let (client, mut far) = tcp_pair();
    bench.driver.adopt(CLIENT, channel(client));
    let mut machine = Script::new(hold);
    far.write_all(b"query").expect("write");
    bench.run_until(&mut machine, "the query", |machine| machine.calls == 1);
    drop(far);
    bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(CLIENT)));
    assert_eq!(machine.calls, 1);
}

#[test]
fn a_waiting_client_that_says_goodbye_is_reported_at_once() {
    let mut bench = Bench::new();
    let (client, mut far) = tcp_pair();
    bench.driver.adopt(CLIENT, channel(client));
    let mut machine = Script::new(hold);
    far.write_all(b"query").expect("write");
    bench.run_until(&mut machine, "the query", |machine| machine.calls == 1);
    far.write_all(TERMINATE).expect("write");
    drop(far);
    bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(CLIENT)));
    assert_eq!(machine.calls, 1);
}

#[test]
fn what_a_paused_client_sent_before_its_end_is_not_lost() {
    let mut bench = Bench::new();
    let (client, mut far) = tcp_pair();
    bench.driver.adopt(CLIENT, channel(client));
    let mut got = Vec::new();
    let mut first = true;
    let mut machine = Script::new(|peer, input: &[u8], net: &mut dyn Net| {
        if std::mem::take(&mut first) {
            net.pause(peer);
            return 0;
        }
        got.extend_from_slice(input);
        input.len()
    });
    far.write_all(b"insert").expect("write");
    bench.run_until(&mut machine, "the first bytes", |machine| machine.calls == 1);
    far.write_all(b" and commit").expect("write");
    far.shutdown(std::net::Shutdown::Write).expect("shutdown");
    bench.settle(&mut machine);
    assert!(machine.told.is_empty(), "{:?}", machine.told);
    bench.act(&mut machine, |net| net.resume(CLIENT));
    bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(CLIENT)));
    drop(machine);
    assert_eq!(got, b"insert and commit");
}

#[test]
fn a_paused_server_that_ends_is_reported_behind_its_bytes_once_resumed() {
    let mut bench = Bench::new();
    let (mut far, _alive) = adopt(&mut bench, SERVER);
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| input.len());
    bench.act(&mut machine, |net| net.pause(SERVER));
    far.write_all(b"FATAL").expect("write");
    drop(far);
    bench.settle(&mut machine);
    assert_eq!((machine.calls, machine.told.len()), (0, 0));
    bench.act(&mut machine, |net| net.resume(SERVER));
    bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(SERVER)));
    assert_eq!(machine.calls, 1);
}

#[test]
fn a_write_to_a_peer_that_is_gone_is_no_error_until_its_bytes_are_read() {
    let mut bench = Bench::new();
    let (mut far, _alive) = adopt(&mut bench, SERVER);
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| {
        assert_eq!(input, b"FATAL");
        input.len()
    });
    far.write_all(b"FATAL").expect("write");
    drop(far);
    bench.act(&mut machine, |net| net.send(SERVER, b"query"));
    bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(SERVER)));
    assert_eq!(machine.calls, 1);
}

#[test]
fn close_writes_everything_first() {
    let mut bench = Bench::new();
    let (mut far, alive) = adopt(&mut bench, CLIENT);
    let mut machine = Script::new(relay);
    let bytes = Noise(9).bytes(3_000_000);
    bench.act(&mut machine, |net| {
        net.send(CLIENT, &bytes);
        net.close(CLIENT, Farewell::Close);
    });
    assert_eq!(alive.count(), 1, "the guard goes only when the rest is written");
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        far.read_to_end(&mut got).expect("read");
        got
    });
    bench.run_until(&mut machine, "the end", |_| reader.is_finished());
    assert!(reader.join().expect("reader") == bytes);
    assert!(!machine.was_told(Told::Closed(CLIENT)), "a closed connection is nobody's any more");
    let driver = &bench.driver;
    assert!(driver.connections() <= 1);
    bench.settle(&mut machine);
    assert_eq!((alive.count(), bench.driver.connections()), (0, 0));
}

/// The goodbye waits for the end of the turn in which the last of what was unsent before is taken.
#[test]
fn a_goodbye_that_waits_is_written_before_our_side_is_shut() {
    const OTHER: Peer = Peer::Server(ServerId(1));
    for burst in [true, false] {
        let mut bench = if burst { Bench::new() } else { Bench::with(None) };
        let (mut far, _alive) = adopt(&mut bench, CLIENT);
        let (mut far_other, _other_alive) = adopt(&mut bench, OTHER);
        let mut machine = Script::new(|_, input: &[u8], net: &mut dyn Net| {
            net.send(CLIENT, b"FATAL: the end");
            net.close(CLIENT, Farewell::Close);
            input.len()
        });
        let mut sent = 0;
        while !machine.was_told(Told::Blocked(CLIENT)) {
            bench.act(&mut machine, |net| net.send(CLIENT, &[1; 20_000]));
            sent += 20_000;
        }
        // Both are events of one turn: first the bytes that lead to the goodbye, then the room.
        far_other.write_all(b"x").expect("write");
        let mut got = vec![0; sent - 20_000];
        far.read_exact(&mut got).expect("read");
        bench.settle(&mut machine);
        far.read_to_end(&mut got).expect("read");
        assert_eq!(String::from_utf8_lossy(&got[sent..]), "FATAL: the end", "burst {burst}");
    }
}

#[test]
fn the_id_of_a_closed_connection_is_free_at_once() {
    let mut bench = Bench::new();
    let (mut first, _alive) = adopt(&mut bench, CLIENT);
    let mut machine = Script::new(relay);
    bench.act(&mut machine, |net| {
        net.send(CLIENT, b"for the first");
        net.close(CLIENT, Farewell::Close);
    });
    let (mut second, _alive) = adopt(&mut bench, CLIENT);
    bench.act(&mut machine, |net| net.send(CLIENT, b"for the second"));
    let mut got = String::new();
    first.read_to_string(&mut got).expect("read");
    assert_eq!(got, "for the first");
    let mut got = [0; 14];
    second.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"for the second");
}

#[test]
fn the_last_error_reaches_a_client_that_is_still_sending() {
    let mut bench = Bench::new();
    let (client, mut far) = tcp_pair();
    bench.driver.adopt(CLIENT, channel(client));
    let mut machine = Script::new(|peer, _: &[u8], net: &mut dyn Net| {
        net.send(peer, b"FATAL: no more of this");
        net.close(peer, Farewell::Close);
        0
    });
    let mut reading = far.try_clone().expect("clone");
    let writer = thread::spawn(move || far.write_all(&[7; 2_000_000]));
    let reader = thread::spawn(move || {
        let mut got = String::new();
        reading.read_to_string(&mut got).map(|_| got)
    });
    while !writer.is_finished() || !reader.is_finished() {
        bench.settle(&mut machine); // without the bound on draining, which a busy machine may exceed
    }
    writer.join().expect("writer").expect("write: no reset");
    assert_eq!(reader.join().expect("reader").expect("read: no reset"), "FATAL: no more of this");
}

#[test]
fn a_terminated_server_keeps_its_place_until_it_has_ended() {
    let mut bench = Bench::new();
    let (mut far, alive) = adopt(&mut bench, SERVER);
    let mut machine = Script::new(relay);
    bench.act(&mut machine, |net| {
        net.send(SERVER, b"last");
        net.close(SERVER, Farewell::Terminate);
    });
    let mut got = Vec::new();
    far.read_to_end(&mut got).expect("read");
    assert_eq!(got, [b"last", TERMINATE].concat());
    far.write_all(b"a notice nobody reads").expect("write");
    bench.settle(&mut machine);
    assert_eq!(alive.count(), 1);
    assert_eq!(machine.calls, 0);
    drop(far);
    bench.run_until(&mut machine, "the end", |_| alive.count() == 0);
}

#[test]
fn a_server_that_does_not_end_is_given_up() {
    let mut bench = Bench::new();
    let (_far, alive) = adopt(&mut bench, SERVER);
    let mut machine = Script::new(relay);
    bench.act(&mut machine, |net| net.close(SERVER, Farewell::Terminate));
    bench.settle(&mut machine);
    let deadline = bench.now + Micros::from_millis(limits::SERVER_LINGER_MS);
    bench.driver.expire(deadline - Micros(1_000_000));
    assert_eq!(alive.count(), 1);
    bench.driver.expire(deadline);
    assert_eq!((alive.count(), bench.driver.connections()), (0, 0));
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    let mut bench = Bench::new();
    let (_far, alive) = adopt(&mut bench, CLIENT);
    let mut machine = Script::new(relay);
    bench.act(&mut machine, |net| {
        net.send(CLIENT, &[1; 5_000_000]);
        net.close(CLIENT, Farewell::Close);
    });
    bench.settle(&mut machine);
    assert_eq!(alive.count(), 1);
    bench.driver.expire(bench.now + Micros::from_millis(limits::CLIENT_LINGER_MS));
    assert_eq!((alive.count(), bench.driver.connections()), (0, 0));
}

#[test]
fn cut_is_at_once() {
    let mut bench = Bench::new();
    let (mut far, alive) = adopt(&mut bench, SERVER);
    let mut machine = Script::new(relay);
    bench.act(&mut machine, |net| {
        net.send(SERVER, b"never");
        net.close(SERVER, Farewell::Cut);
    });
    assert_eq!((alive.count(), bench.driver.connections()), (0, 0));
    let mut got = Vec::new();
    far.read_to_end(&mut got).expect("read");
    assert!(got.is_empty());
}

#[test]
fn a_peer_may_close_its_partner_from_within_a_call() {
    let mut bench = Bench::new();
    let (mut far_client, _a) = adopt(&mut bench, CLIENT);
    let (mut far_server, _b) = adopt(&mut bench, SERVER);
    let mut machine = Script::new(|peer, input: &[u8], net: &mut dyn Net| {
        net.forward(partner(peer), 0..input.len());
        net.close(partner(peer), Farewell::Close);
        net.close(peer, Farewell::Close);
        input.len()
    });
    far_client.write_all(b"both").expect("write");
    far_server.write_all(b"at once").expect("write");
    bench.run_until(&mut machine, "one call", |machine| machine.calls == 1);
    bench.settle(&mut machine);
    assert_eq!(machine.calls, 1, "the second event was for a connection that is nobody's any more");
}
