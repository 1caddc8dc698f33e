//! The end of a client's login: its pool's welcome, and the hand-over to a worker or to the console.
//!
//! Never proves who somebody is: that is over. A client that leaves while it waits gives its places back.

use super::{LoginAttempt, Stage, gone};
use crate::base::WorkerId;
use crate::clients::clients::{Clients, ConsoleLogin, Rights};
use crate::clients::greet::LoginEnd;
use crate::clients::login_reply::{WelcomeWords, host_text, own_params};
use crate::clients::stream::ClientStream;
use crate::config::{ClientRules, Database, NameTemplate, NameWords, Settings};
use crate::control::{Admission, PoolEntry};
use crate::core::{ClientIdentity, ClientLogin, ShownName};
use crate::io::Guard;
use crate::wire::startup::Startup;
use crate::wire::{Fault, ParamMask, ParamSet};
use crate::worker::Mail;
use std::sync::Arc;

/// What a worker takes, but for the stream.
pub(super) struct Handover {
    worker: WorkerId,
    login: ClientLogin,
    guard: Guard,
}

/// What is settled for a client that has proven who it is and may come in.
pub(super) struct Allowed<'a> {
    pub(super) settings: &'a Settings,
    /// What it asked for.
    pub(super) startup: &'a Startup,
    pub(super) rules: ClientRules,
    /// Its place below the limits.
    pub(super) admission: Admission,
}

/// The template in force for clients of an entry; `None`: they are called as they call themselves.
fn name_template(settings: &Settings, database: &Database) -> Option<NameTemplate> {
    let own = database.application_name_template.as_ref();
    Some(own.unwrap_or(&settings.application_name_template)).filter(|template| !template.is_plain()).cloned()
}

/// The parameters of its servers: its own, but for the name that they are told.
fn towards_servers(params: ParamSet, asked: ParamMask, shown: Option<&ShownName>) -> (ParamSet, ParamMask) {
    let Some(name) = shown else { return (params, asked) };
    (params.with(name.position(), Arc::clone(name.shown())), asked.with(name.position()))
}

impl LoginAttempt {
    /// Waits for the pool's welcome and passes it on.
    pub(super) async fn enter(
        &mut self,
        clients: &Clients,
        stream: &mut ClientStream,
        allowed: Allowed<'_>,
    ) -> Result<Handover, LoginEnd> {
        let Allowed { settings, startup, rules, admission } = allowed;
        let entry = self.pool_entry(clients)?;
        let counted = entry.count_client();
        self.stage = Stage::WaitingForServer(Arc::clone(&entry.share));
        self.row.update(|row| row.is_waiting = true);
        let pool_rules = entry.share.rules();
        let query_timeout = pool_rules.query_timeout.to_timeout();
        let welcome = tokio::select! {
            biased;
            welcome = clients.plane.welcome(&entry.share) => welcome?,
            end = gone(stream) => return Err(end),
            () = tokio::time::sleep(rules.query_wait_timeout.to_timeout()) => {
                return Err(entry.share.wait_over("query_wait_timeout", Fault::QueryWaitTimeout).into());
            }
            () = tokio::time::sleep(query_timeout) => return Err(Fault::QueryTimeoutWaiting.into()),
        };
        let template = name_template(settings, &entry.config.load());
        let adds_host = settings.application_name_add_host && template.is_none();
        let add_host = adds_host.then_some(&self.remote);
        let (params, asked) = own_params(&clients.plane.names, &welcome.params, startup, add_host);
        let shown_name = template.and_then(|template| self.shown_name(clients, &template, &params));
        let here = self.home.filter(|_| stream.is_on_loop());
        let worker =
            here.map_or_else(|| clients.plane.least_loaded_worker(), |here| clients.plane.near_worker(here));
        let key = clients
            .plane
            .cancel_keys
            .issue(worker, self.id, settings.peer_id)
            .ok_or_else(|| LoginEnd::Silent("no randomness from the system".to_owned()))?;
        let words = WelcomeWords {
            names: &clients.plane.names,
            welcome: &welcome,
            params: &params,
            mode: pool_rules.mode,
            statements_max: pool_rules.max_prepared_statements,
            key: key.key(),
            notice: &settings.login_notify_message,
        };
        let mut welcome = stream.take_held();
        welcome.append(&mut words.write());
        if entry.is_removed() {
            return Err(Fault::DatabaseRemoved.into()); // no worker would ever hear of its pool again
        }
        let (params, asked) = towards_servers(params, asked, shown_name.as_deref());
        let login = ClientLogin {
            identity: self.identity(stream),
            pool: entry.share.clone(),
            params,
            asked,
            shown_name,
            context: Some(&startup.context).filter(|all| !all.is_empty()).map(|all| Box::new(all.clone())),
            rules,
            login_time: clients.plane.now().since(self.arrived),
            welcome: welcome.into(),
        };
        Ok(Handover { worker, login, guard: self.guard((admission, key, counted)) })
    }

    /// What ends with the client: these, and what a reload finds it by.
    pub(super) fn guard<T: Send + 'static>(&mut self, all: T) -> Guard {
        match self.hold.take() {
            Some(hold) => Box::new((all, hold)),
            None => Box::new(all),
        }
    }

    /// What servers are to call it, where they report names at all.
    fn shown_name(
        &self,
        clients: &Clients,
        template: &NameTemplate,
        params: &ParamSet,
    ) -> Option<Box<ShownName>> {
        let position = clients.plane.names.position("application_name")?;
        let own = Arc::clone(params.value(position)?);
        let principal = self.proof.principal.as_ref().map_or(&*self.user, |principal| &principal.name);
        let words = NameWords {
            principal,
            session: clients.plane.session_id(self.id),
            user: &self.user,
            database: &self.database,
            remote: &host_text(&self.remote),
        };
        Some(Box::new(ShownName::new(template.fill(&words), position, own)))
    }

    /// The pool that is to serve it.
    pub(super) fn pool_entry(&self, clients: &Clients) -> Result<Arc<PoolEntry>, LoginEnd> {
        let entry = clients.plane.pool_entry(&self.database, &self.user);
        entry.ok_or_else(|| Fault::NoSuchDatabase { name: self.database.to_string() }.into())
    }

    pub(super) fn identity(&self, stream: &ClientStream) -> Arc<ClientIdentity> {
        Arc::new(ClientIdentity {
            socket_id: self.id,
            database: self.database.clone(),
            user: self.user.clone(),
            proof: self.proof.clone(),
            remote: self.remote.clone(),
            local: self.local.clone(),
            tls: stream.tls_text(),
            connected_at_epoch_s: self.arrived_at_epoch_s,
            replication: self.replication,
            internal: false,
        })
    }

    pub(super) fn hand_to_worker(self, clients: &Clients, mut stream: ClientStream, handover: Handover) {
        let Handover { worker, login, guard } = handover;
        let wake_batch = stream.take_wake_batch();
        if self.home.is_some_and(|home| home != worker)
            && let Err(error) = stream.leave_loop()
        {
            return self.log_end(clients, &error.into());
        }
        match stream.into_channel(guard) {
            Ok(channel) => {
                self.record_login(clients, &login.identity);
                drop(self); // its row: whom the worker has welcomed is no more a login in progress
                let mail = Mail::Client(Box::new((channel, login)));
                match wake_batch {
                    Some(wake_batch) => wake_batch.send(&clients.plane, worker, mail),
                    None => clients.plane.worker(worker).send(mail),
                }
            }
            Err(error) => self.log_end(clients, &error.into()),
        }
    }

    pub(super) fn hand_to_console(
        mut self,
        clients: &Clients,
        mut stream: ClientStream,
        rights: Rights,
        admission: Admission,
    ) {
        if let Err(error) = stream.leave_loop() {
            return self.log_end(clients, &error.into());
        }
        let identity = self.identity(&stream);
        self.record_login(clients, &identity);
        let login = ConsoleLogin { stream: Box::new(stream), identity, rights, guard: self.guard(admission) };
        if clients.console.send(login).is_err() {
            self.log_end(clients, &LoginEnd::Silent("console is closed".to_owned()));
        }
    }
}
