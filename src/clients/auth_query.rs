//! auth_query: asking a database for a user's secret.
//!
//! The pooler plays a client of its own: one end of a socket pair goes to a worker like any client's, so that
//! limits, waiting and PAUSE hold for it as for others; no session parameter of the real client travels with
//! it. Source: PgBouncer, doc/config.md (`auth_query`).

use super::clients::Clients;
use crate::auth::Secret;
use crate::base::{Address, Micros, Proof, limits};
use crate::config::{CONSOLE_DATABASE, Database};
use crate::control::{CountedClient, Plane, PoolEntry};
use crate::core::{ClientIdentity, ClientLogin};
use crate::io::Channel;
use crate::wire::{Fault, FrameHeader, HEADER_BYTES, ParamMask, WireError, backend, encode, sqlstate, tags};
use crate::worker::Mail;
use std::sync::Arc;
use tags::server as tag;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// What auth_query says of `user` to a client of `database`; `None` = there is no such user. A NULL
/// secret is one that nothing proves. `begin` is called when its turn has come; what it gives is held
/// until the answer is there.
///
/// # Errors
/// `Fault::Config` where auth_query cannot be run or answers what it should not; what
/// else ends a client's wait.
/// # Cancel safety
/// Dropping it leaves the queue; the caller's login timeout bounds it.
pub async fn lookup<Begun>(
    clients: &Clients,
    database: &str,
    user: &str,
    begin: impl FnOnce() -> Begun,
) -> Result<Option<Arc<Secret>>, Fault> {
    let plane = &clients.plane;
    let policy = plane.policy.load_full();
    let settings = &policy.snapshot.settings;
    let config = match database {
        // Not an entry, but its users may come from auth_query too: in auth_dbname, by auth_user.
        CONSOLE_DATABASE => Arc::new(Database::new(CONSOLE_DATABASE.into())),
        _ => policy.snapshot.database(database).ok_or_else(|| not_configured(database))?,
    };
    let runner = config.auth_query_user(settings).ok_or(Fault::Config)?;
    let runs_in = config.auth_query_database(settings);
    if &*runs_in == CONSOLE_DATABASE {
        tracing::error!("cannot use the reserved \"{CONSOLE_DATABASE}\" database as an auth_dbname");
        return Err(Fault::Config);
    }
    // Who asks may be anybody, and name any database of `*`.
    if plane.registry.find(&runs_in, &runner).is_none() && !policy.snapshot.databases.contains_key(&*runs_in)
    {
        clients.unauthenticated.new_database().await;
    }
    let _permit = clients.lookups.acquire(&runs_in).await;
    let _begun = begin();
    let counted = plane
        .registry
        .count_client_as(&policy.snapshot, &runs_in, &runner)
        .ok_or_else(|| not_configured(&runs_in))?;
    plane.forget_unproven();
    let entry = Arc::clone(counted.entry());
    if entry.share.database.is_disabled() {
        let text = format!("authentication database \"{runs_in}\" is disabled");
        return Err(Fault::Relayed { sqlstate: sqlstate::PROTOCOL_VIOLATION.into(), text });
    }
    let query = config.auth_query.as_deref().unwrap_or(&settings.auth_query);
    let mut stream = join(plane, &entry, counted).map_err(|error| complain(&error.to_string()))?;
    stream.write_all(&question(query, user)).await.map_err(|error| complain(&error.to_string()))?;
    answer(&mut stream).await
}

fn not_configured(database: &str) -> Fault {
    tracing::error!("authentication database \"{database}\" is not configured.");
    Fault::Config
}

fn complain(why: &str) -> Fault {
    tracing::error!("S: error in auth_query: {why}");
    Fault::Config
}

/// Makes a client of the pool, and gives our end of its connection.
fn join(plane: &Plane, entry: &PoolEntry, counted: CountedClient) -> std::io::Result<UnixStream> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let share = &entry.share;
    let here = || Address::Unix { port: 0, pid: std::process::id(), uid: 0 };
    let identity = Arc::new(ClientIdentity {
        socket_id: 0,
        database: Arc::clone(&share.database.name),
        user: Arc::clone(&share.user),
        proof: Proof::by("trust"),
        remote: here(),
        local: here(),
        tls: String::new(),
        connected_at_epoch_s: 0,
        replication: crate::wire::startup::Replication::No,
        internal: true,
    });
    let rules = plane.policy.load().snapshot.client_rules(&share.user, &entry.config.load());
    let login = ClientLogin {
        identity,
        pool: Arc::clone(share),
        params: plane.names.empty_set(),
        asked: ParamMask::default(), // as the server's login has it, not as a client has left it
        rules,
        shown_name: None,
        context: None,
        login_time: Micros(0),
        welcome: Box::default(),
    };
    let channel = Channel {
        fd: theirs.into(),
        tls: None,
        unread: Vec::new(),
        unsent: Vec::new(),
        guard: Box::new(counted),
    };
    plane.worker(plane.least_loaded_worker()).send(Mail::Client(Box::new((channel, login))));
    UnixStream::from_std(ours)
}

/// Unnamed Parse, Bind with `$1` as text, Describe, Execute, Sync.
fn question(query: &str, user: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = Vec::new();
    encode::cstr(&mut rest, query.as_bytes());
    rest.extend_from_slice(&0u16.to_be_bytes()); // no parameter types: the server's to find out
    encode::parse(&mut out, b"", &rest);
    encode::frame(&mut out, tags::client::BIND, |out| {
        out.extend_from_slice(&[0, 0]); // unnamed portal of the unnamed statement
        out.extend_from_slice(&0u16.to_be_bytes()); // parameters as text
        out.extend_from_slice(&1u16.to_be_bytes());
        out.extend_from_slice(&u32::try_from(user.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(user.as_bytes());
        out.extend_from_slice(&0u16.to_be_bytes()); // results as text
    });
    encode::describe_or_close(&mut out, tags::client::DESCRIBE, tags::PORTAL, b"");
    encode::frame(&mut out, tags::client::EXECUTE, |out| {
        out.push(0);
        out.extend_from_slice(&0u32.to_be_bytes()); // all rows
    });
    encode::empty(&mut out, tags::client::SYNC);
    out
}

async fn answer(stream: &mut UnixStream) -> Result<Option<Arc<Secret>>, Fault> {
    let mut reading = Reading::default();
    let mut input = Vec::with_capacity(1024);
    loop {
        match stream.read_buf(&mut input).await {
            Ok(1..) => {}
            Ok(0) => return Err(complain("server connection closed")),
            Err(error) => return Err(complain(&error.to_string())),
        }
        let consumed = reading.received(&input)?;
        if reading.is_done {
            return Ok(reading.secret);
        }
        input.drain(..consumed);
    }
}

/// The answer as far as it has come.
#[derive(Debug, Default)]
struct Reading {
    secret: Option<Arc<Secret>>,
    is_done: bool,
}

impl Reading {
    /// Takes bytes, cut anywhere; returns how many were consumed.
    fn received(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let mut at = 0;
        let malformed = |_| complain("bad packet");
        while let Some(header) =
            FrameHeader::read(&input[at..], limits::AUTH_QUERY_MESSAGE_BYTES_MAX).map_err(malformed)?
        {
            let Some(frame) = input.get(at..at + header.frame_bytes) else { break };
            self.message(header.tag, &frame[HEADER_BYTES..])?;
            at += header.frame_bytes;
        }
        Ok(at)
    }

    fn message(&mut self, tag: u8, payload: &[u8]) -> Result<(), Fault> {
        let malformed = |_: WireError| complain("bad packet");
        match tag {
            tag::ROW_DESCRIPTION | tag::DATA_ROW => {
                let count = payload.first_chunk().map(|count| u16::from_be_bytes(*count));
                match count {
                    Some(2) if tag == tag::DATA_ROW => {
                        self.secret = secret(&payload[2..])?.map(Arc::new).or_else(|| self.secret.take());
                    }
                    Some(2) => {}
                    Some(count) => {
                        return Err(complain(&format!("expected 2 columns from auth_query, not {count}")));
                    }
                    None => return Err(complain("bad packet")),
                }
            }
            tag::ERROR_RESPONSE => {
                let fields = backend::ErrorFields::read(payload).map_err(malformed)?;
                let (severity, text) = (fields.severity(), fields.message());
                if severity == encode::Severity::Fatal.text() {
                    // The pooler's own words to its client, or the server's refusal that it passes on.
                    return Err(Fault::relayed(fields.sqlstate(), text));
                }
                return Err(complain(&format!("{severity}: {text}")));
            }
            tag::READY_FOR_QUERY => self.is_done = true,
            tag::PARSE_COMPLETE
            | tag::BIND_COMPLETE
            | tag::COMMAND_COMPLETE
            | tag::NOTICE_RESPONSE
            | tag::PARAMETER_STATUS => {}
            _ => return Err(complain("unexpected response from auth_query")),
        }
        Ok(())
    }
}

/// The secret of a row of name and secret; `None` where the name is NULL: what a function gives that returns
/// one row whatever it finds.
fn secret(columns: &[u8]) -> Result<Option<Secret>, Fault> {
    let (name, rest) = column(columns).ok_or_else(|| complain("bad packet"))?;
    let (secret, _) = column(rest).ok_or_else(|| complain("bad packet"))?;
    if name.is_none() {
        return Ok(None);
    }
    let Some(secret) = secret else { return Ok(Some(Secret::none())) };
    let text = std::str::from_utf8(secret).map_err(|_| complain("secret is not valid UTF-8"))?;
    Ok(Some(Secret::parse(text)))
}

/// One column of a DataRow (`None` = NULL), and what follows it.
fn column(input: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = input.split_first_chunk()?;
    match i32::from_be_bytes(*length) {
        -1 => Some((None, rest)),
        length => {
            rest.split_at_checked(usize::try_from(length).ok()?).map(|(value, rest)| (Some(value), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(out: &mut Vec<u8>, columns: &[Option<&str>]) {
        encode::frame(out, tag::DATA_ROW, |out| {
            out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
            for column in columns {
                let length = column.map_or(-1, |text| text.len() as i32);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(column.unwrap_or_default().as_bytes());
            }
        });
    }

    fn answered(write: impl FnOnce(&mut Vec<u8>)) -> Result<Reading, Fault> {
        let mut input = Vec::new();
        encode::empty(&mut input, tag::PARSE_COMPLETE);
        encode::empty(&mut input, tag::BIND_COMPLETE);
        write(&mut input);
        encode::command_complete(&mut input, "SELECT 1");
        encode::ready_for_query(&mut input, tags::transaction::IDLE);
        let mut reading = Reading::default();
        reading.received(&input)?;
        Ok(reading)
    }

    #[test]
    fn a_row_of_two_columns_is_the_secret() {
        let found = answered(|out| row(out, &[Some("bob"), Some("pw")])).unwrap();
        assert!(found.is_done);
        assert!(found.secret.is_some_and(|secret| secret.is_password("bob", b"pw")));
        let null = answered(|out| row(out, &[Some("bob"), None])).unwrap();
        assert!(null.secret.is_some_and(|secret| secret.is_empty()));
        assert!(answered(|_| ()).unwrap().secret.is_none());
        for secret in [Some("pw"), None] {
            let nobody = answered(|out| row(out, &[None, secret])).unwrap();
            assert!(nobody.is_done && nobody.secret.is_none(), "a row without a name is none");
        }
    }

    #[test]
    fn what_it_should_not_answer_is_a_config_error() {
        for columns in [&[Some("bob")][..], &[Some("bob"), Some("pw"), Some("x")]] {
            assert_eq!(answered(|out| row(out, columns)).unwrap_err(), Fault::Config);
        }
        let error = |severity| answered(|out| encode::error(out, severity, "42P01", "no table")).unwrap_err();
        assert_eq!(error(encode::Severity::Error), Fault::Config);
        let fatal = Fault::Relayed { sqlstate: "42P01".into(), text: "no table".into() };
        assert_eq!(error(encode::Severity::Fatal), fatal);
    }

    #[test]
    fn what_is_longer_than_a_secret_can_be_is_not_waited_for() {
        let header = |bytes: u32| [&[tag::DATA_ROW][..], &bytes.to_be_bytes()].concat();
        let most = limits::AUTH_QUERY_MESSAGE_BYTES_MAX;
        // The tag counts, too.
        assert!(Reading::default().received(&header(most - 1)).is_ok());
        assert_eq!(Reading::default().received(&header(most)).unwrap_err(), Fault::Config);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(input in proptest::collection::vec(any::<u8>(), 0..80)) {
            let consumed = Reading::default().received(&input);
            prop_assert!(consumed.is_err() || consumed.is_ok_and(|count| count <= input.len()));
            let _ = secret(&input);
        }
    }
}
