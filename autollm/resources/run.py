"""AutoLLMRun: the one document a user writes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources import patterns
from autollm.resources.evaluation import Baselines, Evaluation
from autollm.resources.metadata import API_VERSION, Metadata
from autollm.resources.model import Model, Rule
from autollm.resources.run_rules import RUN_RULES
from autollm.resources.run_status import RunStatus
from autollm.resources.search import Search
from autollm.resources.sources import Data, Source
from autollm.resources.training import ReadyDelta, Training
from autollm.resources.values import Confidence, Duration, FolderUri, SecretName, Uri
from autollm.resources.workers import Workers

DType = Literal["BFloat16", "Float16", "Float32"]
RevisionName = Annotated[str, Field(pattern=patterns.REVISION, max_length=10)]
_BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


class BaseModelSpec(Model):
    """The model that deltas are added to."""

    rules: ClassVar = (
        Rule(
            "!has(self.revision) || (self.uri.startsWith('hf://') && !self.uri.contains('@'))",
            "revision is for a model hf://org/name without @revision: write it in one place, or remove it",
            "revision",
        ),
    )
    uri: Uri = Field(
        description="hf://org/name[@revision], s3://bucket/prefix, file:///folder, package://python_package/file or a relative path."
    )
    revision: Annotated[str, Field(pattern=patterns.HUB_REVISION, min_length=1, max_length=128)] | None = Field(
        None, description="The Hub's branch, tag or commit; status.model says which commit was used."
    )
    dtype: DType | None = Field(
        None,
        description="The number format that is trained, scored and published; absent: BFloat16 where `workers` asks for GPUs to train or "
        "score, else measured; then kept.",
    )
    secret_name: SecretName | None = Field(
        None, description="In a cluster, the Secret with HF_TOKEN; on one machine the environment's token is used."
    )


class Keep(Model):
    """How much of what was published stays."""

    revisions: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None,
        description="Older revisions are removed, and those begun a week ago and never finished, but never the one `latest` points "
        "to; absent keeps all.",
    )


class Artifacts(Model):
    """Where chunks, deltas, results and models live."""

    rules: ClassVar = (
        Rule(
            "self.uri.startsWith('s3://') || !(has(self.endpoint) || has(self.region) || has(self.secretName))",
            "endpoint, region and secretName are for s3:// only: remove them, or write the artifacts to s3://bucket/prefix",
            "uri",
        ),
    )
    uri: FolderUri = Field(description="s3://bucket/prefix, file:///folder, or a folder relative to the document.")
    endpoint: Annotated[str, Field(pattern=patterns.ENDPOINT, min_length=1, max_length=1024)] | None = Field(
        None, description="The S3 server's address, where it is not Amazon's."
    )
    region: Annotated[str, Field(pattern=patterns.REGION, min_length=1, max_length=64)] | None = Field(
        None, description="The bucket's region."
    )
    secret_name: SecretName | None = Field(
        None,
        description="In a cluster, the Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
        "on one machine boto3 finds its credentials itself.",
    )
    keep: Keep | None = Field(None, description="How much of what was published stays; absent: all of it.")


class Gate(Model):
    """What the merged model must prove on the test split before it is published."""

    better_than: Literal["published", "base"] = Field(
        "published", description="published: the revision in use, or the base where there is none."
    )
    confidence: Confidence = Field(Decimal("0.95"), description="Of the one-sided paired test on the test split.")


class Publish(Model):
    """When and how the winner is published."""

    pin: RevisionName | None = Field(None, description="Hold this revision: `latest` points to it and nothing newer is published.")
    when: Gate = Field(default_factory=Gate, description="What must be proved before `latest` moves.")


class Refresh(Model):
    """When the sources are looked at again."""

    rules: ClassVar = (Rule("duration(self.every) >= duration('60s')", "rounds must be at least 60s apart", "every"),)
    every: Duration = Field(description="From the beginning of one round to that of the next, or to the end of a round that takes longer.")


class RunSpec(Model):
    """What to train, search and publish."""

    rules: ClassVar = (
        *RUN_RULES,
        Rule(
            "self.artifacts.uri == oldSelf.artifacts.uri",
            "the run has its deltas and results there: keep that place, or make a run of another name with the new one",
            "artifacts.uri",
        ),
    )
    suspend: bool = Field(False, description="true: running work saves and stops and nothing new starts; false again: it goes on.")
    refresh: Refresh | None = Field(
        None,
        description="Look at the sources again from time to time: new records become new chunks and deltas, a search that starts from the "
        "published weights, and a gate. Absent: never. On one machine `autollm run` does the round that is due and ends.",
    )
    model: BaseModelSpec = Field(description="The model that deltas are added to.")
    artifacts: Artifacts = Field(description="Where chunks, deltas, results and models live.")
    sources: Annotated[list[Source], Field(min_length=1, max_length=64, json_schema_extra=_BY_NAME)] = Field(
        description="Where the records come from."
    )
    data: Data = Field(default_factory=Data, description="How records are filtered, split and cut into chunks.")
    training: Training = Field(description="Which deltas are trained.")
    deltas: Annotated[list[ReadyDelta], Field(max_length=64, json_schema_extra=_BY_NAME)] | None = Field(
        None, description="Ready-made deltas, searched together with the trained ones."
    )
    evaluation: Evaluation = Field(default_factory=Evaluation, description="What a merged model is scored by.")
    search: Search = Field(default_factory=Search, description="How the weights are searched.")
    baselines: Baselines = Field(default_factory=Baselines, description="What is always scored beside the winner.")
    publish: Publish = Field(default_factory=Publish, description="When and how the winner is published.")
    workers: Workers = Field(default_factory=Workers, description="What the pods may look like; on one machine it is not used.")


class AutoLLMRun(Model):
    """One continual-learning run: data in, a provably better merged model out."""

    api_version: Literal["autollm.dev/v1alpha1"] = API_VERSION
    kind: Literal["AutoLLMRun"] = "AutoLLMRun"
    metadata: Metadata
    spec: RunSpec
    status: RunStatus | None = None
