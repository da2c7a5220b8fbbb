"""What every setting is, for people: type and range, default, documentation, and what makes no use of it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nmt.config.effects import causes_of_idleness
from nmt.config.load import Settings, did_you_mean
from nmt.errors import UsageError


class Description(NamedTuple):
    """What a person has to know of a setting."""

    name: str
    """Such as "search.beam_size"; "data.corpora.path" is that of one corpus of many."""
    type: str
    default: str
    """As a recipe would say it."""
    text: str
    idle_with: tuple[str, ...]
    """What makes no use of it."""


def describe_settings(names: Iterable[str] = ()) -> list[Description]:
    """Describe settings of these names, sections or parts of names, by default all; a UsageError if one fits none."""
    schema = Settings.model_json_schema()
    known = [
        one
        for section in schema["properties"]
        for one in _describe_table(schema["properties"][section], section, schema["$defs"])
    ]
    keys = {one.name.rpartition(".")[2]: one.name for one in reversed(known)}  # of several, the first counts
    words = {word: name for key, name in keys.items() for word in key.split("_")}
    near = words | keys | {one.name: one.name for one in known}
    wanted = set[str]()
    for name in names:
        exact = {one.name for one in known if one.name == name or one.name.startswith(f"{name}.")}
        if not (found := exact or {one.name for one in known if name in one.name}):
            raise UsageError(f"there is no setting {name}{did_you_mean(name, near) or '; `nmt settings` lists all'}")
        wanted |= found
    return [one for one in known if not wanted or one.name in wanted]


def section_texts() -> dict[str, str]:
    """Say of each section of the settings what it is about."""
    schema = Settings.model_json_schema()
    return {name: schema["$defs"][_target(one)]["description"] for name, one in schema["properties"].items()}


def _describe_table(table: Mapping[str, Any], prefix: str, tables: Mapping[str, Any]) -> Iterator[Description]:
    for key, schema in tables[_target(table)]["properties"].items():
        name = f"{prefix}.{key}"
        default = schema.get("default")
        yield Description(
            name,
            type=_type(schema),
            default="not set" if default is None else json.dumps(default, ensure_ascii=False),
            text=" ".join(schema["description"].split()),
            idle_with=causes_of_idleness(prefix, key),
        )
        if "$ref" in schema.get("items", {}):
            yield from _describe_table(schema["items"], name, tables)


def _target(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _type(schema: Mapping[str, Any]) -> str:
    """Say which values fit: their type and its limits, or all of them."""
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one["type"] != "null")
    if "enum" in schema:
        return ", ".join(map(json.dumps, schema["enum"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "$ref" in schema or schema["type"] == "object":
        return "table"
    if schema["type"] == "array":
        [item, *_] = schema.get("prefixItems", [schema.get("items")])
        least = "" if "prefixItems" in schema else "at least "
        count = f", {least}{schema['minItems']} of them" if "minItems" in schema else ""
        return f"list of {_type(item)}{count}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema]
    return " ".join([schema.get("format", schema["type"]), " and ".join(limits)]).rstrip()
