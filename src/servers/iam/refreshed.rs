//! What IAM REFRESH has done, as the console says it.

use std::fmt;
use std::time::Duration;

/// What IAM REFRESH has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// For each source of credentials: how long until it fetches anew.
    pub begin_in: Vec<Duration>,
    /// Pauses after failed logins that it has ended.
    pub pauses: usize,
}

impl fmt::Display for Refreshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.begin_in.is_empty() {
            return f.write_str("no source of AWS credentials is in use");
        }
        let later = self.begin_in.iter().filter(|wait| !wait.is_zero()).count();
        write!(f, "credentials are fetched anew: {} at once", sources(self.begin_in.len() - later))?;
        if let Some(longest) = self.begin_in.iter().max().filter(|longest| !longest.is_zero()) {
            write!(f, ", {} within {}s", sources(later), longest.as_secs_f64().ceil())?;
        }
        write!(f, "; pauses after failed logins ended: {}", self.pauses)
    }
}

fn sources(count: usize) -> String {
    format!("{count} source{}", if count == 1 { "" } else { "s" })
}
