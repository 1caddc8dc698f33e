//! SHOW IAM: how logins to servers by IAM stand, a row for each (database, user, endpoint).
//!
//! Never shows a token or a secret: of a key the end of its id. Times are whole seconds but for those of
//! logins, which are milliseconds. What is not known is NULL. The words of `cred_state`, `class` and `stance`
//! are those of metrics and of the log.

use super::rows::Rows;
use super::tables;
use crate::base::Micros;
use crate::iam::denial::Class;
use crate::iam::{CredentialState, SourceReport};
use crate::servers::iam::LoginReport;
use crate::status::{IamView, Now};
use std::time::{Duration, SystemTime};

/// SHOW IAM, in the order of `views`.
pub(super) fn iam(views: &[IamView], now: Now) -> Rows {
    let mut rows = Rows::new(tables::columns("iam"));
    for view in views {
        let row = &view.row;
        let source = row.source.report();
        let tells = row.logins.as_ref();
        let pool = row.pool.as_ref();
        let of_pool = |count: u64| pool.map(|_| count);
        let levels = &view.levels;
        rows.push(&[
            row.database.as_deref().into(),
            row.user.as_deref().into(),
            row.endpoint.as_ref().map(ToString::to_string).into(),
            row.endpoint.as_ref().map(|endpoint| endpoint.region().as_str()).into(),
            row.source.key().to_string().into(),
            source.principal.as_deref().into(),
            source.state.name().into(),
            source.expires_at.map(|at| seconds_to(at, now.wall)).into(),
            source.key_tail.as_deref().into(),
            source.refreshed_at.map(|at| seconds_to(now.wall, at)).into(),
            tells
                .and_then(|report| report.tally.accepted_at)
                .map(|at| now.process.since(at).as_secs())
                .into(),
            tells.map_or(0, |report| report.tally.accepted).into(),
            failed(tells, |class| class == Class::Denied).into(),
            failed(tells, |class| class == Class::Throttled).into(),
            failed(tells, |class| !matches!(class, Class::Denied | Class::Throttled)).into(),
            class(&source, tells).map(Class::name).into(),
            row.rate.into(),
            row.waiting.into(),
            row.under_way.into(),
            row.spans.map(|[median, _]| median.0 / 1_000).into(),
            row.spans.map(|[_, most]| most.0 / 1_000).into(),
            pool.map(|pool| pool.share.stance().name()).into(),
            row.keeps_up.map(|keeps_up| if keeps_up { "in time" } else { "late" }).into(),
            of_pool(levels.auth_age_us).filter(|age| *age > 0).map(|age| Micros(age).as_secs()).into(),
            of_pool(levels.sv_past_soft_age).into(),
            of_pool(levels.sv_past_hard_age).into(),
            of_pool(levels.sv_due).into(),
            of_pool(view.counters.renewed).into(),
            of_pool(view.counters.extended).into(),
            of_pool(view.counters.over_age_transactions).into(),
            last_error(&source, tells).into(),
        ]);
    }
    rows
}

/// Whole seconds from `from` to `to`; 0 where that is past.
fn seconds_to(to: SystemTime, from: SystemTime) -> u64 {
    to.duration_since(from).map_or(0, |span| Duration::as_secs(&span))
}

fn failed(report: Option<&LoginReport>, counts: impl Fn(Class) -> bool) -> u64 {
    let Some(report) = report else { return 0 };
    let of_class = Class::ALL.into_iter().zip(report.tally.failed);
    of_class.filter(|(class, _)| counts(*class)).map(|(_, count)| count).sum()
}

/// Why logins fail at present.
fn class(source: &SourceReport, report: Option<&LoginReport>) -> Option<Class> {
    match source.state {
        CredentialState::Dead(_) => Some(Class::Credentials),
        _ => report?.trouble,
    }
}

/// What stands in the way of logins, or will before long: of a source without credentials its error, else the
/// last login's, else that of a source that lives on what it has.
fn last_error(source: &SourceReport, report: Option<&LoginReport>) -> Option<String> {
    let of_source = source.failure.as_ref().map(|(error, _)| format!("fetching credentials failed: {error}"));
    let of_login = report.and_then(|report| report.tally.last_error.as_deref()).map(str::to_owned);
    match source.state {
        CredentialState::Dead(_) => of_source.or(of_login),
        _ => of_login.or(of_source),
    }
}

#[cfg(test)]
mod tests;
