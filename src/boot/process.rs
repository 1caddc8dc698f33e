//! What the process is to the system: its user, its terminal, its pidfile.
//!
//! Source: PgBouncer, src/main.c.

use crate::base::limits;
use crate::clients::unix_path;
use crate::config::{Settings, read_file};
use nix::unistd::{Group, Pid, Uid, User};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The user to become; an empty name is none, as with PgBouncer.
pub(super) fn user_to_become(settings: &Settings) -> Option<&str> {
    settings.user.as_deref().filter(|name| !name.is_empty())
}

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

/// The pidfile; removed when it is dropped, unless it is somebody else's by then.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Checks that no other instance has it, and removes one that a dead process left: whether
    /// there was one. A file that holds something else is not ours to remove: `pidfile` may name a wrong one.
    ///
    /// # Errors
    /// PgBouncer's text where the process of the file lives; where it holds no process id, or cannot be read.
    pub(super) fn check(path: &Path) -> Result<bool, String> {
        let name = path.display();
        let bytes = match read_file(&path.to_string_lossy(), limits::PIDFILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(format!("could not read pidfile '{name}': {error}")),
        };
        if !is_stale(&bytes).ok_or_else(|| format!("pidfile '{name}' exists and holds no process id"))? {
            return Err(format!("pidfile '{name}' exists, another instance running?"));
        }
        std::fs::remove_file(path)
            .map_err(|error| format!("could not remove stale pidfile '{name}': {error}"))?;
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
        let own = std::process::id().to_string();
        if std::fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == own) {
            let _ = std::fs::remove_file(&self.0); // if it cannot be removed, the next start finds it stale
        }
    }
}

/// Whether the process of a pidfile is gone; `None` where there is no process id in it. One that is empty is
/// what a crash of the machine leaves.
fn is_stale(bytes: &[u8]) -> Option<bool> {
    let text = bytes.trim_ascii();
    let is_pid = text.iter().all(u8::is_ascii_digit) && text.first() != Some(&b'0');
    let text = std::str::from_utf8(text).ok().filter(|_| is_pid)?;
    // A number that no process can have is a dead one's, too.
    let Ok(pid) = text.parse::<i32>() else { return Some(true) };
    let is_ours = pid == std::process::id() as i32; // a container gives each start the same one
    let is_gone = || nix::sys::signal::kill(Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH);
    Some(is_ours || is_gone())
}

#[cfg(test)]
mod tests {
    use super::{PidFile, check_socket_path, foresee_user};
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

    #[test]
    fn a_file_that_is_no_pidfile_is_left_alone() {
        let directory = std::env::temp_dir().join(format!("pgweir-no-pidfile-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (path, link) = (directory.join("file"), directory.join("link"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let texts: [&[u8]; 6] =
            [b"\"user\" \"secret\"\n", b"0\n", b"-1\n", b"2147483647 x", b"\xff\xfe", &[b'1'; 10_000]];
        for text in texts {
            std::fs::write(&path, text).unwrap();
            for named in [&path, &link] {
                let why = PidFile::check(named).unwrap_err();
                assert!(why.contains("holds no process id") || why.contains("could not read"), "{why}");
            }
            assert_eq!(std::fs::read(&link).unwrap(), text);
        }
        assert!(PidFile::check(&directory).unwrap_err().ends_with("it is a directory"));
        std::fs::write(&path, format!("{}\n", i32::MAX)).unwrap();
        assert_eq!(PidFile::check(&link), Ok(true));
        assert!(path.exists() && !link.exists(), "the link goes, what it led to stays");
        let ours = PidFile::write(&link).unwrap();
        std::fs::write(&link, "1\n").unwrap();
        drop(ours);
        assert!(link.exists(), "another instance's by now");
        for empty in ["", "\n"] {
            std::fs::write(&link, empty).unwrap();
            assert_eq!(PidFile::check(&link), Ok(true));
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
