//! Opening one connection to one host of a database: address, socket, TLS; and carrying a login over it.
//!
//! Knows nothing of pools or places; bounds nothing in time, its callers do. Source: PgBouncer, doc/config.md
//! (`host`, "TLS settings"); PostgreSQL documentation, "Message Flow", SSL Session Encryption.

use super::credential::ChannelSecurity;
use super::dns::Ttl;
use super::handshake::Handshake;
use super::iam::entry;
use super::login_error::LoginError;
use super::servers::Servers;
use crate::base::{Address, limits};
use crate::config::{Database, Host, Settings, SslMode, TlsNegotiation};
use crate::control::{FairSemaphore, Policy, Stream, tcp_options};
use crate::core::Command;
use crate::io::options::tune;
use crate::io::{Channel, Guard, descriptors};
use crate::tls::{ServerTls, tls_text};
use crate::wire::{encode, startup, tags};
use rustls::pki_types::ServerName;
use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use zeroize::{Zeroize, Zeroizing};

/// Which host is to be connected to, and how.
#[derive(Clone)]
pub(super) struct Target {
    /// One host of the database entry.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// TLS towards it.
    pub tls: ServerTls,
    /// The name that its certificate must be for; `None` = the host's.
    pub server_name: Option<Arc<str>>,
    /// Its address, where that is known already: a cancel request goes to the very server.
    pub address: Option<IpAddr>,
}

/// Why there is no connection, in PgBouncer's words, and what the system says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectError {
    /// The reason in "closing because: …".
    pub reason: &'static str,
    /// For the log; empty where the reason says it all.
    pub detail: String,
    /// There is a server, but it did not prove that it is the right one.
    pub is_untrusted: bool,
}

impl ConnectError {
    pub(super) fn new(reason: &'static str, detail: impl ToString) -> Self {
        Self { reason, detail: detail.to_string(), is_untrusted: false }
    }

    fn untrusted(reason: &'static str, detail: impl ToString) -> Self {
        Self { is_untrusted: true, ..Self::new(reason, detail) }
    }
}

/// The socket in its three forms.
enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// An open connection to a server, TLS done where there is any.
pub(super) struct Opened {
    wire: Wire,
    /// PostgreSQL's end.
    pub remote: Address,
    /// Our end.
    pub local: Address,
    /// The host as configured; of the default Unix socket its directory.
    pub host: Arc<str>,
    /// As SHOW prints it, empty without TLS.
    pub tls: String,
    /// Who may listen.
    pub security: ChannelSecurity,
}

impl Servers {
    /// Connects to `target`, with TLS where it wants any.
    ///
    /// # Errors
    /// What went wrong, for the log.
    /// # Cancel safety
    /// Dropping it closes the socket.
    pub(super) async fn connect(&self, settings: &Settings, target: &Target) -> Result<Opened, ConnectError> {
        self.reach(settings, target).await?.encrypt(target).await
    }

    /// As [`Servers::connect`], without TLS: that is [`Opened::encrypt`]'s.
    pub(super) async fn reach(&self, settings: &Settings, target: &Target) -> Result<Opened, ConnectError> {
        let default_dir = || match &*settings.unix_socket_dir {
            "" => Err(ConnectError::new("cannot connect", "unix socket dir not configured")),
            dir => Ok(Arc::from(dir)),
        };
        let mut failure = ConnectError::new("connect failed", "");
        let addresses = match (&target.host, target.address) {
            (Host::UnixDir(dir), _) => return connect_unix(Arc::clone(dir), target.port).await,
            (Host::DefaultUnixDir, _) => return connect_unix(default_dir()?, target.port).await,
            (_, Some(address)) => vec![address],
            (Host::Ip(address), _) => vec![*address],
            (Host::Name(name), _) => {
                let ttl = Ttl { found: settings.dns_max_ttl, not_found: settings.dns_nxdomain_ttl };
                let found = self.dns.look_up(name, ttl, || self.plane.now()).await;
                if found.is_news && settings.dns_close_moved {
                    let (host, addresses) =
                        (target.host.to_string().into(), found.addresses.as_slice().into());
                    let order = || Command::HostMoved(Arc::clone(&host), Arc::clone(&addresses));
                    self.plane.tell_all(order);
                }
                if let Some(why) = &found.why {
                    failure = ConnectError::new("server DNS lookup failed", format_args!("{name}: {why}"));
                }
                found.addresses
            }
        };
        for ip in addresses {
            match connect_tcp(SocketAddr::new(ip, target.port), settings).await {
                Ok(stream) => return Opened::over_tcp(stream, target),
                Err(error) => failure = ConnectError::new("connect failed", error),
            }
        }
        Err(failure)
    }
}

async fn connect_tcp(address: SocketAddr, settings: &Settings) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    descriptors::may_be_a_servers(&socket)?;
    tune(socket.as_fd(), &tcp_options(settings))?;
    socket.connect(address).await
}

/// Asks a server for TLS.
///
/// # Errors
/// It has none, and that will not do; or it does not speak the protocol.
async fn offers_tls(stream: &mut TcpStream, mode: SslMode) -> Result<bool, ConnectError> {
    let crashed = |error: io::Error| ConnectError::new("server conn crashed?", error);
    let mut request = Vec::new();
    startup::write_ssl_request(&mut request);
    stream.write_all(&request).await.map_err(crashed)?;
    let mut answer = [0];
    // one byte and no more: what came behind it in clear would otherwise pass for a
    // part of the encrypted stream
    stream.read_exact(&mut answer).await.map_err(crashed)?;
    match answer {
        [tags::SSL_YES] => Ok(true),
        [tags::SSL_NO] if mode >= SslMode::Require => Err(ConnectError::untrusted("server refused SSL", "")),
        [tags::SSL_NO] => Ok(false),
        _ => Err(ConnectError::untrusted("bad sslreq answer", "")),
    }
}

async fn connect_unix(dir: Arc<str>, port: u16) -> Result<Opened, ConnectError> {
    let path = format!("{dir}/.s.PGSQL.{port}");
    // a name in the abstract namespace begins with a zero byte where the directory has its `@`
    let name = path.strip_prefix('@').map_or_else(|| path.clone(), |name| format!("\0{name}"));
    let stream = UnixStream::connect(name).await;
    let stream = stream.and_then(|stream| Ok(descriptors::may_be_a_servers(&stream).map(|()| stream)?));
    let stream = stream.map_err(|error| ConnectError::new("connect failed", format!("{path}: {error}")))?;
    let peer = stream.peer_cred().ok();
    let pid = peer.and_then(|peer| peer.pid()).and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    let uid = peer.map_or(0, |peer| peer.uid());
    let remote = Address::Unix { port, pid, uid };
    let local = Address::Unix { port, pid: std::process::id(), uid: 0 };
    let (tls, security) = (String::new(), ChannelSecurity::Local);
    Ok(Opened { wire: Wire::Unix(stream), remote, local, host: dir, tls, security })
}

impl Opened {
    fn over_tcp(stream: TcpStream, target: &Target) -> Result<Self, ConnectError> {
        let end = |end: io::Result<SocketAddr>| {
            end.map(Address::Tcp).map_err(|error| ConnectError::new("connect failed", error))
        };
        let (remote, local) = (end(stream.peer_addr())?, end(stream.local_addr())?);
        let host = target.host.to_string().into();
        Ok(Self {
            wire: Wire::Tcp(stream),
            remote,
            local,
            host,
            tls: String::new(),
            security: ChannelSecurity::None,
        })
    }

    /// Goes over to TLS where `target` wants any; over a Unix socket there is none.
    ///
    /// # Errors
    /// What went wrong, for the log.
    /// # Cancel safety
    /// Dropping it closes the socket.
    pub(super) async fn encrypt(mut self, target: &Target) -> Result<Self, ConnectError> {
        let (Wire::Tcp(stream), Some(config), &Address::Tcp(remote)) =
            (&mut self.wire, &target.tls.config, &self.remote)
        else {
            return Ok(self);
        };
        let is_asked = target.tls.negotiation == TlsNegotiation::Postgres;
        if is_asked && !offers_tls(stream, target.tls.mode).await? {
            return Ok(self);
        }
        let Wire::Tcp(stream) = self.wire else { unreachable!("it was TCP a moment ago") };
        let name = target.name_to_verify(remote.ip())?;
        let handshake = tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        let stream = handshake.map_err(|error| handshake_failed(&error))?;
        if !target.tls.is_agreed(stream.get_ref().1) {
            let why = "the server does not say that it speaks PostgreSQL's protocol (ALPN)";
            return Err(ConnectError::untrusted("TLS handshake failed", why));
        }
        self.tls = tls_text(stream.get_ref().1);
        self.security = match target.tls.mode {
            SslMode::VerifyFull => ChannelSecurity::Verified,
            _ => ChannelSecurity::Encrypted,
        };
        self.wire = Wire::Tls(Box::new(stream));
        Ok(self)
    }

    fn stream(&mut self) -> &mut dyn Stream {
        match &mut self.wire {
            Wire::Tcp(stream) => stream,
            Wire::Unix(stream) => stream,
            Wire::Tls(stream) => stream,
        }
    }

    /// Sends bytes; all of them are on their way when it returns.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream();
        stream.write_all(bytes).await?;
        stream.flush().await
    }

    /// Waits for the other side's end of stream, dropping what it sends.
    ///
    /// # Errors
    /// The stream has broken off instead. An end without TLS's goodbye is an end: PostgreSQL sends none.
    pub(super) async fn wait_for_end(&mut self) -> io::Result<()> {
        let mut space = [0; 512];
        loop {
            match self.stream().read(&mut space).await {
                Ok(1..) => {}
                Ok(0) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends a session that PostgreSQL may count: Terminate, TLS's goodbye, then PostgreSQL's end of stream,
    /// for at most `limits::SERVER_LINGER_MS`, so that the place is not given away before it is free.
    pub(super) async fn terminate(mut self) {
        let goodbye = async {
            let mut message = Vec::new();
            encode::empty(&mut message, tags::client::TERMINATE);
            if self.send(&message).await.is_ok() && self.stream().shutdown().await.is_ok() {
                let _ = self.wait_for_end().await; // however it ends
            }
        };
        drop(tokio::time::timeout(Duration::from_millis(limits::SERVER_LINGER_MS), goodbye).await);
    }

    /// The connection as a value for a worker. `unread` = bytes that came behind the login.
    ///
    /// # Errors
    /// The system's, where the socket cannot leave the runtime.
    pub(super) fn into_channel(self, unread: Vec<u8>, guard: Guard) -> io::Result<Channel> {
        let (fd, tls): (OwnedFd, _) = match self.wire {
            Wire::Tcp(stream) => (stream.into_std()?.into(), None),
            Wire::Unix(stream) => (stream.into_std()?.into(), None),
            Wire::Tls(stream) => {
                let (stream, session) = stream.into_inner();
                (stream.into_std()?.into(), Some(Box::new(rustls::Connection::Client(session))))
            }
        };
        Ok(Channel { fd, tls, unread, unsent: Vec::new(), guard })
    }
}

impl Target {
    /// The name in the certificate: the one given, which is never passed over; else the host's.
    fn name_to_verify(&self, ip: IpAddr) -> Result<ServerName<'static>, ConnectError> {
        match (&self.server_name, &self.host) {
            (Some(name), _) => ServerName::try_from(name.to_string()).map_err(|why| {
                ConnectError::untrusted("TLS handshake failed", format_args!("tls_server_name: {why}"))
            }),
            (None, Host::Name(name)) => {
                Ok(ServerName::try_from(name.to_string()).unwrap_or(ServerName::IpAddress(ip.into())))
            }
            (None, _) => Ok(ServerName::IpAddress(ip.into())),
        }
    }
}

/// The words that operators know from OpenSSL in front of those of our library.
fn handshake_failed(error: &io::Error) -> ConnectError {
    const REASON: &str = "TLS handshake failed";
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            ConnectError::untrusted(REASON, format_args!("certificate verify failed: {why}"))
        }
        Some(_) => ConnectError::untrusted(REASON, error),
        None => ConnectError::new(REASON, error),
    }
}

/// Why a login over an open connection failed.
#[derive(Debug)]
pub(super) enum LoginFailure {
    /// The connection ended.
    Crashed,
    /// Server and pooler could not agree.
    Login(LoginError),
}

impl LoginFailure {
    /// The reason in "closing because: …".
    pub(super) fn reason(&self) -> Cow<'_, str> {
        match self {
            Self::Crashed => Cow::Borrowed("server conn crashed?"),
            Self::Login(error) => error.reason(),
        }
    }
}

/// Carries `handshake`, whose first message is `first`, over `opened`, until the server may be lent. Returns
/// what was learnt and the bytes that came behind it.
///
/// # Errors
/// The connection is of no more use, but to be terminated.
/// # Cancel safety
/// None: the login is lost.
pub(super) async fn log_in(
    opened: &mut Opened,
    handshake: &mut Handshake,
    first: &[u8],
    key_derivation: &FairSemaphore,
) -> Result<Vec<u8>, LoginFailure> {
    let crashed = |_| LoginFailure::Crashed;
    opened.send(first).await.map_err(crashed)?;
    // what is sent may be a secret: it is wiped when it is out
    let (mut input, mut output) = (Vec::with_capacity(2048), Zeroizing::new(Vec::new()));
    while !handshake.is_done() {
        if opened.stream().read_buf(&mut input).await.map_err(crashed)? == 0 {
            return Err(LoginFailure::Crashed);
        }
        let consumed = handshake.received(&input, &mut output).map_err(LoginFailure::Login)?;
        input.drain(..consumed);
        if let Some(sum) = handshake.sum() {
            let permit = key_derivation.acquire(&format!("server {}", opened.remote)).await;
            let keys = permit.compute(move || sum.compute()).await.ok_or(LoginFailure::Crashed)?;
            handshake.computed(&keys, &mut output);
        }
        if !output.is_empty() {
            opened.send(&output).await.map_err(crashed)?;
            output.zeroize();
        }
    }
    Ok(input)
}

impl Policy {
    /// How a host of an entry, and its port, are to be connected to for `user`, its address where that is
    /// known. `None`: its TLS is not set up.
    pub(super) fn target(
        &self,
        config: &Database,
        user: &str,
        (host, port): (Host, u16),
        address: Option<IpAddr>,
    ) -> Option<Target> {
        let auth = self.snapshot.server_auth(config, user);
        let tls = self.server_tls.of(config, auth)?.clone();
        Some(Target { host, port, tls, server_name: entry::server_name(config, auth), address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::plane;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::TcpListener;

    /// A PostgreSQL's side of TLS, by these names of protocols.
    fn acceptor(alpn: &[&[u8]]) -> tokio_rustls::TlsAcceptor {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth();
        let mut config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config).into()
    }

    #[tokio::test]
    async fn direct_tls_begins_with_the_first_byte_and_with_postgresql_alone() {
        for (alpn, expected) in [
            (&[b"h2", &b"postgresql"[..]][..], Ok(())),
            (&[], Err("the server does not say that it speaks PostgreSQL's protocol (ALPN)")),
            (&[b"h2"], Err("received fatal alert: NoApplicationProtocol")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut settings = Settings { server_tls_sslmode: SslMode::Require, ..Settings::default() };
            settings.server_tls_negotiation = TlsNegotiation::Direct;
            let tls = ServerTls::from_settings(&settings).unwrap();
            let (host, port) = (Host::Ip(address.ip()), address.port());
            let target = Target { host, port, tls, server_name: None, address: None };
            let us = async {
                let opened = Opened::over_tcp(TcpStream::connect(address).await.unwrap(), &target).unwrap();
                opened.encrypt(&target).await
            };
            let postgres = async {
                let (stream, _) = listener.accept().await.unwrap();
                let mut first = [0];
                stream.peek(&mut first).await.unwrap();
                assert_eq!(first, [0x16], "a handshake, RFC 8446, section 5.1");
                drop(acceptor(alpn).accept(stream).await);
            };
            let (opened, ()) = tokio::join!(us, postgres);
            match (opened, expected) {
                (Ok(opened), Ok(())) => assert_eq!(opened.security, ChannelSecurity::Encrypted),
                (Err(error), Err(expected)) => {
                    assert!(error.is_untrusted && error.detail.contains(expected), "{error:?}");
                }
                (opened, expected) => panic!("{:?} in place of {expected:?}", opened.map(|_| ())),
            }
        }
    }

    #[tokio::test]
    async fn a_terminated_session_is_taken_leave_of_in_tls_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings { server_tls_sslmode: SslMode::Require, ..Settings::default() };
        let tls = ServerTls::from_settings(&settings).unwrap();
        let (host, port) = (Host::Ip(address.ip()), address.port());
        let target = Target { host, port, tls, server_name: None, address: None };
        let us = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let opened = Opened::over_tcp(stream, &target).unwrap();
            opened.encrypt(&target).await.unwrap().terminate().await;
        };
        let postgres = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(&[tags::SSL_YES]).await.unwrap();
            let mut stream = acceptor(&[]).accept(stream).await.unwrap();
            let mut said = Vec::new();
            // an end without TLS's own goodbye is an error here, as it is a line in PostgreSQL's log
            stream.read_to_end(&mut said).await.map(|_| said)
        };
        let ((), said) = tokio::join!(us, postgres);
        assert_eq!(said.unwrap(), [tags::client::TERMINATE, 0, 0, 0, 4]);
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_looked_up_is_named_with_the_reason() {
        let servers = Servers::new(plane("", "").0);
        let tls = ServerTls::disabled();
        let host = Host::Name("nowhere.invalid".into());
        let target = Target { host, port: 5432, tls, server_name: None, address: None };
        for time in ["looked up", "remembered"] {
            let error = servers.connect(&Settings::default(), &target).await.err().expect("no such host");
            assert_eq!(error.reason, "server DNS lookup failed", "{time}");
            let why = error.detail.strip_prefix("nowhere.invalid: ").expect("it is named");
            assert!(why.len() > 8, "{time}: {why}");
        }
    }
}
