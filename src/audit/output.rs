//! Where lines of the audit log go: a file, standard output, syslog. Opened by whoever asks for it, so that
//! the error reaches them; written by the writer's thread alone.
//!
//! Never waits for long where that can be helped: a pipe, a terminal or a FIFO is asked first whether it has
//! room. A disk that hangs holds up the writer, and nobody else.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, AtFlags, accessat};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the audit log shall go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `audit_file`: appended to, made with mode 0640 where it is not there.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// The local syslog daemon.
    Syslog {
        /// `syslog_ident`.
        ident: String,
        /// `syslog_facility`, as RFC 3164 numbers it.
        facility: u8,
        /// The daemon's socket.
        socket: PathBuf,
    },
}

/// What a new file's mode is: for its owner, and to be read by its group.
const FILE_MODE: u32 = 0o640;

/// What a pipe takes at once if it takes anything (POSIX's PIPE_BUF).
const PIPE_BYTES: usize = 4096;

/// How long one call waits for a pipe or a daemon to have room.
const PATIENCE: Duration = Duration::from_millis(100);

/// An opened target.
#[derive(Debug)]
pub struct Output(Kind);

#[derive(Debug)]
enum Kind {
    /// A regular file: takes all, or fails.
    File {
        file: File,
        /// What stands there is known to end with a whole line.
        begins_line: bool,
    },
    /// What may have no room.
    Pipe(File),
    Syslog {
        facility: u8,
        ident: String,
        path: PathBuf,
        socket: Option<UnixDatagram>,
    },
}

impl Target {
    /// Opens it.
    ///
    /// # Errors
    /// The system's. A syslog daemon that is not there is none: it may come later.
    pub fn open(&self) -> io::Result<Output> {
        Ok(Output(match self {
            Self::File(path) => open_file(path)?,
            Self::Stdout => Kind::Pipe(File::from(rustix::io::fcntl_dupfd_cloexec(io::stdout(), 0)?)),
            Self::Syslog { ident, facility, socket } => {
                Kind::Syslog { facility: *facility, ident: ident.clone(), path: socket.clone(), socket: None }
            }
        }))
    }
}

impl Target {
    /// Whether it could be opened now, as far as that can be told without making anything.
    ///
    /// # Errors
    /// What [`Target::open`] would fail with.
    pub fn foresee(&self) -> io::Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        match std::fs::metadata(path) {
            Ok(_) => open_file(path).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let (cwd, asked) = (rustix::fs::CWD, Access::WRITE_OK | Access::EXEC_OK);
                Ok(accessat(cwd, parent.unwrap_or(Path::new(".")), asked, AtFlags::EACCESS)?)
            }
            Err(error) => Err(error),
        }
    }
}

fn open_file(path: &Path) -> io::Result<Kind> {
    let is_fifo = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    // A FIFO that is opened to be read, too, needs no reader for that; one that comes later finds what it
    // holds.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let mut options = OpenOptions::new();
    options.append(true).create(true).read(true).mode(FILE_MODE).custom_flags(flags.bits() as i32);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_fifo => {
            options.read(false).open(path)? // a file that others alone may read
        }
        opened => opened?,
    };
    Ok(if file.metadata()?.is_file() { Kind::File { file, begins_line: false } } else { Kind::Pipe(file) })
}

/// Whether a file ends with half a line, of a process that was killed or a disk that was full: what is
/// appended would be lost with it. One that cannot be read may.
fn may_end_amid_line(file: &File) -> bool {
    let mut last = [0];
    let bytes = file.metadata().map_or(0, |found| found.len());
    bytes > 0 && (file.read_at(&mut last, bytes - 1).is_err() || last != [b'\n'])
}

impl Output {
    /// Writes a part of `lines`, which are whole ones with the newline at the end of each, but that the first
    /// may have been begun. How many bytes were taken: 0 where there was no room for a while.
    ///
    /// # Errors
    /// The system's: it takes none of them now.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::File { file, begins_line } => {
                if !*begins_line && may_end_amid_line(file) {
                    file.write_all(b"\n")?;
                }
                *begins_line = true;
                file.write(lines)
            }
            Kind::Pipe(file) => {
                if !has_room(file)? {
                    return Ok(0);
                }
                match file.write(&lines[..lines.len().min(PIPE_BYTES)]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                    written => written,
                }
            }
            Kind::Syslog { facility, ident, path, socket } => {
                let end = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1);
                let line = datagram(*facility, ident, lines[..end].trim_ascii_end());
                send(socket, path, &line).map(|()| end)
            }
        }
    }
}

/// Whether a write of [`PIPE_BYTES`] would not wait.
fn has_room(file: &File) -> io::Result<bool> {
    let patience = Timespec { tv_sec: 0, tv_nsec: PATIENCE.subsec_nanos().into() };
    let mut asked = [PollFd::new(file, PollFlags::OUT)];
    match poll(&mut asked, Some(&patience)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// One line as syslog takes it (RFC 3164), at severity "informational".
fn datagram(facility: u8, ident: &str, line: &[u8]) -> Vec<u8> {
    const INFORMATIONAL: u8 = 6;
    let zone = TimeZone::system();
    let now = Timestamp::now().to_zoned(zone).strftime("%b %e %H:%M:%S").to_string();
    let priority = facility * 8 + INFORMATIONAL;
    let mut datagram = format!("<{priority}>{now} {ident}[{}]: ", std::process::id()).into_bytes();
    datagram.extend_from_slice(line);
    datagram
}

/// Sends one, connecting anew once if the daemon went away.
fn send(socket: &mut Option<UnixDatagram>, path: &Path, datagram: &[u8]) -> io::Result<()> {
    let mut is_fresh = socket.is_none();
    loop {
        let connected = match socket.take() {
            Some(connected) => connected,
            None => connect(path)?,
        };
        let sent = connected.send(datagram);
        match sent {
            Err(error) if is_fresh && error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => is_fresh = true,
            Ok(_) | Err(_) => {
                *socket = Some(connected);
                return sent.map(drop);
            }
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("pgweir-audit-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn a_file_is_made_for_its_owner_and_group_and_appended_to() {
        let path = scratch("file");
        for line in ["a\n", "b\n"] {
            let mut output = Target::File(path.clone()).open().unwrap();
            assert_eq!(output.write(line.as_bytes()).unwrap(), 2);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !FILE_MODE, 0, "{mode:o}");
        std::fs::remove_file(&path).unwrap();
        assert!(Target::File("/nonexistent/audit".into()).open().is_err());
    }

    #[test]
    fn what_opening_would_fail_with_is_foreseen_and_nothing_is_made() {
        let kind = |path: &Path| Target::File(path.into()).foresee().map_err(|error| error.kind());
        let path = scratch("foreseen");
        assert_eq!((kind(&path), path.exists()), (Ok(()), false));
        assert_eq!(kind(&path.join("audit.log")), Err(io::ErrorKind::NotFound));
        std::fs::write(&path, "a\n").unwrap();
        assert_eq!(kind(&path), Ok(()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n");
        for wrong in [path.join("audit.log"), std::env::temp_dir()] {
            let opened = Target::File(wrong.clone()).open().map(drop).map_err(|error| error.kind());
            assert_eq!((kind(&wrong), opened.is_err()), (opened, true), "{}", wrong.display());
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!((kind(Path::new("no-such-file")), Target::Stdout.foresee().is_ok()), (Ok(()), true));
    }

    #[test]
    fn half_a_line_that_stands_there_takes_none_that_follow_with_it() {
        for (stood, stands) in
            [("", "a\nb\n"), ("x\n", "x\na\nb\n"), ("x\n{\"y", "x\n{\"y\na\nb\n"), ("\n", "\na\nb\n")]
        {
            let path = scratch("half");
            let mut output = Target::File(path.clone()).open().unwrap();
            std::fs::write(&path, stood).unwrap(); // behind the open: a process that ends may still write
            for line in ["a\n", "b", "\n"] {
                assert_eq!(output.write(line.as_bytes()).unwrap(), line.len());
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), stands);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_fifo_that_nobody_reads_is_opened_fills_and_has_no_room_then() {
        let path = scratch("fifo");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        let mut output = Target::File(path.clone()).open().unwrap();
        let line = [b'x'; PIPE_BYTES];
        let written: usize = std::iter::from_fn(|| output.write(&line).ok().filter(|bytes| *bytes > 0)).sum();
        assert!(written >= PIPE_BYTES, "{written}");
        let mut reader = File::open(&path).unwrap();
        io::Read::read_exact(&mut reader, &mut vec![0; written]).unwrap();
        assert!(output.write(&line).unwrap() > 0, "there is room again");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut output = Target::File("/dev/full".into()).open().unwrap();
        assert_eq!(output.write(b"x\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn syslog_gets_a_datagram_for_each_line() {
        let socket = scratch("syslog");
        let mut output =
            Target::Syslog { ident: "weir".into(), facility: 10, socket: socket.clone() }.open().unwrap();
        assert!(output.write(b"{}\n").is_err(), "no daemon yet");
        let daemon = UnixDatagram::bind(&socket).unwrap();
        daemon.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(output.write(b"{\"a\":1}\n{}\n").unwrap(), 8);
        let mut buffer = [0; 200];
        let bytes = daemon.recv(&mut buffer).unwrap();
        let line = std::str::from_utf8(&buffer[..bytes]).unwrap();
        assert!(line.starts_with("<86>") && line.ends_with("]: {\"a\":1}"), "{line}");
        std::fs::remove_file(&socket).unwrap();
    }
}
