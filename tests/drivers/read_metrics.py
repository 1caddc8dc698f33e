"""Reads the page of metrics in both formats by prometheus_client's parsers: both hold the same families and
samples."""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

URL = sys.argv[1]


def page(accept):
    request = urllib.request.Request(URL, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def families(read, text):
    return {family.name: family for family in read(text)}


def samples(family):
    def labels(sample):
        return {name: float(value) if name == "le" else value for name, value in sample.labels.items()}

    return {(sample.name, str(sorted(labels(sample).items()))) for sample in family.samples}


kind, text = page("text/plain;version=0.0.4")
assert kind.startswith("text/plain; version=0.0.4"), kind
plain = families(read_text, text)
kind, text = page("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
opened = families(read_openmetrics, text)

assert len(opened) > 80, len(opened)
assert set(plain) == set(opened), set(plain) ^ set(opened)
for name, family in opened.items():
    assert family.type == plain[name].type, (name, family.type, plain[name].type)
    assert family.documentation == plain[name].documentation, name
    # what counts clients may see one more at the second scrape, but here nobody comes
    assert samples(family) == samples(plain[name]), name
