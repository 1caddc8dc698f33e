//! Where log lines go: stderr, a file, syslog; written by one thread of their own.
//!
//! Whoever logs puts an entry into a bounded queue and goes on; formatting and writing happen here. What
//! comes while the queue is full is lost and counted, and a line says how many were: a stuck disk or terminal
//! must not stop queries. Never opens a file while writing: [`Destinations::open`] does, so that its error
//! reaches whoever asked for it.

use super::line::{Entry, Level};
use crate::console::times::local_zone;
use jiff::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

/// How lines look on stderr and in the file (`log_format`). Syslog has a form of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// PgBouncer's.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Syslog as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSettings {
    /// `syslog_ident`.
    pub ident: String,
    /// `syslog_facility`, as RFC 3164 numbers it.
    pub facility: u8,
    /// The daemon's socket.
    pub socket: PathBuf,
}

/// Where the local syslog daemon listens.
pub const SYSLOG_SOCKET: &str = "/dev/log";

/// The number of a facility's name in RFC 3164: what `syslog_facility` takes.
pub fn facility(name: &str) -> Option<u8> {
    Some(match name.to_ascii_lowercase().as_str() {
        "user" => 1,
        "daemon" => 3,
        "auth" => 4,
        "authpriv" => 10,
        local => match local.strip_prefix("local")?.parse() {
            Ok(n @ 0..=7) => 16 + n,
            _ => return None,
        },
    })
}

/// Where lines shall go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations {
    /// To stderr: not with `-q` or `-d`.
    pub stderr: bool,
    /// `logfile`: appended to.
    pub file: Option<PathBuf>,
    /// `syslog`: LOG and above.
    pub syslog: Option<SyslogSettings>,
    /// `log_format`.
    pub format: Format,
}

impl Destinations {
    /// Opens what must be opened.
    ///
    /// # Errors
    /// The log file cannot be opened for appending. A syslog daemon that is not there is no
    /// error: it may come later.
    pub fn open(self) -> io::Result<Outputs> {
        let file = match &self.file {
            Some(path) => Some(OpenOptions::new().append(true).create(true).open(path)?),
            None => None,
        };
        let syslog = self.syslog.map(|settings| Syslog { settings, socket: None });
        Ok(Outputs { stderr: self.stderr, file, syslog, format: self.format })
    }
}

/// Destinations, opened.
pub struct Outputs {
    stderr: bool,
    file: Option<File>,
    syslog: Option<Syslog>,
    format: Format,
}

struct Syslog {
    settings: SyslogSettings,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// Sends one line, connecting anew once if the daemon went away; whether it was taken.
    fn send(&mut self, line: &str) -> bool {
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = self.connect().ok();
            }
            match &self.socket {
                Some(socket) if socket.send(line.as_bytes()).is_ok() => return true,
                _ => self.socket = None,
            }
        }
        false
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.settings.socket)?;
        // A daemon that does not read must not hold up the other destinations.
        socket.set_write_timeout(Some(Duration::from_millis(100)))?;
        Ok(socket)
    }
}

/// What the writer's queue holds.
pub enum SinkMessage {
    /// A line to write.
    Entry(Box<Entry>),
    /// Write to these from now on.
    Outputs(Box<Outputs>),
    /// Say when all before this has been written.
    Flush(SyncSender<()>),
}

/// Lines lost: since the start, and not yet told.
#[derive(Debug, Default)]
pub struct Lost {
    total: AtomicU64,
    untold: AtomicU64,
}

impl Lost {
    /// Counts lines lost.
    pub fn add(&self, lines: u64) {
        self.total.fetch_add(lines, Ordering::Relaxed);
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines lost since the start.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// Entries formatted before they are written out: one write for a burst of lines.
const BATCH_ENTRIES_MAX: usize = 64;

/// Writes what comes until all senders are gone.
pub fn run(messages: &Receiver<SinkMessage>, mut outputs: Outputs, lost: &Arc<Lost>) {
    let mut batch = Batch::default();
    while let Ok(message) = messages.recv() {
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                SinkMessage::Entry(entry) => batch.add(&entry, &mut outputs, lost),
                SinkMessage::Outputs(new) => {
                    batch.write(&mut outputs, lost);
                    outputs = *new;
                }
                SinkMessage::Flush(done) => {
                    batch.write(&mut outputs, lost);
                    // Whoever asked may have stopped waiting.
                    let _ = done.try_send(());
                }
            }
            next = if batch.entries < BATCH_ENTRIES_MAX { messages.try_recv().ok() } else { None };
        }
        let untold = lost.untold.swap(0, Ordering::Relaxed);
        if untold > 0 {
            let text = format!("{untold} log lines were lost: they came faster than they could be written");
            batch.add(&Entry::new(Timestamp::now(), Level::Warning, text), &mut outputs, lost);
        }
        batch.write(&mut outputs, lost);
    }
}

/// Lines formatted and not yet written.
#[derive(Default)]
struct Batch {
    text: String,
    entries: usize,
}

impl Batch {
    fn add(&mut self, entry: &Entry, outputs: &mut Outputs, lost: &Lost) {
        let (zone, pid) = (local_zone(), std::process::id());
        match outputs.format {
            Format::Text => self.text += &entry.text(&zone, pid),
            Format::Json => self.text += &entry.json(pid),
        }
        self.entries += 1;
        if let Some(syslog) = outputs.syslog.as_mut().filter(|_| entry.level <= Level::Log) {
            let SyslogSettings { facility, ident, .. } = &syslog.settings;
            let line = entry.syslog(*facility, ident, &zone, pid);
            if !syslog.send(&line) {
                lost.add(1);
            }
        }
    }

    fn write(&mut self, outputs: &mut Outputs, lost: &Lost) {
        if outputs.stderr {
            // Nobody is left to tell where stderr is gone.
            let _ = io::stderr().lock().write_all(self.text.as_bytes());
        }
        if let Some(file) = &mut outputs.file
            && file.write_all(self.text.as_bytes()).is_err()
        {
            lost.add(self.entries as u64);
        }
        self.text.clear();
        self.entries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_are_numbered_as_in_the_rfc() {
        let names = ["auth", "authpriv", "daemon", "USER", "local0", "local7", "local8", "localx", "cron"];
        let numbers = [Some(4), Some(10), Some(3), Some(1), Some(16), Some(23), None, None, None];
        assert_eq!(names.map(facility), numbers);
    }
}
