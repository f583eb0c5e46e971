"""AutoLLMRun: the one document a user writes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.evaluation import Baselines, Evaluation
from autollm.resources.metadata import API_VERSION, Metadata
from autollm.resources.model import Model, Rule
from autollm.resources.run_status import RunStatus
from autollm.resources.search import Search
from autollm.resources.sources import Data, Source
from autollm.resources.training import ReadyDelta, Training
from autollm.resources.values import Confidence, SecretName, Uri

DType = Literal["BFloat16", "Float16", "Float32"]
RevisionName = Annotated[str, Field(pattern=r"^r[1-9][0-9]{0,8}$", max_length=10)]
_BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


class BaseModelSpec(Model):
    """The model that deltas are added to."""

    uri: Uri
    revision: Annotated[str, Field(pattern=r"^[-._A-Za-z0-9/]+$", min_length=1, max_length=128)] | None = Field(
        None, description="The Hub's branch, tag or commit; status.model says which commit was used."
    )
    dtype: DType | None = Field(
        None, description="The number format that is trained, scored and published; absent: measured on the machine, then kept."
    )
    secret_name: SecretName | None = Field(
        None, description="In a cluster, the Secret with HF_TOKEN; on one machine the environment's token is used."
    )


class Keep(Model):
    """How much of what was published stays."""

    revisions: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="Older revisions are removed, but never the one `latest` points to; absent keeps all."
    )


class Artifacts(Model):
    """Where chunks, deltas, results and models live."""

    uri: Uri
    endpoint: Annotated[str, Field(pattern=r"^https?://[^ ]+$", min_length=1, max_length=1024)] | None = None
    region: Annotated[str, Field(pattern=r"^[-a-z0-9]+$", min_length=1, max_length=64)] | None = None
    secret_name: SecretName | None = Field(
        None,
        description="In a cluster, the Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; on one machine boto3 finds its credentials itself.",
    )
    keep: Keep | None = None


class Gate(Model):
    """What the merged model must prove on the test split before it is published."""

    better_than: Literal["published", "base"] = Field(
        "published", description="published: the revision in use, or the base where there is none."
    )
    confidence: Confidence = Decimal("0.95")


class Publish(Model):
    """When and how the winner is published."""

    pin: RevisionName | None = Field(None, description="Hold this revision: `latest` points to it and nothing newer is published.")
    when: Gate = Field(default_factory=Gate)


class RunSpec(Model):
    """What to train, search and publish."""

    rules: ClassVar = (
        Rule(
            "!has(self.training.methods) || self.training.methods.all(m, !has(m.sources) || m.sources.all(s, self.sources.exists(source, source.name == s)))",
            "a method's sources must name sources of this run",
            "training",
        ),
        Rule("self.sources.exists(s, s.use == 'Train')", "at least one source must have use Train", "sources"),
    )
    suspend: bool = Field(False, description="true: running work saves and stops and nothing new starts; false again: it goes on.")
    model: BaseModelSpec
    artifacts: Artifacts
    sources: Annotated[list[Source], Field(min_length=1, max_length=64, json_schema_extra=_BY_NAME)]
    data: Data = Field(default_factory=Data)
    training: Training
    deltas: Annotated[list[ReadyDelta], Field(max_length=64, json_schema_extra=_BY_NAME)] | None = None
    evaluation: Evaluation = Field(default_factory=Evaluation)
    search: Search = Field(default_factory=Search)
    baselines: Baselines = Field(default_factory=Baselines)
    publish: Publish = Field(default_factory=Publish)


class AutoLLMRun(Model):
    """One continual-learning run: data in, a provably better merged model out."""

    api_version: Literal["autollm.dev/v1alpha1"] = API_VERSION
    kind: Literal["AutoLLMRun"] = "AutoLLMRun"
    metadata: Metadata
    spec: RunSpec
    status: RunStatus | None = None
