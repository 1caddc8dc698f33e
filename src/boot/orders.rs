//! What signals and the console ask of the process: reload, SET, the three forms of shutdown. One
//! task, one thing at a time.

use super::signals::{SignalAction, Signals};
use super::{audit, denials, policy, systemd};
use crate::base::limits::JANITOR_PERIOD_MS;
use crate::config::{Choice, LogFormat, Settings};
use crate::console::{Console, ProcessOrder, Standing};
use crate::control::{Phase, Plane};
use crate::observe::log::Log;
use crate::observe::sink::{self, Destinations, Format, Stderr, SyslogSettings};
use crate::servers::Servers;
use crate::tasks;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// The process, as orders change it.
pub(super) struct Process {
    /// Logins to servers, and what they share with those of clients.
    pub servers: Arc<Servers>,
    /// The console, which knows what is paused.
    pub console: Arc<Console>,
    /// The running log.
    pub log: Log,
    /// What becomes of log lines on stderr.
    pub stderr: Stderr,
}

/// Whether the process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Continuation {
    Yes,
    Exit,
    /// It ends in disorder.
    Fail(&'static str),
}

/// An order that reads files, beside the task that obeys signals: a disk may hang. One at a time.
type Reading<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Waits for what is being read, if anything is, and for ever else.
async fn until_read(reading: &mut Option<Reading<'_>>) {
    let Some(read) = reading else { return std::future::pending().await };
    read.await;
    *reading = None;
}

/// Its panic is in the log.
const READING_FAILED: &str = "the configuration could not be read";

impl Process {
    /// Carries out orders until the process is to end.
    ///
    /// # Errors
    /// Why it ends other than in order.
    pub(super) async fn serve(
        self,
        mut orders: mpsc::UnboundedReceiver<ProcessOrder>,
        mut signals: Signals,
    ) -> Result<(), String> {
        let mut tick = tokio::time::interval(Duration::from_millis(JANITOR_PERIOD_MS));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reading = None;
        let mut is_reload_due = false;
        loop {
            if reading.is_none() && std::mem::take(&mut is_reload_due) {
                reading = Some(self.reload_by_signal());
            }
            let onward = tokio::select! {
                () = until_read(&mut reading) => Continuation::Yes,
                Some(order) = orders.recv(), if reading.is_none() => self.carry_out(order, &mut reading),
                wish = signals.next() => {
                    is_reload_due |= wish == SignalAction::Reload;
                    self.grant(wish)
                }
                () = self.servers.plane.client_secrets.changed(), if reading.is_none() => {
                    self.settle_users();
                    Continuation::Yes
                }
                _ = tick.tick() => self.look_for_end(),
            };
            if onward != Continuation::Yes && self.is_running() {
                systemd::notify("STOPPING=1");
            }
            match onward {
                Continuation::Yes => {}
                Continuation::Exit => return Ok(()),
                Continuation::Fail(reason) => return Err(reason.to_owned()),
            }
        }
    }

    fn carry_out<'a>(&'a self, order: ProcessOrder, reading: &mut Option<Reading<'a>>) -> Continuation {
        match order {
            ProcessOrder::Reload(reply) => {
                tracing::info!("RELOAD command issued");
                *reading = Some(Box::pin(async { self.answer(reply, self.reload().await) }));
            }
            ProcessOrder::Set { key, value, reply } => {
                *reading = Some(Box::pin(async { self.answer(reply, self.set(key, value).await) }));
            }
            ProcessOrder::Shutdown(phase) => self.begin_shutdown(phase),
            ProcessOrder::Exit => return Continuation::Exit,
        }
        Continuation::Yes
    }

    fn reload_by_signal(&self) -> Reading<'_> {
        // The errors are in the log; nobody waits for an answer.
        Box::pin(async { drop(self.reload().await) })
    }

    fn grant(&self, wish: SignalAction) -> Continuation {
        match wish {
            SignalAction::Reload => tracing::info!("got SIGHUP, re-reading config"),
            SignalAction::WaitForClients | SignalAction::WaitForServers => return self.asked_to_end(wish),
            SignalAction::Exit => {
                tracing::info!("got SIGQUIT, fast exit");
                return Continuation::Exit;
            }
            SignalAction::Pause => self.console.control.sigusr1(),
            SignalAction::Resume => self.console.control.sigusr2(),
        }
        Continuation::Yes
    }

    /// SIGTERM or SIGINT: soft the first time, at once the second; a failure while suspended,
    /// when nobody could leave.
    fn asked_to_end(&self, wish: SignalAction) -> Continuation {
        let (name, what, phase) = match wish {
            SignalAction::WaitForClients => {
                ("SIGTERM", "waiting for all clients disconnect", Phase::WaitForClients)
            }
            _ => ("SIGINT", "waiting for all servers connections to be released", Phase::WaitForServers),
        };
        if !self.is_running() {
            tracing::info!("got {name} while shutting down, fast exit");
            return Continuation::Exit;
        }
        if self.console.control.standing() == Standing::Suspended {
            return Continuation::Fail("suspend was in progress, going down immediately");
        }
        tracing::info!("got {name}, shutting down, {what}");
        self.begin_shutdown(phase);
        Continuation::Yes
    }

    /// Whether no shutdown has begun.
    fn is_running(&self) -> bool {
        self.servers.plane.phase() == Phase::Running
    }

    fn begin_shutdown(&self, phase: Phase) {
        if self.is_running() {
            systemd::notify("STOPPING=1");
        }
        self.console.control.begin_shutdown(phase);
    }

    /// Whether a soft shutdown has come to its end.
    fn look_for_end(&self) -> Continuation {
        if self.console.status.clients.are_on_their_way() {
            return Continuation::Yes;
        }
        match self.servers.plane.phase() {
            Phase::WaitForClients
                if self.servers.plane.admissions.all() == 0
                    && self.console.status.plane.console_clients.count() == 0 =>
            {
                tracing::info!("client connections dropped, exiting");
                Continuation::Exit
            }
            Phase::WaitForServers if self.servers.plane.places.all_servers() == 0 => {
                tracing::info!("server connections dropped, exiting");
                Continuation::Exit
            }
            Phase::Running | Phase::WaitForClients | Phase::WaitForServers => Continuation::Yes,
        }
    }

    /// Answers the console's client, who is told to look into the log: the reasons are
    /// there before the answer.
    fn answer<T>(&self, reply: oneshot::Sender<T>, value: T) {
        self.log.flush();
        // The client may have left meanwhile.
        drop(reply.send(value));
    }

    /// Reads the files again and puts them in force, whole or not at all.
    async fn reload(&self) -> Result<(), String> {
        // Whoever stops is not ready again behind a reload.
        let is_told = self.is_running();
        if is_told {
            systemd::notify_reloading();
        }
        let before = self.servers.plane.policy.load_full();
        let loaded = tasks::blocking("a reload", "files", move || policy::load_again(&before)).await;
        let result = match loaded.unwrap_or_else(|| Err(vec![READING_FAILED.to_owned()])) {
            Ok(loaded) => {
                for warning in loaded.warnings() {
                    tracing::warn!("{warning}");
                }
                loaded.problems.iter().for_each(|error| tracing::error!("{error}"));
                self.put_in_force(loaded, true);
                Ok(())
            }
            Err(errors) => {
                errors.iter().for_each(|error| tracing::error!("{error}"));
                tracing::error!("config file loading failed, the configuration in force stays");
                Err(errors.into_iter().next().unwrap_or_default())
            }
        };
        if is_told && self.is_running() {
            systemd::notify("READY=1");
        }
        result
    }

    /// `SET key = value`: as a line of the file, until the next reload. The answer may carry a notice.
    async fn set(&self, key: String, value: String) -> Result<Option<String>, String> {
        let before = self.servers.plane.policy.load_full();
        let make = move || policy::with_setting(&before, &key, &value);
        let made = tasks::blocking("SET", "files", make).await;
        let (loaded, tls_problem) = made.unwrap_or_else(|| Err(READING_FAILED.to_owned()))?;
        loaded.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        loaded.problems.iter().for_each(|error| tracing::error!("{error}"));
        self.put_in_force(loaded, false);
        Ok(tls_problem.map(|error| {
            tracing::error!("{error}");
            "TLS settings could not be applied, still using old configuration".to_owned()
        }))
    }

    /// A secret that clients are proven by says something else: users may have come or gone.
    fn settle_users(&self) {
        let plane = &self.servers.plane;
        if plane.settle_users() {
            tasks::spawn("judging sessions", "process", judge(Arc::clone(plane)));
        }
    }

    fn put_in_force(&self, loaded: policy::Loaded, is_reload: bool) {
        let policy::Loaded { policy, denials: denied, .. } = loaded;
        let settings = &policy.snapshot.settings;
        self.log.set_verbosity(verbosity(settings));
        if let Err(error) = self.log.redirect(destinations(settings, self.stderr)) {
            tracing::error!("could not open the log file {}: {error}", &*settings.logfile);
        }
        let plane = Arc::clone(&self.servers.plane);
        let before = plane.policy.load_full();
        self.servers.adopt(policy);
        audit::adopt(&plane, &before, &plane.policy.load_full(), is_reload);
        if let Some(denied) = denied {
            denials::adopt(&plane, denied);
        }
        plane.settle_users();
        tasks::spawn("judging sessions", "process", judge(plane));
        let clients = &self.console.status.clients;
        clients.issuers.adopt(&clients.plane.policy.load());
    }
}

/// Ends the sessions that what is in force now would not let in.
async fn judge(plane: Arc<Plane>) {
    let of_tokens = Arc::clone(&plane);
    let of_tokens = move || of_tokens.judge_token_sessions();
    let lapsed = tasks::blocking("judging sessions by tokens", "process", of_tokens).await.unwrap_or(0);
    plane.judge_sessions().await;
    if lapsed > 0 {
        tracing::info!("the configuration has changed: {lapsed} sessions by tokens end");
    }
}

/// `verbose` as the log takes it.
pub(super) fn verbosity(settings: &Settings) -> u8 {
    u8::try_from(settings.verbose).unwrap_or(u8::MAX)
}

/// Where the settings send log lines.
pub(super) fn destinations(settings: &Settings, stderr: Stderr) -> Destinations {
    let syslog = settings.syslog.then(|| SyslogSettings {
        ident: settings.syslog_ident.to_string(),
        facility: sink::facility(settings.syslog_facility.word()).unwrap_or_default(),
        socket: sink::SYSLOG_SOCKET.into(),
    });
    Destinations {
        stderr,
        file: (!settings.logfile.is_empty()).then(|| (&*settings.logfile).into()),
        syslog,
        format: match settings.log_format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
    }
}
