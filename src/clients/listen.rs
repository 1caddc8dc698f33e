//! The sockets that clients come in by: those that the settings ask for, or those that systemd hands over.
//!
//! Opens and closes them; accepting is `accept.rs`. A file of a Unix socket that we made is removed when its
//! socket is dropped. Source: PgBouncer, doc/config.md (`listen_addr`, `unix_socket_dir`).

use crate::config::Settings;
use crate::io::listener::{self, TcpListening};
use rustix::net::AddressFamily;
use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Why no client could come in. Each ends the start of the process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Neither TCP nor Unix is asked for.
    #[error("nowhere to listen on")]
    Nowhere,
    /// Not one of the addresses works; each has its own warning in the log.
    #[error("failed to listen on any address in listen_addr list: {0}")]
    NoAddress(String),
    /// The Unix socket cannot be made.
    #[error("failed to create unix socket {path}: {source}")]
    Unix {
        /// Where it was to be.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A PostgreSQL server has claimed the same file.
    #[error("unix port {0} is in use")]
    UnixPortInUse(u16),
    /// Another process answers on the same file.
    #[error("unix socket is in use, cannot continue")]
    UnixInUse,
    /// A socket handed over by the service manager is of no use.
    #[error("cannot use socket from service manager: {0}")]
    Inherited(io::Error),
}

/// A listening Unix socket.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    /// The socket.
    pub listener: UnixListener,
    /// Its file, where we made one.
    pub file: Option<SocketFile>,
}

/// The file of a Unix socket that we made; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // somebody else may have removed it
    }
}

/// Every listening socket, non-blocking.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// Over TCP: closed when a soft shutdown begins.
    pub tcp: Vec<TcpListener>,
    /// Over Unix sockets: open until the end, for the console.
    pub unix: Vec<UnixSocket>,
    /// The service manager has opened them, and keeps them.
    pub is_inherited: bool,
}

/// `tcp_defer_accept` is a switch; this is how long the kernel waits for a connection's first
/// bytes, as with PgBouncer.
const DEFER_ACCEPT_S: u16 = 45;

impl Listeners {
    /// Opens what the settings ask for, and says so in the log.
    ///
    /// # Errors
    /// [`ListenError`]; an address that does not work among others that do is only warned about.
    pub(crate) fn open(settings: &Settings) -> Result<Self, ListenError> {
        let mut listeners = Self::default();
        if let Some(path) = unix_path(settings) {
            listeners.unix.push(open_unix(&path, settings)?);
        }
        for word in settings.listen_addr.iter() {
            open_tcp(word, settings, &mut listeners.tcp);
        }
        if !settings.listen_addr.is_empty() && listeners.tcp.is_empty() {
            return Err(ListenError::NoAddress(settings.listen_addr.join(",")));
        }
        if listeners.tcp.is_empty() && listeners.unix.is_empty() {
            return Err(ListenError::Nowhere);
        }
        Ok(listeners)
    }

    /// Takes sockets that listen already, instead of those that the settings ask for.
    ///
    /// # Errors
    /// [`ListenError::Inherited`] for one that is neither TCP nor Unix;
    /// [`ListenError::Nowhere`] where there is none.
    pub(crate) fn adopt(inherited: Vec<OwnedFd>, settings: &Settings) -> Result<Self, ListenError> {
        let ignored = [
            ("listen_addr", !settings.listen_addr.is_empty()),
            ("unix_socket_dir", !settings.unix_socket_dir.is_empty()),
        ];
        for (name, _) in ignored.iter().filter(|(_, is_set)| *is_set) {
            tracing::warn!("sockets come from the service manager, {name} is ignored");
        }
        let mut listeners = Self { is_inherited: true, ..Self::default() };
        for fd in inherited {
            listeners.take(fd).map_err(ListenError::Inherited)?;
        }
        if listeners.tcp.is_empty() && listeners.unix.is_empty() {
            Err(ListenError::Nowhere)
        } else {
            Ok(listeners)
        }
    }

    fn take(&mut self, fd: OwnedFd) -> io::Result<()> {
        if !rustix::net::sockopt::socket_acceptconn(&fd)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
        }
        match rustix::net::sockopt::socket_domain(&fd)? {
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = TcpListener::from(fd);
                listener.set_nonblocking(true)?;
                tracing::info!("listening on {}", listener.local_addr()?);
                self.tcp.push(listener);
            }
            AddressFamily::UNIX => {
                let listener = UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                tracing::info!(
                    "listening on unix:{}",
                    address.as_pathname().unwrap_or(Path::new("@")).display()
                );
                self.unix.push(UnixSocket { listener, file: None });
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(())
    }
}

fn backlog(settings: &Settings) -> i32 {
    i32::try_from(settings.listen_backlog).unwrap_or(i32::MAX)
}

/// Opens every address of one word of `listen_addr`; what does not work is warned about.
fn open_tcp(word: &str, settings: &Settings, tcp: &mut Vec<TcpListener>) {
    // Of a socket that others share the kernel holds nobody back: it would cut them off with the socket.
    let defers = settings.tcp_defer_accept > 0 && !settings.so_reuseport;
    let how = TcpListening {
        backlog: backlog(settings),
        reuse_port: settings.so_reuseport,
        defer_accept_s: if defers { DEFER_ACCEPT_S } else { 0 },
    };
    let addresses = match addresses(word, settings.listen_port) {
        Ok(addresses) => addresses,
        Err(error) => return tracing::warn!("cannot look up listen_addr \"{word}\": {error}"),
    };
    for address in addresses {
        match listener::tcp(address, &how) {
            Ok(listener) => {
                tracing::info!("listening on {address}");
                tcp.push(listener);
            }
            Err(error) => tracing::warn!("cannot listen on {address}: {error}"),
        }
    }
}

fn addresses(word: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    const EVERYWHERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    Ok(match word {
        "*" => EVERYWHERE.map(|ip| SocketAddr::new(ip, port)).to_vec(),
        word => {
            let mut addresses: Vec<_> = (word, port).to_socket_addrs()?.collect();
            addresses.dedup();
            addresses
        }
    })
}

/// `unix_socket_dir/.s.PGSQL.port`; `@` first: in the abstract namespace. `None` = no
/// Unix socket is asked for.
pub(crate) fn unix_path(settings: &Settings) -> Option<String> {
    let directory = &*settings.unix_socket_dir;
    (!directory.is_empty()).then(|| format!("{directory}/.s.PGSQL.{}", settings.listen_port))
}

fn open_unix(path: &str, settings: &Settings) -> Result<UnixSocket, ListenError> {
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    if listener::answers(path).map_err(failed)? {
        return Err(ListenError::UnixInUse);
    }
    let file = (!path.starts_with('@')).then(|| PathBuf::from(path));
    if let Some(file) = &file {
        if Path::new(&format!("{path}.lock")).exists() {
            return Err(ListenError::UnixPortInUse(settings.listen_port));
        }
        remove_stale(file).map_err(failed)?;
    }
    let listener = listener::unix(path, backlog(settings)).map_err(failed)?;
    let file = file.map(SocketFile);
    if let Some(file) = &file {
        set_owner_and_mode(&file.0, settings).map_err(failed)?;
    }
    tracing::info!("listening on unix:{path}");
    Ok(UnixSocket { listener, file })
}

/// Nobody answers there, so the file is what a process left that could not tidy up.
fn remove_stale(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn set_owner_and_mode(file: &Path, settings: &Settings) -> io::Result<()> {
    if !settings.unix_socket_group.is_empty() {
        std::os::unix::fs::chown(file, None, Some(group_id(&settings.unix_socket_group)?))?;
    }
    std::fs::set_permissions(file, Permissions::from_mode(settings.unix_socket_mode.0))
}

/// The number of a group, given by name or as a number.
fn group_id(name: &str) -> io::Result<u32> {
    if let Some(group) = nix::unistd::Group::from_name(name)? {
        return Ok(group.gid.as_raw());
    }
    name.parse().map_err(|_| io::Error::new(io::ErrorKind::NotFound, format!("no such group: {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;
    use std::os::unix::fs::MetadataExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory of its own for each test, removed with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let directory =
                std::env::temp_dir().join(format!("pgweir-listen-{}-{number}", std::process::id()));
            std::fs::create_dir(&directory).unwrap();
            Self(directory)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in [("unix_socket_dir", ""), ("listen_addr", "")].iter().chain(pairs) {
            Setting::named(name).unwrap().set(&mut settings, value).unwrap();
        }
        settings
    }

    /// A port that was free a moment ago.
    fn free_port() -> String {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
    }

    #[test]
    fn nothing_asked_for_is_an_error() {
        assert!(matches!(Listeners::open(&settings(&[])), Err(ListenError::Nowhere)));
        assert!(matches!(Listeners::adopt(Vec::new(), &settings(&[])), Err(ListenError::Nowhere)));
    }

    #[test]
    fn one_address_of_several_is_enough() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let some = settings(&[("listen_addr", "127.0.0.1, 127.0.0.2"), ("listen_port", &port)]);
        assert_eq!(Listeners::open(&some).unwrap().tcp.len(), 1);
        let none = settings(&[("listen_addr", "127.0.0.1, "), ("listen_port", &port)]);
        let error = Listeners::open(&none).unwrap_err().to_string();
        assert_eq!(error, "failed to listen on any address in listen_addr list: 127.0.0.1");
    }

    #[test]
    fn a_star_is_every_address() {
        let listeners =
            Listeners::open(&settings(&[("listen_addr", "*"), ("listen_port", &free_port())])).unwrap();
        assert!(
            listeners.tcp.iter().any(|socket| socket.local_addr().unwrap().ip() == Ipv4Addr::UNSPECIFIED)
        );
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_goes_with_its_door() {
        let scratch = Scratch::new();
        let directory = scratch.0.to_str().unwrap();
        let group = nix::unistd::getgid().to_string();
        let settings = settings(&[
            ("unix_socket_dir", directory),
            ("unix_socket_mode", "0700"),
            ("unix_socket_group", &group),
            ("listen_port", "7777"),
        ]);
        let file = scratch.0.join(".s.PGSQL.7777");
        let listeners = Listeners::open(&settings).unwrap();
        let metadata = std::fs::metadata(&file).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.gid().to_string()), (0o700, group));
        assert!(matches!(Listeners::open(&settings), Err(ListenError::UnixInUse)));
        drop(listeners);
        assert!(!file.exists());
    }

    #[test]
    fn stale_files_are_replaced_and_postgresqls_are_not() {
        let scratch = Scratch::new();
        let directory = scratch.0.to_str().unwrap();
        let settings = settings(&[("unix_socket_dir", directory), ("listen_port", "7777")]);
        let file = scratch.0.join(".s.PGSQL.7777");
        drop(UnixListener::bind(&file).unwrap());
        assert!(file.exists());
        drop(Listeners::open(&settings).unwrap());
        std::fs::write(scratch.0.join(".s.PGSQL.7777.lock"), "").unwrap();
        assert_eq!(Listeners::open(&settings).unwrap_err().to_string(), "unix port 7777 is in use");
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let scratch = Scratch::new();
        let missing = scratch.0.join("missing");
        let error =
            Listeners::open(&settings(&[("unix_socket_dir", missing.to_str().unwrap())])).unwrap_err();
        assert!(error.to_string().starts_with("failed to create unix socket "), "{error}");
        let directory = scratch.0.to_str().unwrap();
        let group = settings(&[("unix_socket_dir", directory), ("unix_socket_group", "no such group")]);
        assert!(Listeners::open(&group).is_err());
        assert!(std::fs::read_dir(&scratch.0).unwrap().next().is_none(), "nothing is left behind");
    }

    #[test]
    fn abstract_sockets_have_no_file() {
        let name = format!("@pgweir-listen-{}", std::process::id());
        let settings = settings(&[("unix_socket_dir", &name), ("listen_port", "7777")]);
        let listeners = Listeners::open(&settings).unwrap();
        assert!(listener::answers(&format!("{name}/.s.PGSQL.7777")).unwrap());
        assert!(matches!(Listeners::open(&settings), Err(ListenError::UnixInUse)));
        drop(listeners);
        assert!(Listeners::open(&settings).is_ok());
    }

    #[test]
    fn inherited_sockets_are_taken_as_they_are() {
        let scratch = Scratch::new();
        let unix = UnixListener::bind(scratch.0.join("inherited")).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners =
            Listeners::adopt(vec![tcp.into(), unix.into()], &settings(&[("listen_addr", "*")])).unwrap();
        assert_eq!((listeners.tcp.len(), listeners.unix.len()), (1, 1));
        drop(listeners);
        assert!(scratch.0.join("inherited").exists(), "not ours to remove");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        for useless in [udp.into(), file.into()] {
            assert!(matches!(
                Listeners::adopt(vec![useless], &settings(&[])),
                Err(ListenError::Inherited(_))
            ));
        }
    }
}
