//! Cancel requests on their way: what the program's own `control::CancelQueue` says is carried, is carried
//! here, late, lost, or in doubt.

use super::driver::SimMail;
use super::ear;
use super::ground::{CancelRequest, Event};
use super::wire::Remote;
use super::world::World;
use pgweir::control::{Joins, TakenIn};
use pgweir::core::{Answer, CancelFate, Command, Use};
use std::sync::Arc;

pub const JOINED: &str = "a cancel joins one that has not been sent yet";

impl Joins for CancelRequest {
    fn join(&mut self, other: Self) {
        assert_eq!((self.server, self.secret), (other.server, other.secret), "another server's");
    }
}

pub const OVER_LIMIT: &str = "a query is cancelled that has taken too long";

impl World {
    /// Clients whose queries are cancelled for a limit: each is to hear of it, as if it had asked for it.
    pub fn limits_are_over(&mut self) -> Vec<u64> {
        let sockets = ear::canceled();
        for socket in &sockets {
            ear::hear(OVER_LIMIT);
            if let Remote::Client(client) = self.ground.wires[*socket as usize].remote {
                assert!(self.plan.cancels, "client {client} is cancelled, and no setting says so");
                self.clients[client].cancels += 1;
            }
        }
        sockets
    }

    /// A cancel request is to be sent, now or when another to the same server is over.
    pub fn cancel_begins(&mut self, request: CancelRequest) {
        match self.cancel_queues.entry(request.server).or_default().take_in(request) {
            TakenIn::Carry(request) => self.cancel_waits(request),
            TakenIn::Next => {}
            TakenIn::Joined => {
                ear::hear(JOINED);
                self.cancel_was_in_vain(request);
                self.ground.post(request.worker, SimMail::CancelOver(request.server, CancelFate::NeverSent));
            }
        }
    }

    /// It is carried within the connections that the ledger allows for it, as soon as there is one.
    pub fn cancel_waits(&mut self, request: CancelRequest) {
        let share = Arc::clone(&self.pools[self.pool_of_server(request.server)].share);
        if share.is_removed() {
            self.cancel_was_in_vain(request);
            self.cancel_is_over(request, CancelFate::NeverSent);
        } else if self.ledger.take_cancel(&share) {
            let delay = self.ground.rng.below(20_000);
            self.ground.after(delay, Event::CancelArrives(request));
        } else {
            self.ground.after(2_000, Event::CancelWaits(request));
        }
    }

    /// The worker is told what has become of it, and the one that has waited for it is carried.
    fn cancel_is_over(&mut self, request: CancelRequest, fate: CancelFate) {
        let CancelRequest { server, worker, .. } = request;
        self.ground.post(worker, SimMail::CancelOver(server, fate));
        let Some(queue) = self.cancel_queues.get_mut(&server) else { panic!("it was carried") };
        let next = queue.over();
        if queue.is_empty() {
            self.cancel_queues.remove(&server);
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

    /// A cancel request reaches its server, or is lost, or is given up on its way and arrives
    /// late; its worker is told.
    pub fn cancel_arrives(&mut self, request: CancelRequest) {
        let pool = self.pool_of_server(request.server);
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
                self.ground.after(delay, Event::CancelTakesEffect(request));
            }
            CancelFate::Taken => {
                self.cancel_takes_effect(request);
                self.forget_failure(pool); // the endpoint answers
            }
            CancelFate::NeverSent => self.cancel_was_in_vain(request),
        }
        self.cancel_is_over(request, fate);
    }

    /// A cancel request ends what its server runs, if anything; the client that asked for it must be the one
    /// that has it.
    pub fn cancel_takes_effect(&mut self, request: CancelRequest) {
        let CancelRequest { server: socket, secret, asker, .. } = request;
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
            self.cancel_was_in_vain(request);
        }
    }

    fn cancel_was_in_vain(&mut self, request: CancelRequest) {
        if let Remote::Client(client) = self.ground.wires[request.asker as usize].remote {
            self.clients[client].cancels = self.clients[client].cancels.saturating_sub(1);
        }
    }
}
