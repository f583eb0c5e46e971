"""On which nodes pods may run: labels that a node must have, and taints that do not keep the pods away."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from autollm.resources import patterns
from autollm.resources.model import Model, Rule

LabelKey = Annotated[str, Field(pattern=patterns.LABEL_KEY, min_length=1, max_length=200)]
LabelValue = Annotated[str, Field(pattern=patterns.LABEL_VALUE, max_length=63)]

_BY_LABEL: dict[str, Any] = {
    "x-kubernetes-map-type": "atomic",
    # A structural schema says nothing about the keys of a map.
    "x-kubernetes-validations": [
        {
            "rule": f"self.all(k, k.size() <= 200 && k.matches('{patterns.LABEL_KEY}'))",
            "message": "the keys are those of labels: letters, digits, dashes, dots and underscores, perhaps after a DNS name and a slash",
        }
    ],
}
NodeSelector = Annotated[dict[LabelKey, LabelValue], Field(max_length=16, json_schema_extra=_BY_LABEL)]
"""Labels that a node must have."""


class NodeRequirement(Model):
    """What a label of the node must be."""

    rules: ClassVar = (
        Rule(
            "self.operator in ['In', 'NotIn'] ? has(self.values) : !has(self.values)",
            "values are for the operators In and NotIn, and needed there: add them or remove them",
            "values",
        ),
    )
    key: LabelKey = Field(description="The label's name.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How it is compared.")
    values: Annotated[list[LabelValue], Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})] | None = (
        Field(None, description="What In and NotIn compare with.")
    )


class Toleration(Model):
    """A taint that does not keep the pods away."""

    rules: ClassVar = (
        Rule("has(self.key) || self.operator == 'Exists'", "a toleration of every taint has operator: Exists; add it or a key", "operator"),
        Rule("self.operator != 'Exists' || !has(self.value)", "a value is for operator Equal: remove it or the operator", "value"),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds are for effect NoExecute: remove them or set the effect",
            "tolerationSeconds",
        ),
    )
    key: LabelKey | None = Field(None, description="The taint's name; absent with operator Exists: every taint.")
    operator: Literal["Equal", "Exists"] = Field("Equal", description="Whether the taint's value counts.")
    value: LabelValue | None = Field(None, description="The taint's value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(None, description="The taint's effect; absent: all.")
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        None, description="How long a pod stays on a node that gets a NoExecute taint; absent: for ever."
    )
