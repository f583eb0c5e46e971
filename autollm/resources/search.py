"""The space of weights and how it is searched."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.evaluation import Weights
from autollm.resources.model import Model, Rule, at_most_one
from autollm.resources.values import DeltaSelector, Duration, Name, Weight


class Bayesian(Model):
    """A Gaussian process with fitted noise and expected improvement; right for up to about 12 weights."""


class Optuna(Model):
    """Optuna's samplers."""

    sampler: Literal["TPE", "CMAES"] = "TPE"


class Random(Model):
    """Uniform candidates."""


class Optimizer(Model):
    """How candidates are chosen."""

    rules: ClassVar = (at_most_one("bayesian", "optuna", "random"),)
    bayesian: Bayesian | None = None
    optuna: Optuna | None = None
    random: Random | None = None


class DeltaSpace(Model):
    """What the weights of some deltas may be."""

    rules: ClassVar = (
        Rule(
            "!has(self.fixed) || (!has(self.min) && !has(self.max) && !has(self.group))", "a fixed weight has no min, max or group", "fixed"
        ),
        Rule("!has(self.min) || !has(self.max) || double(self.min) < double(self.max)", "min must be below max", "min"),
    )
    match: DeltaSelector
    min: Weight | None = None
    max: Weight | None = None
    fixed: Weight | None = None
    group: Name | None = Field(None, description="All deltas of a group share one weight.")


class Space(Model):
    """The weights that may be chosen; the last entry of `deltas` that matches a delta counts."""

    rules: ClassVar = (Rule("double(self.min) < double(self.max)", "min must be below max", "min"),)
    min: Weight = Decimal(0)
    max: Weight = Decimal("1.5")
    deltas: Annotated[list[DeltaSpace], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"})] | None = None


class StartPoint(Model):
    """A candidate that is tried early."""

    weights: Weights


class Stop(Model):
    """When a search ends before its trials are used up."""

    without_improvement: Annotated[int, Field(ge=1, le=100_000)] | None = None
    after: Duration | None = None


class Search(Model):
    """How the weights are searched."""

    trials: Annotated[int, Field(ge=1, le=100_000)] = Field(30, description="Candidates to score, start points included.")
    parallelism: Annotated[int, Field(ge=1, le=256)] = Field(1, description="Evaluators that score at the same time.")
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    optimizer: Optimizer | None = Field(None, description="Absent: bayesian up to 12 weights, optuna's TPE above.")
    space: Space = Field(default_factory=Space)
    start: Annotated[list[StartPoint], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"})] | None = None
    items: Annotated[int, Field(ge=2, le=1_000_000)] | None = Field(
        None,
        description="Search items a trial is scored on, drawn evenly from the sources; absent means all. The finalists are always scored on all.",
    )
    finalists: Annotated[int, Field(ge=1, le=64)] = Field(
        3, description="How many of the best are scored on the whole search split, where the winner is chosen."
    )
    stop: Stop | None = None
    max_failed: Annotated[int, Field(ge=0, le=100_000)] = Field(5, description="More failed trials than this end the run.")
    max_deltas: Annotated[int, Field(ge=1, le=1000)] = Field(
        16, description="Of more deltas than this the oldest move together at their published weights."
    )
