//! Sessions written by hand: one case for each thing that PgBouncer promises or refuses on the wire.

mod console;
mod hostile;
mod logins;
mod proofs;
mod queries;
mod statements;
mod waits;

use super::play::Session;
use super::steps::{Step, leave};
use super::world::{CURRENT, Version, World};
use std::collections::BTreeSet;

/// Cases that are played one after the other before the same poolers.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    /// The first PgBouncer that has what it is about.
    pub since: Version,
    pub session: Session,
    /// The first step of each case, and its name.
    cases: Vec<(usize, String)>,
}

/// Something to try, and its steps; its clients are its own.
type Case = (String, Vec<Step>);

/// All of them.
pub fn all() -> Vec<Script> {
    let parts = [
        logins::scripts(),
        proofs::scripts(),
        queries::scripts(),
        statements::scripts(),
        waits::scripts(),
        console::scripts().into_iter().map(Script::of_today).collect(),
        hostile::scripts(),
    ];
    parts.concat()
}

fn case(name: impl Into<String>, steps: impl Into<Vec<Step>>) -> Case {
    (name.into(), steps.into())
}

/// Clients of one case, at the most.
const CLIENTS: usize = 10;

fn script(name: impl Into<String>, world: World, cases: impl IntoIterator<Item = Case>) -> Script {
    let mut steps: Vec<Step> = Vec::new();
    let mut starts = Vec::new();
    for (number, (case, own)) in cases.into_iter().enumerate() {
        starts.push((steps.len(), case));
        let own: Vec<Step> = own.into_iter().map(|step| step.of_client_plus(number * CLIENTS)).collect();
        let clients: BTreeSet<usize> = own.iter().filter_map(Step::client).collect();
        steps.extend(own);
        steps.extend(clients.into_iter().map(leave));
    }
    Script { name: name.into(), since: (0, 0), session: Session { world, steps }, cases: starts }
}

/// The same cases in each pool mode.
fn in_each_mode(name: &str, cases: &[Case]) -> Vec<Script> {
    let modes = ["session", "transaction", "statement"];
    modes.map(|mode| script(format!("{name} ({mode})"), World::new(mode), cases.to_vec())).into()
}

impl Script {
    fn since(self, since: Version) -> Self {
        Self { since, ..self }
    }

    /// It is about what older PgBouncers do otherwise.
    fn of_today(self) -> Self {
        self.since(CURRENT)
    }

    /// The case that a step belongs to.
    pub fn case_of(&self, step: usize) -> &str {
        let before = self.cases.iter().rev().find(|(first, _)| *first <= step);
        before.map_or("the end", |(_, name)| name)
    }
}
