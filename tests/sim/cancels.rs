//! Cancel requests on their way: what the program's own `login::Errands` says is carried, is carried here,
//! late, lost, or in doubt.

use super::driver::Letter;
use super::ear;
use super::ground::{Errand, Event};
use super::wire::Remote;
use super::world::World;
use pgweir::core::{Answer, CancelFate, Command, Use};
use pgweir::login::{Joins, TakenIn};
use std::sync::Arc;

pub const JOINED: &str = "a cancel joins one that has not been sent yet";

impl Joins for Errand {
    fn join(&mut self, other: Self) {
        assert_eq!((self.server, self.secret), (other.server, other.secret), "another server's");
    }
}

impl World {
    /// A cancel request is to be sent, now or when another to the same server is over.
    pub fn cancel_begins(&mut self, errand: Errand) {
        match self.errands.entry(errand.server).or_default().take_in(errand) {
            TakenIn::Carry(errand) => self.cancel_waits(errand),
            TakenIn::Next => {}
            TakenIn::Joined => {
                ear::hear(JOINED);
                self.cancel_was_in_vain(errand);
                self.ground.post(errand.worker, Letter::CancelOver(errand.server, CancelFate::NeverSent));
            }
        }
    }

    /// It is carried within the connections that the ledger allows for it, as soon as there is one.
    pub fn cancel_waits(&mut self, errand: Errand) {
        let share = Arc::clone(&self.pools[self.pool_of_server(errand.server)].share);
        if share.is_removed() {
            self.cancel_was_in_vain(errand);
            self.cancel_is_over(errand, CancelFate::NeverSent);
        } else if self.ledger.take_cancel(&share) {
            let delay = self.ground.rng.below(20_000);
            self.ground.after(delay, Event::CancelArrives(errand));
        } else {
            self.ground.after(2_000, Event::CancelWaits(errand));
        }
    }

    /// The worker is told what has become of it, and the one that has waited for it is carried.
    fn cancel_is_over(&mut self, errand: Errand, fate: CancelFate) {
        let Errand { server, worker, .. } = errand;
        self.ground.post(worker, Letter::CancelOver(server, fate));
        let Some(errands) = self.errands.get_mut(&server) else { panic!("it was carried") };
        let next = errands.over();
        if errands.is_empty() {
            self.errands.remove(&server);
        }
        if let Some(next) = next {
            self.cancel_waits(next);
        }
    }

    fn pool_of_server(&self, socket: u64) -> usize {
        let Remote::Server(index) = self.ground.wires[socket as usize].remote else {
            panic!("a cancel goes to a server")
        };
        self.servers[index].pool
    }

    /// A cancel request reaches its server, or is lost, or is given up on its way and arrives late; its worker is told.
    pub fn cancel_arrives(&mut self, errand: Errand) {
        let pool = self.pool_of_server(errand.server);
        let share = Arc::clone(&self.pools[pool].share);
        self.ledger.returned(&share, &Use::Cancel);
        let fate = match self.ground.rng.below(10) {
            0 => CancelFate::NeverSent,
            1 => CancelFate::Unknown,
            _ => CancelFate::Taken,
        };
        match fate {
            CancelFate::Unknown => {
                let delay = self.ground.rng.below(500_000);
                self.ground.after(delay, Event::CancelTakesEffect(errand));
            }
            CancelFate::Taken => {
                self.cancel_takes_effect(errand);
                self.forget_failure(pool); // the endpoint answers
            }
            CancelFate::NeverSent => self.cancel_was_in_vain(errand),
        }
        self.cancel_is_over(errand, fate);
    }

    /// A cancel request ends what its server runs, if anything; the client that asked for it must be the one
    /// that has it.
    pub fn cancel_takes_effect(&mut self, errand: Errand) {
        let Errand { server: socket, secret, asker, .. } = errand;
        for driver in &mut self.drivers {
            let Answer::Servers(rows) = driver.ask(Command::Servers, &self.ground) else {
                panic!("rows are asked for")
            };
            let row = rows.iter().find(|row| row.identity.socket_id == socket);
            if let Some(link) = row.and_then(|row| row.link) {
                assert_eq!(link, asker, "a cancel reaches a server that another client uses");
            }
        }
        let Remote::Server(index) = self.ground.wires[socket as usize].remote else {
            panic!("a cancel goes to a server")
        };
        let server = &mut self.servers[index];
        assert_eq!(server.secret, secret, "a cancel brings its server's key");
        if !server.cancel(index, &self.pools_of_clients, &mut self.ground) {
            self.cancel_was_in_vain(errand);
        }
    }

    fn cancel_was_in_vain(&mut self, errand: Errand) {
        if let Remote::Client(client) = self.ground.wires[errand.asker as usize].remote {
            self.clients[client].cancels = self.clients[client].cancels.saturating_sub(1);
        }
    }
}
