//! Sessions at random, each made of one number.

use super::play::Session;
use super::steps::{CONSOLE, Step, Until, ask, connect, leave, log_in, log_in_as, query, send};
use super::world::World;
use crate::common::raw::{
    close, describe, execute, frame, parse, query as query_frame, startup_message, sync,
};
use fastrand::Rng;

/// The client of the console.
const OPERATOR: usize = 9;

const QUERIES: [&str; 30] = [
    "select 1",
    "select 'a', null, 2.5",
    "select generate_series(1, 20)",
    "select repeat('x', 9000)",
    "select * from items order by id",
    "select 1; select 2",
    "select 1; select 1/0; select 3",
    "select 1/0",
    "selec",
    "",
    ";",
    "begin",
    "begin",
    "commit",
    "commit",
    "rollback",
    "savepoint s",
    "rollback to s",
    "set application_name = 'one'",
    "set datestyle = 'german'",
    "set timezone = 'Asia/Tokyo'",
    "set local intervalstyle = 'iso_8601'",
    "reset timezone",
    "show datestyle",
    "select current_setting('application_name'), current_setting('timezone')",
    "do $$ begin raise notice 'noticed'; end $$",
    "copy items to stdout",
    "copy nowhere from stdin",
    "deallocate all",
    "discard all",
];

/// Texts of statements, and how many parameters they have.
const TEXTS: [(&str, usize); 8] = [
    ("select 1", 0),
    ("select $1::text", 1),
    ("select generate_series(1, 5)", 0),
    ("select 1/0", 0),
    ("selec", 0),
    ("", 0),
    ("begin", 0),
    ("commit", 0),
];

/// The session of a number.
pub fn session(seed: u64) -> Session {
    let mut rng = Rng::with_seed(seed);
    let mode = *pick(&mut rng, &["session", "transaction", "transaction", "statement"]);
    let auth_type = *pick(&mut rng, &["trust", "trust", "trust", "md5", "scram-sha-256", "plain"]);
    let statements = *pick(&mut rng, &[0, 2, 200, 200]);
    let world = World::new(mode).set("auth_type", auth_type).statements(statements);
    let world = world.pool_size(rng.usize(1..=2));
    let mut author = Author { rng, names: Vec::new(), last_id: 100 };
    let count = author.rng.usize(8..30);
    let mut steps = vec![log_in(1), log_in(2)];
    for _ in 0..count {
        author.write(&mut steps);
    }
    Session { world, steps }
}

fn pick<'t, T>(rng: &mut Rng, from: &'t [T]) -> &'t T {
    &from[rng.usize(..from.len())]
}

struct Author {
    rng: Rng,
    /// Clients and the names that they have given.
    names: Vec<(usize, &'static str, usize)>,
    last_id: usize,
}

impl Author {
    fn write(&mut self, steps: &mut Vec<Step>) {
        let who = self.rng.usize(1..=3);
        match self.rng.u32(0..100) {
            0..40 => steps.push(self.query(who)),
            40..45 => {
                let queries: Vec<_> = (0..3).map(|_| query_frame(QUERIES[self.rng.usize(..11)])).collect();
                steps.push(ask(who, &queries));
            }
            45..70 => steps.push(self.batch(who)),
            70..76 => self.copy(who, steps),
            76..79 => steps.push(Step::Cancel { who }),
            79..83 => steps.push(self.hostile(who)),
            83..92 => steps.push(self.connect(who)),
            92..95 => steps.push(leave(who)),
            _ => self.operate(steps),
        }
    }

    fn query(&mut self, who: usize) -> Step {
        if self.rng.u32(0..8) == 0 {
            self.last_id += 1;
            return query(who, &format!("insert into items values ({}, 'new')", self.last_id));
        }
        query(who, QUERIES[self.rng.usize(..QUERIES.len())])
    }

    fn connect(&mut self, who: usize) -> Step {
        self.names.retain(|(client, ..)| *client != who);
        let more: [(&str, &str); 6] = [
            ("application_name", "random"),
            ("DateStyle", "sql, dmy"),
            ("TimeZone", "Europe/Vienna"),
            ("options", "-c datestyle=german"),
            ("client_encoding", "latin1"),
            ("what", "ever"),
        ];
        let app = [("user", "app"), ("database", "app")];
        match self.rng.u32(0..12) {
            0..6 => log_in(who),
            6..9 => log_in_as(who, &[app[0], app[1], *pick(&mut self.rng, &more)]),
            9 => connect(who, startup_message(196_608, &app), "wrong"),
            10 => log_in_as(who, &[("user", "nobody"), ("database", "app")]),
            _ => log_in_as(who, &[("user", "app"), ("database", "nowhere")]),
        }
    }

    /// Some messages of the extended protocol, up to one Sync or two.
    fn batch(&mut self, who: usize) -> Step {
        let mut frames = Vec::new();
        for _ in 0..self.rng.usize(1..=2) {
            for _ in 0..self.rng.usize(0..=3) {
                self.statement(who, &mut frames);
            }
            frames.push(sync());
        }
        ask(who, &frames)
    }

    fn statement(&mut self, who: usize, frames: &mut Vec<Vec<u8>>) {
        let name = *pick(&mut self.rng, &["", "", "one", "two", "three"]);
        let known = self.names.iter().find(|(client, given, _)| (*client, *given) == (who, name)).copied();
        let parameters = match known {
            Some((_, _, parameters)) if !name.is_empty() && self.rng.u32(0..20) != 0 => parameters,
            _ => {
                let (text, parameters) = *pick(&mut self.rng, &TEXTS);
                frames.push(parse(name, text));
                self.names.retain(|(client, given, _)| (*client, *given) != (who, name));
                self.names.push((who, name, parameters));
                parameters
            }
        };
        if self.rng.u32(0..4) == 0 {
            frames.push(describe(name));
        }
        let rows = *pick(&mut self.rng, &[0, 0, 2]);
        frames.push(bind(name, parameters));
        frames.push(if rows == 0 { execute() } else { frame(b'E', &[0, 0, 0, 0, rows]) });
        if self.rng.u32(0..8) == 0 && !name.is_empty() {
            frames.push(close(name));
            self.names.retain(|(client, given, _)| (*client, *given) != (who, name));
        }
    }

    fn copy(&mut self, who: usize, steps: &mut Vec<Step>) {
        self.last_id += 1;
        let row = frame(b'd', format!("{}\tcopied\n", self.last_id).as_bytes());
        let bad = frame(b'd', b"no number\tcopied\n");
        let (done, fail) = (frame(b'c', &[]), frame(b'f', b"given up\0"));
        let data = match self.rng.u32(0..5) {
            0 => [row, done].concat(),
            1 => [row.clone(), sync(), done].concat(),
            2 => [row, fail].concat(),
            3 => [bad, done].concat(),
            _ => fail,
        };
        steps.push(query(who, "copy items from stdin"));
        steps.push(send(who, data, Until::Quiet));
    }

    fn hostile(&mut self, who: usize) -> Step {
        let tag = *pick(&mut self.rng, b"!?AGRZ1pQPBDC");
        let bytes = match self.rng.u32(0..4) {
            0 => [&[tag][..], &self.rng.u32(0..4).to_be_bytes(), &[0; 16]].concat(),
            1 => [&[tag][..], &0x7fff_ffff_u32.to_be_bytes(), &[0; 16]].concat(),
            2 => startup_message(196_608, &[("user", "app"), ("database", "app")]),
            _ => frame(*pick(&mut self.rng, b"!?AGRZ1p"), &[0; 3]),
        };
        send(who, bytes, Until::Quiet)
    }

    fn operate(&mut self, steps: &mut Vec<Step>) {
        // None that tells of servers: one that is being closed counts for us until it has ended.
        let commands = [
            "show dns_zones",
            "show state",
            "show peers",
            "reconnect app",
            "kill app",
            "resume app",
            "disable app",
            "enable app",
            "set server_round_robin = 0",
            "what ever",
        ];
        steps.push(log_in_as(OPERATOR, &[("user", "admin"), ("database", CONSOLE)]));
        steps.push(query(OPERATOR, commands[self.rng.usize(..commands.len())]));
        steps.push(leave(OPERATOR));
    }
}

/// Bind to the unnamed portal.
fn bind(name: &str, parameters: usize) -> Vec<u8> {
    crate::common::raw::bind(name, &["value"][..parameters])
}
