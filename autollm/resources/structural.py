"""From the JSON schema that pydantic writes to the structural schema that a CRD may carry.

Structural schemas (apiextensions.k8s.io/v1) have no references, no titles, no null arms, no pattern or property-name constraints on the
keys of a map, and one form for each thing. What remains has the same meaning; what has none there is refused here, when the CRDs are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autollm.resources.model import Model

Schema = dict[str, Any]

_KEPT = frozenset(
    (
        "type",
        "description",
        "default",
        "enum",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type",
        "x-kubernetes-validations",
    )
)
_REPLACED = frozenset(
    (
        "$ref",
        "$defs",
        "title",
        "anyOf",
        "const",
        "properties",
        "items",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "exclusiveMinimum",
        "exclusiveMaximum",
    )
)


def structural_schema(model: type[Model]) -> Schema:
    """Return the structural schema of a type of the documents; raises ValueError for what no structural schema can say."""
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(document, document.get("$defs", {}), model.__name__)


def _convert(node: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Schema:
    node = _resolve(node, defs, path)
    unknown = node.keys() - _KEPT - _REPLACED
    if unknown:
        raise ValueError(f"{path}: a structural schema cannot say {', '.join(sorted(unknown))}")
    schema: Schema = {key: node[key] for key in node if key in _KEPT and not (key == "default" and node[key] is None)}
    if "const" in node:
        schema["enum"] = [node["const"]]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in node:
            schema |= {bound: node[exclusive], exclusive: True}
    if "properties" in node:
        schema["properties"] = {name: _convert(part, defs, f"{path}.{name}") for name, part in node["properties"].items()}
    elif schema.get("type") == "object":
        schema |= _map_values(node, defs, path)
    if schema.get("type") == "array":
        schema["items"] = _convert(node["items"], defs, f"{path}[]")
        schema.setdefault("x-kubernetes-list-type", "atomic")
    if schema.get("type") == "integer":
        schema["format"] = "int64"
    if "default" in schema:
        schema["default"] = _as_written(schema["default"], schema)
    return _ordered(schema)


def _resolve(node: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Follow the reference and drop the null arm; what stands beside them counts more than what they lead to."""
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    if "anyOf" in node:
        arms = [arm for arm in node["anyOf"] if arm.get("type") != "null"]
        if len(arms) != 1:
            raise ValueError(f"{path}: a structural schema has no unions; write optional siblings and a rule")
        return {**_resolve(arms[0], defs, path), **beside}
    if "$ref" in node:
        return {**_resolve(defs[node["$ref"].removeprefix("#/$defs/")], defs, path), **beside}
    return beside


def _map_values(node: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Schema:
    """Return the part of the schema that says what the values of a map are; of its keys a structural schema knows nothing."""
    values = node.get("additionalProperties")
    if "patternProperties" in node:
        (values,) = node["patternProperties"].values()
    if isinstance(values, Mapping):
        return {"additionalProperties": _convert(values, defs, f"{path}{{}}")}
    return {}


def _as_written(value: Any, schema: Mapping[str, Any]) -> Any:
    """Write a default so that no tool rewrites it: decimals as strings, down to the last field of an object."""
    if isinstance(value, Mapping):
        return {name: _as_written(part, schema["properties"][name]) for name, part in value.items()}
    if schema.get("x-kubernetes-int-or-string"):
        return str(value)
    return value


_ORDER = ("description", "type", "x-kubernetes-int-or-string", "format", "enum", "default", "required", "properties")


def _ordered(schema: Schema) -> Schema:
    """Put what a reader looks for first, first."""
    first = {key: schema[key] for key in _ORDER if key in schema and key != "properties"}
    rest = {key: value for key, value in schema.items() if key not in _ORDER}
    last = {"properties": schema["properties"]} if "properties" in schema else {}
    return first | rest | last
