//! What operators order: PAUSE, RESUME, SUSPEND, KILL, DISABLE, RECONNECT and their kin, by
//! the console or by a signal.
//!
//! One [`Control`] for the process knows whether everything is running, paused or suspended; its methods are
//! the only door between these. What a change tells others is told under the lock of the change, so that
//! nobody hears of two changes in the wrong order; each change has a number, by which whoever waits knows its
//! own. A method that must wait for servers or bytes gives a [`Goal`]; [`Control::reached`] waits for it, by
//! questions that change nothing. Never closes a connection itself: the plane and the workers do. Source:
//! PgBouncer, doc/usage.md (Process controlling commands, Signals).

mod goal;
mod process;

use super::show_process::Standing;
use crate::clients::Clients;
use crate::config::CONSOLE_DATABASE;
use crate::control::{Phase, Plane};
use crate::core::{Answer, Command, DatabaseShare, Scope};
use crate::servers::Servers;
use crate::servers::iam::Refreshed;
pub(super) use goal::Goal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Why an order was refused, or came to nothing; the text is what the console answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Everything is paused or suspended.
    #[error("already suspended/paused")]
    NotRunning,
    /// RESUME of what runs.
    #[error("pooler is not paused/suspended")]
    Running,
    /// RESUME while the process ends.
    #[error("pooler is shutting down")]
    ShuttingDown,
    /// SUSPEND while one database is paused.
    #[error("cannot suspend with paused databases")]
    DatabasesPaused,
    /// There is no such database.
    #[error("no such database: {0}")]
    NoDatabase(String),
    /// RESUME of a database that is not paused.
    #[error("database {0} is not paused")]
    DatabaseRunning(String),
    /// The console's own database has no servers.
    #[error("cannot {verb} admin db: {CONSOLE_DATABASE}")]
    ConsoleDatabase {
        /// What was to be done, with its preposition.
        verb: &'static str,
    },
    /// IAM REFRESH of a database whose servers are not logged in to by IAM.
    #[error("database {0} does not log in by IAM")]
    NotByIam(String),
    /// KILL_CLIENT of a client that is not there.
    #[error("client not found")]
    NoClient,
    /// SET of an unknown setting or of a bad value; the log has the reason.
    #[error("SET failed")]
    Set,
    /// A reload that changed nothing; the log has every error.
    #[error("RELOAD failed, see logs for additional details")]
    Reload,
    /// The wait was over before its goal was reached: RESUME, or a cancel request.
    #[error("resumed before it was done")]
    Resumed,
}

/// What the console (or a signal) asks of the process itself; `boot` carries it out.
#[derive(Debug)]
pub enum Order {
    /// Read the files again. The answer is the first error.
    Reload(oneshot::Sender<Result<(), String>>),
    /// `SET key = value`. The answer is the error's text.
    Set {
        /// The setting's name, as typed.
        key: String,
        /// Its new value, as typed.
        value: String,
        /// `Ok(Some(text))` = done, with a notice.
        reply: oneshot::Sender<Result<Option<String>, String>>,
    },
    /// Enter a phase of shutdown.
    Shutdown(Phase),
    /// End at once.
    Exit,
}

/// The switches of the whole process.
pub struct Control {
    plane: Arc<Plane>,
    clients: Arc<Clients>,
    servers: Arc<Servers>,
    orders: mpsc::UnboundedSender<Order>,
    switch: Mutex<Switch>,
}

/// Where the process stands, and by which order.
#[derive(Clone, Copy, Debug)]
struct Switch {
    standing: Standing,
    /// Counts the changes.
    order: u64,
}

impl Switch {
    fn turn(&mut self, to: Standing) -> u64 {
        self.standing = to;
        self.order += 1;
        self.order
    }
}

impl Control {
    /// Everything runs; and the orders that `boot` is to carry out.
    pub fn new(clients: &Arc<Clients>, servers: &Arc<Servers>) -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, asked) = mpsc::unbounded_channel();
        let control = Self {
            plane: Arc::clone(&clients.plane),
            clients: Arc::clone(clients),
            servers: Arc::clone(servers),
            orders,
            switch: Mutex::new(Switch { standing: Standing::Active, order: 0 }),
        };
        (control, asked)
    }

    /// Whether everything runs, is paused or suspended.
    pub fn standing(&self) -> Standing {
        self.switch().standing
    }

    /// Nothing is done under the lock that could leave the switch between two values: a
    /// panic there poisons nothing.
    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves from running to `to`, and has `tell` told of it before anybody can move on.
    /// Returns the order's number.
    ///
    /// # Errors
    /// [`Refused::NotRunning`].
    fn leave_running(&self, to: Standing, tell: impl FnOnce()) -> Result<u64, Refused> {
        let mut switch = self.switch();
        if switch.standing != Standing::Active {
            return Err(Refused::NotRunning);
        }
        let order = switch.turn(to);
        tell();
        Ok(order)
    }

    /// The database of this name; one that `*` allows is made.
    ///
    /// # Errors
    /// [`Refused::ConsoleDatabase`], [`Refused::NoDatabase`].
    fn database(&self, name: &str, verb: &'static str) -> Result<Arc<DatabaseShare>, Refused> {
        if name == CONSOLE_DATABASE {
            return Err(Refused::ConsoleDatabase { verb });
        }
        let policy = self.plane.policy.load();
        let found = self.plane.registry.database(&policy.snapshot, name);
        found.ok_or_else(|| Refused::NoDatabase(name.to_owned()))
    }

    /// PAUSE: servers are closed as they come free, clients wait.
    ///
    /// # Errors
    /// [`Refused::NotRunning`], [`Refused::ConsoleDatabase`], [`Refused::NoDatabase`].
    pub fn pause(&self, name: Option<&str>) -> Result<Goal, Refused> {
        let Some(name) = name else {
            let order = self.leave_running(Standing::Paused, || {
                self.plane.gate.set_paused(true);
                self.plane.tell_all(|| Command::Sweep(Scope::All));
            })?;
            return Ok(Goal::NoServers(order));
        };
        self.must_run()?;
        let database = self.database(name, "pause")?;
        database.set_paused(true);
        self.sweep(&database);
        Ok(Goal::NoServersOf(database))
    }

    /// RESUME.
    ///
    /// # Errors
    /// [`Refused::ShuttingDown`], [`Refused::Running`], [`Refused::NoDatabase`],
    /// [`Refused::DatabaseRunning`].
    pub fn resume(&self, name: Option<&str>) -> Result<(), Refused> {
        if self.plane.phase() != Phase::Running {
            return Err(Refused::ShuttingDown);
        }
        let Some(name) = name else { return self.resume_all(None) };
        let not_paused = || Refused::DatabaseRunning(name.to_owned());
        let database = self.database(name, "resume").map_err(|refused| match refused {
            Refused::ConsoleDatabase { .. } => not_paused(),
            other => other,
        })?;
        if !database.is_paused_itself() {
            return Err(not_paused());
        }
        self.resume_database(&database);
        Ok(())
    }

    fn resume_database(&self, database: &DatabaseShare) {
        database.set_paused(false);
        self.sweep(database);
        self.want_servers(Some(&database.name));
    }

    /// Back to running; where `only` is given, from that order alone.
    fn resume_all(&self, only: Option<u64>) -> Result<(), Refused> {
        let mut switch = self.switch();
        let before = switch.standing;
        if before == Standing::Active || only.is_some_and(|order| order != switch.order) {
            return Err(Refused::Running);
        }
        switch.turn(Standing::Active);
        if before == Standing::Suspended {
            self.plane.tell_all(|| Command::Unsuspend);
            self.clients.accepting.set(true);
        }
        self.plane.gate.set_paused(false);
        self.plane.tell_all(|| Command::Sweep(Scope::All));
        drop(switch);
        self.want_servers(None);
        Ok(())
    }

    /// Clients that wait for a first server have asked while nothing could be opened:
    /// the launcher looks again.
    fn want_servers(&self, database: Option<&str>) {
        for entry in self.plane.registry.entries_of(database) {
            self.plane.launcher.need_server(entry.share.id);
        }
    }

    fn sweep(&self, database: &DatabaseShare) {
        self.plane.tell_all(|| Command::Sweep(Scope::Database(Arc::clone(&database.name))));
    }

    fn must_run(&self) -> Result<(), Refused> {
        if self.standing() == Standing::Active { Ok(()) } else { Err(Refused::NotRunning) }
    }

    /// SUSPEND: nobody is read from or accepted; what is buffered is sent.
    ///
    /// # Errors
    /// [`Refused::NotRunning`], [`Refused::DatabasesPaused`].
    pub fn suspend(&self) -> Result<Goal, Refused> {
        self.must_run()?;
        if self.plane.registry.databases().iter().any(|database| database.share.is_paused_itself()) {
            return Err(Refused::DatabasesPaused);
        }
        let order = self.leave_running(Standing::Suspended, || {
            self.clients.accepting.set(false);
            self.plane.tell_all(|| Command::Suspend);
        })?;
        Ok(Goal::AllSent(order))
    }

    /// KILL: clients and servers are dropped at once; the database, or everything, is left paused.
    ///
    /// # Errors
    /// [`Refused::NotRunning`], [`Refused::ConsoleDatabase`], [`Refused::NoDatabase`].
    pub fn kill(&self, name: Option<&str>) -> Result<(), Refused> {
        match name {
            None => {
                self.leave_running(Standing::Paused, || self.plane.gate.set_paused(true))?;
            }
            Some(name) => {
                self.must_run()?;
                self.database(name, "kill")?.set_paused(true);
            }
        }
        self.plane.kill(name);
        Ok(())
    }

    /// DISABLE, ENABLE.
    ///
    /// # Errors
    /// [`Refused::ConsoleDatabase`], [`Refused::NoDatabase`].
    pub fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), Refused> {
        let verb = if disabled { "disable" } else { "enable" };
        self.database(name, verb)?.set_disabled(disabled);
        Ok(())
    }

    /// RECONNECT: every server is closed when it comes free, and new ones are opened.
    ///
    /// # Errors
    /// [`Refused::ConsoleDatabase`], [`Refused::NoDatabase`].
    pub fn reconnect(&self, name: Option<&str>) -> Result<(), Refused> {
        if let Some(name) = name {
            self.database(name, "reconnect")?;
        }
        self.servers.reconnect(name);
        Ok(())
    }

    /// IAM REFRESH: sources of credentials fetch anew, pauses after failed logins end.
    ///
    /// # Errors
    /// [`Refused::ConsoleDatabase`], [`Refused::NoDatabase`], [`Refused::NotByIam`].
    pub fn refresh_iam(&self, name: Option<&str>) -> Result<Refreshed, Refused> {
        if let Some(name) = name {
            self.database(name, "refresh")?;
        }
        match (self.servers.refresh_iam(name), name) {
            (done, Some(name)) if done.begin_in.is_empty() => Err(Refused::NotByIam(name.to_owned())),
            (done, _) => Ok(done),
        }
    }

    /// WAIT_CLOSE.
    ///
    /// # Errors
    /// [`Refused::ConsoleDatabase`], [`Refused::NoDatabase`].
    pub fn wait_close(&self, name: Option<&str>) -> Result<Goal, Refused> {
        let database = name.map(|name| match self.database(name, "wait in") {
            Ok(database) => Ok(Arc::clone(&database.name)),
            Err(refused) => Err(refused),
        });
        Ok(Goal::NoneToClose(database.transpose()?))
    }

    /// KILL_CLIENT of a client that a worker has.
    ///
    /// # Errors
    /// [`Refused::NoClient`].
    /// # Cancel safety
    /// The client is dropped all the same.
    pub async fn kill_client(&self, id: u64) -> Result<(), Refused> {
        let answers = self.plane.ask_all(|| Command::KillClient(id)).await;
        let found = answers.iter().any(|answer| matches!(answer, Answer::Found(true)));
        if found { Ok(()) } else { Err(Refused::NoClient) }
    }

    /// The last client of the console has left: nobody is there to end a SUSPEND.
    pub fn last_client_left(&self) {
        if self.standing() == Standing::Suspended && self.resume(None).is_ok() {
            tracing::info!("last admin connection has gone while suspended, resuming");
        }
    }
}
