"""What a merged model is scored by, and which baselines stand beside it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from autollm.resources import patterns
from autollm.resources.model import Model, Rule, exactly_one, not_reserved
from autollm.resources.values import DeltaName, Margin, MetricWeight, Name, Weight

METRIC_KINDS = ("likelihood", "match", "preference")

_BY_DELTA: dict[str, JsonValue] = {
    "x-kubernetes-map-type": "atomic",
    # A structural schema says nothing about the keys of a map.
    "x-kubernetes-validations": [
        {
            "rule": f"self.all(k, k.size() <= 96 && k.matches('{patterns.DELTA}'))",
            "message": "weights are given by the names of deltas, such as math/sft: small letters, digits, dashes and one slash",
        }
    ],
}

Weights = Annotated[dict[DeltaName, Weight], Field(max_length=2048, json_schema_extra=_BY_DELTA)]
"""One weight per delta; a delta that is not named has weight 0."""

ShownWeights = Annotated[dict[DeltaName, Weight], Field(max_length=64, json_schema_extra=_BY_DELTA)]
"""Weights as a status shows them: all of a candidate, or the largest."""

HandWeights = Annotated[
    dict[DeltaName, Weight],
    Field(
        min_length=1,
        max_length=64,
        description="One weight per delta: SOURCE/METHOD, SOURCE-0003/METHOD or a ready-made delta's name; one not named has weight 0. "
        "Of a source with several chunks, SOURCE/METHOD is the first.",
        json_schema_extra=_BY_DELTA,
    ),
]


class Likelihood(Model):
    """exp of minus the mean token negative log-likelihood of the reference answer: between 0 and 1."""


class Match(Model):
    """1 where the greedy answer agrees with the reference, else 0."""

    rules: ClassVar = (
        Rule(
            "self.kind == 'Regex' ? has(self.pattern) : !has(self.pattern)",
            "pattern is needed for kind Regex and for no other: add it, remove it or change kind",
            "pattern",
        ),
        Rule(
            "self.kind == 'JSONFields' ? has(self.fields) : !has(self.fields)",
            "fields are needed for kind JSONFields and for no other: add them, remove them or change kind",
            "fields",
        ),
    )
    kind: Literal["Exact", "Contains", "Number", "Regex", "JSONFields"] = Field("Exact", description="What counts as agreeing.")
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = Field(
        64, description="Generation is cut here; the share of answers that stop before it is reported."
    )
    pattern: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="The first group (or the whole match) of the last match in the answer is compared with that of the reference."
    )
    fields: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=128)]],
            Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = Field(None, description="The fields of the JSON object in the answer that must equal those of the reference.")


class Preference(Model):
    """1 where the chosen answer is more likely than the rejected one, ½ where equally likely, else 0."""


class Metric(Model):
    """One way of scoring an answer, mapped to 0…1, higher is better."""

    rules: ClassVar = (exactly_one(*METRIC_KINDS),)
    name: Name = Field(description="What the metric is called in tables and constraints.")
    likelihood: Likelihood | None = Field(None, description="How likely the reference answer is; written {}.")
    match: Match | None = Field(None, description="Whether the generated answer agrees with the reference.")
    preference: Preference | None = Field(None, description="Whether the chosen answer is the likelier one; written {}.")
    weight: MetricWeight = Field(Decimal(1), description="Its share in the objective, against the other metrics' weights.")
    sources: Annotated[list[Name], Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})] | None = Field(
        None, description="Only items of these sources; absent means all the metric fits."
    )

    @property
    def kind(self) -> str:
        """The member of the union that is set."""
        return next(kind for kind in METRIC_KINDS if getattr(self, kind) is not None)


class Constraint(Model):
    """A capability that must not be given up: on the test split, `metric` may fall below that of the model by no more than `margin`."""

    metric: Name = Field(description="One of the metrics.")
    not_worse_than: Literal["base", "published"] = Field("base", description="The model that it is compared with.")
    margin: Margin = Field(Decimal(0), description="How much of the metric may be lost.")


class Evaluation(Model):
    """The objective is the mean over sources of each item's weighted mean of metrics."""

    rules: ClassVar = (
        Rule(
            "!has(self.constraints) || self.constraints.all(c, "
            "has(self.metrics) ? self.metrics.exists(m, m.name == c.metric) : c.metric == 'likelihood')",
            "a constraint must name one of the metrics (likelihood where none are listed): add that metric or correct the name",
            "constraints",
        ),
        Rule(
            "!has(self.metrics) || self.metrics.exists(m, double(m.weight) > 0.0)",
            "at least one metric must have a weight above 0: without one there is no objective",
            "metrics",
        ),
    )
    metrics: (
        Annotated[
            list[Metric],
            Field(min_length=1, max_length=32, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        ]
        | None
    ) = Field(None, description="Absent: one likelihood metric of that name.")
    constraints: (
        Annotated[
            list[Constraint],
            Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["metric"]}),
        ]
        | None
    ) = Field(None, description="Capabilities that are never traded against the objective.")

    @property
    def effective_metrics(self) -> list[Metric]:
        """The metrics that are scored, the default filled in."""
        return self.metrics or [Metric(name="likelihood", likelihood=Likelihood())]


class ManualPoint(Model):
    """Weights that somebody chose by hand."""

    rules: ClassVar = (not_reserved("point"),)
    name: Name = Field(description="Its row in the results table.")
    weights: HandWeights


class Baselines(Model):
    """Which candidates are always scored and reported beside the winner."""

    base: bool = Field(True, description="The base model alone.")
    each: bool = Field(True, description="Each delta alone, at weight 1, where there are no more than 64.")
    average: bool = Field(True, description="All deltas at equal weights that sum to 1.")
    train_on_all: bool = Field(
        False,
        description="One more delta, `all`, trained with the first method on every chunk it fits; retrained whenever any chunk changes.",
    )
    published: bool = Field(True, description="The model in use, where there is one.")
    manual: (
        Annotated[
            list[ManualPoint],
            Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        ]
        | None
    ) = Field(None, description="Your own weights.")
