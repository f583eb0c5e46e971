"""What an API server does with a document before and beside the schema: unknown fields, nulls, defaults, keys of lists.

All take the JSON schema of a kind and a plain document. Places are paths from the document's root.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from autollm.resources.problems import Path, Problem, nearest, shown

Schema = Mapping[str, Any]

LARGEST = 2.0**63
"""The first whole number that is too large for JSON's integers as Kubernetes reads them."""


def unknown_fields(schema: Schema, value: Any, path: Path = ()) -> Iterator[Problem]:
    """Yield a problem for every field that the schema does not know, with the nearest one that it does."""
    fields = schema.get("properties")
    if isinstance(value, dict) and fields is not None:
        for name in value:
            if name in fields:
                yield from unknown_fields(fields[name], value[name], (*path, name))
            elif schema.get("additionalProperties") is False:
                yield Problem((*path, name), _unknown(name, fields))
    else:
        for part, inner in _inside(schema, value):
            yield from unknown_fields(inner, value[part], (*path, part))


def _unknown(name: str, fields: Schema) -> str:
    if not fields:
        return "is an unknown field: nothing may be set here, write {}"
    hint = nearest(name, fields)
    return f"is an unknown field: {hint}" if hint else "is an unknown field: remove it"


def without_unknown(schema: Schema, value: Any) -> Any:
    """Return a copy without the fields that the schema does not know and without nulls, which count as absent."""
    fields = schema.get("properties")
    if isinstance(value, dict):
        known = value.keys() if fields is None or schema.get("additionalProperties") is not False else fields
        inner = {name: (fields or {}).get(name) or _values(schema) for name in value}
        return {name: without_unknown(inner[name], part) for name, part in value.items() if name in known and part is not None}
    if isinstance(value, list):
        return [without_unknown(schema.get("items", {}), part) for part in value]
    return value


def with_defaults(schema: Schema, value: Any) -> Any:
    """Return a copy in which every absent field that has a default is filled in."""
    if isinstance(value, dict):
        fields: Schema = schema.get("properties", {})
        filled = {name: with_defaults(fields.get(name) or _values(schema), part) for name, part in value.items()}
        missing = {name: copy.deepcopy(field["default"]) for name, field in fields.items() if name not in value and "default" in field}
        return filled | missing
    if isinstance(value, list):
        return [with_defaults(schema.get("items", {}), part) for part in value]
    return value


def repeated_entries(schema: Schema, value: Any, path: Path = ()) -> Iterator[Problem]:
    """Yield a problem for the second of equal entries of a list: by its keys, or for a set, by itself; no more for a third."""
    if isinstance(value, list):
        kind = schema.get("x-kubernetes-list-type")
        keys = schema.get("x-kubernetes-list-map-keys", ())
        seen: Counter[str] = Counter()
        for number, entry in enumerate(value):
            if kind == "map" and isinstance(entry, dict):
                name = shown([entry.get(key) for key in keys])
                what = ", ".join(f"{key} {shown(entry.get(key))}" for key in keys)
            else:
                name = what = shown(entry)
            if kind in ("map", "set") and seen[name] == 1:
                yield Problem((*path, number), f"{what} is in the list already: remove this entry or give it another name")
            seen[name] += 1
    for part, inner in _inside(schema, value):
        yield from repeated_entries(inner, value[part], (*path, part))


def oversized_numbers(schema: Schema, value: Any, path: Path = ()) -> Iterator[tuple[Path, Any, float]]:
    """Yield place, types and value of every whole number beyond 64 bits, which an API server reads as a fraction and takes for none."""
    types = schema.get("type", ())
    if isinstance(value, float) and value.is_integer() and abs(value) >= LARGEST and "integer" in types:
        yield path, types, value
    for part, inner in _inside(schema, value):
        yield from oversized_numbers(inner, value[part], (*path, part))


def _inside(schema: Schema, value: Any) -> Iterator[tuple[Any, Schema]]:
    """Yield the key or index and the schema of every part of a value."""
    if isinstance(value, dict):
        fields: Schema = schema.get("properties", {})
        for name in value:
            yield name, fields.get(name) or _values(schema)
    elif isinstance(value, list):
        for number in range(len(value)):
            yield number, schema.get("items", {})


def _values(schema: Schema) -> Schema:
    values = schema.get("additionalProperties")
    return values if isinstance(values, Mapping) else {}
