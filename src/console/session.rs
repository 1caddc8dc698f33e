//! One client of the console: welcome, queries, answers, goodbye.
//!
//! Never touches the data plane but through [`Control`](super::control::Control) and what `gather` asks. A
//! command that must wait withholds its answer; meanwhile a cancel request takes the command back, and a
//! client that goes away leaves it in force. Source: PgBouncer, doc/usage.md (Admin console) and src/admin.c.

mod record;
mod reply;
mod standing;
mod welcome;

use super::console::Console;
use super::control::{Goal, Refused};
use super::grammar::{self, Order, Refusal, Shutdown};
use super::request::{self, Request};
use super::tables::{self, Access, Shown, Source};
use crate::base::limits;
use crate::clients::{ConsoleLogin, ConsoleStream, Rights};
use crate::control::{ConsoleClient, KeyHolder, Phase};
use crate::core::ClientIdentity;
use crate::tasks;
use crate::wire::encode::{self, Severity};
use crate::wire::{Fault, sqlstate, tags};
use record::{log_kill, logged};
use reply::{KILLED, Reply, admin_needed, eventually, notice, outcome};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, mpsc};
use welcome::welcome;

/// What drivers set while they connect (pgjdbc, and tools on top of it), beside what SHOW answers by a
/// constant: without meaning here, and no reason to refuse them.
const SET_IGNORED: [&str; 2] = ["application_name", "extra_float_digits"];

/// Why a session ends: the reason for the log; by which SQLSTATE the client is told, if it is.
struct End {
    reason: String,
    told: Option<&'static str>,
}

impl End {
    fn silent(reason: &str) -> Self {
        Self { reason: reason.to_owned(), told: None }
    }

    fn fault(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), told: Some(sqlstate::PROTOCOL_VIOLATION) }
    }

    fn killed() -> Self {
        Self::fault(Fault::AdminDisconnect.text())
    }

    fn of_identity(why: &Fault) -> Self {
        Self { reason: why.text().into_owned(), told: Some(sqlstate::INVALID_AUTHORIZATION) }
    }
}

/// One client's session.
struct Session {
    console: Arc<Console>,
    stream: Box<dyn ConsoleStream>,
    identity: Arc<ClientIdentity>,
    rights: Rights,
    client: ConsoleClient,
    inbox: Vec<u8>,
    /// Told when a cancel request comes.
    canceled: Arc<Notify>,
}

/// Serves every client that logs in to the console, each in a task of its own, until no more can come.
///
/// # Cancel safety
/// Clients that are there are served on.
pub async fn serve_all(console: Arc<Console>, mut logins: mpsc::UnboundedReceiver<ConsoleLogin>) {
    while let Some(login) = logins.recv().await {
        let peer = login.identity.remote.clone();
        tasks::spawn("console client", peer, serve(Arc::clone(&console), login));
    }
}

/// Serves one client to its end.
///
/// # Cancel safety
/// The connection is closed; a command under way stays in force.
pub(super) async fn serve(console: Arc<Console>, login: ConsoleLogin) {
    let ConsoleLogin { stream, identity, rights, guard } = login;
    let began = console.status.plane.now();
    let canceled = Arc::new(Notify::new());
    let entered = console.status.plane.console_clients.enter(Arc::clone(&identity));
    let mut session = Session {
        console: Arc::clone(&console),
        stream,
        identity,
        rights,
        client: entered,
        inbox: Vec::new(),
        canceled: Arc::clone(&canceled),
    };
    let plane = &console.status.plane;
    let peer_id = plane.policy.load().snapshot.settings.peer_id;
    let key = plane.cancel_keys.issue_for_console(canceled, peer_id);
    let end = match key {
        Some(key) => session.run(&key).await.unwrap_or_else(|error| end_of_stream(&error)),
        None => End::fault("no randomness from the system"),
    };
    session.log_end(&end, console.status.plane.now().since(began).as_secs());
    session.record_end(&end, began);
    plane.log.caught_up().await;
    // who has gone is counted no more when that is heard
    let guard = Some(guard).filter(|_| end.told.is_some());
    // before its last words: whoever reads them looks for it in vain
    if session.client.leave() {
        console.control.last_client_left();
    }
    if let Some(sqlstate) = end.told {
        session.farewell(sqlstate, &end.reason).await;
    }
    drop(session);
    drop(guard);
}

async fn send(stream: &mut dyn ConsoleStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

fn end_of_stream(error: &io::Error) -> End {
    End::silent(match error.kind() {
        io::ErrorKind::UnexpectedEof => "client unexpected eof",
        _ => "client connection failed",
    })
}

impl Session {
    async fn run(&mut self, key: &KeyHolder) -> io::Result<End> {
        self.reply(&welcome(key)).await?;
        loop {
            let length_max = self.console.status.plane.policy.load().snapshot.settings.max_packet_size;
            let Some(request) = request::next(&mut self.inbox, length_max) else {
                let (kill, look) = (Arc::clone(&self.client.kill), Arc::clone(&self.client.look));
                tokio::select! {
                    read = self.read() => read?,
                    () = kill.notified() => return Ok(End::killed()),
                    // one that has hung up is read to its end
                    () = look.notified() => if !self.stream.has_hung_up() { self.client.is_here() },
                }
                continue;
            };
            if request != Request::Goodbye {
                self.client.asks(self.console.status.plane.now());
            }
            // From here on a cancel request counts: others see a PAUSE in force before this
            // session waits for its end.
            let canceled = Arc::clone(&self.canceled).notified_owned();
            if let Some(why) = self.may_not_stay() {
                return Ok(End::of_identity(&why));
            }
            let reply = match request {
                Request::Query(text) => self.answer(&text).await,
                Request::Goodbye => return Ok(End::silent("client close request")),
                Request::Malformed(reason) => return Ok(End::fault(reason)),
                Request::Misplaced(text) => {
                    tracing::error!("{text}");
                    self.finish(Reply::error(text), canceled).await?;
                    return Ok(End::fault("bad packet"));
                }
            };
            if let Some(end) = self.finish(reply, canceled).await? {
                return Ok(end);
            }
        }
    }

    /// Reads what comes next.
    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.inbox).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Sends what the client may take and leave with: from then on it is listened to.
    async fn reply(&mut self, bytes: &[u8]) -> io::Result<()> {
        let look = Arc::clone(&self.client.look);
        self.client.rests();
        let sent = send(&mut *self.stream, bytes);
        tokio::pin!(sent);
        loop {
            tokio::select! {
                biased; // with all of it sent it may be gone
                sent = &mut sent => return sent,
                () = look.notified() => self.client.is_here(),
            }
        }
    }

    /// Sends a reply, waiting for its goal first; how the session ends, if it does.
    async fn finish(&mut self, mut reply: Reply, canceled: OwnedNotified) -> io::Result<Option<End>> {
        if let Reply::When { goal, tag } = reply {
            reply = match self.wait(&goal, tag, canceled).await? {
                Ok(reply) => reply,
                Err(end) => return Ok(Some(end)),
            };
        }
        let mut out = match reply {
            Reply::Done { mut messages, tag } => {
                encode::command_complete(&mut messages, &tag);
                messages
            }
            Reply::Error { sqlstate, text } => {
                self.log_error(&text);
                let mut out = Vec::new();
                encode::error(&mut out, Severity::Error, sqlstate, &text);
                out
            }
            Reply::When { .. } | Reply::Nothing => return Ok(Some(End::silent("shutdown"))),
        };
        encode::ready_for_query(&mut out, tags::transaction::IDLE);
        self.console.status.plane.log.caught_up().await;
        let kill = Arc::clone(&self.client.kill);
        tokio::select! {
            sent = self.reply(&out) => sent?,
            () = kill.notified() => return Ok(Some(End::killed())),
        }
        Ok(None)
    }

    /// Waits for `goal`, for a cancel request, and for the client to go.
    async fn wait(
        &mut self,
        goal: &Goal,
        tag: &'static str,
        canceled: OwnedNotified,
    ) -> io::Result<Result<Reply, End>> {
        let console = Arc::clone(&self.console);
        let kill = Arc::clone(&self.client.kill);
        let reached = console.control.reached(goal);
        tokio::pin!(reached, canceled);
        loop {
            // A client that sends more and more while it waits is not read beyond this.
            let reads = self.inbox.len() < limits::CONSOLE_QUERY_BYTES_MAX;
            tokio::select! {
                result = &mut reached => return Ok(Ok(outcome(result, tag))),
                () = &mut canceled => {
                    console.control.take_back(goal);
                    return Ok(Ok(Refused::Resumed.into()));
                }
                () = kill.notified() => return Ok(Err(End::killed())),
                read = self.read(), if reads => read?,
            }
        }
    }

    async fn answer(&mut self, text: &str) -> Reply {
        let order = match grammar::parse(text) {
            Ok(order) => order,
            Err(refusal) => {
                let is_about_a_command = matches!(
                    refusal,
                    Refusal::DatabaseNeeded | Refusal::NoClientId | Refusal::PrincipalNeeded
                );
                let refused = is_about_a_command && self.rights != Rights::Admin;
                let reply = if refused { admin_needed() } else { Reply::error(refusal.to_string()) };
                self.record(None, &reply);
                return reply;
            }
        };
        let told = self.console.status.plane.audit.is_on().then(|| order.clone());
        let reply = self.carry_out(order).await;
        if let Some(order) = told {
            self.record(Some(&order), &reply);
        }
        reply
    }

    async fn carry_out(&mut self, order: Order) -> Reply {
        match order {
            Order::Show(shown) => self.show(shown).await,
            Order::Set { key, value } => self.set(key, value).await,
            _ if self.rights != Rights::Admin => admin_needed(),
            order => self.command(order).await,
        }
    }

    async fn show(&mut self, shown: &'static Shown) -> Reply {
        if shown.access == Access::Admins && self.rights != Rights::Admin {
            return admin_needed();
        }
        self.console.status.plane.hear_out().await;
        match self.console.show(shown).await {
            Ok(messages) => Reply::Done { messages, tag: "SHOW".to_owned() },
            Err(text) => Reply::error(text),
        }
    }

    async fn set(&mut self, key: String, value: String) -> Reply {
        let is_constant = tables::find(&key).is_some_and(|shown| matches!(shown.source, Source::Constant(_)));
        if is_constant || SET_IGNORED.iter().any(|name| name.eq_ignore_ascii_case(&key)) {
            return notice("SET ignored", "SET".to_owned());
        }
        if self.rights != Rights::Admin {
            return admin_needed();
        }
        let tag = format!("SET {key}={value}");
        match self.console.control.set(key, value).await {
            Ok(Some(text)) => notice(&text, tag),
            Ok(None) => Reply::tag(tag),
            Err(refused) => refused.into(),
        }
    }

    /// A command that changes how things stand.
    async fn command(&mut self, order: Order) -> Reply {
        let control = &self.console.control;
        match order {
            Order::Reload => outcome(control.reload().await, "RELOAD"),
            Order::Pause(name) => eventually(logged(control.pause(name.as_deref()), "PAUSE", &name), "PAUSE"),
            Order::Resume(name) => {
                outcome(logged(control.resume(name.as_deref()), "RESUME", &name), "RESUME")
            }
            Order::Suspend => eventually(logged(control.suspend(), "SUSPEND", &None), "SUSPEND"),
            Order::Kill(name) => outcome(logged(control.kill(name.as_deref()), "KILL", &name), "KILL"),
            Order::KillClient(id) if self.kill_in_login_plane(id) => Reply::tag("KILL_CLIENT"),
            Order::KillClient(id) => outcome(control.kill_client(id).await, "KILL_CLIENT"),
            Order::KillPrincipal { name, whose } => {
                let ended = self.console.status.plane.kill_principal(&name, whose.as_deref()).await;
                log_kill(&name, whose.as_deref(), ended);
                Reply::tag(format!("{KILLED}{ended}"))
            }
            Order::Disable(name) => outcome(control.set_disabled(&name, true), "DISABLE"),
            Order::Enable(name) => outcome(control.set_disabled(&name, false), "ENABLE"),
            Order::Reconnect(name) => {
                outcome(logged(control.reconnect(name.as_deref()), "RECONNECT", &name), "RECONNECT")
            }
            Order::WaitClose(name) => eventually(control.wait_close(name.as_deref()), "WAIT_CLOSE"),
            Order::IamRefresh(name) => {
                let done = logged(control.refresh_iam(name.as_deref()), "IAM REFRESH", &name);
                done.map_or_else(Reply::from, |done| notice(&done.to_string(), "IAM REFRESH".to_owned()))
            }
            Order::Shutdown(how) => self.shut_down(how),
            // Both are anybody's and have been answered.
            Order::Show(_) | Order::Set { .. } => Reply::Nothing,
        }
    }

    fn shut_down(&self, how: Shutdown) -> Reply {
        let control = &self.console.control;
        match how {
            Shutdown::Immediate => {
                tracing::info!("SHUTDOWN command issued");
                control.exit();
                Reply::Nothing
            }
            Shutdown::WaitForServers => {
                tracing::info!("SHUTDOWN WAIT_FOR_SERVERS command issued");
                control.shut_down(Phase::WaitForServers);
                Reply::tag("SHUTDOWN")
            }
            Shutdown::WaitForClients => {
                tracing::info!("SHUTDOWN WAIT_FOR_CLIENTS command issued");
                control.shut_down(Phase::WaitForClients);
                Reply::tag("SHUTDOWN")
            }
        }
    }

    /// Ends a client that no worker has; whether there is one of this id.
    fn kill_in_login_plane(&self, id: u64) -> bool {
        let status = &self.console.status;
        status.plane.console_clients.kill(id) || status.clients.logins.kill(id)
    }

    /// The last words; waits a little for the client to take them, since closing a socket with
    /// bytes unread takes them back.
    async fn farewell(&mut self, sqlstate: &str, reason: &str) {
        let mut words = Vec::new();
        encode::error(&mut words, Severity::Fatal, sqlstate, reason);
        let goodbye = async {
            send(&mut *self.stream, &words).await?;
            self.stream.shutdown().await?;
            let mut passed_over = 0;
            while passed_over < limits::FAREWELL_BYTES_MAX {
                self.inbox.clear();
                self.read().await?;
                passed_over += self.inbox.len();
            }
            io::Result::Ok(())
        };
        // Whether it heard us or not, it is gone either way.
        let _ = tokio::time::timeout(Duration::from_millis(limits::CLIENT_LINGER_MS), goodbye).await;
    }
}

#[cfg(test)]
mod tests;
