//! What the process is to the system: its user, its terminal, its pidfile, how many files it may open.
//!
//! Source: PgBouncer, src/main.c.

use crate::base::limits;
use crate::clients::unix_path;
use crate::config::{Settings, read_file};
use nix::unistd::{Group, Pid, Uid, User};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Becomes `name`, with its group and supplementary groups.
///
/// # Errors
/// A text with PgBouncer's words.
pub(super) fn become_user(name: &str) -> Result<(), String> {
    let user = user_named(name)?;
    if user.uid == Uid::effective() {
        return Ok(());
    }
    let c_name = std::ffi::CString::new(name).map_err(|_| unknown(name))?;
    let group = Group::from_gid(user.gid).ok().flatten();
    let group = group.map_or_else(|| user.gid.to_string(), |group| group.name);
    nix::unistd::initgroups(&c_name, user.gid)
        .map_err(|error| format!("failed to reset groups for user '{name}' (group '{group}'): {error}"))?;
    nix::unistd::setgid(user.gid)
        .map_err(|error| format!("failed to assume identity of group '{group}': {error}"))?;
    nix::unistd::setuid(user.uid)
        .map_err(|error| format!("failed to assume identity of user '{name}': {error}"))
}

fn user_named(name: &str) -> Result<User, String> {
    User::from_name(name).ok().flatten().ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> String {
    format!("could not find user '{name}' to switch to")
}

/// Refuses to serve as root: a bug would then cost the machine.
///
/// # Errors
/// PgBouncer's text.
pub(super) fn refuse_root() -> Result<(), String> {
    refuse_to_serve_as(Uid::effective())
}

fn refuse_to_serve_as(user: Uid) -> Result<(), String> {
    if user.is_root() { Err("PgBouncer should not run as root".to_owned()) } else { Ok(()) }
}

/// Why a start by `starter` would be refused for the user that it would serve as: `name`, or the starter
/// where that is not set. Of a starter who may not become another user nothing is said: the service may
/// be started by one who may.
///
/// # Errors
/// The start's own text, and what to do.
pub(super) fn foresee_user(name: Option<&str>, starter: Uid) -> Result<(), String> {
    let user = name.map(user_named).transpose()?;
    let serves_as = user.map_or(starter, |user| user.uid);
    refuse_to_serve_as(serves_as).map_err(|why| format!("{why}: set user, or start it as another one"))
}

/// Bytes of the address of a Unix socket, without the zero byte that ends the path of a file.
/// Source: unix(7), `sun_path`.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Whether the system takes the path of our Unix socket.
///
/// # Errors
/// Its length, and the longest that there can be.
pub(super) fn check_socket_path(settings: &Settings) -> Result<(), String> {
    let Some(path) = unix_path(settings) else { return Ok(()) };
    let most = SOCKET_PATH_BYTES_MAX + usize::from(path.starts_with('@')); // its `@` stands for a zero byte
    if path.len() <= most {
        return Ok(());
    }
    let bytes = path.len();
    Err(format!(
        "path of the unix socket is too long: {bytes} bytes, at most {most} (unix_socket_dir): {path}"
    ))
}

/// Whether a crash may leave a core, and other programs of our user may look into our memory, where passwords
/// and keys are. To be called under the user that serves: the kernel decides anew when that changes.
///
/// # Errors
/// The system's.
pub(super) fn share_memory(is_allowed: bool) -> Result<(), String> {
    let wanted = if is_allowed { DumpableBehavior::Dumpable } else { DumpableBehavior::NotDumpable };
    set_dumpable_behavior(wanted)
        .map_err(|error| format!("could not set the dumpable flag of the process: {error}"))
}

/// Goes into the background: the caller's process ends with code 0, a child of it returns. To be called
/// before any thread is started: threads do not follow.
///
/// # Errors
/// The system's.
pub(super) fn daemonise() -> Result<(), String> {
    nix::unistd::daemon(true, false).map_err(|error| format!("failed to become a daemon: {error}"))
}

/// Lets the process open as many files as the system allows. PgBouncer only logs the limit; thousands of
/// clients on a soft limit of 1,024 are the commonest of accidents.
pub(super) fn raise_file_limit(settings: &Settings) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!("could not raise the limit of open files: {error}");
        }
    }
    let text = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let now = getrlimit(Resource::Nofile);
    let clients = settings.max_client_conn;
    tracing::info!(
        "kernel file descriptor limit: {} (hard: {}); max_client_conn: {clients}",
        text(now.current),
        text(now.maximum)
    );
    if let Some(limit) = now.current.filter(|limit| !has_room(*limit, settings)) {
        tracing::warn!(
            "the limit of {limit} open files is too low for max_client_conn {clients} and logins, servers \
             not counted"
        );
    }
}

/// Whether so many open files are enough for all the clients that are allowed, before any server is opened.
fn has_room(limit: u64, settings: &Settings) -> bool {
    const OWN: u64 = 64; // listeners, log, workers' own, files being read
    let clients = u64::from(settings.max_client_conn);
    let unauthenticated = match settings.max_login_conn {
        0 => limit / limits::LOGIN_FILES_PART,
        most => u64::from(most).min(limit / limits::LOGIN_FILES_PART),
    };
    clients + unauthenticated + OWN <= limit
}

/// The pidfile; removed when it is dropped.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Checks that no other instance has it, and removes one that a dead process left: whether
    /// there was one.
    ///
    /// # Errors
    /// PgBouncer's text where the process of the file lives.
    pub(super) fn check(path: &Path) -> Result<bool, String> {
        let Ok(text) = read_file(&path.to_string_lossy(), limits::PIDFILE_BYTES_MAX) else {
            return Ok(false);
        };
        let text = String::from_utf8_lossy(&text);
        let pid = text.trim().parse::<i32>().ok().filter(|pid| *pid > 0);
        if let Some(pid) = pid
            && pid != std::process::id() as i32
            && nix::sys::signal::kill(Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
        {
            return Err(format!("pidfile '{}' exists, another instance running?", path.display()));
        }
        std::fs::remove_file(path)
            .map_err(|error| format!("could not remove stale pidfile '{}': {error}", path.display()))?;
        Ok(true)
    }

    /// Writes our own.
    ///
    /// # Errors
    /// The system's, with the file's name.
    pub(super) fn write(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("could not open pidfile '{}': {error}", path.display());
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)
            .map_err(failed)?;
        let written = Self(path.to_owned());
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(written)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // somebody may have removed it: then it is as it should be
    }
}

#[cfg(test)]
mod tests {
    use super::{PidFile, check_socket_path, foresee_user, has_room};
    use crate::config::Settings;
    use nix::unistd::Uid;

    #[test]
    fn who_may_not_serve_is_told_before_the_start() {
        let (root, other) = (Uid::from_raw(0), Uid::from_raw(12_345));
        assert_eq!(foresee_user(None, other), Ok(()));
        assert_eq!(foresee_user(Some("daemon"), root), Ok(()));
        assert_eq!(foresee_user(Some("daemon"), other), Ok(()), "whoever starts it may be root");
        for (name, starter) in [(None, root), (Some("root"), root), (Some("root"), other)] {
            let why = foresee_user(name, starter).unwrap_err();
            assert!(why.starts_with("PgBouncer should not run as root: set user"), "{why}");
        }
        let why = foresee_user(Some("no such user"), other).unwrap_err();
        assert_eq!(why, "could not find user 'no such user' to switch to");
    }

    #[test]
    fn open_files_must_do_for_clients_and_logins() {
        let settings = Settings { max_client_conn: 1_000, max_login_conn: 100, ..Settings::default() };
        assert!(has_room(1_164, &settings) && !has_room(1_163, &settings));
        let quarter = Settings { max_login_conn: 0, ..settings };
        assert!(has_room(1_420, &quarter) && !has_room(1_410, &quarter));
    }

    #[test]
    fn a_path_that_the_system_does_not_take_is_told_with_the_limit() {
        let check = |directory: String| {
            check_socket_path(&Settings { unix_socket_dir: directory.as_str().into(), ..Settings::default() })
        };
        let own = "/.s.PGSQL.6432".len();
        assert_eq!(check(String::new()), Ok(()));
        for (first, most) in [("/", 107), ("@", 108)] {
            let directory = |bytes: usize| format!("{first}{}", "x".repeat(bytes - own - 1));
            assert_eq!(check(directory(most)), Ok(()));
            let why = check(directory(most + 1)).unwrap_err();
            let begin = format!("path of the unix socket is too long: {} bytes, at most {most} ", most + 1);
            assert!(why.starts_with(&begin), "{why}");
        }
    }

    #[test]
    fn a_pidfile_guards_against_a_second_start_and_survives_a_crash() {
        let path = std::env::temp_dir().join(format!("pgweir-pidfile-{}", std::process::id()));
        std::fs::write(&path, "1\n").unwrap();
        assert!(PidFile::check(&path).unwrap_err().contains("another instance running?"));
        std::fs::write(&path, format!("{}\n", i32::MAX)).unwrap();
        assert_eq!(PidFile::check(&path), Ok(true));
        assert!(!path.exists(), "a stale one is removed");
        assert_eq!(PidFile::check(&path), Ok(false));
        let ours = PidFile::write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(PidFile::write(&path).is_err());
        drop(ours);
        assert!(!path.exists());
    }
}
