//! A record or an event as one line: a JSON object of the schema in docs/audit.schema.json.
//!
//! Pure. Never shows a statement's literals unless a setting asks for them. Invariant: one line each, valid
//! JSON, whatever the names and texts in it hold.

use super::event::{Credentials, Event, Login, RefusedLogin, Secret};
use super::json::Object;
use super::record::{
    LoginCredential, Logout, Outcome, Record, ServerClosed, ServerFacts, Statement, Totals, Transaction, Who,
};
use super::redact::{fingerprint, may_hold_secrets, redact};
use crate::base::{Address, Micros, SessionId, StartId, VERSION};
use jiff::Timestamp;
use std::cell::Cell;
use std::fmt;

/// The schema's version: `v` of each line.
const SCHEMA_VERSION: u32 = 1;

/// What a statement's record shows (`audit_statements`, `audit_redact`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statements {
    /// There are no such records.
    #[default]
    None,
    /// Its fingerprint.
    Fingerprint,
    /// Its text without literals.
    Redacted,
    /// Its text, unless it may hold a password.
    Text,
}

/// What every line needs.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// What tells this process from every other one.
    pub(super) start_id: StartId,
    /// Microseconds since the epoch when the process's clock was at zero.
    pub(super) epoch_us: i64,
    pub(super) statements: Statements,
    pub(super) last_second: LastSecond,
}

/// The last second that was written, since most lines are of the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct LastSecond(Cell<(i64, [u8; SECOND_BYTES])>);

/// `YYYY-MM-DDTHH:MM:SS`, of the years from 0 to 9999.
const SECOND_BYTES: usize = 19;

impl LastSecond {
    /// The time so many microseconds from the epoch, with all of them.
    fn show(&self, us: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (second, micros) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
        let (last, mut text) = self.0.get();
        if last != second || text[0] == 0 {
            let time = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
            let whole = time.to_string();
            let front = whole.strip_suffix('Z').and_then(|front| front.as_bytes().try_into().ok());
            let Some(front) = front else { return f.write_str(&whole) };
            text = front;
            self.0.set((second, text));
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())?;
        write!(f, ".{micros:06}Z")
    }
}

impl Context {
    /// Of this process; its clock is still to be looked at.
    pub(super) fn new(start_id: StartId, statements: Statements) -> Self {
        Self { start_id, epoch_us: 0, statements, last_second: LastSecond::default() }
    }

    fn time(&self, at: Micros) -> impl fmt::Display {
        let us = self.epoch_us.saturating_add(i64::try_from(at.0).unwrap_or(i64::MAX));
        fmt::from_fn(move |f| self.last_second.show(us, f))
    }

    /// The session of that socket id, as application_name and other lines may show it.
    fn session(&self, socket_id: u64) -> SessionId {
        SessionId { start: self.start_id, socket_id }
    }

    /// A line, ended by a newline.
    fn line(&self, out: &mut String, seq: u64, at: Micros, event: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let mut object = Object::begin(out);
        object.bare("v", SCHEMA_VERSION).plain("ts", self.time(at));
        object
            .plain("process", format_args!("{:08x}", self.start_id.0))
            .bare("seq", seq)
            .plain("event", event);
        fill(&mut object);
        object.end();
        out.push('\n');
    }

    /// The first line of an output.
    pub(super) fn start(&self, out: &mut String, seq: u64, now: Micros) {
        self.line(out, seq, now, "start", |line| {
            line.text("version", VERSION);
        });
    }

    /// That so many lines are missing.
    pub(super) fn dropped(&self, out: &mut String, seq: u64, now: Micros, count: u64) {
        self.line(out, seq, now, "dropped", |line| {
            line.bare("count", count);
        });
    }

    /// A worker's record.
    pub(super) fn record(&self, out: &mut String, seq: u64, record: &Record) {
        match record {
            Record::Transaction(done) => {
                let event = if done.outcome == Outcome::Open { "link" } else { "transaction" };
                self.line(out, seq, done.end, event, |line| self.transaction(line, done));
            }
            Record::Statement(sent) => {
                self.line(out, seq, sent.at, "statement", |line| self.statement(line, sent));
            }
            Record::Logout(left) => self.line(out, seq, left.at, "logout", |line| self.logout(line, left)),
            Record::ServerClosed(ended) => {
                self.line(out, seq, ended.at, "server_close", |line| server_closed(line, ended));
            }
        }
    }

    fn transaction(&self, line: &mut Object<'_>, done: &Transaction) {
        line.plain("session", self.session(done.session)).bare("txn", done.number);
        line.object("server", |server| {
            server.bare("id", done.server).bare("pid", done.pid);
            address(server, &done.address);
            server.bare("generation", done.generation);
            if done.is_authorized_by_iam {
                server.bare("authorization_age_us", done.begin.since(done.authorized_at).0);
            }
        });
        line.plain("begin", self.time(done.begin));
        if done.outcome != Outcome::Open {
            line.plain("end", self.time(done.end));
        }
        line.bare("wait_us", done.wait.0).bare("queries", done.queries);
        line.bare("bytes_in", done.bytes_in).bare("bytes_out", done.bytes_out);
        line.plain("outcome", done.outcome.word());
        if let Some(limit) = done.canceled_by {
            line.plain("canceled_by", limit);
        }
        if let Some(said) = &done.context {
            line.object("context", |context| {
                for (key, value) in said.iter() {
                    context.text(key, value);
                }
            });
        }
    }

    fn statement(&self, line: &mut Object<'_>, sent: &Statement) {
        line.plain("session", self.session(sent.session)).bare("txn", sent.transaction);
        line.plain("kind", sent.kind.word());
        line.text("name", &String::from_utf8_lossy(&sent.name));
        if sent.text.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&sent.text);
        let redacted = redact(&text);
        line.plain("fingerprint", fingerprint(&redacted)).bare("cut", sent.is_cut);
        match self.statements {
            Statements::None | Statements::Fingerprint => {}
            Statements::Text if !may_hold_secrets(&text) => {
                line.text("text", &text);
            }
            Statements::Redacted | Statements::Text => {
                line.text("text", &redacted);
            }
        }
    }

    fn logout(&self, line: &mut Object<'_>, left: &Logout) {
        self.who(line, &left.who);
        let Totals { transactions, queries, bytes_in, bytes_out } = left.totals;
        line.text("reason", &left.reason).bare("duration_us", left.duration.0);
        line.bare("transactions", transactions).bare("queries", queries);
        line.bare("bytes_in", bytes_in).bare("bytes_out", bytes_out);
    }

    fn who(&self, line: &mut Object<'_>, who: &Who) {
        self.who_may_be(line, who, true);
    }

    /// Who a client is; its user is its principal where it has proven that.
    fn who_may_be(&self, line: &mut Object<'_>, who: &Who, is_proven: bool) {
        line.plain("session", self.session(who.session));
        line.text("database", &who.database).text("user", &who.user).text("method", who.proof.method);
        let principal = who.proof.principal.as_deref();
        let name = principal.map(|principal| &*principal.name);
        line.text_or_null("principal", name.or_else(|| is_proven.then_some(&*who.user)));
        if let Some(principal) = principal {
            line.text("issuer", &principal.issuer);
            line.object("claims", |claims| {
                for (name, value) in &principal.claims {
                    claims.text(name, value);
                }
            });
        }
        line.object("client", |client| address(client, &who.address));
        line.text_or_null("tls", Some(&*who.tls).filter(|tls| !tls.is_empty()));
    }

    /// What the login plane tells.
    pub(super) fn event(&self, out: &mut String, seq: u64, at: Micros, event: &Event) {
        let name = match event {
            Event::Login(login) if login.is_earlier => "session",
            Event::Login(_) => "login",
            Event::Logout(_) => "logout",
            Event::Refused(_) => "login_refused",
            Event::ServerLogin { .. } => "server_login",
            Event::ServerRefused { .. } => "server_refused",
            Event::Credentials(_) => "credentials",
            Event::Secret(_) => "secret",
            Event::DenyList { .. } => "deny_list",
            Event::Console { .. } => "console",
            Event::Config(_) => "config",
            Event::Cancel { .. } => "cancel",
            Event::Stop => "stop",
        };
        self.line(out, seq, at, name, |line| self.fill(line, event));
    }

    fn fill(&self, line: &mut Object<'_>, event: &Event) {
        match event {
            Event::Login(login) => self.login(line, login),
            Event::Logout(left) => self.logout(line, left),
            Event::Refused(refused) => self.refused(line, refused),
            Event::ServerLogin { server, authorized_until, generation, took, credential } => {
                line.object("server", |line| server_facts(line, server));
                line.bare("generation", generation).bare("login_us", took.0);
                if let Some(until) = authorized_until {
                    line.plain("authorized_until", self.time(*until));
                }
                if let Some(credential) = credential {
                    line.object("credential", |line| login_credential(line, credential));
                }
            }
            Event::ServerRefused { database, user, reason } => {
                line.text("database", database).text("user", user).text("reason", reason);
            }
            Event::Credentials(fetched) => credentials(line, fetched),
            Event::Secret(told) => secret(line, told),
            Event::DenyList { lines, added, removed, digest } => {
                line.bare("lines", lines).bare("added", added).bare("removed", removed);
                line.text_or_null("digest", digest.map(|digest| format!("sha256:{digest}")).as_deref());
            }
            Event::Console { who, command, error } => {
                self.who(line, who);
                line.text("command", command).text_or_null("error", error.as_deref());
            }
            Event::Config(changes) => {
                line.list("changes", changes, |line, change| {
                    line.text("name", &change.name);
                    line.text_or_null("before", change.before.as_deref());
                    line.text_or_null("after", change.after.as_deref());
                });
            }
            Event::Cancel { address: from, session, outcome } => {
                if let Some(session) = session {
                    line.plain("session", self.session(*session));
                }
                line.object("client", |client| address(client, from)).plain("outcome", outcome);
            }
            Event::Stop => {}
        }
    }

    fn refused(&self, line: &mut Object<'_>, refused: &RefusedLogin) {
        self.who_may_be(line, &refused.who, refused.is_proven);
        if let Some(issuer) = &refused.claimed_issuer {
            line.text("claimed_issuer", issuer);
        }
        line.text("reason", &refused.reason);
        if let Some(detail) = &refused.detail {
            line.text("detail", detail);
        }
    }

    fn login(&self, line: &mut Object<'_>, login: &Login) {
        self.who(line, &login.who);
        line.object("pool", |pool| {
            pool.text("database", &login.who.database);
            pool.text_or_null("user", login.pool_user.as_deref());
        });
        line.text("application_name", &login.application_name).plain("replication", login.replication);
        if !login.is_earlier {
            line.bare("login_us", login.took.0);
        }
    }
}

fn address(line: &mut Object<'_>, address: &Address) {
    match address {
        // as it is displayed it has no letter to be escaped
        Address::Tcp(tcp) => line.plain("addr", tcp.ip()),
        Address::Unix { .. } => line.text("addr", &address.host_text()),
    };
    line.bare("port", address.port());
    if let Address::Unix { pid, uid, .. } = address {
        line.bare("peer_pid", pid).bare("peer_uid", uid);
    }
}

fn server_facts(line: &mut Object<'_>, server: &ServerFacts) {
    line.bare("id", server.server).bare("pid", server.pid);
    line.text("database", &server.database).text("user", &server.user).text("host", &server.host);
    address(line, &server.address);
    line.text_or_null("tls", Some(&*server.tls).filter(|tls| !tls.is_empty()));
}

fn server_closed(line: &mut Object<'_>, ended: &ServerClosed) {
    line.object("server", |line| server_facts(line, &ended.server));
    line.text("reason", &ended.reason).bare("age_us", ended.age.0);
}

fn login_credential(line: &mut Object<'_>, credential: &LoginCredential) {
    match credential {
        LoginCredential::Aws { source, generation } => {
            line.text("source", source).bare("generation", generation);
        }
        LoginCredential::Secret { name, version } => {
            line.text("secret", name).text("version", version);
        }
    }
}

fn secret(line: &mut Object<'_>, told: &Secret) {
    line.text("secret", &told.name).plain("purpose", told.purpose);
    line.text_or_null("version", told.version.as_deref()).text_or_null("user", told.user.as_deref());
    line.text_or_null("error", told.error.as_deref());
}

fn credentials(line: &mut Object<'_>, fetched: &Credentials) {
    line.text("source", &fetched.source).text("principal", &fetched.principal).text("key", &fetched.key);
    if let Some(generation) = fetched.generation {
        line.bare("generation", generation);
    }
    let expires = fetched.expires_at_epoch_s.and_then(|seconds| i64::try_from(seconds).ok());
    let expires = expires.and_then(|seconds| Timestamp::from_second(seconds).ok());
    line.text_or_null("expires", expires.map(|time| time.to_string()).as_deref());
    line.text_or_null("error", fetched.error.as_deref());
}

#[cfg(test)]
mod tests;
