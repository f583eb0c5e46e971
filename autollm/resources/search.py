"""The space of weights and how it is searched."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.evaluation import HandWeights
from autollm.resources.model import Model, Rule, at_most_one
from autollm.resources.values import DeltaSelector, Duration, Name, Weight


class Bayesian(Model):
    """A Gaussian process with fitted noise and expected improvement; right for up to about 12 weights."""


class Optuna(Model):
    """Optuna's samplers."""

    sampler: Literal["TPE", "CMAES"] = Field(
        "TPE", description="TPE: tree-structured Parzen estimator; CMAES: covariance matrix adaptation, for many trials."
    )


class Random(Model):
    """Uniform candidates."""


class Optimizer(Model):
    """How candidates are chosen."""

    rules: ClassVar = (at_most_one("bayesian", "optuna", "random"),)
    bayesian: Bayesian | None = Field(None, description="A Gaussian process, written {}; right for up to about 12 weights.")
    optuna: Optuna | None = Field(None, description="Optuna's samplers; right for more weights.")
    random: Random | None = Field(None, description="Uniform candidates, written {}: the yardstick for the others.")


class DeltaSpace(Model):
    """What the weights of some deltas may be."""

    rules: ClassVar = (
        Rule(
            "!has(self.fixed) || (!has(self.min) && !has(self.max) && !has(self.group))",
            "a fixed weight has no min, max or group: remove those or fixed",
            "fixed",
        ),
    )
    match: DeltaSelector = Field(
        description="A delta's name, or a pattern with * and ? such as */dpo or math*/sft. "
        "Of a source with several chunks, math/sft is the first and math-*/sft are all."
    )
    min: Weight | None = Field(None, description="The least weight; absent: that of the space.")
    max: Weight | None = Field(None, description="The greatest weight; absent: that of the space.")
    fixed: Weight | None = Field(None, description="Not searched: always this weight.")
    group: Name | None = Field(None, description="All deltas of a group share one weight.")


class Space(Model):
    """The weights that may be chosen; the last entry of `deltas` that matches a delta counts."""

    rules: ClassVar = (
        Rule("double(self.min) < double(self.max)", "min must be below max: swap them or widen the bounds", "min"),
        Rule(
            "!has(self.deltas) || self.deltas.all(d, has(d.fixed) || "
            "(has(d.min) ? double(d.min) : double(self.min)) < (has(d.max) ? double(d.max) : double(self.max)))",
            "min must be below max in every entry, where a bound that is absent is that of the space: correct the entry's min or max",
            "deltas",
        ),
    )
    min: Weight = Field(Decimal(0), description="The least weight of a delta.")
    max: Weight = Field(Decimal("1.5"), description="The greatest weight of a delta.")
    deltas: Annotated[list[DeltaSpace], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"})] | None = Field(
        None, description="Other bounds, fixed weights and groups for some deltas; the last entry that matches a delta counts."
    )


class StartPoint(Model):
    """A candidate that is tried early."""

    weights: HandWeights


class Stop(Model):
    """When a search ends before its trials are used up."""

    without_improvement: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="After this many trials in which the incumbent did not change."
    )
    after: Duration | None = Field(
        None,
        description="This long after its first trial began, such as 90s, 30m or 6h. Before it, evaluators wait for nodes and load; "
        "that does not count, nor does later time in which none is at work on the search.",
    )


class Search(Model):
    """How the weights are searched."""

    trials: Annotated[int, Field(ge=1, le=100_000)] = Field(30, description="Candidates to score, start points included.")
    parallelism: Annotated[int, Field(ge=1, le=256)] = Field(
        1,
        description="Evaluators that score at the same time. One gets candidates that are chosen from every result before them; with more, "
        "the next is chosen while trials run.",
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(0, description="The same seed and results give the same candidates.")
    optimizer: Optimizer | None = Field(None, description="Absent: bayesian up to 12 weights, optuna's TPE above.")
    space: Space = Field(
        default_factory=Space,
        description="The weights that may be chosen. After a change, trials outside it inform the search, and do not count or win.",
    )
    start: Annotated[list[StartPoint], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})] | None = Field(
        None, description="Your own candidates, tried early."
    )
    items: Annotated[int, Field(ge=2, le=1_000_000)] | None = Field(
        None,
        description="Search items a trial is scored on, drawn evenly from the sources; absent means all. Finalists are scored on all.",
    )
    finalists: Annotated[int, Field(ge=1, le=64)] = Field(
        3, description="How many of the best are scored on the whole search split, where the winner is chosen."
    )
    stop: Stop | None = Field(None, description="Ends the search before its trials are used up.")
    max_failed: Annotated[int, Field(ge=0, le=100_000)] = Field(5, description="More failed trials than this end the run.")
    max_deltas: Annotated[int, Field(ge=1, le=1000)] = Field(
        16, description="Of more deltas than this the oldest move together at their published weights."
    )
