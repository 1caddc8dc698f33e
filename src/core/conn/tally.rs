//! What is counted of one client for the audit log. There is none while that is off.

use crate::audit::Totals;

/// What is counted of a client while the audit log is on.
#[derive(Debug, Default)]
pub(in crate::core) struct Tally {
    /// Since the client joined, or the log was turned on.
    pub totals: Totals,
    /// As they were when the present transaction began.
    pub before: Totals,
    /// A `link` has been left of it.
    pub has_link: bool,
}

impl Tally {
    /// A request begins, and with `is_first` a transaction.
    pub(crate) fn request(&mut self, is_first: bool) {
        if is_first {
            self.before = self.totals;
            self.totals.transactions += 1;
            self.has_link = false;
        }
        self.totals.queries += 1;
    }
}
