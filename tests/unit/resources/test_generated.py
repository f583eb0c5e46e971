"""What is generated from the types is committed, small enough, structural, and the same as what is generated now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from autollm.resources.crd import KINDS, Kind, custom_resource_definition
from autollm.resources.editor import editor_schema
from autollm.resources.generate import LARGEST_CRD, ROOT, drifted, generated
from autollm.resources.model import Model
from autollm.resources.rules import holds, parsed_rules
from autollm.resources.structural import structural_schema
from autollm.resources.validate import schema_of

CRDS = [custom_resource_definition(kind) for kind in KINDS]


def schemas(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, part in node.get("properties", {}).items():
        yield from schemas(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from schemas(node[key], f"{path}[]")


def test_nothing_has_drifted() -> None:
    assert drifted() == []


def test_drift_is_seen(tmp_path: Path) -> None:
    for path, text in generated():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert drifted(tmp_path) == []
    (tmp_path / "docs" / "reference.md").write_text("other")
    (tmp_path / "crds" / "mergetrials.yaml").unlink()
    assert drifted(tmp_path) == [Path("crds/mergetrials.yaml"), Path("docs/reference.md")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_crd_is_small_enough_for_plain_apply(kind: Kind) -> None:
    assert len((ROOT / "crds" / f"{kind.plural}.yaml").read_bytes()) < LARGEST_CRD


@pytest.mark.parametrize("crd", CRDS, ids=lambda crd: crd["spec"]["names"]["kind"])
def test_a_crd_is_structural_and_bounded(crd: dict[str, Any]) -> None:
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, node in schemas(root):
        assert not node.keys() & {"$ref", "anyOf", "oneOf", "allOf", "title", "const", "propertyNames", "patternProperties"}, path
        assert node.get("additionalProperties") is not False, path
        assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string")), path
        if path.startswith(".spec"):
            if node.get("type") == "string":
                assert "maxLength" in node or "enum" in node, path
            if node.get("type") == "array":
                assert "maxItems" in node, path
                assert node["x-kubernetes-list-type"] in ("map", "set", "atomic"), path
            if isinstance(node.get("additionalProperties"), dict):
                assert "maxProperties" in node, path


@pytest.mark.parametrize("crd", CRDS, ids=lambda crd: crd["spec"]["names"]["kind"])
def test_no_union_is_defaulted_and_decimals_are_defaulted_as_text(crd: dict[str, Any]) -> None:
    for path, node in schemas(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
        rules = " ".join(rule["rule"] for rule in node.get("x-kubernetes-validations", ()))
        if ".filter(x, x).size()" in rules:
            assert "default" not in node, path
        if node.get("x-kubernetes-int-or-string") and "default" in node:
            assert isinstance(node["default"], str), path


def test_the_yaml_is_read_alike_by_readers_that_disagree_on_bare_words() -> None:
    for kind, crd in zip(KINDS, CRDS, strict=True):
        assert yaml.safe_load((ROOT / "crds" / f"{kind.plural}.yaml").read_text()) == crd


def test_the_names_columns_and_selectable_fields_of_the_kinds() -> None:
    names = [crd["spec"]["names"] for crd in CRDS]
    assert [name["shortNames"] for name in names] == [["alr"], ["dt"], ["mt"]]
    assert {name["kind"]: name["categories"] for name in names} == {
        "AutoLLMRun": ["autollm"],
        "DeltaTraining": ["autollm"],
        "MergeTrial": [],
    }
    versions = [crd["spec"]["versions"][0] for crd in CRDS]
    assert all(version["subresources"] == {"status": {}} for version in versions)
    assert [column["name"] for column in versions[0]["additionalPrinterColumns"]][:6] == [
        "Succeeded", "Doing", "Deltas", "Trials", "Best", "Published",
    ]  # fmt: skip
    assert versions[2]["selectableFields"] == [{"jsonPath": ".spec.run"}, {"jsonPath": ".spec.slot"}]


def test_what_no_structural_schema_can_say_is_refused() -> None:
    class Union(Model):
        both: int | str

    class Odd(Model):
        number: Annotated[int, Field(multiple_of=2)]

    with pytest.raises(ValueError, match=r"Union\.both: a structural schema has no unions"):
        structural_schema(Union)
    with pytest.raises(ValueError, match=r"Odd\.number: a structural schema cannot say multipleOf"):
        structural_schema(Odd)


def test_exclusive_bounds_are_booleans_in_a_crd_and_numbers_for_editors() -> None:
    class Above(Model):
        number: Annotated[int, Field(gt=0, lt=9)]

    number = structural_schema(Above)["properties"]["number"]
    assert (number["minimum"], number["exclusiveMinimum"], number["maximum"], number["exclusiveMaximum"]) == (0, True, 9, True)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_packaged_schema_is_closed_and_is_that_of_the_types(kind: Kind) -> None:
    packaged = schema_of(kind.name)
    assert packaged == editor_schema(kind)
    for path, node in schemas(dict(packaged)):
        if "properties" in node:
            assert node["additionalProperties"] is False, path


def test_packaged_syntax_trees_give_what_parsing_gives() -> None:
    table = json.loads((ROOT / "autollm" / "resources" / "schema" / "rules.json").read_text())
    rules = list(table["trees"])[:3]
    assert parsed_rules(rules)["trees"] == {rule: table["trees"][rule] for rule in rules}
    never_packaged = "self.name == 'x' && 1 < 2"
    assert never_packaged not in table["trees"]
    assert holds(never_packaged, {"name": "x"})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_is_described(kind: Kind) -> None:
    root = dict(schema_of(kind.name))["properties"]
    nodes = [*schemas(root["spec"], "spec"), *schemas(root["status"], "status")]
    undescribed = [path for path, node in nodes if not path.endswith("[]") and not node.get("description")]
    assert undescribed == []


def test_the_reference_has_a_table_for_every_object_of_a_run() -> None:
    text = (ROOT / "docs" / "reference.md").read_text()
    for section in ("spec", "spec.sources[].file.map", "spec.training.methods[].sft", "spec.search.space.deltas[]", "spec.publish.when"):
        assert f"\n### {section}\n" in text
    assert '| `learningRate` | decimal | `"0.00002"` | ' in text
