"""Holds lines of CloudWatch's embedded metric format to its rules: emf_lines.py SCHEMA FILE.

Beside the schema: each dimension and metric that is named has a value in the line, and there is none other.
Prints the names of all metrics with the last value of the whole pooler.
"""

import json
import sys

import jsonschema


def main(schema_path, lines_path):
    with open(schema_path, encoding="utf-8") as file:
        validator = jsonschema.Draft202012Validator(json.load(file))
    last = {}
    with open(lines_path, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            validator.validate(record)
            [directive] = record["_aws"]["CloudWatchMetrics"]
            [dimensions] = directive["Dimensions"]
            metrics = [metric["Name"] for metric in directive["Metrics"]]
            assert set(record) == {"_aws", *dimensions, *metrics}, line
            assert len(metrics) == len(set(metrics)) and len(line) < 1_000_000, line
            if dimensions == ["Pooler"]:
                last = {name: record[name] for name in metrics}
    for name, value in last.items():
        print(name, value)


if __name__ == "__main__":
    main(*sys.argv[1:])
