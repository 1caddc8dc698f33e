//! The page in OpenMetrics' format, read by its rules. Source: the OpenMetrics specification 1.0.

use super::*;
use std::collections::HashSet;

/// What stands behind a family's name in its samples.
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_count", "_sum"],
        "gauge" => &[""],
        other => panic!("no type of ours: {other}"),
    }
}

#[test]
fn families_are_whole_and_samples_are_theirs() {
    let page = page(&mut Series::default(), full(), Format::OpenMetrics);
    let body = page.strip_suffix("# EOF\n").expect("it has its end");
    let (mut families, mut samples) = (HashSet::new(), HashSet::new());
    let (mut family, mut kind) = ("", "");
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').expect("a text").0;
            assert!(families.insert(family), "{family} twice");
            continue;
        }
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, of) = of.split_once(' ').expect("a type");
            assert_eq!(name, family);
            kind = of;
            let taken = suffixes(kind).iter().map(|suffix| format!("{family}{suffix}"));
            taken.for_each(|name| assert!(samples.insert(name), "{family}: a name is taken twice"));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("no empty line, no other comment");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let end = name.strip_prefix(family).expect("it stands below its family");
        assert!(suffixes(kind).contains(&end), "{name} of a {kind}");
        assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0 || kind == "gauge"), "{line}");
        if end == "_bucket" {
            let (_, edge) = labels.rsplit_once("le=\"").expect("an edge");
            assert!(edge == "+Inf\"}" || edge.contains('.'), "edges are floats: {line}");
        }
    }
    assert_eq!(families.len(), metrics().count());
}

#[test]
fn both_formats_tell_the_same() {
    let values = |format| {
        let page = page(&mut Series::default(), full(), format);
        let value =
            |(name, labels, value): (String, String, f64)| (name, labels.replace(".0\"", "\""), value);
        parse(&page).into_iter().map(value).collect::<Vec<_>>()
    };
    assert_eq!(values(Format::Prometheus), values(Format::OpenMetrics));
}
