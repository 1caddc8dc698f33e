//! How the issuers of tokens stand, for SHOW ISSUERS and the page of metrics.
//!
//! Asks no worker: what is told of them the login plane knows.

use super::status::Status;
use crate::clients::issuers::IssuerReport;
use crate::stats::IssuerLevels;

impl Status {
    /// How the issuers of tokens stand.
    pub(crate) fn issuers(&self) -> Vec<IssuerReport> {
        self.clients.issuers.report()
    }

    /// The same in figures.
    pub fn issuer_levels(&self) -> Vec<IssuerLevels> {
        let levels = |report: IssuerReport| IssuerLevels {
            issuer: report.name.to_string(),
            keys: report.keys as u64,
            keys_age_s: report.fetched.map(|(_, age)| i64::try_from(age.as_secs()).unwrap_or(i64::MAX)),
            logins: report.logins,
            fetches: report.fetches,
        };
        self.issuers().into_iter().map(levels).collect()
    }
}
