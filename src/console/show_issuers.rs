//! SHOW ISSUERS: the issuers whose tokens are taken, how their keys stand, how logins by their tokens ended.
//!
//! Never shows a key or a token. Spans are whole seconds; what is not known is NULL.

use super::rows::Rows;
use super::tables;
use super::times::Moment;
use crate::clients::issuers::IssuerReport;

/// SHOW ISSUERS.
pub(super) fn issuers(reports: &[IssuerReport], moment: &Moment) -> Rows {
    let mut rows = Rows::new(tables::columns("issuers"));
    for report in reports {
        let [accepted, refused] = report.logins;
        let [fetches, failed] = report.fetches;
        rows.push(&[
            (&*report.name).into(),
            (&*report.issuer).into(),
            report.keys.into(),
            report.fetched.map(|(at_epoch_s, _)| moment.text_of_epoch(at_epoch_s)).into(),
            report.fetched.map(|(_, age)| age.as_secs()).into(),
            report.next_in.as_secs().into(),
            fetches.into(),
            failed.into(),
            report.last_error.as_deref().into(),
            accepted.into(),
            refused.into(),
        ]);
    }
    rows
}
