"""Values are checked: a misspelt name, a secret's value or a half of a pair is refused, with the place named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from support.chart import CHART, refusal

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
CHECK = jsonschema_rs.validator_for(SCHEMA)


def closed(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every place whose names are fixed."""
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema and schema.get("additionalProperties") is False:
        yield path
        for name, inner in schema["properties"].items():
            yield from closed(inner, (*path, name))


def at(path: tuple[str, ...], values: Any) -> Any:
    for name in reversed(path):
        values = {name: values}
    return values


def test_the_values_that_come_with_the_chart_are_good() -> None:
    CHECK.validate(VALUES)


@pytest.mark.parametrize("path", list(closed(SCHEMA)), ids=lambda path: ".".join(path) or "top")
def test_an_unknown_name_is_refused_everywhere(path: tuple[str, ...]) -> None:
    with pytest.raises(jsonschema_rs.ValidationError, match="imagge"):
        CHECK.validate(at(path, {"imagge": 1}))


@pytest.mark.parametrize("path", [path for path in closed(SCHEMA) if "affinity" not in path and "resources" not in path], ids=".".join)
def test_every_value_that_may_be_set_stands_in_values_yaml(path: tuple[str, ...]) -> None:
    schema, values = SCHEMA, VALUES
    for name in path:
        schema, values = schema["properties"][name], values[name]
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    assert set(schema["properties"]) - {"global"} == set(values)


@pytest.mark.parametrize(
    ("values", "place", "why"),
    [
        ({"operator": {"imgae": {"tag": "1"}}}, "/operator", "imgae"),
        ({"clusterwide": True}, "''", "clusterwide"),
        ({"operator": {"replicas": "2"}}, "/operator/replicas", "integer"),
        ({"operator": {"user": 0}}, "/operator/user", "minimum"),
        ({"workers": {"image": {"digest": "latest"}}}, "/workers/image/digest", "sha256"),
        ({"workers": {"proxy": {"https": "http://me:secret@proxy:3128"}}}, "/workers/proxy/https", "pattern"),
        (
            {"workers": {"caBundle": {"certificates": "-----BEGIN CERTIFICATE----- -----BEGIN PRIVATE KEY-----"}}},
            "/workers/caBundle",
            "not",
        ),
        ({"workers": {"imagePullSecrets": [{"name": "registry"}]}}, "/workers/imagePullSecrets/0", "string"),
        ({"allowed": {"remoteCode": ["hf://org/name"]}}, "/allowed", "remoteCode"),
        ({"imageRegistry": "https://registry.example.org"}, "/imageRegistry", "pattern"),
        ({"fullnameOverride": "1st"}, "/fullnameOverride", "pattern"),
        ({"namespaces": ["Team A"]}, "/namespaces/0", "pattern"),
        ({"operator": {"env": [{"name": "X", "valueFrom": {"fieldRef": {}}}]}}, "/operator/env/0/valueFrom", "fieldRef"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_helm_names_the_place_and_the_problem(values: dict[str, Any], place: str, why: str) -> None:
    said = refusal(values)
    assert place in said
    assert why in said


def test_authorities_are_given_in_one_way() -> None:
    both = {"certificates": "-----BEGIN CERTIFICATE-----", "configMap": "mine"}
    assert "workers.caBundle: set certificates or configMap, not both" in refusal({"workers": {"caBundle": both}})


def test_an_old_kubernetes_is_refused() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == ">=1.32.0-0"
