"""What a merged model is scored by, and which baselines stand beside it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.model import Model, Rule, exactly_one
from autollm.resources.values import DeltaName, Margin, MetricWeight, Name, Weight

METRIC_KINDS = ("likelihood", "match", "preference")

Weights = Annotated[dict[DeltaName, Weight], Field(max_length=1024, json_schema_extra={"x-kubernetes-map-type": "atomic"})]
"""One weight per delta; a delta that is not named has weight 0."""


class Likelihood(Model):
    """exp of minus the mean token negative log-likelihood of the reference answer: between 0 and 1."""


class Match(Model):
    """1 where the greedy answer agrees with the reference, else 0."""

    rules: ClassVar = (
        Rule(
            "self.kind == 'Regex' ? has(self.pattern) : !has(self.pattern)", "pattern is needed for kind Regex and for no other", "pattern"
        ),
        Rule(
            "self.kind == 'JSONFields' ? has(self.fields) : !has(self.fields)",
            "fields are needed for kind JSONFields and for no other",
            "fields",
        ),
    )
    kind: Literal["Exact", "Contains", "Number", "Regex", "JSONFields"] = "Exact"
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = Field(
        64, description="Generation is cut here; the share of answers that stop before it is reported."
    )
    pattern: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="The first group (or the whole match) of the last match in the answer is compared with that of the reference."
    )
    fields: Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(min_length=1, max_length=64)] | None = None


class Preference(Model):
    """1 where the chosen answer is more likely than the rejected one, ½ where equally likely, else 0."""


class Metric(Model):
    """One way of scoring an answer, mapped to 0…1, higher is better."""

    rules: ClassVar = (exactly_one(*METRIC_KINDS),)
    name: Name
    likelihood: Likelihood | None = None
    match: Match | None = None
    preference: Preference | None = None
    weight: MetricWeight = Decimal(1)
    sources: Annotated[list[Name], Field(min_length=1, max_length=64)] | None = Field(
        None, description="Only items of these sources; absent means all the metric fits."
    )

    @property
    def kind(self) -> str:
        """The member of the union that is set."""
        return next(kind for kind in METRIC_KINDS if getattr(self, kind) is not None)


class Constraint(Model):
    """A capability that must not be given up: on the test split, `metric` may fall below that of the model by no more than `margin`."""

    metric: Name
    not_worse_than: Literal["base", "published"] = "base"
    margin: Margin = Decimal(0)


class Evaluation(Model):
    """The objective is the mean over sources of each item's weighted mean of metrics."""

    rules: ClassVar = (
        Rule(
            "!has(self.constraints) || !has(self.metrics) || self.constraints.all(c, self.metrics.exists(m, m.name == c.metric))",
            "a constraint must name one of the metrics",
            "constraints",
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
    ) = None

    @property
    def effective_metrics(self) -> list[Metric]:
        """The metrics that are scored, the default filled in."""
        return self.metrics or [Metric(name="likelihood", likelihood=Likelihood())]


class ManualPoint(Model):
    """Weights that somebody chose by hand."""

    rules: ClassVar = (
        Rule(
            "self.name != 'all' && self.name != 'base' && self.name != 'average' && self.name != 'auto' && self.name != 'published'",
            "the names all, base, average, auto and published are reserved",
            "name",
        ),
    )
    name: Name
    weights: Weights


class Baselines(Model):
    """Which candidates are always scored and reported beside the winner."""

    base: bool = True
    each: bool = True
    average: bool = True
    train_on_all: bool = Field(
        False,
        description="One more delta, `all`, trained with the first method on every chunk it fits; retrained whenever any chunk changes.",
    )
    published: bool = True
    manual: (
        Annotated[
            list[ManualPoint],
            Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        ]
        | None
    ) = None
