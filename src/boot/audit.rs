//! The audit log at the start, at a reload, and at the end: from settings to its writer and the workers.
//!
//! Opens outputs, so that an error reaches whoever asked. Never records what happens: those do whom it
//! happens to.

use super::config_changes;
use crate::audit::{Audit, AuditOrder, Event, Login, Overflow, Statements, Target};
use crate::base::WorkerId;
use crate::config::{AuditLog, AuditOverflow, AuditStatements, Choice, Settings, TABLE};
use crate::control::{Plane, Policy, draw_start_id};
use crate::core::{Answer, Command};
use crate::io::Clock;
use crate::observe::sink::{self, SYSLOG_SOCKET};
use crate::tasks;
use crate::worker::Mail;
use std::sync::Arc;

/// One that is off.
pub(super) fn new(clock: Clock) -> Arc<Audit> {
    Arc::new(Audit::new(draw_start_id(), move || clock.now()))
}

/// What is wrong with the settings, before anything is opened.
pub(super) fn check(settings: &Settings) -> Result<(), String> {
    match settings.audit_log {
        AuditLog::File if settings.audit_file.is_empty() => {
            Err("audit_log=file requires audit_file".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether both say the same of the audit log.
fn is_same(before: &Settings, after: &Settings) -> bool {
    let is_syslog = after.audit_log == AuditLog::Syslog;
    let of_audit = |name: &str| name.starts_with("audit_") || (is_syslog && name.starts_with("syslog_"));
    TABLE.iter().filter(|row| of_audit(row.name)).all(|row| row.same(before, after))
}

/// At the start, before anybody is let in.
///
/// # Errors
/// The text for the user: a pooler that is to leave a trace does not run without.
pub(super) fn begin(plane: &Arc<Plane>, settings: &Settings) -> Result<(), String> {
    let workers = plane.workers.clone();
    plane.audit.set_room_bell(move |WorkerId(number)| {
        if let Some(worker) = workers.get(usize::from(number)) {
            worker.send(Mail::Command(Command::AuditRoom, Box::new(drop)));
        }
    });
    put_in_force(plane, settings)
}

/// Opens the output, anew where it is the same, and has the workers record for it.
///
/// # Errors
/// The text for the log: all goes on as before.
fn put_in_force(plane: &Plane, settings: &Settings) -> Result<(), String> {
    let order = order(settings)?;
    let is_off = order.output.is_none();
    if is_off && !plane.audit.is_on() {
        return Ok(());
    }
    let taps = plane.audit.adopt(order, plane.workers.len());
    let taps = taps.map_err(|error| format!("could not start the writer of the audit log: {error}"))?;
    for (worker, tap) in plane.workers.iter().zip(taps) {
        worker.send(Mail::Command(Command::Audit(tap.map(Box::new)), Box::new(drop)));
    }
    Ok(())
}

/// What a start would be refused for, as far as that can be told without making anything.
///
/// # Errors
/// The text for the user.
pub(super) fn foresee(settings: &Settings) -> Result<(), String> {
    let foreseen = target(settings).map_or(Ok(()), |target| target.foresee());
    foreseen.map_err(|error| not_opened(settings, &error))
}

fn target(settings: &Settings) -> Option<Target> {
    match settings.audit_log {
        AuditLog::Off => None,
        AuditLog::File => Some(Target::File((&*settings.audit_file).into())),
        AuditLog::Stdout => Some(Target::Stdout),
        AuditLog::Syslog => Some(Target::Syslog {
            ident: settings.syslog_ident.to_string(),
            facility: sink::facility(settings.syslog_facility.word()).unwrap_or_default(),
            socket: SYSLOG_SOCKET.into(),
        }),
    }
}

fn not_opened(settings: &Settings, error: &std::io::Error) -> String {
    match settings.audit_log {
        AuditLog::File => format!("could not open the audit log {}: {error}", &*settings.audit_file),
        other => format!("could not open the audit log {}: {error}", other.word()),
    }
}

fn order(settings: &Settings) -> Result<AuditOrder, String> {
    let open = |target: Target| target.open().map_err(|error| not_opened(settings, &error));
    Ok(AuditOrder {
        output: target(settings).map(open).transpose()?,
        overflow: match settings.audit_overflow {
            AuditOverflow::Drop => Overflow::Drop,
            AuditOverflow::Block => Overflow::Block,
        },
        queue_bytes: settings.audit_queue.0,
        statements: match (settings.audit_statements, settings.audit_redact) {
            (AuditStatements::None, _) => Statements::None,
            (AuditStatements::Fingerprint, _) => Statements::Fingerprint,
            (AuditStatements::Text, true) => Statements::Redacted,
            (AuditStatements::Text, false) => Statements::Text,
        },
    })
}

/// A reload, or SET: what has changed is recorded, before it is put in force here and behind it. A reload
/// opens the output anew; SET where it is about the audit log.
pub(super) fn adopt(plane: &Arc<Plane>, before: &Policy, after: &Policy, is_reload: bool) {
    let changes = config_changes::between(before, after);
    let record = || {
        if !changes.is_empty() {
            plane.audit.post(|| Event::Config(changes.clone().into()));
        }
    };
    let was_on = plane.audit.is_on();
    if was_on {
        record();
    }
    if (is_reload || !is_same(&before.snapshot.settings, &after.snapshot.settings))
        && let Err(error) = put_in_force(plane, &after.snapshot.settings)
    {
        tracing::error!("{error}");
    }
    if !was_on && plane.audit.is_on() {
        record();
        let plane = Arc::clone(plane);
        tasks::spawn("audit", "process", async move {
            tell_of_servers(&plane).await;
            tell_of_sessions(&plane).await;
        });
    }
}

/// Which servers were open before the log was turned on.
async fn tell_of_servers(plane: &Plane) {
    for answer in plane.ask_all(|| Command::Servers).await {
        let Answer::Servers(rows) = answer else { continue };
        for row in rows {
            plane.audit.post(|| Event::ServerLogin {
                server: Box::new(row.identity.facts()),
                authorized_until: row.authorized_until,
                generation: row.generation,
                took: None,
                credential: row.identity.credential.clone(),
            });
        }
    }
}

/// Who had logged in before the log was turned on.
async fn tell_of_sessions(plane: &Plane) {
    for answer in plane.ask_all(|| Command::Clients).await {
        let Answer::Clients(rows) = answer else { continue };
        for row in rows {
            plane.audit.post(|| {
                Event::Login(Box::new(Login {
                    who: row.identity.who(),
                    pool_user: plane.pool_user(&row.identity),
                    application_name: Arc::clone(&row.application_name),
                    took: Default::default(),
                    replication: row.identity.replication.text(),
                    is_earlier: true,
                }))
            });
        }
    }
}

/// The process ends: what is left is written.
pub(super) fn end(audit: &Audit) {
    audit.post(|| Event::Stop);
    audit.flush();
}
