//! A record or an event as one line: a JSON object of the schema in docs/audit.schema.json.
//!
//! Pure. Never shows a statement's literals unless a setting asks for them. Invariant: one line each, valid
//! JSON, whatever the names and texts in it hold.

use super::event::{Change, Credentials, Event, Login, RefusedLogin, Secret};
use super::json::{Inner, List, Object, Octets, Plain, Word, members};
use super::record::{
    LoginCredential, Logout, Outcome, Record, ServerClosed, ServerFacts, Statement, Totals, Transaction, Who,
};
use super::redact::{fingerprint, may_hold_secrets, redact};
use super::shown::{LastSecond, Moment, Session};
use crate::base::{Address, Micros, StartId, VERSION};
use jiff::Timestamp;

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
    /// What tells this process from every other one, as sessions show it.
    process: Box<str>,
    /// Microseconds since the epoch when the process's clock was at zero.
    pub(super) epoch_us: i64,
    pub(super) statements: Statements,
    pub(super) last_second: LastSecond,
}

impl Context {
    /// Of this process; its clock is still to be looked at.
    pub(super) fn new(start_id: StartId, statements: Statements) -> Self {
        let process = format!("{:08x}", start_id.0).into();
        Self { process, epoch_us: 0, statements, last_second: LastSecond::default() }
    }

    fn time(&self, at: Micros) -> Moment<'_> {
        let us = self.epoch_us.saturating_add(i64::try_from(at.0).unwrap_or(i64::MAX));
        Moment { us, last_second: &self.last_second }
    }

    fn session(&self, socket_id: u64) -> Session<'_> {
        Session { process: &self.process, socket_id }
    }

    /// A line, ended by a newline.
    fn line(
        &self,
        out: &mut String,
        seq: u64,
        at: Micros,
        event: &'static str,
        fill: impl FnOnce(&mut Object<'_>),
    ) {
        let mut object = Object::begin(out);
        members!(
            &mut object,
            "v": SCHEMA_VERSION, "ts": self.time(at), "process": Word(&self.process), "seq": seq,
            "event": Word(event),
        );
        fill(&mut object);
        object.end();
        out.push('\n');
    }

    /// The first line of an output.
    pub(super) fn start(&self, out: &mut String, seq: u64, now: Micros) {
        self.line(out, seq, now, "start", |line| members!(line, "version": VERSION));
    }

    /// That so many lines are missing.
    pub(super) fn dropped(&self, out: &mut String, seq: u64, now: Micros, count: u64) {
        self.line(out, seq, now, "dropped", |line| members!(line, "count": count));
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
        members!(
            line,
            "session": self.session(done.session), "txn": done.number,
            "server": Inner(|server: &mut Object<'_>| server_of(server, done)),
            "begin": self.time(done.begin),
        );
        if done.outcome != Outcome::Open {
            members!(line, "end": self.time(done.end));
        }
        members!(
            line,
            "wait_us": done.wait.0, "queries": done.queries, "bytes_in": done.bytes_in,
            "bytes_out": done.bytes_out, "outcome": Word(done.outcome.word()),
        );
        if let Some(limit) = done.canceled_by {
            members!(line, "canceled_by": Word(limit));
        }
        if let Some(said) = &done.context {
            let pairs = said.iter().map(|(key, value)| (&**key, &**value));
            members!(line, "context": Inner(|context: &mut Object<'_>| pairs_of(context, pairs)));
        }
    }

    fn statement(&self, line: &mut Object<'_>, sent: &Statement) {
        members!(
            line,
            "session": self.session(sent.session), "txn": sent.transaction, "kind": Word(sent.kind.word()),
            "name": &*String::from_utf8_lossy(&sent.name),
        );
        if sent.text.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&sent.text);
        let redacted = redact(&text);
        members!(line, "fingerprint": Plain(fingerprint(&redacted)), "cut": sent.is_cut);
        match self.statements {
            Statements::None | Statements::Fingerprint => {}
            Statements::Text if !may_hold_secrets(&text) => members!(line, "text": &*text),
            Statements::Redacted | Statements::Text => members!(line, "text": &*redacted),
        }
    }

    fn logout(&self, line: &mut Object<'_>, left: &Logout) {
        self.who(line, &left.who);
        let Totals { transactions, queries, bytes_in, bytes_out } = left.totals;
        members!(
            line,
            "reason": &*left.reason, "duration_us": left.duration.0, "transactions": transactions,
            "queries": queries, "bytes_in": bytes_in, "bytes_out": bytes_out,
        );
    }

    fn who(&self, line: &mut Object<'_>, who: &Who) {
        self.who_may_be(line, who, true);
    }

    /// Who a client is; its user is its principal where it has proven that.
    fn who_may_be(&self, line: &mut Object<'_>, who: &Who, is_proven: bool) {
        let principal = who.proof.principal.as_deref();
        let name = principal.map(|principal| &*principal.name);
        members!(
            line,
            "session": self.session(who.session), "database": &*who.database, "user": &*who.user,
            "method": who.proof.method, "principal": name.or_else(|| is_proven.then_some(&*who.user)),
        );
        if let Some(principal) = principal {
            let pairs = principal.claims.iter().map(|(name, value)| (&**name, &**value));
            members!(
                line,
                "issuer": &*principal.issuer,
                "claims": Inner(|claims: &mut Object<'_>| pairs_of(claims, pairs)),
            );
        }
        members!(line, "client": Inner(|client: &mut Object<'_>| address(client, &who.address)));
        members!(line, "tls": Some(&*who.tls).filter(|tls| !tls.is_empty()));
    }

    /// What the login plane tells.
    pub(super) fn event(&self, out: &mut String, seq: u64, at: Micros, event: &Event) {
        let name = match event {
            Event::Login(login) if login.is_earlier => "session",
            Event::Login(_) => "login",
            Event::Logout(_) => "logout",
            Event::Refused(_) => "login_refused",
            Event::ServerLogin { took: None, .. } => "server",
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
                members!(line, "server": Inner(|line: &mut Object<'_>| server_facts(line, server)));
                members!(line, "generation": *generation);
                if let Some(took) = took {
                    members!(line, "login_us": took.0);
                }
                if let Some(until) = authorized_until {
                    members!(line, "authorized_until": self.time(*until));
                }
                if let Some(credential) = credential {
                    let fill = |line: &mut Object<'_>| login_credential(line, credential);
                    members!(line, "credential": Inner(fill));
                }
            }
            Event::ServerRefused { database, user, reason } => {
                members!(line, "database": &**database, "user": &**user, "reason": &**reason);
            }
            Event::Credentials(fetched) => credentials(line, fetched),
            Event::Secret(told) => secret(line, told),
            Event::DenyList { lines, added, removed, digest } => {
                members!(line, "lines": *lines, "added": *added, "removed": *removed);
                members!(line, "digest": digest.map(|digest| Plain(format!("sha256:{digest}"))));
            }
            Event::Console { who, command, error, sessions_ended } => {
                self.who(line, who);
                members!(line, "command": &**command, "error": error.as_deref());
                if let Some(count) = sessions_ended {
                    members!(line, "sessions_ended": *count);
                }
            }
            Event::Config(changes) => members!(line, "changes": List(changes, change)),
            Event::Cancel { address: from, session, outcome } => {
                if let Some(session) = session {
                    members!(line, "session": self.session(*session));
                }
                members!(line, "client": Inner(|client: &mut Object<'_>| address(client, from)));
                members!(line, "outcome": *outcome);
            }
            Event::Stop => {}
        }
    }

    fn refused(&self, line: &mut Object<'_>, refused: &RefusedLogin) {
        self.who_may_be(line, &refused.who, refused.is_proven);
        if let Some(issuer) = &refused.claimed_issuer {
            members!(line, "claimed_issuer": &**issuer);
        }
        members!(line, "reason": &*refused.reason);
        if let Some(detail) = &refused.detail {
            members!(line, "detail": &**detail);
        }
    }

    fn login(&self, line: &mut Object<'_>, login: &Login) {
        self.who(line, &login.who);
        let pool = |pool: &mut Object<'_>| {
            members!(pool, "database": &*login.who.database, "user": login.pool_user.as_deref());
        };
        members!(line, "pool": Inner(pool));
        members!(line, "application_name": &*login.application_name, "replication": login.replication);
        if !login.is_earlier {
            members!(line, "login_us": login.took.0);
        }
    }
}

fn pairs_of<'a>(line: &mut Object<'_>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in pairs {
        line.named(name, value);
    }
}

fn server_of(server: &mut Object<'_>, done: &Transaction) {
    members!(server, "id": done.server, "pid": done.pid);
    address(server, &done.address);
    members!(server, "generation": done.generation);
    if done.is_authorized_by_iam {
        members!(server, "authorization_age_us": done.begin.since(done.authorized_at).0);
    }
}

fn address(line: &mut Object<'_>, address: &Address) {
    match (address, address.octets()) {
        (_, Some(octets)) => members!(line, "addr": Octets(octets)),
        (Address::Tcp(tcp), None) => members!(line, "addr": Plain(tcp.ip())),
        (Address::Unix { .. }, None) => members!(line, "addr": &*address.host_text()),
    }
    members!(line, "port": address.port());
    if let Address::Unix { pid, uid, .. } = address {
        members!(line, "peer_pid": *pid, "peer_uid": *uid);
    }
}

fn server_facts(line: &mut Object<'_>, server: &ServerFacts) {
    members!(
        line,
        "id": server.server, "pid": server.pid, "database": &*server.database, "user": &*server.user,
        "host": &*server.host,
    );
    address(line, &server.address);
    members!(line, "tls": Some(&*server.tls).filter(|tls| !tls.is_empty()));
}

fn server_closed(line: &mut Object<'_>, ended: &ServerClosed) {
    members!(
        line,
        "server": Inner(|line: &mut Object<'_>| server_facts(line, &ended.server)),
        "reason": &*ended.reason, "age_us": ended.age.0,
    );
}

fn login_credential(line: &mut Object<'_>, credential: &LoginCredential) {
    match credential {
        LoginCredential::Aws { source, generation } => {
            members!(line, "source": &**source, "generation": *generation);
        }
        LoginCredential::Secret { name, version } => {
            members!(line, "secret": &**name, "version": &**version);
        }
    }
}

fn change(line: &mut Object<'_>, change: &Change) {
    members!(
        line,
        "name": &*change.name, "before": change.before.as_deref(), "after": change.after.as_deref(),
    );
}

fn secret(line: &mut Object<'_>, told: &Secret) {
    members!(
        line,
        "secret": &*told.name, "purpose": told.purpose, "version": told.version.as_deref(),
        "user": told.user.as_deref(), "error": told.error.as_deref(),
    );
}

fn credentials(line: &mut Object<'_>, fetched: &Credentials) {
    members!(
        line,
        "source": &*fetched.source, "principal": &*fetched.principal, "key": &*fetched.key,
    );
    if let Some(generation) = fetched.generation {
        members!(line, "generation": generation);
    }
    let expires = fetched.expires_at_epoch_s.and_then(|seconds| i64::try_from(seconds).ok());
    let expires = expires.and_then(|seconds| Timestamp::from_second(seconds).ok());
    members!(line, "expires": expires.map(Plain), "error": fetched.error.as_deref());
}

#[cfg(test)]
mod tests;
