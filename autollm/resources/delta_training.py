"""DeltaTraining: one chunk × one method, self-contained and immutable."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.facts import Progress, TrainedDelta
from autollm.resources.metadata import API_VERSION, ChildMetadata, Conditions, Failure
from autollm.resources.model import Model, Rule
from autollm.resources.run import Artifacts, DType
from autollm.resources.training import Adapter, Method
from autollm.resources.values import DeltaName, Digest, Uri


class LoadedModel(Model):
    """A base model by location and digest, in the number format it is trained and scored in."""

    uri: Uri
    revision: Annotated[str, Field(max_length=128)] | None = None
    digest: Digest
    dtype: DType


class TrainingChunk(Model):
    """The chunks that are trained on, in this order: one, or all of them for train-on-all."""

    name: Annotated[str, Field(max_length=48)]
    digests: Annotated[list[Digest], Field(min_length=1, max_length=2000, json_schema_extra={"x-kubernetes-list-type": "atomic"})]


class DeltaTrainingSpec(Model):
    """Everything that determines the delta; `key` is the digest of it all."""

    rules: ClassVar = (Rule("self == oldSelf", "a DeltaTraining cannot be changed; make another"),)
    delta: DeltaName
    key: Digest
    model: LoadedModel
    chunk: TrainingChunk
    method: Method
    adapter: Adapter
    start: Digest | None = Field(None, description="The key of the delta that this one continues.")
    max_tokens: Annotated[int, Field(ge=8, le=1_000_000)]
    artifacts: Artifacts


class DeltaTrainingStatus(Model):
    """How far a training is and what it made."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    conditions: Conditions | None = None
    reused: bool | None = None
    progress: Progress | None = Field(None, description="Written by the train task.")
    delta: TrainedDelta | None = Field(None, description="Written by the train task, or by the planner where the delta existed.")
    failure: Failure | None = None


class DeltaTraining(Model):
    """One delta in the making."""

    api_version: Literal["autollm.dev/v1alpha1"] = API_VERSION
    kind: Literal["DeltaTraining"] = "DeltaTraining"
    metadata: ChildMetadata
    spec: DeltaTrainingSpec
    status: DeltaTrainingStatus | None = None
