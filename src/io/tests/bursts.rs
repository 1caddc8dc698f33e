//! Writes to many destinations, together through a ring and one by one.

use super::*;

const CLIENTS: u32 = 150; // more than a ring holds

fn client(id: u32) -> Peer {
    Peer::Client(ClientId(id))
}

/// The same with a ring and without.
fn both_ways(check: impl Fn(Bench)) {
    check(Bench::new());
    check(Bench::with(None));
}

/// So many clients, with their far ends.
fn adopt_clients(bench: &mut Bench) -> Vec<UnixStream> {
    let pair = |id| {
        let (near, far) = unix_pair();
        bench.driver.adopt(client(id), near);
        far
    };
    (0..CLIENTS).map(pair).collect()
}

#[test]
fn one_call_may_write_to_many() {
    both_ways(|mut bench| {
        let mut far = adopt_clients(&mut bench);
        let mut machine = Script::new(relay);
        bench.act(&mut machine, |net| {
            for round in 0..3u8 {
                (0..CLIENTS).for_each(|id| net.send(client(id), &[round, id as u8]));
            }
        });
        for (id, far) in far.iter_mut().enumerate() {
            let mut got = [0; 6];
            far.read_exact(&mut got).expect("read");
            assert_eq!(got, [0, id as u8, 1, id as u8, 2, id as u8]);
        }
    });
}

#[test]
fn one_turn_may_write_for_many() {
    both_ways(|mut bench| {
        let mut far = adopt_clients(&mut bench);
        // Each answers its neighbour.
        let mut machine = Script::new(|peer, input: &[u8], net: &mut dyn Net| {
            if let Peer::Client(id) = peer {
                net.forward(client((id.0 + 1) % CLIENTS), 0..input.len());
            }
            input.len()
        });
        for (id, far) in far.iter_mut().enumerate() {
            far.write_all(&[id as u8; 5]).expect("write");
        }
        bench.run_until(&mut machine, "all inputs", |machine| machine.calls == CLIENTS as usize);
        for (id, far) in far.iter_mut().enumerate() {
            let mut got = [0; 5];
            far.read_exact(&mut got).expect("read");
            assert_eq!(got, [((id + CLIENTS as usize - 1) % CLIENTS as usize) as u8; 5]);
        }
    });
}

#[test]
fn what_full_sockets_do_not_take_follows_in_order() {
    both_ways(|mut bench| {
        let far = adopt_clients(&mut bench);
        let (mut machine, mut rounds) = (Script::new(relay), 0u32);
        while (0..CLIENTS).any(|id| !machine.was_told(Told::Blocked(client(id)))) {
            let piece = rounds.to_be_bytes().repeat(250);
            bench.act(&mut machine, |net| (0..CLIENTS).for_each(|id| net.send(client(id), &piece)));
            rounds += 1;
            assert!(rounds < 5_000, "nobody's socket is ever full");
        }
        let expected: Vec<u8> = (0..rounds).flat_map(|round| round.to_be_bytes().repeat(250)).collect();
        bench.read_all(&mut machine, far, &expected);
        assert!((0..CLIENTS).all(|id| machine.was_told(Told::Drained(client(id)))));
    });
}

#[test]
fn those_who_are_gone_hurt_nobody_else() {
    both_ways(|mut bench| {
        let mut far = adopt_clients(&mut bench);
        let mut machine = Script::new(relay);
        for gone in [3, 77, 149] {
            far[gone].shutdown(std::net::Shutdown::Both).expect("shutdown");
        }
        bench.act(&mut machine, |net| (0..CLIENTS).for_each(|id| net.send(client(id), &[id as u8])));
        for (id, far) in far.iter_mut().enumerate().filter(|(id, _)| ![3, 77, 149].contains(id)) {
            let mut got = [0];
            far.read_exact(&mut got).expect("read");
            assert_eq!(got, [id as u8]);
        }
        let gone = [3, 77, 149].map(|id| Told::Closed(client(id)));
        bench
            .run_until(&mut machine, "their ends", |machine| gone.iter().all(|told| machine.was_told(*told)));
        assert_eq!(machine.told.len(), 3);
    });
}
