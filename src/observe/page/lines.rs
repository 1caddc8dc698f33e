//! Lines of the page in one of its two formats.
//!
//! Lines are written by metrics-exporter-prometheus' own formatter; what OpenMetrics wants otherwise is here:
//! a counter's family has no `_total`, edges of buckets are floats, the page ends with `# EOF`. Source:
//! Prometheus documentation, "Exposition formats"; the OpenMetrics specification 1.0 ("Text format").

use crate::stats::names::{Metric, Unit};
use crate::stats::{Ages, Histogram};
use metrics::{Key, Label};
use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Upper edges of the histograms' buckets, as powers of two of a microsecond: 64 us to 67 s.
const BUCKET_POWERS: RangeInclusive<u32> = 6..=26;

/// What a page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// A page as far as it is written.
pub(super) struct Lines {
    text: String,
    format: Format,
}

impl Lines {
    pub(super) fn new(format: Format, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), format }
    }

    /// HELP and TYPE.
    pub(super) fn head(&mut self, metric: &Metric) {
        let kind = metric.kind();
        let family = match self.format {
            Format::OpenMetrics if kind == "counter" => {
                metric.name.strip_suffix("_total").unwrap_or(metric.name)
            }
            Format::OpenMetrics | Format::Prometheus => metric.name,
        };
        write_help_line(&mut self.text, family, None, None, metric.help);
        write_type_line(&mut self.text, family, None, None, kind);
    }

    fn line(&mut self, name: &str, suffix: Option<&'static str>, labels: &LabelSet, value: impl Display) {
        write_metric_line(&mut self.text, name, suffix, labels, None::<(&str, u8)>, value, None);
    }

    /// A figure in the metric's unit.
    pub(super) fn value(&mut self, metric: &Metric, labels: &LabelSet, value: u64) {
        match metric.unit {
            Unit::Seconds => self.line(metric.name, None, labels, seconds(value)),
            Unit::Count | Unit::Bytes => self.line(metric.name, None, labels, value),
        }
    }

    /// A figure in whole units, where it is known.
    pub(super) fn whole(&mut self, metric: &Metric, labels: &LabelSet, value: Option<i64>) {
        if let Some(value) = value {
            self.line(metric.name, None, labels, value);
        }
    }

    fn bucket(&mut self, name: &str, labels: &LabelSet, edge: &str, count: u64) {
        let is_whole = edge.bytes().all(|byte| byte.is_ascii_digit());
        let end = if self.format == Format::OpenMetrics && is_whole { ".0" } else { "" };
        let edge = Some(("le", format_args!("{edge}{end}")));
        write_metric_line(&mut self.text, name, Some("bucket"), labels, edge, count, None);
    }

    /// A histogram, and the exact sum of its values.
    pub(super) fn histogram(&mut self, name: &str, labels: &LabelSet, histogram: &Histogram, sum_us: u64) {
        for power in BUCKET_POWERS {
            let edge_us = 1 << power;
            self.bucket(name, labels, &seconds(edge_us), histogram.count_below(edge_us));
        }
        self.totals(name, labels, histogram.count(), sum_us);
    }

    /// Most pools have no server that was logged in to by IAM, and no series of its age; a source that has
    /// signed nothing none of tokens'.
    pub(super) fn ages(&mut self, name: &str, labels: &LabelSet, ages: &Ages) {
        if ages.count() == 0 {
            return;
        }
        for (edge_us, below) in ages.below() {
            self.bucket(name, labels, &seconds(edge_us), below);
        }
        self.totals(name, labels, ages.count(), ages.sum_us());
    }

    /// The last lines of a histogram.
    fn totals(&mut self, name: &str, labels: &LabelSet, count: u64, sum_us: u64) {
        self.bucket(name, labels, "+Inf", count);
        self.line(name, Some("sum"), labels, seconds(sum_us));
        self.line(name, Some("count"), labels, count);
    }

    /// The page, whole.
    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// Labels and their values.
pub(super) fn labels<const N: usize>(names: [&'static str; N], values: [&str; N]) -> LabelSet {
    label_set(names.into_iter().zip(values))
}

/// The same of pairs.
pub(super) fn label_set<'a>(pairs: impl IntoIterator<Item = (&'static str, &'a str)>) -> LabelSet {
    let pairs = pairs.into_iter();
    let labels: Vec<Label> = pairs.map(|(name, value)| Label::new(name, value.to_owned())).collect();
    LabelSet::from_key_and_global(&Key::from_parts("", labels), &Default::default())
}

/// Microseconds as seconds, printed without a loss.
pub(super) fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
