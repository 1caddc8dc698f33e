//! What is told of logins by IAM.

use super::{Metric, Source, Unit, counter, level, process};

/// Metrics of logins by IAM.
pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "pgweir_backend_auth_age_seconds",
        unit: Unit::Seconds,
        source: Source::Ages(|c| &c.auth_age),
        show: "",
        help: "Age of a server's authorization by IAM at the moment when a transaction began on it; absent \
            before the first.",
    },
    Metric {
        name: "pgweir_backend_auth_oldest_seconds",
        unit: Unit::Seconds,
        source: Source::Level(|l| l.auth_age_us),
        show: "IAM.auth_age",
        help: "Age of the oldest authorization by IAM among the servers; 0 where none has one.",
    },
    level(
        "pgweir_backend_auth_past_soft_age_connections",
        |l| l.sv_past_soft_age,
        "IAM.sv_past_soft_age",
        "Servers past the soft age of their authorization by IAM, to be replaced.",
    ),
    level(
        "pgweir_backend_auth_past_hard_age_connections",
        |l| l.sv_past_hard_age,
        "IAM.sv_past_hard_age",
        "Servers past the hard age of their authorization by IAM: in a transaction or session, or kept while \
         logins fail.",
    ),
    level(
        "pgweir_backend_auth_due_connections",
        |l| l.sv_due,
        "IAM.sv_due",
        "Servers whose authorization by IAM reaches iam_max_age before a login that begins now would be \
         over.",
    ),
    counter(
        "pgweir_backend_auth_renewed_total",
        Unit::Count,
        |c| c.renewed,
        "IAM.renewed",
        "Servers closed because of the age of their authorization by IAM: with a younger one in their place, \
         but in pools that nobody uses.",
    ),
    counter(
        "pgweir_backend_auth_extended_total",
        Unit::Count,
        |c| c.extended,
        "IAM.extended",
        "Transactions that ended beyond the hard age of their server's authorization while no other could be \
         had.",
    ),
    counter(
        "pgweir_backend_auth_over_age_transactions_total",
        Unit::Count,
        |c| c.over_age_transactions,
        "IAM.over_age",
        "Transactions that were not over yet as the hard age of their server's authorization came.",
    ),
    Metric {
        name: "pgweir_iam_token_age_seconds",
        unit: Unit::Seconds,
        source: Source::CredentialAges(|c| &c.token_age),
        show: "",
        help: "Age of a token at the moment when it was sent, of all that the source has signed: one is made \
            for each login; absent before the first.",
    },
    Metric {
        name: "pgweir_iam_credentials_expire_seconds",
        unit: Unit::Seconds,
        source: Source::Credentials(|c| c.expires_in_s),
        show: "IAM.cred_expires_in",
        help: "Seconds until the AWS credentials of a source expire, negative once they have; absent where \
            they do not, or where there are none.",
    },
    Metric {
        name: "pgweir_iam_credentials_usable",
        unit: Unit::Count,
        source: Source::Credentials(|c| Some(c.usable.into())),
        show: "IAM.cred_state",
        help: "1 where a source of AWS credentials has some that may sign, else 0.",
    },
    Metric {
        name: "pgweir_iam_refresh_total",
        unit: Unit::Count,
        source: Source::Refreshes,
        show: "",
        help: "Fetches of AWS credentials, by result (ok, failed) and reason.",
    },
    process(
        "pgweir_renewals_late",
        |p| p.renewals_late,
        "IAM.renewals",
        "Pools whose servers may reach iam_max_age before they are replaced: SHOW IAM says `late`, the log \
         what is in the way.",
    ),
    process(
        "pgweir_iam_logins_waiting",
        |p| p.iam_logins_waiting,
        "IAM.login_waiting",
        "Logins by IAM that wait for their turn (iam_login_rate).",
    ),
    Metric {
        name: "pgweir_iam_login_throttle_wait_seconds",
        unit: Unit::Seconds,
        source: Source::ProcessTimes(|p| (&p.iam_login_wait, p.iam_login_wait_us)),
        show: "",
        help: "How long logins by IAM waited for their turn (iam_login_rate).",
    },
    Metric {
        name: "pgweir_clock_skew_seconds",
        unit: Unit::Seconds,
        source: Source::ProcessIfKnown(|p| p.clock_skew_s),
        show: "",
        help: "Seconds that AWS's clock is ahead of this machine's, by the date of its last answer; absent \
            before the first.",
    },
];
