"""Validates lines of OCSF by the published schema, offline.

Reads one JSON object a line from stdin. Writes an object to stdout: how many lines of each class and activity
there were, and what is wrong, each with its line. PyPI's ocsf-json-schema holds the schemas; jsonschema applies
them. A schema refuses attributes that it does not have, also those of a profile that the line does not name.
"""

import functools
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = sys.argv[1]
SCHEMAS = OcsfJsonSchemaEmbedded(get_ocsf_schema(VERSION))
WRONG_AT_MOST = 20


@functools.cache
def validator(class_uid, profiles):
    name = SCHEMAS.lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(SCHEMAS.get_class_schema(name, list(profiles)))


def deprecated(value, schema, root, path=""):
    """The attributes of `value` that the schema calls deprecated."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if isinstance(value, list):
        for item in value:
            yield from deprecated(item, schema.get("items", {}), root, path)
    elif isinstance(value, dict):
        for name, member in value.items():
            of = schema.get("properties", {}).get(name, {})
            if of.get("deprecated"):
                yield f"{path}.{name} is deprecated"
            yield from deprecated(member, of, root, f"{path}.{name}")


def faults(event):
    """What is wrong with one line."""
    metadata = event["metadata"]
    if metadata["version"] != VERSION:
        yield f"version {metadata['version']}"
    known = validator(event["class_uid"], tuple(sorted(metadata.get("profiles", []))))
    for error in known.iter_errors(event):
        yield f"{error.json_path}: {error.message[:300]}"
    yield from deprecated(event, known.schema, known.schema)
    # What no JSON schema says.
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        yield f"type_uid {event['type_uid']}"
    if event["category_uid"] != event["class_uid"] // 1000:
        yield f"category_uid {event['category_uid']}"
    if event["activity_id"] == 0 or not event.get("activity_name"):
        yield "no activity"
    if not event["time_dt"].endswith("Z"):
        yield "time_dt is not UTC"
    if event["class_uid"] // 1000 == 1 and not {"actor", "device"} <= event.keys():
        yield "a class of the system without actor or device"
    if event["class_uid"] == 2004 and not (event.get("evidences") and event["finding_info"].get("analytic")):
        yield "a finding without evidence or rule"


def unique(members):
    """An object. A name that stands in it twice is a fault: readers take either."""
    found = dict(members)
    if len(found) != len(members):
        raise ValueError(f"a name twice in {sorted(name for name, _ in members)}")
    return found


def main():
    counts, wrong, lines = {}, [], 0
    for line in sys.stdin:
        lines += 1
        try:
            event = json.loads(line, object_pairs_hook=unique)
            found = list(faults(event))
            kind = f"{event['class_uid']}/{event['activity_id']}"
            counts[kind] = counts.get(kind, 0) + 1
        except (KeyError, TypeError, ValueError) as error:
            found = [f"{type(error).__name__}: {error}"]
        if found and len(wrong) < WRONG_AT_MOST:
            wrong.append({"faults": found, "line": line.rstrip("\n")})
    json.dump({"lines": lines, "counts": counts, "wrong": wrong}, sys.stdout)


main()
