//! What is told of sessions that end for who their clients are.

use super::{Metric, Unit, counter};

/// Metrics of sessions.
pub(super) const METRICS: &[Metric] = &[
    counter(
        "pgweir_sessions_ended_expired_total",
        Unit::Count,
        |c| c.sessions_expired,
        "",
        "Sessions that ended because their clients' tokens had expired (identity_on_expired).",
    ),
    counter(
        "pgweir_sessions_ended_denied_total",
        Unit::Count,
        |c| c.sessions_denied,
        "",
        "Sessions that ended because deny_principals names their principals.",
    ),
    counter(
        "pgweir_sessions_ended_rule_changed_total",
        Unit::Count,
        |c| c.sessions_rule_changed,
        "",
        "Sessions that ended because what had let them in does not any more: a mapping, a rule, a user.",
    ),
    counter(
        "pgweir_sessions_ended_killed_total",
        Unit::Count,
        |c| c.sessions_killed,
        "",
        "Sessions that KILL_PRINCIPAL ended.",
    ),
];
