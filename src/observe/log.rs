//! The log: takes `tracing` events of this program, hands them to the writer thread of [`super::sink`].
//!
//! [`start`] installs the one subscriber of the process; the [`Log`] it gives changes verbosity and
//! destinations while running. An event below the verbosity in force costs a comparison.
//! `error!(fatal = true, …)` is FATAL; spans are not used. Invariant: logging never waits, except for FATAL,
//! the process's last word, and in [`Log::flush`] and [`Log::redirect`], which boot and reload call. A
//! panic's line shows no word that was not written into the program.

use super::line::{Entry, Level};
use super::sink::{self, Destinations, Lost, Outputs, SinkMessage};
use crate::base::limits::LOG_LINES_WAITING_MAX;
use crate::control::LogProgress;
use crate::tasks;
use jiff::Timestamp;
use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber, span};

/// How long [`Log::flush`] and [`Log::redirect`] wait for a destination that does not take lines.
const PATIENCE: Duration = Duration::from_secs(1);

/// The name of the writer's thread.
const WRITER: &str = "log";

/// The running log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    messages: SyncSender<SinkMessage>,
    verbosity: Arc<AtomicU8>,
    lost: Arc<Lost>,
    progress: Arc<LogProgress>,
    panics: Arc<AtomicU64>,
}

/// Starts the writer thread and makes it this process's log. Call it after a daemon's forks:
/// threads do not survive them.
///
/// # Errors
/// No thread; a log that has been started before.
pub fn start(outputs: Outputs, verbosity: u8) -> io::Result<Log> {
    let log = Log::new(outputs, verbosity)?;
    tracing::subscriber::set_global_default(Tap(log.clone())).map_err(io::Error::other)?;
    Ok(log)
}

impl Log {
    /// A log with a writer of its own that nobody logs to yet.
    pub(super) fn new(outputs: Outputs, verbosity: u8) -> io::Result<Self> {
        let (messages, inbox) = sync_channel(LOG_LINES_WAITING_MAX);
        let lost = Arc::new(Lost::default());
        let progress = Arc::new(LogProgress::default());
        let (counted, written) = (Arc::clone(&lost), Arc::clone(&progress));
        std::thread::Builder::new()
            .name(WRITER.into())
            .spawn(move || sink::run(&inbox, outputs, &counted, &written))?;
        let verbosity = Arc::new(AtomicU8::new(verbosity));
        Ok(Self { messages, verbosity, lost, progress, panics: Arc::default() })
    }

    /// DEBUG lines from 1, NOISE lines from 2 on (`verbose`, `-v`).
    pub fn set_verbosity(&self, verbosity: u8) {
        self.verbosity.store(verbosity, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// The verbosity in force.
    pub fn verbosity(&self) -> u8 {
        self.verbosity.load(Ordering::Relaxed)
    }

    /// Writes to these destinations from now on; a log file is opened anew even if its name is the same.
    ///
    /// # Errors
    /// The log file cannot be opened, or the writer is stuck; lines go on to where they went.
    pub fn redirect(&self, to: Destinations) -> io::Result<()> {
        self.post(SinkMessage::Outputs(Box::new(to.open()?)))
    }

    /// Waits until all lines logged before are written, at most some seconds: before the process ends.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.post(SinkMessage::Flush(done)).is_ok() {
            // A writer that is stuck must not keep the process from ending.
            let _ = written.recv_timeout(PATIENCE);
        }
    }

    /// Puts a message that must not be lost into the queue, for which a full one is waited for: a little.
    fn post(&self, mut message: SinkMessage) -> io::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            message = match self.messages.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) if Instant::now() < give_up => back,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            };
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lines lost since the start: they came faster than they could be written, or a destination took none.
    pub fn lines_lost(&self) -> u64 {
        self.lost.total()
    }

    /// How far it is written.
    pub fn progress(&self) -> Arc<LogProgress> {
        Arc::clone(&self.progress)
    }

    /// Panics since [`Log::catch_panics`].
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Counts every panic from now on, and logs its place: with whom it ends, where `tasks` catches it, else
    /// at once.
    pub fn catch_panics(&self) {
        let log = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            log.panics.fetch_add(1, Ordering::Relaxed);
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed").to_owned();
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let words = words(panic.payload());
            let text = format!("thread {name} panicked at {place}: {words}");
            if name == WRITER {
                // Nobody writes lines any more, and a pooler that runs on without a word helps nobody.
                eprintln!("{text}");
                std::process::abort();
            }
            if let Some(text) = tasks::leave_to_catcher(text) {
                log.put(Entry::new(Timestamp::now(), Level::Error, text));
            }
        }));
    }

    fn put(&self, entry: Entry) {
        self.progress.add();
        if self.messages.try_send(SinkMessage::Entry(Box::new(entry))).is_err() {
            self.lost.add(1);
            self.progress.advance(1);
        }
    }

    fn level_max(&self) -> LevelFilter {
        match self.verbosity() {
            0 => LevelFilter::INFO,
            1 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

/// What may be shown of a panic: words that stand in the program. Those that were put together as it
/// ran may hold a peer's bytes, a secret among them; of these only an index out of bounds is shown,
/// which holds two numbers.
fn words(payload: &(dyn Any + Send)) -> &str {
    const NUMBERS_ONLY: [&str; 4] =
        ["index out of bounds: ", "range start index ", "range end index ", "slice index starts at "];
    let made = payload.downcast_ref::<String>().map(String::as_str);
    let shown = made.filter(|text| NUMBERS_ONLY.iter().any(|start| text.starts_with(start)));
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.or(shown).unwrap_or("its text is not shown, it may hold a secret")
}

/// Takes the events of this program's own code.
struct Tap(Log);

impl Subscriber for Tap {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().split("::").next() == Some(env!("CARGO_PKG_NAME"))
            && *metadata.level() <= self.0.level_max()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level_max())
    }

    fn event(&self, event: &Event<'_>) {
        let entry = Entry::of(event, Timestamp::now());
        let is_last = entry.level == Level::Fatal;
        self.0.put(entry);
        if is_last {
            self.0.flush();
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[cfg(test)]
mod tests {
    use super::super::sink::{Format, SyslogSettings};
    use super::*;
    use crate::base::Address;
    use std::os::unix::net::UnixDatagram;
    use std::path::{Path, PathBuf};

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("pgweir-log-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn to_file(path: &Path, format: Format) -> Destinations {
        Destinations { file: Some(path.to_owned()), format, ..Destinations::default() }
    }

    /// What `logged` writes at `verbosity`, each line without its time and process id.
    fn lines(name: &str, format: Format, verbosity: u8, logged: impl FnOnce(&Log)) -> Vec<String> {
        let path = scratch(name);
        let log = Log::new(to_file(&path, format).open().unwrap(), verbosity).unwrap();
        tracing::subscriber::with_default(Tap(log.clone()), || logged(&log));
        log.flush();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        text.lines().map(|line| line.split_once("] ").map_or(line, |(_, rest)| rest).to_owned()).collect()
    }

    #[test]
    fn a_panic_shows_no_word_that_a_peer_may_have_sent() {
        let caught = |panics: fn()| std::panic::catch_unwind(panics).unwrap_err();
        let secret = || assert_eq!("sesame", std::hint::black_box("open"), "the password");
        assert_eq!(words(&*caught(secret)), "its text is not shown, it may hold a secret");
        assert_eq!(words(&*caught(|| panic!("plain words"))), "plain words");
        let beyond = || assert!([1][std::hint::black_box(4)] == 1);
        assert_eq!(words(&*caught(beyond)), "index out of bounds: the len is 1 but the index is 4");
    }

    #[test]
    fn levels_and_prefix_are_pgbouncers() {
        let peer = Address::Tcp("[::1]:5432".parse().unwrap());
        let written = lines("levels", Format::Text, 0, |_| {
            tracing::error!(fatal = true, "cannot load config file");
            tracing::error!("no such user: bob");
            tracing::warn!("pooler error: {}", "x");
            let (id, db, user) = (255u64, "shop", "ada");
            tracing::info!(side = "C", id, db, user, %peer, secret = "s3", "hello");
            tracing::debug!("not shown");
        });
        assert_eq!(
            written,
            [
                "FATAL cannot load config file",
                "ERROR no such user: bob",
                "WARNING pooler error: x",
                "LOG C-0xff: shop/ada@[::1]:5432 hello",
            ]
        );
    }

    #[test]
    fn verbosity_changes_while_running() {
        let written = lines("verbosity", Format::Text, 0, |log| {
            for verbosity in 0..4 {
                log.set_verbosity(verbosity);
                tracing::debug!("debug at {verbosity}");
                tracing::trace!("noise at {verbosity}");
            }
        });
        assert_eq!(
            written,
            [
                "DEBUG debug at 1",
                "DEBUG debug at 2",
                "NOISE noise at 2",
                "DEBUG debug at 3",
                "NOISE noise at 3"
            ]
        );
    }

    #[test]
    fn events_of_libraries_are_not_ours() {
        let written = lines("targets", Format::Text, 2, |_| {
            tracing::info!(target: "rustls::conn", "theirs");
            tracing::info!(target: "pgweirdness", "theirs");
            tracing::info!(target: "pgweir::core", "ours");
        });
        assert_eq!(written, ["LOG ours"]);
    }

    #[test]
    fn json_lines_carry_all_fields() {
        let written = lines("json", Format::Json, 0, |_| {
            tracing::info!(side = "S", id = 3u64, age = 9i64, dirty = true, host = %"db1", "closing");
        });
        assert_eq!(written.len(), 1);
        assert!(
            written[0].ends_with(
                ",\"level\":\"LOG\",\"side\":\"S\",\"id\":3,\"age\":9,\"dirty\":true,\"host\":\"db1\",\
                 \"message\":\"closing\"}"
            ),
            "{}",
            written[0]
        );
    }

    #[test]
    fn a_reload_opens_the_file_anew() {
        let (path, moved) = (scratch("rotate"), scratch("rotated"));
        let log = Log::new(to_file(&path, Format::Text).open().unwrap(), 0).unwrap();
        tracing::subscriber::with_default(Tap(log.clone()), || {
            tracing::info!("before");
            log.flush();
            std::fs::rename(&path, &moved).unwrap();
            log.redirect(to_file(&path, Format::Text)).unwrap();
            tracing::info!("after");
            log.flush();
        });
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert!(read(&moved).ends_with("LOG before\n") && read(&path).ends_with("LOG after\n"));
        assert!(log.redirect(to_file(Path::new("/nonexistent/log"), Format::Text)).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&moved).unwrap();
    }

    #[test]
    fn syslog_gets_log_and_above() {
        let path = scratch("syslog");
        let daemon = UnixDatagram::bind(&path).unwrap();
        daemon.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let syslog = SyslogSettings { ident: "weir".into(), facility: 16, socket: path.clone() };
        let to = Destinations { syslog: Some(syslog), ..Destinations::default() };
        let log = Log::new(to.open().unwrap(), 2).unwrap();
        tracing::subscriber::with_default(Tap(log.clone()), || {
            tracing::debug!("not for syslog");
            tracing::warn!("for syslog");
        });
        let mut buffer = [0; 200];
        let bytes = daemon.recv(&mut buffer).unwrap();
        let line = std::str::from_utf8(&buffer[..bytes]).unwrap();
        assert!(
            line.starts_with("<132>")
                && line.ends_with(&format!(" weir[{}]: for syslog", std::process::id()))
        );
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn panics_are_counted_and_their_place_is_logged() {
        let path = scratch("panics");
        let log = Log::new(to_file(&path, Format::Text).open().unwrap(), 0).unwrap();
        let before = std::panic::take_hook();
        log.catch_panics();
        let ended = std::thread::Builder::new().name("unlucky".into()).spawn(|| panic!("plain words"));
        assert!(ended.unwrap().join().is_err());
        tracing::subscriber::with_default(Tap(log.clone()), || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(tasks::guarded("a login", "of ada", async { panic!("other words") }));
        });
        std::panic::set_hook(before);
        log.flush();
        assert!(log.panics() >= 1, "other tests may panic at the same time");
        let text = std::fs::read_to_string(&path).unwrap();
        let place = format!("thread unlucky panicked at {}:", file!());
        assert!(text.contains(&place) && text.contains(": plain words"), "{text}");
        let of_login: Vec<_> = text.lines().filter(|line| line.contains("other words")).collect();
        let [told] = of_login[..] else { panic!("one line tells all: {text}") };
        let whom = "ERROR a login (of ada) has panicked and was ended, all else goes on: thread ";
        let place = format!(" panicked at {}:", file!());
        assert!(told.contains(whom) && told.contains(&place), "{told}");
        assert_eq!(text.matches("a login (of ada)").count(), 1, "{text}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_queue_loses_lines_and_says_how_many() {
        let path = scratch("lost");
        let (messages, inbox) = sync_channel(4);
        let lost = Arc::new(Lost::default());
        let (verbosity, panics) = (Arc::new(AtomicU8::new(0)), Arc::default());
        let progress = Arc::new(LogProgress::default());
        let log = Log { messages, verbosity, lost: lost.clone(), progress: Arc::clone(&progress), panics };
        tracing::subscriber::with_default(Tap(log.clone()), || {
            for line in 0..10 {
                tracing::info!("line {line}");
            }
        });
        assert_eq!(log.lines_lost(), 6);
        drop(log);
        sink::run(&inbox, to_file(&path, Format::Text).open().unwrap(), &lost, &progress);
        let mut caught_up = std::pin::pin!(progress.caught_up());
        let waker = std::task::Waker::noop();
        assert!(caught_up.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains(" LOG line ")).count(), 4);
        assert!(
            text.ends_with("WARNING 6 log lines were lost: they came faster than they could be written\n"),
            "{text}"
        );
        std::fs::remove_file(&path).unwrap();
    }
}
