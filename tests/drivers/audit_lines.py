"""Holds each line of an audit log to the published schema: audit_lines.py SCHEMA FILE.

Prints how many lines there are of each event. A line that is not valid JSON, or not valid by the schema, ends it.
"""

import collections
import json
import sys

import jsonschema


def main(schema_path, lines_path):
    with open(schema_path, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    by_event = {kind["title"]: {**schema, "oneOf": [kind]} for kind in schema["oneOf"]}
    validators = {name: jsonschema.Draft202012Validator(kind) for name, kind in by_event.items()}
    counts = collections.Counter()
    with open(lines_path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            record = json.loads(line)
            errors = list(validators[record["event"]].iter_errors(record))
            if errors:
                told = [(list(e.path), e.message, [c.message for c in e.context]) for e in errors]
                sys.exit(f"line {number}: {told}: {line}")
            counts[record["event"]] += 1
    for name, count in sorted(counts.items()):
        print(name, count)


if __name__ == "__main__":
    main(*sys.argv[1:])
