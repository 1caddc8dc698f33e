//! What is told of secrets that others keep, of all together: SHOW SECRETS has each.

use super::{Metric, Source, Unit, process};
use crate::stats::FETCH_RESULTS;

/// Metrics of secrets.
pub(super) const METRICS: &[Metric] = &[
    process("pgweir_secrets", |p| p.secrets, "", "Secrets that others keep and that are in use."),
    process(
        "pgweir_secrets_failing",
        |p| p.secrets_failing,
        "",
        "Secrets whose last fetch has failed; the last version is used, where there was one.",
    ),
    Metric {
        name: "pgweir_secrets_age_seconds",
        unit: Unit::Seconds,
        source: Source::Process(|p| p.secrets_age_us),
        show: "",
        help: "How long ago the secret was fetched that was not fetched for the longest time.",
    },
    Metric {
        name: "pgweir_secret_fetches_total",
        unit: Unit::Count,
        source: Source::ProcessCounters(["result"], &FETCH_RESULTS, |p| &p.secret_fetches),
        show: "",
        help: "Fetches of secrets, by what they came to.",
    },
];
