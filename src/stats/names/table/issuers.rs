//! What is told of issuers of tokens.

use super::{Metric, Source, Unit};

/// Metrics of issuers of tokens.
pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "pgweir_issuer_logins_total",
        unit: Unit::Count,
        source: Source::IssuerResults(["accepted", "refused"], |issuer| issuer.logins),
        show: "ISSUERS.logins_accepted, ISSUERS.logins_refused",
        help: "Logins by tokens that name the issuer.",
    },
    Metric {
        name: "pgweir_issuer_key_fetches_total",
        unit: Unit::Count,
        source: Source::IssuerResults(["ok", "failed"], |issuer| issuer.fetches),
        show: "ISSUERS.fetches, ISSUERS.fetches_failed",
        help: "Fetches of the issuer's keys, looks at their file among them.",
    },
    Metric {
        name: "pgweir_issuer_keys",
        unit: Unit::Count,
        source: Source::Issuer(|issuer| i64::try_from(issuer.keys).ok()),
        show: "ISSUERS.keys",
        help: "Keys of the issuer that tokens may be signed by.",
    },
    Metric {
        name: "pgweir_issuer_keys_age_seconds",
        unit: Unit::Seconds,
        source: Source::Issuer(|issuer| issuer.keys_age_s),
        show: "ISSUERS.age",
        help: "Time since the issuer's keys were fetched last; absent before the first time. While \
            fetches fail they count up to keys_max_age.",
    },
];
