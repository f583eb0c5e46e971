"""What cannot be changed once it is written: no field is left out of the rules, and the rules stand where they cannot be escaped."""

from __future__ import annotations

import re

from autollm.resources.crd import KINDS, custom_resource_definition
from autollm.resources.delta_training import DeltaTrainingSpec

SCHEMAS = {kind.name: custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS}


def test_every_field_of_a_training_but_its_workers_is_compared_with_what_it_was() -> None:
    (rule,) = DeltaTrainingSpec.rules
    compared = set(re.findall(r"self\.(\w+) == oldSelf\.\1", rule.rule))
    assert compared == set(SCHEMAS["DeltaTraining"]["properties"]["spec"]["properties"]) - {"workers"}


def test_an_optional_field_of_a_training_can_be_neither_removed_nor_added() -> None:
    spec = SCHEMAS["DeltaTraining"]["properties"]["spec"]
    (rule,) = DeltaTrainingSpec.rules
    for name in spec["properties"].keys() - set(spec["required"]) - {"workers"}:
        assert f"has(self.{name}) == has(oldSelf.{name})" in rule.rule


def test_rules_on_what_was_reported_stand_at_the_root() -> None:
    for kind, field in (("MergeTrial", "score"), ("MergeTrial", "failure"), ("DeltaTraining", "delta")):
        rules = [rule["rule"] for rule in SCHEMAS[kind]["x-kubernetes-validations"]]
        assert any(f"oldSelf.status.{field}" in rule for rule in rules)
