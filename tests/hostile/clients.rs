//! The client fuzzer: in each state of [`STATES`] a client goes astray in one of several ways, again and again.

use crate::common::raw::{Raw, bind, execute, frame, parse, query, sync};
use crate::common::{PoolerSetup, postgres, wait_until};
use crate::states::{Door, STATES, State, log_in};
use crate::wire::{Dice, Wire, length, seed};
use crate::witness::beside;
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
        // gone without a word, what was sent unread
        _ => {}
    }
}

fn one(state: &State, ports: (u16, u16), way: usize, dice: &mut Dice) {
    let (_, door, reach) = state;
    let mut wire = Wire::connect(if matches!(door, Door::Guarded) { ports.1 } else { ports.0 });
    match door {
        Door::Fresh | Door::Guarded => {}
        Door::In(database) => log_in(&mut wire, "app", database),
        Door::Console => log_in(&mut wire, "admin", "pgbouncer"),
    }
    reach(&mut wire);
    astray(&mut wire, way, dice);
    wire.read_until(b"", Duration::from_millis(dice.below(20) as u64));
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
    // the only server of `full` is somebody's for the whole time
    let mut holder = Raw::log_in(pooler.port, "app", "full");
    assert_eq!(holder.simple("begin").status, Some(b'T'));
    let until = Instant::now() + length(6);
    let runs = beside("clients astray", &mut pooler, |pooler| {
        let ports = (pooler.port, guarded.port);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    scope.spawn(move || {
                        let mut dice = Dice::new(seed, number);
                        let cases = || (0..STATES.len() * WAYS).skip(number).step_by(8);
                        let mut runs = 0;
                        // each state in each way once, however long that takes; then for as long as is wanted
                        for case in cases().chain(std::iter::repeat_with(cases).flatten()) {
                            if runs >= cases().count() && Instant::now() >= until {
                                break;
                            }
                            one(&STATES[case / WAYS], ports, case % WAYS, &mut dice);
                            runs += 1;
                        }
                        runs
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("attackers do not fail")).sum::<usize>()
        })
    });
    println!("{runs} runs over {} states", STATES.len());
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
