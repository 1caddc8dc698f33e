//! Where log lines go: stderr, a file, syslog; written by one thread of their own.
//!
//! Whoever logs puts an entry into a bounded queue and goes on; formatting and writing happen here. What
//! comes while the queue is full, or what a destination does not take, is lost and counted, and a line says
//! how many were and why: a stuck disk or terminal must not stop queries. Never opens a file while writing:
//! [`Destinations::open`] does, so that its error reaches whoever asked for it.

use super::line::{Entry, Level};
use crate::console::times::local_zone;
use crate::control::LogProgress;
use jiff::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

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

/// What becomes of lines on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stderr {
    /// None is written: `-q`, `-d`.
    #[default]
    Silent,
    /// They look as in the log file.
    Lines,
    /// systemd's journal reads them: their level stands in front (sd-daemon(3)), and the time and the process
    /// are the journal's own knowledge.
    Journal,
}

/// Where lines shall go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations {
    /// To stderr.
    pub stderr: Stderr,
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
        let file = file.map(|file| LogFile { file, refusal: Refusal::default() });
        let syslog =
            self.syslog.map(|settings| Syslog { settings, socket: None, refusal: Refusal::default() });
        Ok(Outputs { stderr: self.stderr, file, syslog, format: self.format })
    }
}

/// Destinations, opened.
pub struct Outputs {
    stderr: Stderr,
    file: Option<LogFile>,
    syslog: Option<Syslog>,
    format: Format,
}

impl Outputs {
    /// Writes why a start fails before it has a log: wherever lines go, but for stderr, where the process
    /// itself says it.
    pub fn last_word(self, text: &str) {
        let outputs = Self { stderr: Stderr::Silent, ..self };
        let mut writer = Writer { outputs, batch: Batch::default(), lost: Arc::default() };
        writer.add(&Entry::new(Timestamp::now(), Level::Fatal, text.to_owned()));
        writer.write();
    }
}

struct LogFile {
    file: File,
    refusal: Refusal,
}

struct Syslog {
    settings: SyslogSettings,
    socket: Option<UnixDatagram>,
    refusal: Refusal,
}

impl Syslog {
    /// Sends one line, connecting anew once if the daemon went away.
    fn send(&mut self, entry: &Entry) -> io::Result<()> {
        let SyslogSettings { facility, ident, .. } = &self.settings;
        let line = entry.syslog(*facility, ident, &local_zone(), std::process::id());
        self.send_line(&line).or_else(|_| {
            self.socket = None;
            self.send_line(&line)
        })
    }

    fn send_line(&mut self, line: &str) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(Self::connect(&self.settings)?),
        };
        socket.send(line.as_bytes()).map(drop)
    }

    fn connect(settings: &SyslogSettings) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&settings.socket)?;
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

/// Lines lost: since the start, and not yet told because the queue was full.
#[derive(Debug, Default)]
pub struct Lost {
    total: AtomicU64,
    untold: AtomicU64,
}

impl Lost {
    /// Counts lines that the queue had no room for.
    pub fn add(&self, lines: u64) {
        self.total.fetch_add(lines, Ordering::Relaxed);
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines lost since the start.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// Lines that one destination did not take, and why.
#[derive(Debug, Default)]
struct Refusal {
    /// Since it last took some.
    lines: u64,
    why: String,
    told_at: Option<Instant>,
    /// It has taken what came last.
    is_over: bool,
}

impl Refusal {
    /// What happened to so many lines.
    fn note(&mut self, taken: Result<(), String>, lines: u64, lost: &Lost) {
        self.is_over = taken.is_ok();
        if let Err(why) = taken {
            self.lines += lines;
            self.why = why;
            lost.total.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// What is to be said of it now: at once, each minute while it lasts, and at its end. That is not
    /// counted: the destination may refuse it, too.
    fn words(&mut self, now: Instant) -> Option<String> {
        let is_due = self.told_at.is_none_or(|then| now.duration_since(then) >= COMPLAINT_PAUSE);
        if self.lines == 0 || !(is_due || self.is_over) {
            return None;
        }
        let text = lost_lines(self.lines, &self.why);
        *self =
            if self.is_over { Self::default() } else { Self { told_at: Some(now), ..std::mem::take(self) } };
        Some(text)
    }
}

fn lost_lines(count: u64, why: &str) -> String {
    format!("{count} log lines were lost: {why}")
}

/// Between two lines about a destination that takes none.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// Entries formatted before they are written out: one write for a burst of lines.
const BATCH_ENTRIES_MAX: u64 = 64;

/// Writes what comes until all senders are gone.
pub fn run(messages: &Receiver<SinkMessage>, outputs: Outputs, lost: &Arc<Lost>, progress: &LogProgress) {
    let mut writer = Writer { outputs, batch: Batch::default(), lost: Arc::clone(lost) };
    while let Ok(message) = messages.recv() {
        let (mut next, mut taken) = (Some(message), 0);
        while let Some(message) = next {
            match message {
                SinkMessage::Entry(entry) => {
                    writer.add(&entry);
                    taken += 1;
                }
                SinkMessage::Outputs(new) => {
                    writer.write();
                    writer.outputs = *new;
                }
                SinkMessage::Flush(done) => {
                    writer.write();
                    // Whoever asked may have stopped waiting.
                    let _ = done.try_send(());
                }
            }
            next = if writer.batch.entries < BATCH_ENTRIES_MAX { messages.try_recv().ok() } else { None };
        }
        let untold = lost.untold.swap(0, Ordering::Relaxed);
        if untold > 0 {
            writer.warn(lost_lines(untold, TOO_FAST));
        }
        writer.write();
        progress.advance(taken);
    }
}

/// Why lines find no room in the queue.
const TOO_FAST: &str = "they came faster than they could be written";

/// Lines formatted and not yet written.
#[derive(Default)]
struct Batch {
    text: String,
    /// The same for the journal, if that is where stderr goes.
    journal: String,
    entries: u64,
}

/// The thread that writes.
struct Writer {
    outputs: Outputs,
    batch: Batch,
    lost: Arc<Lost>,
}

impl Writer {
    fn add(&mut self, entry: &Entry) {
        self.format(entry);
        self.batch.entries += 1;
        if let Some(syslog) = self.outputs.syslog.as_mut().filter(|_| entry.level <= Level::Log) {
            let taken = syslog.send(entry).map_err(|error| format!("could not send to syslog: {error}"));
            syslog.refusal.note(taken, 1, &self.lost);
        }
    }

    fn format(&mut self, entry: &Entry) {
        let pid = std::process::id();
        let is_journal = self.outputs.stderr == Stderr::Journal;
        let line = match self.outputs.format {
            Format::Text => entry.text(&local_zone(), pid),
            Format::Json => entry.json(pid),
        };
        if is_journal {
            let of_journal = match self.outputs.format {
                Format::Text => entry.bare(),
                Format::Json => line.clone(),
            };
            self.batch.journal += &format!("<{}>{of_journal}", entry.level.syslog_severity());
        }
        self.batch.text += &line;
    }

    /// A line about lines that are missing; of its own loss nobody is told.
    fn warn(&mut self, text: String) {
        let entry = Entry::new(Timestamp::now(), Level::Warning, text);
        self.format(&entry);
        if let Some(syslog) = &mut self.outputs.syslog {
            let _ = syslog.send(&entry); // what it does not take is told elsewhere
        }
    }

    fn write(&mut self) {
        self.write_batch();
        let now = Instant::now();
        let refusals = [
            self.outputs.file.as_mut().map(|file| &mut file.refusal),
            self.outputs.syslog.as_mut().map(|syslog| &mut syslog.refusal),
        ];
        let told: Vec<String> =
            refusals.into_iter().flatten().filter_map(|refusal| refusal.words(now)).collect();
        if !told.is_empty() {
            told.into_iter().for_each(|text| self.warn(text));
            self.write_batch();
        }
    }

    fn write_batch(&mut self) {
        let Batch { text, journal, entries } = std::mem::take(&mut self.batch);
        if text.is_empty() {
            return;
        }
        let of_stderr = match self.outputs.stderr {
            Stderr::Silent => "",
            Stderr::Lines => &text,
            Stderr::Journal => &journal,
        };
        // Nobody is left to tell where stderr is gone.
        let _ = io::stderr().lock().write_all(of_stderr.as_bytes());
        if let Some(file) = &mut self.outputs.file {
            let taken = file.file.write_all(text.as_bytes());
            let taken = taken.map_err(|error| format!("could not write to the log file: {error}"));
            file.refusal.note(taken, entries, &self.lost);
        }
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

    #[test]
    fn a_destination_that_takes_nothing_is_told_of_with_its_reason() {
        let (lost, start) = (Lost::default(), Instant::now());
        let mut refusal = Refusal::default();
        let after = |seconds| start + Duration::from_secs(seconds);
        let full = || Err("could not write to the log file: No space left".to_owned());
        refusal.note(full(), 3, &lost);
        let words = "3 log lines were lost: could not write to the log file: No space left";
        assert_eq!(refusal.words(after(0)).as_deref(), Some(words));
        refusal.note(full(), 2, &lost);
        assert_eq!(refusal.words(after(59)), None, "not with each line");
        let words = refusal.words(after(60)).expect("it goes on");
        assert!(words.starts_with("5 log lines were lost: "), "all since it began: {words}");
        refusal.note(full(), 1, &lost);
        refusal.note(Ok(()), 1, &lost);
        let words = refusal.words(after(61)).expect("the end is told at once");
        assert!(words.starts_with("6 log lines were lost: "), "{words}");
        assert_eq!((refusal.words(after(999)), lost.total(), lost.untold.into_inner()), (None, 6, 0));
    }

    #[test]
    fn a_disk_that_is_full_loses_lines_for_a_reason_of_its_own() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let file = Some(LogFile { file, refusal: Refusal::default() });
        let outputs = Outputs { stderr: Stderr::Silent, file, syslog: None, format: Format::Text };
        let lost = Arc::new(Lost::default());
        let mut writer = Writer { outputs, batch: Batch::default(), lost: Arc::clone(&lost) };
        writer.add(&Entry::new(Timestamp::now(), Level::Log, "a line".into()));
        writer.write_batch();
        let words = writer.outputs.file.as_mut().and_then(|file| file.refusal.words(Instant::now()));
        let words = words.expect("it is told");
        assert!(words.starts_with("1 log lines were lost: could not write to the log file: "), "{words}");
        assert!(words.contains("No space left on device"), "{words}");
        writer.write();
        assert_eq!(lost.total(), 1, "a line about lost ones is none of them");
    }
}
