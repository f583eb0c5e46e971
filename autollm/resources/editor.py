"""JSON schemas (draft 2020-12) of the documents: for editors, and for `autollm validate`, which reads them without importing the types.

They say what the CRDs say: objects are closed, decimals are whole numbers or strings. The rules stay in them under their Kubernetes
name, which editors ignore and `autollm validate` runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autollm.resources import patterns
from autollm.resources.crd import Kind, root_schema
from autollm.resources.metadata import API_VERSION
from autollm.resources.structural import Schema

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"pattern": patterns.LABEL_KEY}}

_METADATA: Schema = {
    "description": "Kubernetes' own metadata; on one machine only the name counts.",
    "type": "object",
    "required": ["name"],
    "properties": {
        "namespace": {"type": "string", "maxLength": 63, "pattern": patterns.NAME},
        "labels": _STRINGS | {"additionalProperties": {"type": "string", "maxLength": 63, "pattern": patterns.LABEL_VALUE}},
        "annotations": _STRINGS,
        "generateName": {"type": "string"},
        "uid": {"type": "string"},
        "resourceVersion": {"type": "string"},
        "generation": {"type": "integer"},
        "creationTimestamp": {"type": "string"},
        "deletionTimestamp": {"type": "string"},
        "deletionGracePeriodSeconds": {"type": "integer"},
        "selfLink": {"type": "string"},
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "ownerReferences": {"type": "array", "items": {"type": "object"}},
        "managedFields": {"type": "array", "items": {"type": "object"}},
    },
    "additionalProperties": False,
}


def editor_schema(kind: Kind) -> Schema:
    """Return the JSON schema of a kind's documents."""
    schema = _closed(root_schema(kind))
    del schema["x-kubernetes-validations"]  # the rules on the name, which can stand in their place here
    schema["properties"] |= {"apiVersion": {"enum": [API_VERSION]}, "kind": {"enum": [kind.name]}, "metadata": _metadata(kind)}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind.name} | schema


def _metadata(kind: Kind) -> Schema:
    pattern = patterns.OBJECT_NAME if kind.dotted_name else patterns.NAME
    name = {
        "description": "What the object is called.",
        "type": "string",
        "minLength": 1,
        "maxLength": kind.longest_name,
        "pattern": pattern,
    }
    return _METADATA | {"properties": {"name": name} | _METADATA["properties"]}


def _closed(node: Mapping[str, Any]) -> Schema:
    schema: Schema = {key: value for key, value in node.items() if key != "format"}
    if schema.pop("x-kubernetes-int-or-string", False):
        schema["type"] = ["integer", "string"]
    if schema.get("pattern") in patterns.LOCATIONS:
        schema[patterns.LOCATION] = True
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if schema.get(exclusive):
            schema[exclusive] = schema.pop(bound)
    if "items" in schema:
        schema["items"] = _closed(schema["items"])
    if schema.get("type") == "object":
        if isinstance(schema.get("additionalProperties"), Mapping):
            schema["additionalProperties"] = _closed(schema["additionalProperties"])
        else:
            schema["properties"] = {name: _closed(part) for name, part in schema.get("properties", {}).items()}
            schema["additionalProperties"] = False
    return schema
