"""Holds each line of an audit log to the published schema: audit_lines.py SCHEMA FILE.

Prints how many lines there are of each event. A line that is not valid JSON, or not valid by the schema,
ends it. The schema is open, since fields and events may be added within a version: each line is held to it
with a field and with an event that are added later, too. Here it is closed, so that a field that no schema
names is found.
"""

import collections
import copy
import json
import sys

import jsonschema

LATER = "added_later"


def closed(schema):
    """The same schema, in which objects have no other properties than those that it names."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if "properties" in inner and "additionalProperties" not in inner:
        inner["additionalProperties"] = False
    return inner


def own_schemas(schema):
    """One closed schema for each event."""
    shared = {key: value for key, value in schema.items() if key not in ("oneOf", "$defs")}
    defs = closed(schema["$defs"])
    kinds = [kind for kind in schema["oneOf"] if "const" in kind["properties"]["event"]]
    return {kind["title"]: {**shared, "$defs": defs, "oneOf": [closed(kind)]} for kind in kinds}


def told(errors):
    return [(list(error.path), error.message, [cause.message for cause in error.context]) for error in errors]


def main(schema_path, lines_path):
    with open(schema_path, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    published = jsonschema.Draft202012Validator(schema)
    validators = {name: jsonschema.Draft202012Validator(own) for name, own in own_schemas(schema).items()}
    counts = collections.Counter()
    with open(lines_path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            record = json.loads(line)
            errors = list(validators[record["event"]].iter_errors(record))
            grown = copy.deepcopy(record)
            for place in [grown, *(value for value in grown.values() if isinstance(value, dict))]:
                place[LATER] = "1"
            for later in (record, grown, {**record, "event": LATER}):
                errors += published.iter_errors(later)
            if errors:
                sys.exit(f"line {number}: {told(errors)}: {line}")
            counts[record["event"]] += 1
    for name, count in sorted(counts.items()):
        print(name, count)


if __name__ == "__main__":
    main(*sys.argv[1:])
