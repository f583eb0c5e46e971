"""DeltaTraining: one chunk × one method, self-contained, and immutable but for its workers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.facts import Progress, TrainedDelta
from autollm.resources.metadata import API_VERSION, ChildMetadata, Conditions, Failure
from autollm.resources.model import Model, Rule
from autollm.resources.run import Artifacts, DType
from autollm.resources.training import Adapter, Method
from autollm.resources.values import DeltaName, Digest, SecretName, Uri
from autollm.resources.workers import Workers


class LoadedModel(Model):
    """A base model by location and digest, in the number format it is trained and scored in."""

    uri: Uri = Field(description="Where workers load it from.")
    revision: Annotated[str, Field(max_length=128)] | None = Field(None, description="The Hub's commit.")
    digest: Digest = Field(description="What its files must be.")
    dtype: DType = Field(description="The number format.")
    secret_name: SecretName | None = Field(None, description="In a cluster, the Secret with HF_TOKEN.")


class TrainingChunk(Model):
    """The chunks that are trained on, in this order: one, or all of them for train-on-all."""

    name: Annotated[str, Field(max_length=48)] = Field(description="SOURCE, SOURCE-0003, or `all`.")
    digests: Annotated[list[Digest], Field(min_length=1, max_length=2000, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = Field(
        description="The chunks' files, by their digests."
    )


_REQUIRED = ("delta", "key", "model", "chunk", "method", "adapter", "maxTokens", "artifacts")
_UNCHANGED = [f"self.{name} == oldSelf.{name}" for name in _REQUIRED] + [
    # Removed or added, an optional field would escape a rule of its own.
    "has(self.start) == has(oldSelf.start) && (!has(self.start) || self.start == oldSelf.start)"
]


class DeltaTrainingSpec(Model):
    """Everything that determines the delta, whose digest is `key`, and what the training's pods may use, which alone may change."""

    rules: ClassVar = (Rule(" && ".join(_UNCHANGED), "a DeltaTraining cannot be changed but for its workers; make another"),)
    delta: DeltaName = Field(description="The delta's name.")
    key: Digest = Field(description="The digest of everything below: equal keys, equal deltas.")
    model: LoadedModel = Field(description="The base model.")
    chunk: TrainingChunk = Field(description="What is trained on.")
    method: Method = Field(description="How it is trained.")
    adapter: Adapter = Field(description="What the training may change.")
    start: Digest | None = Field(None, description="The key of the delta that this one continues.")
    max_tokens: Annotated[int, Field(ge=8, le=1_000_000)] = Field(description="Longer records are not in the chunk.")
    artifacts: Artifacts = Field(description="Where chunk and delta live.")
    workers: Workers = Field(default_factory=Workers, description="What the training's pods may look like; on one machine it is not used.")


class DeltaTrainingStatus(Model):
    """How far a training is and what it made."""

    observed_generation: Annotated[int, Field(ge=0)] | None = Field(None, description="The generation of the spec that this status is of.")
    conditions: Conditions | None = Field(None, description="What is true of it now, in the form of metav1.Condition.")
    reused: bool | None = Field(None, description="true: an equal delta was found in the artifacts.")
    progress: Progress | None = Field(None, description="Written by the train task.")
    delta: TrainedDelta | None = Field(None, description="Written by the train task, or by the planner where the delta existed.")
    failure: Failure | None = Field(None, description="Why there is no delta.")


class DeltaTraining(Model):
    """One delta in the making."""

    root_rules: ClassVar = (
        Rule(
            "!has(oldSelf.status) || !has(oldSelf.status.delta) || (has(self.status) && has(self.status.delta) && "
            "self.status.delta.key == oldSelf.status.delta.key && has(self.status.delta.digest) == has(oldSelf.status.delta.digest) && "
            "(!has(self.status.delta.digest) || self.status.delta.digest == oldSelf.status.delta.digest))",
            "the delta of a DeltaTraining is final; delete the DeltaTraining to have it made again",
        ),
    )
    api_version: Literal["autollm.dev/v1alpha1"] = API_VERSION
    kind: Literal["DeltaTraining"] = "DeltaTraining"
    metadata: ChildMetadata
    spec: DeltaTrainingSpec
    status: DeltaTrainingStatus | None = None
