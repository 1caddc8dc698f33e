//! Asking a directory whether a password is a user's: connect, encrypt, search for the entry, bind as it.
//!
//! Never sends an empty password, which a server takes for nobody's and grants (RFC 4513, section 5.1.2), nor
//! a password to a server that is not configured: referrals are not followed. The protocol is the library's;
//! what it reads goes through [`gate`] first. Source: PostgreSQL documentation, "LDAP Authentication".

mod gate;

use crate::auth::ldap::{
    LdapEncryption, LdapLookup, LdapOptions, LdapScope, LdapSearch, LdapServer, direct_name,
};
use crate::base::{Password, limits};
use crate::config::shown;
use crate::control::Stream;
use gate::{Asked, BadAnswer, Gate};
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchEntry, SearchOptions,
    StdStream,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use zeroize::{Zeroize, Zeroizing};

/// Who wants to be let in.
pub(super) struct Claim {
    /// Which directory knows.
    pub options: Arc<LdapOptions>,
    /// What TLS handshakes with it go by.
    pub tls: Option<Arc<ClientConfig>>,
    /// The user's name.
    pub user: Arc<str>,
    /// What is said to be the user's password.
    pub password: Arc<Password>,
}

/// Why a directory has not let a user in. Never holds a password.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no server can be asked: {host}:{port}: {why}")]
    NoServer { host: String, port: u16, why: String },
    #[error("no answer in time from {host}:{port}")]
    TooSlow { host: String, port: u16 },
    #[error("{0}")]
    BadAnswer(#[from] BadAnswer),
    #[error("{0}")]
    Library(String),
    #[error("the user's name cannot stand between ldapprefix and ldapsuffix")]
    UnfitName,
    #[error("an empty name or password is not sent")]
    Empty,
    #[error("no entry of the directory is for the user")]
    NoEntry,
    #[error("several entries of the directory are for the user")]
    SeveralEntries,
    #[error("{step}: LDAP result {code}: {text}")]
    Result { step: &'static str, code: u32, text: String },
    #[error("the directory does not take the password")]
    WrongPassword,
}

impl Refusal {
    /// Whether it is about the user, and not about the directory or its configuration.
    pub(super) fn is_about_the_user(&self) -> bool {
        matches!(self, Self::WrongPassword | Self::NoEntry | Self::UnfitName | Self::Empty)
    }
}

impl From<LdapError> for Refusal {
    fn from(error: LdapError) -> Self {
        Self::Library(shown(&error.to_string()))
    }
}

/// The results of LDAP that are told apart. Source: RFC 4511, section 4.1.9.
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const INVALID_CREDENTIALS: u32 = 49;

impl Claim {
    /// Asks the first server that can be reached.
    ///
    /// # Errors
    /// Why the user is not let in.
    pub(super) async fn prove(self) -> Result<(), Refusal> {
        if self.password.is_empty() {
            return Err(Refusal::Empty);
        }
        let mut refusal = Refusal::Empty; // there is a server
        for server in &self.options.servers {
            let LdapServer { host, port } = server.clone();
            let opening = self.open(server);
            let opened = tokio::time::timeout(Duration::from_millis(limits::LDAP_CONNECT_MS), opening).await;
            let why = match opened {
                Ok(Ok(stream)) => {
                    let asking = self.ask(stream);
                    let patience = Duration::from_millis(limits::LDAP_ANSWER_MS);
                    let asked = tokio::time::timeout(patience, asking).await;
                    return asked.unwrap_or(Err(Refusal::TooSlow { host, port }));
                }
                Ok(Err(error)) => shown(&error.to_string()),
                Err(_) => "it has not answered in time".to_owned(),
            };
            refusal = Refusal::NoServer { host, port, why };
        }
        Err(refusal)
    }

    /// A connection to `server`, encrypted as it is to be.
    async fn open(&self, server: &LdapServer) -> io::Result<Box<dyn Stream>> {
        let addresses: Vec<_> = lookup_host((&*server.host, server.port)).await?.collect();
        let mut stream = connect(&addresses).await?;
        match self.options.encryption {
            LdapEncryption::None => return Ok(Box::new(stream)),
            LdapEncryption::StartTls => ask_for_tls(&mut stream).await?,
            LdapEncryption::Tls => {}
            LdapEncryption::Both => return Err(io::Error::other("ldaptls=1 within ldaps is not possible")),
        }
        let config = self.tls.clone().ok_or_else(|| io::Error::other("TLS is not set up"))?;
        let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tokio_rustls::TlsConnector::from(config).connect(name, stream).await?))
    }

    /// Has the library ask over `stream`.
    async fn ask(&self, stream: Box<dyn Stream>) -> Result<(), Refusal> {
        let lost = |error: io::Error| Refusal::Library(error.to_string());
        let (theirs, ours) = std::os::unix::net::UnixStream::pair().map_err(lost)?;
        ours.set_nonblocking(true).map_err(lost)?;
        let ours = UnixStream::from_std(ours).map_err(lost)?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(theirs));
        let (connection, mut library) = LdapConnAsync::with_settings(settings, "ldapi://gate").await?;
        let driven = async {
            let _ = connection.drive().await; // whoever waits for an answer hears of its end
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            outcome = self.exchange(&mut library) => outcome,
            bad = carry(stream, ours, self.questions()) => Err(bad.into()),
            () = driven => unreachable!("it waits for ever"),
        }
    }

    /// What [`Claim::exchange`] asks.
    fn questions(&self) -> &'static [Asked] {
        match &self.options.lookup {
            LdapLookup::Direct { .. } => &[Asked::Bind],
            LdapLookup::Search(LdapSearch { searcher: None, .. }) => &[Asked::Search, Asked::Bind],
            LdapLookup::Search(_) => &[Asked::Bind, Asked::Search, Asked::Bind],
        }
    }

    async fn exchange(&self, library: &mut Ldap) -> Result<(), Refusal> {
        let name = match &self.options.lookup {
            LdapLookup::Direct { prefix, suffix } => {
                direct_name(prefix, suffix, &self.user).ok_or(Refusal::UnfitName)?
            }
            LdapLookup::Search(search) => {
                if let Some((name, password)) = &search.searcher {
                    let result = bind(library, name, password.expose()).await?;
                    check("login of ldapbinddn", result)?;
                }
                find(library, search, &self.user).await?
            }
        };
        let result = bind(library, &name, self.password.expose()).await?;
        if result.rc == INVALID_CREDENTIALS {
            return Err(Refusal::WrongPassword);
        }
        check("login", result)
    }
}

/// Connects to the first of `addresses` that answers: none has so long that there is no time for the next.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let share_ms = limits::LDAP_CONNECT_MS / (addresses.len() as u64 + 1);
    let mut last = io::ErrorKind::NotFound.into();
    for address in addresses {
        match tokio::time::timeout(Duration::from_millis(share_ms), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Asks for TLS within LDAP; returns where the handshake begins.
async fn ask_for_tls(stream: &mut TcpStream) -> io::Result<()> {
    /// An ExtendedRequest with the name of StartTLS. Source: RFC 4511, section 4.14.1.
    const REQUEST: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
    stream.write_all(REQUEST).await?;
    let (mut gate, mut space) = (Gate::new(&[Asked::StartTls]), [0; 1_024]);
    loop {
        let read = stream.read(&mut space).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        gate.receive(&space[..read]).map_err(io::Error::other)?;
        match gate.next_answer().map_err(io::Error::other)? {
            None => {}
            Some(answer) if answer.code == 0 && gate.is_empty() => return Ok(()),
            // it would otherwise pass for a part of the encrypted stream
            Some(answer) if answer.code == 0 => {
                return Err(io::Error::other("something came in clear text behind the answer to StartTLS"));
            }
            Some(answer) => {
                return Err(io::Error::other(format!("StartTLS is refused: LDAP result {}", answer.code)));
            }
        }
    }
}

/// Carries bytes between the directory and the library; returns only where what the directory says is not let
/// through.
async fn carry(stream: Box<dyn Stream>, library: UnixStream, asked: &'static [Asked]) -> BadAnswer {
    const SPACE_BYTES: usize = 4_096;
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    let (mut from_library, mut to_library) = library.into_split();
    let mut gate = Gate::new(asked);
    let (mut sent, mut answered) = (Zeroizing::new(vec![0; SPACE_BYTES]), vec![0; SPACE_BYTES]);
    loop {
        let is_over = tokio::select! {
            read = from_library.read(&mut sent) => match read {
                Ok(read @ 1..) => {
                    let written = to_server.write_all(&sent[..read]).await;
                    sent.as_mut_slice().zeroize();
                    written.is_err() || to_server.flush().await.is_err()
                }
                _ => true,
            },
            read = from_server.read(&mut answered) => match read {
                Ok(read @ 1..) => match let_through(&mut gate, &answered[..read]) {
                    Ok(bytes) => to_library.write_all(&bytes).await.is_err(),
                    Err(bad) => return bad,
                },
                _ => true,
            },
        };
        if is_over {
            drop(to_library); // the library hears of the end, and whoever waits for its answer
            std::future::pending::<()>().await;
            unreachable!("nobody waits so long");
        }
    }
}

fn let_through(gate: &mut Gate, bytes: &[u8]) -> Result<Vec<u8>, BadAnswer> {
    gate.receive(bytes)?;
    let mut through = Vec::new();
    while let Some(answer) = gate.next_answer()? {
        through.extend_from_slice(&answer.bytes);
    }
    Ok(through)
}

/// Binds as `name`; both are there.
async fn bind(library: &mut Ldap, name: &str, password: &str) -> Result<LdapResult, Refusal> {
    if name.is_empty() || password.is_empty() {
        return Err(Refusal::Empty);
    }
    Ok(library.simple_bind(name, password).await?)
}

fn check(step: &'static str, result: LdapResult) -> Result<(), Refusal> {
    match result.rc {
        SUCCESS => Ok(()),
        code => Err(Refusal::Result { step, code, text: shown(&result.text) }),
    }
}

/// The name of the one entry that is for `user`.
async fn find(library: &mut Ldap, search: &LdapSearch, user: &str) -> Result<String, Refusal> {
    let seconds = i32::try_from(limits::LDAP_ANSWER_MS / 1_000).unwrap_or(i32::MAX);
    library.with_search_options(SearchOptions::new().sizelimit(2).timelimit(seconds));
    let scope = match search.scope {
        LdapScope::Base => Scope::Base,
        LdapScope::One => Scope::OneLevel,
        LdapScope::Subtree => Scope::Subtree,
    };
    let no_attributes = vec!["1.1"];
    let filter = search.filter_for(user);
    let mut found = library.streaming_search(&search.base, scope, &filter, no_attributes).await?;
    let mut names = Vec::new();
    while let Some(entry) = found.next().await? {
        names.push(SearchEntry::construct(entry).dn);
    }
    let result = found.finish().await;
    if result.rc != SIZE_LIMIT_EXCEEDED || names.len() < 2 {
        check("search", result)?;
    }
    match (names.pop(), names.is_empty()) {
        (None, _) => Err(Refusal::NoEntry),
        (Some(name), true) => Ok(name),
        (Some(_), false) => Err(Refusal::SeveralEntries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

    #[tokio::test]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let silent = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&silent, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listen(&silent, 0).unwrap();
        let silent_address = SocketAddr::try_from(getsockname(&silent).unwrap()).unwrap();
        let _fills_the_queue = TcpStream::connect(silent_address).await.unwrap();
        let there = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let patience = Duration::from_millis(limits::LDAP_CONNECT_MS);
        let addresses = [silent_address, there.local_addr().unwrap()];
        let stream = tokio::time::timeout(patience, connect(&addresses)).await.expect("in time").unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    }
}
