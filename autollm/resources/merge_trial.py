"""MergeTrial: the scoring of one candidate on one split. The trials are the optimiser's memory."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.evaluation import Weights
from autollm.resources.facts import Count, Difference, MetricScore, Seconds, TrialResult
from autollm.resources.metadata import API_VERSION, ChildMetadata, Conditions, Failure
from autollm.resources.model import Model, Rule
from autollm.resources.values import Confidence, Digest, RunName, Score, Uri

SplitName = Literal["Search", "Test"]


class Origin(Model):
    """What a candidate was made from and how."""

    optimizer: Literal["Start", "Bayesian", "TPE", "CMAES", "Random", "Fallback", "Baseline"]
    finished: Annotated[int, Field(ge=0)] = 0
    pending: Annotated[int, Field(ge=0)] = 0
    reason: Annotated[str, Field(max_length=512)] | None = Field(None, description="Why the fallback was taken.")


class WholeModel(Model):
    """A model that is scored as it is, without deltas."""

    uri: Uri
    digest: Digest


class Comparison(Model):
    """The trials whose per-item results this one is compared with."""

    trial: Annotated[str, Field(max_length=63)]
    results: Uri


class MergeTrialSpec(Model):
    """A candidate, where it is scored and by whom; written before any work starts."""

    rules: ClassVar = (Rule("self == oldSelf", "a MergeTrial cannot be changed; make another"),)
    run: RunName
    name: Annotated[str, Field(max_length=96)] | None = Field(
        None, description="The row of the results table that this is, such as `base` or `math/sft`."
    )
    landscape: Digest = Field(description="The digest of base, delta keys, items, metrics and number format: only equal ones compare.")
    split: SplitName
    items: Annotated[int, Field(ge=2)] | None = Field(None, description="Only this many items of the split, drawn evenly from its sources.")
    method: Literal["Linear"] = "Linear"
    weights: Weights
    model: WholeModel | None = Field(None, description="Score this model instead of a merge.")
    number: Annotated[int, Field(ge=0)]
    slot: Annotated[int, Field(ge=0, le=255)]
    against: Annotated[list[Comparison], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})] | None = None
    confidence: Confidence | None = None
    origin: Origin


class MergeTrialStatus(Model):
    """The outcome: the fields of a TrialResult once there is one, or the failure in its stead."""

    rules: ClassVar = (
        Rule("!has(oldSelf.score) || (has(self.score) && self.score == oldSelf.score)", "a result once written is final", "score"),
    )
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    conditions: Conditions | None = None
    score: Score | None = None
    standard_error: Score | None = None
    items: Count | None = None
    metrics: Annotated[list[MetricScore], Field(max_length=32)] | None = None
    sources: Annotated[list[MetricScore], Field(max_length=64)] | None = None
    seconds: Seconds | None = None
    results: Uri | None = None
    differences: Annotated[list[Difference], Field(max_length=512)] | None = None
    failure: Failure | None = Field(
        None, description="Written once, by the evaluator in place of a result or by the planner past the deadline."
    )

    @property
    def result(self) -> TrialResult | None:
        """The result, once it is written."""
        if self.score is None:
            return None
        return TrialResult.model_validate({name: getattr(self, name) for name in TrialResult.model_fields})


class MergeTrial(Model):
    """One point of the space and its score."""

    api_version: Literal["autollm.dev/v1alpha1"] = API_VERSION
    kind: Literal["MergeTrial"] = "MergeTrial"
    metadata: ChildMetadata
    spec: MergeTrialSpec
    status: MergeTrialStatus | None = None
