"""The metadata and conditions that the three kinds share with every Kubernetes object."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from autollm.resources import patterns
from autollm.resources.model import Model
from autollm.resources.values import RunName

API_VERSION: Literal["autollm.dev/v1alpha1"] = "autollm.dev/v1alpha1"


class Metadata(Model):
    """The part of Kubernetes' ObjectMeta that is read here; the rest passes through."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)
    name: RunName
    namespace: str | None = None
    uid: str | None = None
    generation: int = 1
    creation_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[dict[str, Any]] | None = None


class ChildMetadata(Metadata):
    """Metadata of a child, whose name is its parent's, a dash and a hash."""

    name: Annotated[str, Field(pattern=patterns.OBJECT_REFERENCE, min_length=1, max_length=63)]


class Condition(Model):
    """A metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=316)] = Field(description="What it is about, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=1024)] = Field(
        description="Why, as one word in CamelCase."
    )
    message: Annotated[str, Field(max_length=32768)] = Field("", description="Why, as a sentence.")
    observed_generation: Annotated[int, Field(ge=0)] | None = Field(None, description="The generation of the spec that it is about.")
    last_transition_time: Annotated[str, Field(max_length=64)] = Field(description="When its status changed.")


Conditions = Annotated[
    list[Condition], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
]


class Failure(Model):
    """Why a worker ended without its result: a reason in CamelCase and one sentence that names the remedy."""

    reason: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$", max_length=128)] = Field(description="One word in CamelCase.")
    message: Annotated[str, Field(max_length=4096)] = Field(description="One sentence that names the remedy.")
