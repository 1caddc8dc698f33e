//! The start, in PgBouncer's order, and the end.
//!
//! Files first, while an error can still be shown; then the user, the pidfile, the
//! background; only then threads.

use super::args::Options;
use super::orders::{Process, destinations, verbosity};
use super::process::{self, PidFile};
use super::signals::Signals;
use super::{audit, denials, open_files, policy, systemd};
use crate::base::{VERSION, WorkerId, limits};
use crate::clients::{Acceptors, Clients, ConsoleLogin, Listeners, unix_path};
use crate::config::Settings;
use crate::console::{self, Console};
use crate::control::{LauncherReceiver, Plane, Policy, WorkerSet};
use crate::core::{Note, StatementRegistry};
use crate::io::{Clock, listener};
use crate::observe;
use crate::observe::log::{self, Log};
use crate::observe::sink::Stderr;
use crate::observe::{Scrape, http};
use crate::servers::{Servers, launcher};
use crate::status::Status;
use crate::tasks;
use crate::wire::TrackedNames;
use crate::worker::{self, Mail, WorkerConfig, WorkerHandle};
use rustix::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// Threads of the login plane without the clients' logins, which run on the workers and on threads for
/// handshakes (`clients::Acceptors`): logins to servers, the console, metrics. What is slow in them (PBKDF2)
/// runs on the blocking pool.
const LOGIN_THREADS: usize = 2;

/// Runs the pooler until it is told to end.
///
/// # Errors
/// Texts for the user, where it could not start.
pub(super) fn run(options: &Options) -> Result<(), Vec<String>> {
    let one = |error: String| vec![error];
    let mut loaded =
        policy::load_first(&options.file, options.overlay.as_deref()).map_err(|mut errors| {
            errors.push("cannot load config file".to_owned());
            errors
        })?;
    let warnings = loaded.warnings();
    let snapshot = Arc::make_mut(&mut loaded.policy.snapshot);
    options.apply(&mut snapshot.settings);
    let settings = snapshot.settings.clone();
    if options.daemon && settings.pidfile.is_empty() {
        return Err(one("daemon needs pidfile configured".to_owned()));
    }
    if let Some(user) = process::user_to_become(&settings) {
        process::become_user(user).map_err(one)?;
    }
    process::refuse_root().map_err(one)?;
    process::share_memory(settings.allow_core_dump).map_err(one)?;
    let stderr = match options.quiet || options.daemon {
        true => Stderr::Silent,
        false if systemd::stderr_is_journal() => Stderr::Journal,
        false => Stderr::Lines,
    };
    // Before a daemon leaves its terminal: nobody would be told that it has no log.
    let no_log = |error| one(format!("could not open the log file {}: {error}", &*settings.logfile));
    let outputs = destinations(&settings, stderr).open().map_err(no_log)?;
    let ground = match Ground::find(&settings) {
        Ok(ground) => ground,
        Err(error) => {
            outputs.last_word(&error);
            return Err(one(error));
        }
    };
    if options.daemon {
        process::daemonise().map_err(one)?;
    }
    let log = log::start(outputs, verbosity(&settings)).map_err(no_log)?;
    log.catch_panics();
    if ground.useless > 0 {
        tracing::warn!("{} descriptors from the service manager are no sockets for clients", ground.useless);
    }
    if ground.has_stale_pidfile {
        tracing::info!("stale pidfile, removing");
    }
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    loaded.problems.iter().for_each(|error| tracing::error!("{error}"));
    open_files::raise_limit(&loaded);
    let denied = loaded.denials.unwrap_or_default();
    let result = serve(loaded.policy, denied, &settings, ground.inherited, stderr, &log);
    if let Err(error) = &result {
        tracing::error!(fatal = true, "{error}");
    }
    log.flush();
    // What the log already has need not be said twice on the same stderr.
    result.map_err(|error| if stderr == Stderr::Silent { one(error) } else { Vec::new() })
}

/// What the process finds where it is to run, before it leaves the terminal.
struct Ground {
    /// The sockets that the service manager has opened.
    inherited: Vec<OwnedFd>,
    /// What else it has passed, which is of no use.
    useless: usize,
    /// A process that is gone had left its pidfile.
    has_stale_pidfile: bool,
}

impl Ground {
    /// Looks whether another process is there already: one that answers on our Unix socket, or that of the
    /// pidfile.
    fn find(settings: &Settings) -> Result<Self, String> {
        let (inherited, useless) = systemd::listening_sockets();
        if inherited.is_empty() {
            process::check_socket_path(settings)?;
            // What else may be wrong with it shows when it is opened.
            if unix_path(settings).is_some_and(|path| matches!(listener::answers(&path), Ok(true))) {
                return Err("unix socket is in use, cannot continue".to_owned());
            }
        }
        let has_stale_pidfile = pidfile(settings).map_or(Ok(false), PidFile::check)?;
        Ok(Self { inherited, useless, has_stale_pidfile })
    }
}

fn pidfile(settings: &Settings) -> Option<&Path> {
    (!settings.pidfile.is_empty()).then(|| Path::new(&*settings.pidfile))
}

/// Everything that has threads.
fn serve(
    policy: Policy,
    denied: denials::Denied,
    settings: &Settings,
    inherited: Vec<OwnedFd>,
    stderr: Stderr,
    log: &Log,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(LOGIN_THREADS)
        .thread_name("login")
        .enable_all()
        .build()
        .map_err(|error| format!("could not start the threads for logins: {error}"))?;
    let _on_runtime = runtime.enter();
    // Before anybody can see that we listen: a signal that comes then must not end us by its default.
    let signals = Signals::new().map_err(|error| format!("could not listen to signals: {error}"))?;
    let _pidfile = pidfile(settings).map(PidFile::write).transpose()?;
    let workers = Workers::start(settings)?;
    let (plane, launcher) = Plane::new(Arc::new(policy), WorkerSet { log: log.progress(), ..workers.set() });
    workers.connect(&plane);
    audit::begin(&plane, settings)?;
    denials::adopt(&plane, denied);
    let (clients, console_logins) = Clients::new(Arc::clone(&plane));
    let servers = Servers::new(Arc::clone(&plane));
    let status = Status::new(Arc::clone(&clients), Arc::clone(&servers));
    let (console, orders) = Console::new(Arc::clone(&status));
    let process =
        Process { servers: Arc::clone(&servers), console: Arc::clone(&console), log: log.clone(), stderr };
    let acceptors = runtime.block_on(async {
        servers.begin();
        clients.issuers.adopt(&clients.plane.policy.load());
        begin_tasks(&servers, &console, launcher, console_logins);
        let figures = Arc::clone(&status);
        let write_emf = move || observe::write_emf(Arc::clone(&figures));
        tasks::spawn("EMF", "process", tasks::keep("the writer of metrics for CloudWatch", write_emf));
        serve_metrics(settings, status, log).await?;
        let mut acceptors = listen(&clients, settings, inherited)?;
        tracing::info!("process up: {}, tokio, rustls, {} workers", VERSION, workers.handles.len());
        log.flush(); // who finds that we listen finds these lines, too
        systemd::notify("READY=1");
        let end = tasks::vital("the task of signals and orders", process.serve(orders, signals)).await;
        acceptors.close().await;
        end.map(|()| acceptors)
    })?;
    let audit = Arc::clone(&plane.audit);
    workers.stop();
    audit::end(&audit);
    drop(acceptors); // with those who are still logging in
    runtime.shutdown_background();
    Ok(())
}

/// Opens the sockets for clients, or takes over those that systemd has opened, and accepts from then on.
fn listen(clients: &Arc<Clients>, settings: &Settings, inherited: Vec<OwnedFd>) -> Result<Acceptors, String> {
    let listeners =
        if inherited.is_empty() { Listeners::open(settings) } else { Listeners::adopt(inherited, settings) };
    let listeners = listeners.map_err(|error| error.to_string())?;
    Acceptors::start(clients, listeners).map_err(|error| error.to_string())
}

/// Opens the page of metrics, where `metrics_listen` asks for it.
async fn serve_metrics(settings: &Settings, status: Arc<Status>, log: &Log) -> Result<(), String> {
    let Some(address) = settings.metrics_listen.0 else { return Ok(()) };
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("cannot listen on metrics_listen {address}: {error}"))?;
    tracing::info!("serving metrics on http://{address}/metrics");
    let (listener, scrape) = (Arc::new(listener), Arc::new(Scrape::new(status, log.clone())));
    let serve = move || http::serve(Arc::clone(&listener), Arc::clone(&scrape));
    tasks::spawn("metrics", address, tasks::keep("the accept loop of metrics", serve));
    Ok(())
}

/// The tasks that run as long as the process. The launcher's panic ends it, since the ledger's counts may be
/// wrong behind it, and so does the console's accept loop, which does nothing that could go wrong; the others
/// have no state and begin again.
fn begin_tasks(
    servers: &Arc<Servers>,
    console: &Arc<Console>,
    inbox: LauncherReceiver,
    console_logins: tokio::sync::mpsc::UnboundedReceiver<ConsoleLogin>,
) {
    const PROCESS: &str = "process";
    let (watched, kept, shown) = (Arc::clone(servers), Arc::clone(servers), Arc::clone(console));
    let launch = launcher::run(Arc::clone(servers), inbox);
    tasks::spawn("launcher", PROCESS, tasks::vital("the launcher", launch));
    let console_loop = console::serve_all(Arc::clone(console), console_logins);
    tasks::spawn("console", PROCESS, tasks::vital("the console", console_loop));
    let watch = move || Arc::clone(&watched).watch_iam();
    tasks::spawn("IAM watch", PROCESS, tasks::keep("the watch over logins by IAM", watch));
    let plane = Arc::clone(&servers.plane);
    let look = move || denials::watch(Arc::clone(&plane));
    tasks::spawn("deny list", PROCESS, tasks::keep("the watch over deny_principals", look));
    let secrets = move || Arc::clone(&kept).watch_secrets();
    tasks::spawn("watch of secrets", PROCESS, tasks::keep("the watch over secrets", secrets));
    let status = |line: &str| systemd::notify(&format!("STATUS={line}"));
    let count = move || Arc::clone(&shown).keep_stats(status);
    tasks::spawn("statistics", PROCESS, tasks::keep("the clock of statistics", count));
}

/// The data workers' threads.
struct Workers {
    handles: Box<[WorkerHandle]>,
    threads: Vec<JoinHandle<()>>,
    names: TrackedNames,
    clock: Clock,
    statements: Arc<StatementRegistry>,
    plane: Arc<OnceLock<Arc<Plane>>>,
}

impl Workers {
    fn start(settings: &Settings) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("could not start a worker: {error}");
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = settings.workers.count(cores).clamp(1, limits::WORKERS_MAX);
        let handles =
            (0..count).map(|_| WorkerHandle::new()).collect::<Result<Box<[_]>, _>>().map_err(failed)?;
        let mut workers = Self {
            handles,
            threads: Vec::new(),
            names: TrackedNames::new(settings.track_extra_parameters.iter().map(|name| &**name)),
            clock: Clock::new(),
            statements: Arc::default(),
            plane: Arc::default(),
        };
        for number in 0..count {
            let plane = Arc::clone(&workers.plane);
            let notes = move |from: WorkerId, note: Note| {
                if let Some(plane) = plane.get() {
                    plane.note(from, note);
                }
            };
            let config = WorkerConfig {
                id: WorkerId(number as u16),
                names: workers.names.clone(),
                statements: Arc::clone(&workers.statements),
                clock: workers.clock,
                notes: Arc::new(notes),
                workers: workers.handles.clone(),
                io_backend: settings.io_backend,
            };
            workers.threads.push(worker::spawn(config).map_err(failed)?);
        }
        Ok(workers)
    }

    /// What the login plane knows of them.
    fn set(&self) -> WorkerSet {
        WorkerSet {
            handles: self.handles.clone(),
            names: self.names.clone(),
            statements: Arc::clone(&self.statements),
            clock: self.clock,
            log: Arc::default(),
            audit: audit::new(self.clock),
        }
    }

    /// Who the workers' notes go to; no worker has a connection before.
    fn connect(&self, plane: &Arc<Plane>) {
        let _ = self.plane.set(Arc::clone(plane)); // called once
    }

    /// Ends every worker: its connections are closed at once.
    fn stop(self) {
        for worker in &self.handles {
            worker.send(Mail::Stop);
        }
        for thread in self.threads {
            // A worker that panicked has aborted the process: there is no error to see here.
            let _ = thread.join();
        }
    }
}
