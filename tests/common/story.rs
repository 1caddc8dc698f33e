//! What operators read of logins by IAM, held to what a case should come to: SHOW IAM, the
//! page of metrics, readiness.
//!
//! [`Story::told_by`] waits until all three tell the story, for counts settle a moment after a client has its
//! answer; it fails with every point in which they do not. Whatever the story is, they have to agree with one
//! another: a column of SHOW IAM and the metric of the same thing. What a story does not mention has not
//! happened: a reason that it does not name has counted nothing.

use super::{Pooler, page, wait_for};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// How often something has happened, by its reason.
pub type Counts<'a> = &'a [(&'a str, RangeInclusive<u64>)];

/// Any number but none.
pub const SOME: RangeInclusive<u64> = 1..=u64::MAX;

/// Columns of SHOW IAM that are metrics of the pool, too.
const OF_POOL: [(&str, &str); 5] = [
    ("sv_past_soft_age", "pgweir_backend_auth_past_soft_age_connections"),
    ("sv_past_hard_age", "pgweir_backend_auth_past_hard_age_connections"),
    ("renewed", "pgweir_backend_auth_renewed_total"),
    ("extended", "pgweir_backend_auth_extended_total"),
    ("over_age", "pgweir_backend_auth_over_age_transactions_total"),
];

/// Columns that change by themselves while one looks.
const FLEETING: [&str; 5] = ["cred_expires_in", "last_refresh", "last_login", "auth_age", "login_waiting"];

/// Why logins fail, as the metric has it.
const FAILURES: [&str; 7] =
    ["denied", "throttled", "clock", "credentials", "service", "unreachable", "other"];

/// How logins of one user to one database stand.
#[derive(Clone)]
pub struct Story<'a> {
    /// The database entry.
    pub database: &'a str,
    /// As whom its servers are logged in to.
    pub user: &'a str,
    /// Why logins fail at present; empty: they do not.
    pub class: &'a str,
    /// Words of the last error; empty: there is none.
    pub last_error: &'a str,
    /// Logins that were accepted.
    pub ok: RangeInclusive<u64>,
    /// Tries that failed.
    pub failed: Counts<'a>,
    /// What becomes of servers that grow old.
    pub stance: &'a str,
    /// How the credentials stand.
    pub credentials: &'a str,
    /// Fetches of credentials that failed.
    pub unfetched: Counts<'a>,
    /// Seconds that AWS's clock is ahead; `None`: no answer of AWS has told.
    pub skew_s: Option<RangeInclusive<i64>>,
    /// Words of why the pooler is not ready; empty: it is.
    pub not_ready: &'a str,
}

impl Story<'_> {
    /// The best of all worlds: somebody was logged in to database `app` as `app`, and nothing has failed.
    pub const FINE: Self = Self {
        database: "app",
        user: "app",
        class: "",
        last_error: "",
        ok: SOME,
        failed: &[],
        stance: "renew",
        credentials: "fresh",
        unfetched: &[],
        skew_s: None,
        not_ready: "",
    };

    /// TLS was not to be had, or not with the very server.
    pub const UNTRUSTED: Self = Self {
        class: "unreachable",
        last_error: "; check server_tls_ca_file and tls_server_name",
        ok: 0..=0,
        failed: &[("unreachable", SOME)],
        stance: "keep_on",
        ..Self::FINE
    };
}

/// What was read at one moment. Printed, it is the row: the page is long.
#[derive(Clone)]
pub struct Told {
    /// The row of SHOW IAM; NULL is empty.
    pub row: BTreeMap<String, String>,
    /// The other databases that this user was logged in to at the same endpoint, and this one:
    /// their logins count as one.
    databases: Vec<String>,
    metrics: BTreeMap<String, f64>,
    not_ready: String,
}

impl fmt::Debug for Told {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row.fmt(to)
    }
}

impl Told {
    /// Reads all three. SHOW IAM is read again at the end: what moved meanwhile cannot be compared.
    fn read(pooler: &Pooler, database: &str, user: &str) -> Result<Self, String> {
        let rows = || pooler.ask("show iam").records();
        let shown = rows();
        let (metrics, ready) = (page::metrics(pooler.page_port()), page::get(pooler.page_port(), "/ready").1);
        let lasting = |mut rows: Vec<BTreeMap<String, String>>| {
            rows.iter_mut().for_each(|row| row.retain(|column, _| !FLEETING.contains(&column.as_str())));
            rows
        };
        if lasting(shown.clone()) != lasting(rows()) {
            return Err("SHOW IAM does not stand still".into());
        }
        let of_user = |row: &&BTreeMap<String, String>| row["user"] == user;
        let found = shown.iter().filter(of_user).find(|row| row["database"] == database);
        let row = found.cloned().ok_or_else(|| format!("no row of {user} at {database}: {shown:?}"))?;
        let same = shown.iter().filter(of_user).filter(|other| other["endpoint"] == row["endpoint"]);
        let databases = same.map(|row| row["database"].clone()).collect();
        let not_ready = if ready == "ready\n" { String::new() } else { ready };
        Ok(Self { row, databases, metrics, not_ready })
    }

    /// The value of a metric that is labelled so.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let braced = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.metrics.get(&format!("{name}{braced}")).copied()
    }

    /// A metric of the row's pool.
    pub fn of_pool(&self, name: &str) -> Option<f64> {
        self.metric(name, &[("database", &self.row["database"]), ("user", &self.row["user"])])
    }

    /// How many of the row's pool a histogram of ages counts below this edge.
    pub fn no_older_than(&self, name: &str, edge_s: &str) -> Option<f64> {
        let labels = [("database", &*self.row["database"]), ("user", &self.row["user"]), ("le", edge_s)];
        self.metric(&format!("{name}_bucket"), &labels)
    }

    /// A metric of the row's source of credentials.
    pub fn of_source(&self, name: &str) -> Option<f64> {
        self.metric(name, &[("source", &self.row["source"])])
    }

    /// A number of the row; 0 where it is not known.
    pub fn number(&self, column: &str) -> u64 {
        self.row[column].parse().unwrap_or_default()
    }

    /// Logins by their outcome, as the metric counts them for this user at this endpoint.
    pub fn logins(&self, result: &str, reason: &str) -> u64 {
        let of = |database: &String| {
            let labels = [
                ("database", &**database),
                ("user", &self.row["user"]),
                ("result", result),
                ("reason", reason),
            ];
            self.metric("pgweir_backend_logins_total", &labels).unwrap_or_default() as u64
        };
        self.databases.iter().map(of).sum()
    }

    /// Logins that came to an end other than being accepted, as SHOW IAM counts them.
    pub fn refused(&self) -> u64 {
        ["logins_denied", "throttled", "logins_failed"].iter().map(|column| self.number(column)).sum()
    }

    fn fetches(&self) -> impl Iterator<Item = (&str, u64)> {
        let before = format!(
            "pgweir_iam_refresh_total{{source=\"{}\",result=\"failed\",reason=\"",
            self.row["source"]
        );
        self.metrics.iter().filter_map(move |(series, count)| {
            Some((series.strip_prefix(&before)?.strip_suffix("\"}")?, *count as u64))
        })
    }

    /// Where SHOW IAM and the metrics contradict each other.
    pub fn contradictions(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut same = |what: &str, shown: u64, measured: Option<u64>| {
            if Some(shown) != measured {
                all.push(format!("{what} is {shown} in SHOW IAM, {measured:?} in the metrics"));
            }
        };
        same("logins_ok", self.number("logins_ok"), Some(self.logins("ok", "")));
        same("logins_denied", self.number("logins_denied"), Some(self.logins("failed", "denied")));
        same("throttled", self.number("throttled"), Some(self.logins("failed", "throttled")));
        for (column, metric) in OF_POOL {
            let measured = self.of_pool(metric).map(|value| value as u64);
            same(column, self.number(column), measured);
        }
        let usable = u64::from(["fresh", "stale"].contains(&&*self.row["cred_state"]));
        same("cred_state", usable, self.of_source("pgweir_iam_credentials_usable").map(|value| value as u64));
        // A try without credentials is counted by the metric alone: no login came of it.
        let others = ["clock", "service", "unreachable"].iter().map(|reason| self.logins("failed", reason));
        let least = others.sum::<u64>();
        let most = least + self.logins("failed", "credentials");
        if !(least..=most).contains(&self.number("logins_failed")) {
            all.push(format!("logins_failed is {}, not {least} to {most}", self.row["logins_failed"]));
        }
        let fetched = self.metric(
            "pgweir_iam_refresh_total",
            &[("source", &self.row["source"]), ("result", "ok"), ("reason", "")],
        );
        if self.row["cred_state"] == "fresh" && fetched.is_none_or(|count| count == 0.0) {
            all.push(format!("credentials are fresh, but fetched {fetched:?} times"));
        }
        let left = self.of_source("pgweir_iam_credentials_expire_seconds");
        let oldest = self.of_pool("pgweir_backend_auth_oldest_seconds").filter(|age| *age > 0.0);
        for (column, measured) in [("cred_expires_in", left), ("auth_age", oldest)] {
            let shown = self.row[column].parse::<f64>().ok();
            let is_near =
                measured.zip(shown).is_some_and(|(value, shown)| (value.max(0.0) - shown).abs() <= 2.0);
            if !is_near && (measured, shown) != (None, None) {
                all.push(format!("{column} is {shown:?} in SHOW IAM, {measured:?} in the metrics"));
            }
        }
        let tokens = |edge_s: &str| {
            let labels = [("source", &*self.row["source"]), ("le", edge_s)];
            self.metric("pgweir_iam_token_age_seconds_bucket", &labels)
        };
        if tokens("60") != tokens("+Inf") {
            all.push("a token was sent that was older than a minute".into());
        }
        all
    }
}

impl Story<'_> {
    /// Waits until `pooler` tells it; what was read then.
    #[track_caller]
    pub fn told_by(&self, pooler: &Pooler) -> Told {
        page::wait_for(pooler.page_port());
        wait_for(|| {
            let told = Told::read(pooler, self.database, self.user)?;
            let complaints = [told.contradictions(), self.contradictions(&told)].concat();
            let (row, databases) = (&told.row, &told.databases);
            match complaints.is_empty() {
                true => Ok(told),
                false => Err(format!("{}\n{row:?} of {databases:?}", complaints.join("\n"))),
            }
        })
    }

    /// Where it is told otherwise.
    pub fn contradictions(&self, told: &Told) -> Vec<String> {
        let mut all = Vec::new();
        for (column, wanted) in
            [("class", self.class), ("stance", self.stance), ("cred_state", self.credentials)]
        {
            if told.row[column] != wanted {
                all.push(format!("{column} is {:?}, not {wanted:?}", told.row[column]));
            }
        }
        for (what, text, words) in [
            ("last_error", &told.row["last_error"], self.last_error),
            ("/ready", &told.not_ready, self.not_ready),
        ] {
            if words.is_empty() != text.is_empty() || !text.contains(words) {
                all.push(format!("{what} says {text:?}, not {words:?}"));
            }
        }
        let mut count = |what: &str, reason: &str, count: u64, wanted: RangeInclusive<u64>| {
            if !wanted.contains(&count) {
                all.push(format!("{what} {reason}: {count}, not {wanted:?}"));
            }
        };
        count("logins", "ok", told.logins("ok", ""), self.ok.clone());
        for reason in FAILURES {
            count("logins failed:", reason, told.logins("failed", reason), wanted(self.failed, reason));
        }
        for (reason, fetches) in told.fetches() {
            count("fetches failed:", reason, fetches, wanted(self.unfetched, reason));
        }
        let skew_s = told.metric("pgweir_clock_skew_seconds", &[]).map(|skew_s| skew_s as i64);
        let is_so = match (&self.skew_s, skew_s) {
            (None, None) => true,
            (Some(wanted), Some(skew_s)) => wanted.contains(&skew_s),
            _ => false,
        };
        if !is_so {
            all.push(format!("the skew is {skew_s:?}, not {:?}", self.skew_s));
        }
        all
    }
}

/// How often a reason may have counted.
fn wanted(counts: Counts<'_>, reason: &str) -> RangeInclusive<u64> {
    counts.iter().find(|(name, _)| *name == reason).map_or(0..=0, |(_, wanted)| wanted.clone())
}
