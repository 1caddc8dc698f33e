//! The client fuzzer: in each state of [`STATES`] a client goes astray in one of
//! several ways, again and again.

use crate::common::raw::{Raw, bind, execute, frame, parse, query, sync};
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};
use crate::states::{Door, STATES, State, log_in};
use crate::wire::{Dice, Wire, length, seed};
use crate::witness::{Held, beside, closed, goes_by_itself, peer_port};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Ways to go astray from wherever one is.
const WAYS: usize = 8;

fn astray(wire: &mut Wire, way: usize, dice: &mut Dice) {
    let tags = b"QPBEDCSHFXdcfp\0\xff";
    match way {
        0 => {
            wire.send(&dice.bytes(300));
        }
        1 => {
            wire.send(&frame(tags[dice.below(tags.len())], &dice.bytes(60)));
        }
        2 => {
            wire.send(&[tags[dice.below(tags.len())], 0x7f, 0xff, 0xff, 0xff]);
        }
        3 => {
            wire.send(&[tags[dice.below(tags.len())], 0, 0, 0, 3]);
        }
        4 => wire.half_close(),
        5 => {
            let sound = [parse("", "select 1"), bind("", &[]), execute(), sync(), query("select 2")];
            let mut bytes = sound.concat();
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            wire.send(&bytes[..1 + dice.below(bytes.len())]);
        }
        6 => {
            for byte in query("select 'one byte at a time'") {
                wire.send(&[byte]);
            }
        }
        // Gone without a word, what was sent unread.
        _ => {}
    }
}

/// One client that goes astray. Returns the port that it came from.
fn one(state: &State, ports: (u16, u16), way: usize, dice: &mut Dice) -> u16 {
    let (_, door, reach) = state;
    let mut wire = Wire::connect(if matches!(door, Door::Guarded) { ports.1 } else { ports.0 });
    match door {
        Door::Fresh | Door::Guarded => {}
        Door::In(database) => drop(log_in(&mut wire, "app", database)),
        Door::Console => drop(log_in(&mut wire, "admin", "pgbouncer")),
    }
    reach(&mut wire);
    astray(&mut wire, way, dice);
    wire.read_until(b"", Duration::from_millis(dice.below(20) as u64));
    wire.port()
}

/// What [`clients_go_astray_in_every_state`] did: the states' numbers, and the ports of
/// those that were in them.
type Runs = Vec<(usize, u16)>;

/// Whoever has proven himself and went astray is named with his address and a reason,
/// and nobody else was ended.
fn only_they_were_ended(pooler: &Pooler, runs: &Runs) {
    let named = |ports: &HashSet<u16>, log: &str| {
        let lines = closed(log, " C-");
        let told: HashSet<u16> = lines.iter().filter_map(|line| peer_port(line)).collect();
        ports.difference(&told).count()
    };
    let proven = |(state, _): &&(usize, u16)| {
        let (name, door, _) = STATES[*state];
        matches!(door, Door::In(_) | Door::Console) || name.contains("cancelled")
    };
    let ports: HashSet<u16> = runs.iter().filter(proven).map(|(_, port)| *port).collect();
    wait_until("the log names every offender that was logged in", || named(&ports, &pooler.log()) == 0);
    let all: HashSet<u16> = runs.iter().map(|(_, port)| *port).collect();
    let log = pooler.log();
    let others: Vec<_> = closed(&log, " C-")
        .into_iter()
        .filter(|line| !peer_port(line).is_some_and(|port| all.contains(&port)))
        // The test's own questions at the console, and its cancel requests.
        .filter(|line| !goes_by_itself(line))
        .collect();
    assert!(others.is_empty(), "others were ended: {others:#?}");
    let quiet: Vec<_> = closed(&log, " S-").into_iter().filter(|line| line.contains(" quiet/")).collect();
    assert!(quiet.is_empty(), "the witness's servers were ended: {quiet:#?}");
}

#[test]
fn clients_go_astray_in_every_state() {
    assert!(STATES.len() >= 40, "{} states", STATES.len());
    let seed = seed();
    let setup = || {
        PoolerSetup::new(postgres())
            .set("workers", 2)
            .set("client_login_timeout", 5)
            .set("query_wait_timeout", 5)
            .database("quiet", "dbname=app pool_size=2")
            .database("evil", "dbname=app pool_size=4")
            .database("full", "dbname=app pool_size=1")
    };
    let guarded = setup().set("auth_type", "scram-sha-256").start();
    let mut pooler = setup().start();
    // The only server of `full` is somebody's for the whole time.
    let mut holder = Raw::log_in(pooler.port, "app", "full");
    assert_eq!(holder.simple("begin").status, Some(b'T'));
    let until = Instant::now() + length(6);
    // The witness, the holder, eight that attack and whose last clients may not be gone yet; the pools'
    // sizes and the page's own.
    let held = Held { unauthenticated: 64, clients: 2 + 16, servers: 2 + 4 + 1, ..Held::default() };
    let mut runs = Runs::new();
    beside("clients astray", &mut pooler, held, |pooler| {
        let ports = (pooler.port, guarded.port);
        runs.extend(std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    scope.spawn(move || {
                        let mut dice = Dice::new(seed, number);
                        let cases = || (0..STATES.len() * WAYS).skip(number).step_by(8);
                        let mut runs: Runs = Vec::new();
                        // Each state in each way once, however long that takes; then for as long as is
                        // wanted.
                        for case in cases().chain(std::iter::repeat_with(cases).flatten()) {
                            if runs.len() >= cases().count() && Instant::now() >= until {
                                break;
                            }
                            let port = one(&STATES[case / WAYS], ports, case % WAYS, &mut dice);
                            runs.push((case / WAYS, port));
                        }
                        runs
                    })
                })
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join().expect("attackers do not fail"));
            joined.flatten().collect::<Runs>()
        }));
    });
    only_they_were_ended(&pooler, &runs);
    println!("{} runs over {} states", runs.len(), STATES.len());
    assert_eq!(holder.simple("commit").status, Some(b'I'), "who did nothing is not ended");
    for part in ["bad packet header", "client unexpected eof", "old V2 protocol not supported"] {
        pooler.wait_for_log(part);
    }
    drop(holder);
    wait_until("the offenders' servers are free again", || {
        let pools = pooler.ask("show pools").records();
        pools.iter().all(|row| {
            row["database"] == "pgbouncer" || (row["sv_active"] == "0" && row["cl_waiting"] == "0")
        })
    });
}
