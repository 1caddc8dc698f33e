//! A server that leaves for another worker takes with it what is unsent, and disturbs nothing
//! of what is sent to others.

use super::tls::{Shared, tls_pair};
use super::*;
use crate::base::WorkerId;
use crate::core::MovedServer;
use std::io::Read;

const THERE: WorkerId = WorkerId(1);

fn client(id: u32) -> Peer {
    Peer::Client(ClientId(id))
}

fn with_unread(pair: (Channel, UnixStream), unread: &[u8]) -> (Channel, UnixStream) {
    (Channel { unread: unread.to_vec(), ..pair.0 }, pair.1)
}

/// Small inputs are copied and wait, large ones are lent and written at once: what
/// follows a move holds for both.
#[test]
fn a_move_between_two_inputs_gives_nobody_bytes_of_another_input() {
    for (input_bytes, burst) in [(100, true), (100, false), (20_000, true), (20_000, false)] {
        let mut bench = Bench::with(burst.then(|| Burst::new().ok()).flatten());
        let (server, mut far_server) = unix_pair();
        bench.driver.adopt(SERVER, server);
        let inputs: Vec<_> = (0..3u8).map(|id| vec![b'a' + id; input_bytes]).collect();
        // All three inputs are handed in within one turn, in this order.
        let mut far: Vec<_> = (0..3)
            .map(|id| {
                let (channel, far) = with_unread(unix_pair(), &inputs[id as usize]);
                bench.driver.adopt(client(id), channel);
                far
            })
            .collect();
        let mut machine = Script::new(|peer, input: &[u8], net: &mut dyn Net| {
            match peer {
                Peer::Client(ClientId(0)) => net.forward(SERVER, 0..input.len()),
                Peer::Client(ClientId(1)) => {
                    net.forward(client(0), 0..input.len());
                    net.forward(SERVER, 0..input.len());
                    net.move_server(SERVER, THERE, MovedServer::for_tests());
                    net.forward(client(1), 0..input.len());
                }
                _ => net.forward(client(2), 0..input.len()),
            }
            input.len()
        });
        bench.settle(&mut machine);
        let read = |far: &mut UnixStream, count: usize| {
            let mut got = vec![0; count];
            far.read_exact(&mut got).expect("read");
            got
        };
        assert_eq!(read(&mut far_server, 2 * input_bytes), [&inputs[0][..], &inputs[1][..]].concat());
        assert_eq!(read(&mut far[0], input_bytes), inputs[1]);
        assert_eq!(read(&mut far[1], input_bytes), inputs[1]);
        assert_eq!(read(&mut far[2], input_bytes), inputs[2]);
        assert_eq!(bench.driver.take_departures().len(), 1);
    }
}

/// Moves a server with much more unsent than its socket takes; the far end then reads all
/// of it from the new worker.
fn move_full(server: Channel, far: impl Read + Send + 'static) {
    let (mut here, mut there) = (Bench::new(), Bench::new());
    here.driver.adopt(SERVER, server);
    let bytes = Noise(9).bytes(17_000_000);
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| input.len());
    here.act(&mut machine, |net| {
        net.send(SERVER, &bytes[..16_000_000]);
        net.move_server(SERVER, THERE, MovedServer::for_tests());
        net.send(SERVER, b"nobody has this name any more");
    });
    here.settle(&mut machine);
    let mut departures = here.driver.take_departures();
    let departure = departures.pop().expect("it has left");
    assert_eq!(departure.to, THERE);
    assert_eq!(here.driver.connections(), 0);
    there.driver.adopt(SERVER, departure.channel);
    there.act(&mut machine, |net| net.send(SERVER, &bytes[16_000_000..]));
    assert!(machine.was_told(Told::Blocked(SERVER)), "the new worker knows that it is full");
    there.read_all(&mut machine, vec![far], &bytes);
    there.run_until(&mut machine, "drained", |machine| machine.was_told(Told::Drained(SERVER)));
}

#[test]
fn what_a_full_socket_has_not_taken_travels_with_it() {
    let (server, far) = unix_pair();
    move_full(server, far);
}

#[test]
fn what_a_full_socket_has_not_taken_travels_with_it_under_tls() {
    let (server, far_tls, far) = tls_pair(false);
    move_full(server, Shared::new(far_tls, far));
}

#[test]
fn one_whose_bytes_make_no_sense_is_ended_alone() {
    let mut bench = Bench::new();
    let ((one, mut far_one), (two, mut far_two)) = (with_unread(unix_pair(), b"one"), unix_pair());
    bench.driver.adopt(client(0), one);
    bench.driver.adopt(client(1), two);
    let mut machine = Script::new(|peer, input: &[u8], net: &mut dyn Net| {
        if peer == client(0) {
            net.forward(client(1), 0..input.len() + 1); // more than there is
            net.forward(client(0), 0..input.len());
        }
        input.len()
    });
    bench.run_until(&mut machine, "the end of one", |machine| machine.was_told(Told::Closed(client(1))));
    assert_eq!(bench.driver.faults(), 1);
    let (mut got, mut rest) = ([0; 3], Vec::new());
    far_one.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"one");
    far_two.read_to_end(&mut rest).expect("read");
    assert!(rest.is_empty());
    assert!(!machine.was_told(Told::Closed(client(0))));
}
