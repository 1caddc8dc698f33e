//! One client of the load: a random mix of steps, each of which checks that what comes
//! back is this client's own.

use crate::common::raw::{self, Outcome, Raw};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What all clients know.
#[derive(Debug)]
pub struct Shared {
    pub port: u16,
    pub until: Instant,
    /// Clients that lost their connection without wanting to.
    pub hurt: AtomicUsize,
}

/// What a client did.
#[derive(Debug, Default)]
pub struct Report {
    pub steps: usize,
}

/// The connection has ended because its server was killed.
struct Hurt;

type Step = Result<(), Hurt>;

/// A small generator with a seed; good enough to mix steps.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One client and what it expects to find.
pub struct Client<'a> {
    shared: &'a Shared,
    number: usize,
    user: &'a str,
    dice: Dice,
    raw: Raw,
    zone: &'static str,
    prepared: bool,
    rows: u64,
}

const ZONES: [&str; 4] = ["Asia/Tokyo", "Europe/Paris", "America/Lima", "Africa/Cairo"];

impl<'a> Client<'a> {
    /// Logs in.
    pub fn new(shared: &'a Shared, number: usize, user: &'a str, seed: u64) -> Self {
        let mut dice = Dice((seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        for _ in 0..8 {
            dice.below(2);
        }
        let zone = ZONES[number % ZONES.len()];
        let raw = Self::log_in(shared.port, number, user, zone);
        Self { shared, number, user, dice, raw, zone, prepared: false, rows: 0 }
    }

    /// A login may meet a server that is being killed; it tries again.
    fn log_in(port: u16, number: usize, user: &str, zone: &str) -> Raw {
        let name = format!("client {number}");
        let parameters = [
            ("user", user),
            ("database", "isolation"),
            ("application_name", name.as_str()),
            ("TimeZone", zone),
        ];
        loop {
            let mut raw = Raw::tcp(port);
            raw.startup(&parameters);
            let outcome = raw.outcome();
            if outcome.status == Some(b'I') {
                return raw;
            }
            assert!(
                outcome.errors.iter().all(|error| is_hurt(error)),
                "login of client {number}: {outcome:?}"
            );
        }
    }

    /// Steps until the time is over.
    pub fn run(mut self) -> Report {
        let mut report = Report::default();
        loop {
            if self.step().is_err() {
                self.shared.hurt.fetch_add(1, Ordering::Relaxed);
                self.raw = Self::log_in(self.shared.port, self.number, self.user, self.zone);
                self.prepared = false;
                self.recount();
            }
            report.steps += 1;
            if Instant::now() >= self.shared.until {
                return report;
            }
        }
    }

    /// After a cut nobody knows whether the last insert was committed: look.
    fn recount(&mut self) {
        let sql = format!("select count(*) from rows where client = {}", self.number);
        loop {
            let outcome = self.raw.simple(&sql);
            if outcome.status.is_some() {
                self.rows = outcome.value().parse().expect("a count");
                return;
            }
            self.shared.hurt.fetch_add(1, Ordering::Relaxed);
            self.raw = Self::log_in(self.shared.port, self.number, self.user, self.zone);
        }
    }

    fn step(&mut self) -> Step {
        match self.dice.below(12) {
            0 | 1 => self.simple(),
            2 => self.parameters(),
            3 | 4 => self.statement(),
            5 => self.pipeline(),
            6 => self.transaction(),
            7 => self.failed_transaction(),
            8 => self.copy(),
            9 => self.large_row(),
            10 => self.failed_pipeline(),
            _ => self.cancel(),
        }
    }

    /// Passes on an outcome that ended well; anything else that a killed server does
    /// not explain is a failure.
    fn whole(&self, outcome: Outcome) -> Result<Outcome, Hurt> {
        if outcome.status.is_none() {
            let explained = outcome.errors.last().is_none_or(|error| is_hurt(error));
            assert!(explained, "client {}: {:?}", self.number, outcome.errors);
            return Err(Hurt);
        }
        Ok(outcome)
    }

    fn ask(&mut self, frames: &[Vec<u8>]) -> Result<Outcome, Hurt> {
        if self.raw.try_send(&frames.concat()).is_err() {
            return Err(Hurt);
        }
        let outcome = self.raw.outcome();
        self.whole(outcome)
    }

    fn value(&mut self, sql: &str) -> Result<String, Hurt> {
        Ok(self.ask(&[raw::query(sql)])?.value())
    }

    #[track_caller]
    fn own(&self, what: &str, got: &str, wanted: &str) {
        assert_eq!(got, wanted, "client {}: {what} of somebody else", self.number);
    }

    fn simple(&mut self) -> Step {
        let text = format!("{}-{}", self.number, self.dice.below(1 << 40));
        let got = self.value(&format!("select '{text}'"))?;
        self.own("an answer", &got, &text);
        Ok(())
    }

    fn parameters(&mut self) -> Step {
        if self.dice.below(3) == 0 {
            self.zone = ZONES[usize::try_from(self.dice.below(4)).expect("below 4")];
            let sql = format!("set timezone = '{}'", self.zone);
            self.ask(&[raw::query(&sql)])?;
        }
        let got =
            self.value("select current_setting('timezone') || '|' || current_setting('application_name')")?;
        let wanted = format!("{}|client {}", self.zone, self.number);
        self.own("a parameter", &got, &wanted);
        Ok(())
    }

    /// Every client calls its statement the same, and every client's says something else.
    fn statement(&mut self) -> Step {
        if !self.prepared {
            let sql = format!("select '{}:' || $1::text", self.number);
            self.ask(&[raw::parse("mine", &sql), raw::sync()])?;
            self.prepared = true;
        }
        let argument = self.dice.below(1000).to_string();
        let got = self.ask(&[raw::bind("mine", &[&argument]), raw::execute(), raw::sync()])?.value();
        let wanted = format!("{}:{argument}", self.number);
        self.own("a statement", &got, &wanted);
        if self.dice.below(8) == 0 {
            self.ask(&[raw::close("mine"), raw::sync()])?;
            self.prepared = false;
        }
        Ok(())
    }

    fn pipeline(&mut self) -> Step {
        let count = 1 + self.dice.below(10);
        let sql = format!("select '{}/' || $1::text", self.number);
        let mut frames = Vec::new();
        for number in 0..count {
            let argument = number.to_string();
            frames.extend([raw::parse("", &sql), raw::bind("", &[&argument]), raw::execute(), raw::sync()]);
        }
        if self.raw.try_send(&frames.concat()).is_err() {
            return Err(Hurt);
        }
        for number in 0..count {
            let outcome = self.raw.outcome();
            let got = self.whole(outcome)?.value();
            let wanted = format!("{}/{number}", self.number);
            self.own("an answer in a pipeline", &got, &wanted);
        }
        Ok(())
    }

    fn transaction(&mut self) -> Step {
        let number = self.number;
        self.ask(&[raw::query("begin")])?;
        let server = self.value("select pg_backend_pid()")?;
        self.ask(&[raw::query(&format!("insert into rows values ({number}, 1)"))])?;
        let again = self.value("select pg_backend_pid()")?;
        assert_eq!(server, again, "client {number}: the server changed inside a transaction");
        self.ask(&[raw::query("commit")])?;
        self.rows += 1;
        let count = self.value(&format!("select count(*) from rows where client = {number}"))?;
        let wanted = self.rows.to_string();
        self.own("the number of rows", &count, &wanted);
        Ok(())
    }

    fn failed_transaction(&mut self) -> Step {
        let number = self.number;
        self.ask(&[raw::query("begin")])?;
        self.ask(&[raw::query(&format!("insert into rows values ({number}, 2)"))])?;
        let failed = self.ask(&[raw::query("select 1/0")])?;
        assert_eq!((failed.status, failed.errors.len()), (Some(b'E'), 1), "client {number}: {failed:?}");
        self.ask(&[raw::query("rollback")])?;
        Ok(())
    }

    fn copy(&mut self) -> Step {
        let lines: Vec<Vec<u8>> =
            (0..50).map(|n| raw::frame(b'd', format!("{}\t{n}\n", self.number).as_bytes())).collect();
        self.ask(&[raw::query("begin; create temp table mine (client int, n int) on commit drop")])?;
        let mut frames = vec![raw::query("copy mine from stdin")];
        frames.extend(lines);
        frames.push(raw::frame(b'c', &[]));
        let copied = self.ask(&frames)?;
        assert_eq!(copied.commands, ["COPY 50"], "client {}: {copied:?}", self.number);
        let got =
            self.value("select count(*) || ' of ' || min(client) || ' to ' || max(client) from mine")?;
        let wanted = format!("50 of {0} to {0}", self.number);
        self.own("rows of COPY", &got, &wanted);
        let out = self.ask(&[raw::query("copy mine to stdout; commit")])?;
        assert_eq!(out.tags.matches('d').count(), 50, "client {}", self.number);
        Ok(())
    }

    fn large_row(&mut self) -> Step {
        let bytes = usize::try_from(1 + self.dice.below(200_000)).expect("small");
        let letter = char::from(b'a' + u8::try_from(self.number % 26).expect("below 26"));
        let got = self.value(&format!("select repeat('{letter}', {bytes})"))?;
        assert!(
            got.len() == bytes && got.chars().all(|c| c == letter),
            "client {}: a row of others",
            self.number
        );
        Ok(())
    }

    fn failed_pipeline(&mut self) -> Step {
        let sql = format!("select {}", self.number);
        let wrong = [raw::parse("", "select 1/0"), raw::bind("", &[]), raw::execute()].concat();
        let right = [raw::parse("", &sql), raw::bind("", &[]), raw::execute(), raw::sync()].concat();
        if self.raw.try_send(&[wrong, right.clone(), right].concat()).is_err() {
            return Err(Hurt);
        }
        let failed = self.raw.outcome();
        let failed = self.whole(failed)?;
        assert_eq!((failed.rows.len(), failed.errors.len()), (0, 1), "client {}: {failed:?}", self.number);
        let good = self.raw.outcome();
        let got = self.whole(good)?.value();
        let wanted = self.number.to_string();
        self.own("an answer after an error", &got, &wanted);
        Ok(())
    }

    /// Sends a query and at once its cancel: it may hit or come too late, but it is this client's alone.
    /// Whoever sent it waits until its connection is closed, as libpq does: from then on it can hit nothing,
    /// so any later query that ends as cancelled was hit by somebody else's.
    fn cancel(&mut self) -> Step {
        let text = format!("select pg_sleep(0.05), '{}'", self.number);
        if self.raw.try_send(&raw::query(&text)).is_err() {
            return Err(Hurt);
        }
        let mut messenger = Raw::tcp(self.shared.port);
        let _ = messenger.try_send(&raw::cancel_request(&self.raw.key));
        let outcome = self.raw.outcome();
        let outcome = self.whole(outcome)?;
        assert!(
            outcome.errors.iter().all(|error| error.contains("57014")),
            "client {}: {outcome:?}",
            self.number
        );
        assert!(messenger.ends_in_order(), "client {}: its cancel request was not seen through", self.number);
        Ok(())
    }
}

/// Whether an error tells of a server that was killed; the last of them, while parameters
/// were being set at link time.
fn is_hurt(error: &str) -> bool {
    let texts =
        ["57P01", "server conn crashed?", "server login has been failing", "invalid server parameter"];
    texts.iter().any(|text| error.contains(text))
}
