"""The status of a run: conditions, counts, the results table, the best weights, the revision."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autollm.resources.evaluation import ShownWeights
from autollm.resources.facts import Count, ModelFact, Prepared, PublishedRevision, Text
from autollm.resources.metadata import Conditions
from autollm.resources.model import Model
from autollm.resources.values import Digest, Score


class DataCounts(Model):
    """How many records there are and why others are not."""

    records: Count = Field(description="Records that are used.")
    dropped: Annotated[dict[Text, Count], Field(max_length=64)] = Field(description="Records that are not, by reason.")
    chunks: Count = Field(description="Chunks they were cut into.")


class DeltaCounts(Model):
    """How far the deltas are."""

    total: Count = Field(description="Deltas that the run needs.")
    ready: Count = Field(description="Deltas that are in the artifacts.")
    reused: Count = Field(description="Of those, found rather than trained.")
    failed: Count = Field(description="Deltas whose training failed.")


class TrialCounts(Model):
    """How far the search is, by the trials whose weights `search.space` allows."""

    total: Count = Field(description="Trials that were made.")
    succeeded: Count = Field(description="Trials that have a score.")
    failed: Count = Field(description="Trials that failed.")
    running: Count = Field(description="Trials under way.")


class Best(Model):
    """The incumbent."""

    trial: Annotated[str, Field(max_length=63)] = Field(description="The trial's name.")
    score: Score = Field(description="Its score on the search split.")
    standard_error: Score = Field(description="The score's standard error.")
    weights: ShownWeights = Field(description="Its weights; of more than 64, the 16 largest.")


class ScoredOn(Model):
    """A score on one split."""

    score: Score = Field(description="Between 0 and 1; higher is better.")
    standard_error: Score = Field(description="The score's standard error.")
    items: Count = Field(description="Items it was scored on.")


class Interval(Model):
    """A paired difference with its 95 % interval."""

    difference: Score = Field(description="The mean of the differences, item by item.")
    low: Score = Field(description="The interval's lower end.")
    high: Score = Field(description="The interval's upper end.")


class ResultRow(Model):
    """One line of the results table."""

    name: Annotated[str, Field(max_length=96)] = Field(
        description="`base`, `all`, `average`, `published`, `auto`, a delta's name, or your own."
    )
    weights: ShownWeights = Field(description="The candidate; of more than 64 weights, the 16 largest.")
    search: ScoredOn | None = Field(None, description="Its score on the search split.")
    test: ScoredOn | None = Field(None, description="Its score on the test split.")
    versus: Interval | None = Field(None, description="`auto` minus this row on the test split.")


class RefreshStatus(Model):
    """The round that a run with `refresh` is in."""

    round: Annotated[int, Field(ge=1)] = Field(description="Its number, from 1.")
    begun: Annotated[str, Field(max_length=64)] = Field(description="When it was begun.")
    next: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="When the next one begins, if this one has ended by then; absent: there will be none."
    )


class SearchClock(Model):
    """How long a search has been under way."""

    landscape: Digest = Field(description="Where it searches.")
    begun: Annotated[str, Field(max_length=64)] = Field(
        description="When its first trial was made, and later by the time for which no evaluator has been at work on it since."
    )
    stopped: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Since when no evaluator is at work on it; absent: one is."
    )


class RunStatus(Model):
    """What is known of a run."""

    observed_generation: Annotated[int, Field(ge=0)] | None = Field(None, description="The generation of the spec that this status is of.")
    conditions: Conditions | None = Field(
        None,
        description="What is true of it now, from Validated to Succeeded, in the form of metav1.Condition.",
    )
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
    ) = Field(None, description="The results table.")
    clock: SearchClock | None = Field(None, description="How long the search has been under way, where `search.stop.after` asks for that.")
    refresh: RefreshStatus | None = Field(None, description="How often the sources were looked at, where `spec.refresh` asks for that.")
    replaces: PublishedRevision | None = Field(
        None, description="The revision in use before this round's winner, and with which it is compared; written by the planner."
    )
    prepared: Prepared | None = Field(None, description="Written by the prepare task.")
    published: PublishedRevision | None = Field(None, description="Written by the publish task.")
