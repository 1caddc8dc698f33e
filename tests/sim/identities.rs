//! Identities that end while their sessions work: tokens that expire, principals that are denied, in some
//! worlds.
//!
//! Held: who is to end is marked with the pass behind the end of his token, or with the letter that tells of
//! the denial; who is marked begins no transaction (`listener`, for each link; here by the times that the
//! core tells); nobody is ended in a transaction, but by `drop_now` or `identity_drain_timeout` (`client`),
//! and nobody who is denied goes on for longer than that.

use super::client::SimClient;
use super::driver::SimMail;
use super::ear;
use super::ground::Event;
use super::plan::Plan;
use super::rng::Rng;
use super::world::World;
use pgweir::base::{DenyReason, Expiry, Micros, Principal, Proof};
use pgweir::config::{OnDenied, OnExpired};
use pgweir::core::{Answer, ClientIdentity, ClientLogin, Command, Judge};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const EXPIRED: &str = "session ended: its token has expired";
pub const DENIED: &str = "session ended: its principal is denied";
pub const TOLD: &str = "the token of this session has expired";
pub const DRAINS: &str = "a session that is to end finishes its transaction";

/// How finely a session knows since when it is denied.
const CLOCK: Micros = Micros(1_000);

/// Whose sessions end, in this world.
#[derive(Debug)]
pub struct Identities {
    rng: Rng,
    denied: BTreeSet<Box<str>>,
    /// What each worker has been told, and what it is about to be.
    known: Vec<BTreeSet<Box<str>>>,
    coming: Vec<Option<BTreeSet<Box<str>>>>,
    /// Clients that are denied and not gone yet, by their sockets: since when that is seen.
    draining: BTreeMap<u64, Micros>,
}

/// One of a few principals, with an end in half of the cases.
fn principal(rng: &mut Rng, now: Micros, calm_at_us: u64) -> Principal {
    let at = rng.percent(50).then(|| now + Micros(rng.range(1, calm_at_us)));
    Principal {
        name: format!("principal{}", rng.below(3)).into(),
        issuer: "".into(),
        claims: Box::default(),
        expiry: at.map(|at| Expiry { at, at_epoch_s: at.as_secs() }),
        timeouts: Default::default(),
        standing: Default::default(),
    }
}

fn judge(denied: BTreeSet<Box<str>>) -> Judge {
    let judge =
        move |client: &ClientIdentity| denied.contains(client.principal()).then_some(DenyReason::Denied);
    Judge(Arc::new(judge))
}

/// That of a client that has proven so much.
pub fn proven(login: ClientLogin, proof: Proof) -> ClientLogin {
    let mut identity = Arc::try_unwrap(login.identity).expect("nobody else knows it yet");
    identity.proof = proof;
    ClientLogin { identity: Arc::new(identity), ..login }
}

impl Identities {
    /// Those of a world that has any.
    pub fn draw(mut rng: Rng, plan: &Plan) -> Option<Self> {
        plan.identities.map(|_| Self {
            denied: BTreeSet::new(),
            known: vec![BTreeSet::new(); plan.workers],
            coming: vec![None; plan.workers],
            draining: BTreeMap::new(),
            rng: Rng::new(rng.next()),
        })
    }

    /// A letter is put into a worker's mailbox.
    pub fn posted(&mut self, worker: usize, letter: &SimMail) {
        if let SimMail::Command(Command::Judge(judge, _)) = letter {
            let asked = (0..3).map(|at| format!("principal{at}"));
            let denied = asked.filter(|name| (judge.0)(&named(name)).is_some());
            self.coming[worker] = Some(denied.map(String::into_boxed_str).collect());
        }
    }

    /// A worker has read its letters.
    pub fn read(&mut self, worker: usize) {
        if let Some(told) = self.coming[worker].take() {
            self.known[worker] = told;
        }
    }
}

fn named(name: &str) -> ClientIdentity {
    ClientIdentity {
        socket_id: 0,
        database: "".into(),
        user: name.into(),
        proof: Proof::by("trust"),
        remote: super::world::nowhere(),
        local: super::world::nowhere(),
        tls: String::new(),
        connected_at_epoch_s: 0,
        replication: pgweir::wire::startup::Replication::No,
        internal: false,
    }
}

impl World {
    /// Gives a client an identity that may end, in worlds where they do.
    pub fn with_identity(&mut self, login: ClientLogin) -> ClientLogin {
        let now = self.ground.micros();
        let Some(identities) = &mut self.identities else { return login };
        let principal = principal(&mut identities.rng, now, self.plan.calm_at_us);
        let socket = login.identity.socket_id;
        self.ground.log(|| format!("client {socket} is {principal:?}"));
        proven(login, Proof { method: "trust", principal: Some(Arc::new(principal)) })
    }

    /// Somebody is denied, or is not any more; and the appointment for the next.
    pub fn denials_change(&mut self) {
        let Some(identities) = &mut self.identities else { return };
        if self.is_calm {
            return;
        }
        let name: Box<str> = format!("principal{}", identities.rng.below(3)).into();
        if !identities.denied.remove(&name) {
            identities.denied.insert(name);
        }
        let denied = identities.denied.clone();
        let next = identities.rng.range(1_000, self.plan.calm_at_us);
        self.ground.log(|| format!("denied: {denied:?}"));
        self.ground.after(next, Event::Denials);
        self.tell_all(&|| Command::Judge(judge(denied.clone()), 0));
    }

    /// A worker has gone round: what it was told, and a pass that it has made, have had their effect.
    pub fn check_identities(&mut self, worker: usize, has_passed: bool) {
        let (Some(identities), Some(plan)) = (&mut self.identities, self.plan.identities) else { return };
        let now = self.ground.micros();
        let Answer::Clients(rows) = self.drivers[worker].ask(Command::Clients, &self.ground) else {
            panic!("rows are asked for")
        };
        for row in rows {
            let (socket, proof) = (row.identity.socket_id, &row.identity.proof);
            let Some(principal) = &proof.principal else { continue };
            if identities.known[worker].contains(&principal.name) {
                assert!(plan.on_denied == OnDenied::Drain, "client {socket} is here, and was to be dropped");
                assert!(row.ending.is_some(), "client {socket} stays although {} is denied", principal.name);
            }
            let is_over = principal.expiry.is_some_and(|end| end.at + plan.expiry_grace <= now);
            if is_over && has_passed && plan.on_expired == OnExpired::Drain {
                assert!(row.ending.is_some(), "client {socket} stays although its token has expired");
            }
            if row.ending.is_some() {
                ear::hear(DRAINS);
            }
            if row.ending == Some("denied") {
                let since = *identities.draining.entry(socket).or_insert(now);
                let is_over = plan.drain_timeout != Micros(0) && since + plan.drain_timeout + CLOCK <= now;
                assert!(!(is_over && has_passed), "client {socket} is denied since {since:?}, and goes on");
            }
        }
    }
}

impl SimClient {
    /// It is told that its session ends for who it is: in no transaction, unless that is wanted so.
    pub fn check_ended_for_identity(&self, text: &str, is_in_transaction: bool) {
        ear::hear(text);
        let may_be_cut = self.causes.replicates || (text == DENIED && self.causes.may_be_dropped);
        let (client, last) = (self.index, self.last_answer());
        assert!(
            may_be_cut || !is_in_transaction,
            "client {client} is ended in a transaction: {text}, behind {last}"
        );
    }
}
