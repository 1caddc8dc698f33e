//! Bytes through the driver: nothing lost, nothing out of order, nothing hoarded.

use super::*;
use crate::base::limits;
use std::thread;

/// Streams `count` bytes each way between the far ends of a relayed pair, and checks every one.
pub(super) fn stream_both_ways<S: Read + Write + Send + 'static>(
    bench: &mut Bench,
    far: [(S, S); 2], // (writing half, reading half) of the client's and of the server's far end
    count: usize,
) {
    let [(client_out, client_in), (server_out, server_in)] = far;
    let run = |seed: u64, mut from: S, mut to: S| {
        let writer = thread::spawn(move || {
            let bytes = Noise(seed).bytes(count);
            Noise(seed + 1).write_cut(&mut from, &bytes);
            from
        });
        let reader = thread::spawn(move || {
            let got = Noise(seed + 2).read_cut(&mut to, count);
            assert!(got == Noise(seed).bytes(count), "bytes differ");
            to
        });
        (writer, reader)
    };
    let (up_writer, up_reader) = run(11, client_out, server_in);
    let (down_writer, down_reader) = run(77, server_out, client_in);
    let mut machine = Script::new(relay);
    bench.run_until(&mut machine, "streams", |_| up_reader.is_finished() && down_reader.is_finished());
    for thread in [up_reader, down_reader, up_writer, down_writer] {
        thread.join().expect("far end");
    }
}

#[test]
fn ten_megabytes_in_random_cuts_both_ways_over_unix_sockets() {
    let mut bench = Bench::new();
    let (client, far_client) = unix_pair();
    let (server, far_server) = unix_pair();
    bench.driver.adopt(CLIENT, client);
    bench.driver.adopt(SERVER, server);
    let halves = |far: UnixStream| (far.try_clone().expect("clone"), far);
    stream_both_ways(&mut bench, [halves(far_client), halves(far_server)], 10_000_000);
}

#[test]
fn ten_megabytes_in_random_cuts_both_ways_over_tcp() {
    let mut bench = Bench::new();
    let (client, far_client) = tcp_pair();
    let (server, far_server) = tcp_pair();
    bench.driver.adopt(CLIENT, channel(client));
    bench.driver.adopt(SERVER, channel(server));
    let halves = |far: TcpStream| (far.try_clone().expect("clone"), far);
    stream_both_ways(&mut bench, [halves(far_client), halves(far_server)], 10_000_000);
}

#[test]
fn what_is_looked_at_again_with_more_behind_it_is_never_more_than_a_buffer() {
    let mut bench = Bench::new();
    let (client, mut far_client) = unix_pair();
    let (server, _far_server) = unix_pair();
    bench.driver.adopt(CLIENT, client);
    bench.driver.adopt(SERVER, server);
    // Half of a message that fits half a buffer, then all that the socket takes.
    let half = limits::READ_BUFFER_BYTES / 2 - 1;
    let mut given = Vec::new();
    let mut machine = Script::new(|_, input: &[u8], net: &mut dyn Net| {
        given.push(input.len());
        if input.len() > half {
            net.pause(CLIENT);
        }
        0
    });
    far_client.write_all(&vec![1; half]).expect("write");
    bench.run_until(&mut machine, "the first half", |machine| machine.calls == 1);
    far_client.write_all(&vec![2; 2 * limits::READ_BUFFER_BYTES]).expect("the socket's own buffer takes it");
    bench.run_until(&mut machine, "the rest", |machine| machine.calls == 2);
    assert_eq!(given, [half, limits::READ_BUFFER_BYTES]);
}

#[test]
fn a_reader_that_stops_stops_the_writer_and_nothing_is_hoarded() {
    let mut bench = Bench::new();
    let (client, mut far_client) = unix_pair();
    let (server, mut far_server) = unix_pair();
    bench.driver.adopt(CLIENT, client);
    bench.driver.adopt(SERVER, server);
    let mut machine = Script::new(relay);
    far_client.set_nonblocking(true).expect("non-blocking");
    let bytes = Noise(5).bytes(4_000_000);
    let mut written = 0;
    let mut stalled = 0;
    while stalled < 50 {
        match far_client.write(&bytes[written..]) {
            Ok(n) => (written, stalled) = (written + n, 0),
            Err(_) => stalled += 1,
        }
        bench.settle(&mut machine);
    }
    // Two socket buffers and one backlog of a read buffer's size lie between the ends.
    assert!(written < 2 * 600_000 + 2 * limits::READ_BUFFER_BYTES, "{written} bytes went in");
    assert_eq!(machine.told, [Told::Blocked(SERVER)]);

    let reader = thread::spawn(move || Noise(6).read_cut(&mut far_server, 4_000_000));
    let writer = thread::spawn(move || {
        far_client.set_nonblocking(false).expect("blocking");
        far_client.write_all(&bytes[written..]).expect("write");
        (far_client, bytes)
    });
    bench.run_until(&mut machine, "the rest", |_| reader.is_finished());
    let (_far_client, bytes) = writer.join().expect("writer");
    assert!(reader.join().expect("reader") == bytes);
    assert!(machine.was_told(Told::Drained(SERVER)));
}

#[test]
fn bytes_not_consumed_come_again_in_front_of_what_follows() {
    let mut bench = Bench::new();
    let (client, mut far) = unix_pair();
    bench.driver.adopt(CLIENT, client);
    let mut lines = Vec::new();
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| {
        let Some(end) = input.iter().rposition(|byte| *byte == b'\n') else { return 0 };
        lines.extend_from_slice(&input[..=end]);
        end + 1
    });
    let text = b"one\ntwo\n\nthree and more\nfour\n";
    for byte in text {
        far.write_all(&[*byte]).expect("write");
        bench.settle(&mut machine);
    }
    assert_eq!(lines, text);
}

#[test]
fn a_frame_larger_than_every_buffer_is_put_together() {
    let mut bench = Bench::new();
    let (client, mut far) = unix_pair();
    bench.driver.adopt(CLIENT, client);
    const FRAME_BYTES: usize = 700_000;
    let mut frames = Vec::new();
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| {
        let whole = input.len() / FRAME_BYTES * FRAME_BYTES;
        frames.extend_from_slice(&input[..whole]);
        whole
    });
    let bytes = Noise(3).bytes(3 * FRAME_BYTES);
    let writer = thread::spawn(move || {
        Noise(4).write_cut(&mut far, &bytes);
        (far, bytes)
    });
    bench.run_until(&mut machine, "writer", |_| writer.is_finished());
    bench.settle(&mut machine);
    let (_far, bytes) = writer.join().expect("writer");
    drop(machine);
    assert!(frames == bytes);
}

#[test]
fn unread_bytes_of_a_hand_over_are_handed_in_first() {
    let mut bench = Bench::new();
    let (mut client, mut far) = unix_pair();
    client.unread = b"before ".to_vec();
    far.write_all(b"after").expect("write");
    bench.driver.adopt(CLIENT, client);
    let mut got = Vec::new();
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| {
        got.extend_from_slice(input);
        input.len()
    });
    bench.settle(&mut machine);
    drop(machine);
    assert_eq!(got, b"before after");
}

#[test]
fn a_paused_peer_is_silent_until_resumed_and_then_keeps_its_order() {
    let mut bench = Bench::new();
    let (client, mut far) = unix_pair();
    bench.driver.adopt(CLIENT, client);
    let mut got = Vec::new();
    let mut waiting = true;
    let mut machine = Script::new(|peer, input: &[u8], net: &mut dyn Net| {
        if waiting {
            waiting = false;
            net.pause(peer);
            return 0;
        }
        got.extend_from_slice(input);
        input.len()
    });
    far.write_all(b"query").expect("write");
    bench.settle(&mut machine);
    far.write_all(b" more").expect("write");
    bench.settle(&mut machine);
    assert_eq!(machine.calls, 1, "a paused peer was handed in");
    bench.act(&mut machine, |net| net.resume(CLIENT));
    bench.settle(&mut machine);
    drop(machine);
    assert_eq!(got, b"query more");
}

#[test]
fn one_endless_stream_does_not_keep_others_waiting() {
    let mut bench = Bench::new();
    let (server, mut far_server) = unix_pair();
    let (client, mut far_client) = unix_pair();
    bench.driver.adopt(SERVER, server);
    bench.driver.adopt(CLIENT, client);
    let mut flood = 0;
    let mut flood_before_client = None;
    let mut machine = Script::new(|peer, input: &[u8], net: &mut dyn Net| {
        match peer {
            // The stream never ends: what it brings is offered again at once.
            Peer::Server(_) => {
                flood += 1;
                net.resume(peer);
                0
            }
            Peer::Client(_) => {
                flood_before_client.get_or_insert(flood);
                input.len()
            }
        }
    });
    far_server.write_all(b"x").expect("write");
    far_client.write_all(b"y").expect("write");
    bench.settle(&mut machine);
    drop(machine);
    assert!(flood_before_client.is_some_and(|before| before < 10), "{flood_before_client:?}");
}
