"""The status of a run: conditions, counts, the results table, the best weights, the revision."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autollm.resources.evaluation import Weights
from autollm.resources.facts import Count, ModelFact, Prepared, PublishedRevision, Text
from autollm.resources.metadata import Conditions
from autollm.resources.model import Model
from autollm.resources.values import Score


class DataCounts(Model):
    """How many records there are and why others are not."""

    records: Count
    dropped: Annotated[dict[Text, Count], Field(max_length=64)]
    chunks: Count


class DeltaCounts(Model):
    """How far the deltas are."""

    total: Count
    ready: Count
    reused: Count
    failed: Count


class TrialCounts(Model):
    """How far the search is."""

    total: Count
    succeeded: Count
    failed: Count
    running: Count


class Best(Model):
    """The incumbent."""

    trial: Annotated[str, Field(max_length=63)]
    score: Score
    standard_error: Score
    weights: Weights


class ScoredOn(Model):
    """A score on one split."""

    score: Score
    standard_error: Score
    items: Count


class Interval(Model):
    """A paired difference with its 95 % interval."""

    difference: Score
    low: Score
    high: Score


class ResultRow(Model):
    """One line of the results table."""

    name: Annotated[str, Field(max_length=96)]
    weights: Weights
    search: ScoredOn | None = None
    test: ScoredOn | None = None
    versus: Interval | None = Field(None, description="`auto` minus this row on the test split.")


class RunStatus(Model):
    """What is known of a run."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    conditions: Conditions | None = None
    model: ModelFact | None = None
    data: DataCounts | None = None
    deltas: DeltaCounts | None = None
    trials: TrialCounts | None = None
    best: Best | None = None
    results: (
        Annotated[
            list[ResultRow],
            Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        ]
        | None
    ) = None
    replaces: PublishedRevision | None = Field(
        None, description="The revision in use before this round's winner, and with which it is compared; written by the planner."
    )
    prepared: Prepared | None = Field(None, description="Written by the prepare task.")
    published: PublishedRevision | None = Field(None, description="Written by the publish task.")
