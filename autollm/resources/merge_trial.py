"""MergeTrial: the scoring of one candidate. Those of a run are its optimiser's memory; one made by hand asks what a mix scores."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.evaluation import Weights
from autollm.resources.facts import Count, Difference, MetricScore, Seconds, TrialResult
from autollm.resources.metadata import API_VERSION, ChildMetadata, Conditions, Failure
from autollm.resources.model import Model, Rule
from autollm.resources.values import Confidence, Digest, Name, RunName, Score, Uri

SplitName = Literal["Search", "Test"]


class Origin(Model):
    """What a candidate was made from and how."""

    optimizer: Literal["Start", "Bayesian", "TPE", "CMAES", "Random", "Fallback", "Baseline"] = Field(
        description="Who chose the candidate."
    )
    finished: Annotated[int, Field(ge=0)] = Field(0, description="The finished trials it was chosen from.")
    pending: Annotated[int, Field(ge=0)] = Field(0, description="The trials under way then.")
    reason: Annotated[str, Field(max_length=512)] | None = Field(None, description="Why the fallback was taken.")


class WholeModel(Model):
    """A model that is scored as it is, without deltas."""

    uri: Uri = Field(description="Where it is loaded from.")
    digest: Digest = Field(description="What its files must be.")


class Comparison(Model):
    """The trials whose per-item results this one is compared with."""

    trial: Annotated[str, Field(max_length=63)] = Field(description="The other trial.")
    results: Uri = Field(description="Its per-item results.")


class MergeTrialSpec(Model):
    """A candidate, where it is scored and by whom; written before any work starts.

    Those that a run makes have landscape, number, slot and origin. One made by hand has none of them and gets an evaluator of its own.
    """

    rules: ClassVar = (
        Rule("self == oldSelf", "a MergeTrial cannot be changed; make another"),
        Rule(
            "has(self.landscape) ? has(self.number) && has(self.slot) && has(self.origin) : "
            "!has(self.number) && !has(self.slot) && !has(self.origin)",
            "landscape, number, slot and origin are the run's own to set: leave all of them out",
        ),
    )
    run: RunName = Field(description="The run whose deltas are merged, in the same namespace.")
    name: Annotated[str, Field(max_length=96)] | None = Field(
        None, description="The row of the results table that this is, such as `base` or `math/sft`."
    )
    landscape: Digest | None = Field(
        None,
        description="The digest of base, delta keys, items, metrics and number format: only equal ones compare. Absent: made by hand, and "
        "scored in the landscape that its run has then.",
    )
    split: SplitName = Field(description="The split it is scored on.")
    items: Annotated[int, Field(ge=2)] | None = Field(None, description="Only this many items of the split, drawn evenly from its sources.")
    method: Literal["Linear"] = Field("Linear", description="How deltas are merged.")
    weights: Weights = Field(description="One weight per delta; one not named has weight 0.")
    model: WholeModel | None = Field(None, description="Score this model instead of a merge.")
    number: Annotated[int, Field(ge=0)] | None = Field(None, description="Its place in the order of the run's trials.")
    slot: Annotated[int, Field(ge=0, le=255)] | None = Field(
        None, description="The evaluator that scores it; absent: one that is started for it alone."
    )
    against: Annotated[list[Comparison], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})] | None = Field(
        None, description="Trials that it is compared with, item by item."
    )
    compared_by: Annotated[list[Name], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"})] | None = Field(
        None, description="Metrics by which it is compared besides the objective: those that `evaluation.constraints` name."
    )
    confidence: Confidence | None = Field(None, description="That of the one-sided bounds in its comparisons.")
    origin: Origin | None = Field(None, description="How the candidate was chosen; absent: by hand.")

    @property
    def by_hand(self) -> bool:
        """Whether somebody made it, and not its run."""
        return self.landscape is None

    @property
    def chosen_by(self) -> str:
        """Who chose the candidate."""
        return self.origin.optimizer if self.origin is not None else "Hand"

    @property
    def place(self) -> int:
        """Its place in the order of the run's trials; 0 where it was made by hand and has none."""
        return self.number or 0


class MergeTrialStatus(Model):
    """The outcome: the fields of a TrialResult once there is one, or the failure in its stead; then nothing in it changes any more."""

    observed_generation: Annotated[int, Field(ge=0)] | None = Field(None, description="The generation of the spec that this status is of.")
    conditions: Conditions | None = Field(None, description="What is true of it now, in the form of metav1.Condition.")
    score: Score | None = Field(None, description="The objective, between 0 and 1; higher is better.")
    standard_error: Score | None = Field(None, description="The score's standard error.")
    items: Count | None = Field(None, description="Items it was scored on.")
    metrics: Annotated[list[MetricScore], Field(max_length=32)] | None = Field(None, description="The score of each metric.")
    sources: Annotated[list[MetricScore], Field(max_length=64)] | None = Field(None, description="The objective on each source.")
    seconds: Seconds | None = None
    results: Uri | None = Field(None, description="The per-item results in the artifacts.")
    differences: Annotated[list[Difference], Field(max_length=512)] | None = Field(
        None, description="Paired differences to the trials it is compared with."
    )
    failure: Failure | None = Field(
        None, description="Written once: by the evaluator in place of a result, or by the planner where evaluators hang or die on it."
    )

    @property
    def result(self) -> TrialResult | None:
        """The result, once it is written."""
        if self.score is None:
            return None
        return TrialResult.model_validate({name: getattr(self, name) for name in TrialResult.model_fields})


class MergeTrial(Model):
    """One point of the space and its score."""

    # At the root, where removing the status, or a field of it, cannot escape them.
    root_rules: ClassVar = (
        Rule(
            "!has(oldSelf.status) || !(has(oldSelf.status.score) || has(oldSelf.status.failure)) || "
            "(has(self.status) && self.status == oldSelf.status)",
            "the outcome of a MergeTrial is final, and so is all of its status; make another trial",
        ),
    )
    api_version: Literal["autollm.dev/v1alpha1"] = API_VERSION
    kind: Literal["MergeTrial"] = "MergeTrial"
    metadata: ChildMetadata
    spec: MergeTrialSpec
    status: MergeTrialStatus | None = None
