"""The task documents: one JSON file tells a worker all that it is to do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from autollm.resources.delta_training import DeltaTrainingSpec, LoadedModel
from autollm.resources.evaluation import Metric, Weights
from autollm.resources.facts import ItemsFact, ModelFact
from autollm.resources.model import Model
from autollm.resources.run import Artifacts, Keep, RevisionName, RunSpec
from autollm.resources.run_status import ResultRow
from autollm.resources.values import DeltaName, Digest, Score


class Task(Model):
    """What every task has: the run it works for, and the id under which its engine knows it."""

    id: str
    run: str


class PrepareTask(Task):
    """Read the sources, cut the chunks, resolve the base model, look which deltas exist; reports `Prepared` on the run.

    `known` is the digest of the revision of which the run's status says already what is merged in it; `last` is the base model as the
    run was prepared with it before, whose number format stays.
    """

    kind: Literal["Prepare"] = "Prepare"
    key: Digest
    known: Digest | None = None
    last: ModelFact | None = None
    spec: RunSpec


class TrainTask(Task):
    """Train one delta; reports `Progress` and `TrainedDelta` on the DeltaTraining named `training`."""

    kind: Literal["Train"] = "Train"
    training: str
    spec: DeltaTrainingSpec


class EvaluatedDelta(Model):
    """A delta that an evaluator holds in memory."""

    name: DeltaName
    key: Digest


class EvaluateTask(Task):
    """Score the MergeTrials of one slot as they appear, until told to stop; reports a `TrialResult` or a failure on each.

    With `trial`, score the MergeTrial of that name alone, which somebody made by hand and which has no slot, and end.
    """

    kind: Literal["Evaluate"] = "Evaluate"
    slot: int
    trial: str | None = None
    model: LoadedModel
    deltas: list[EvaluatedDelta]
    search: ItemsFact
    test: ItemsFact
    metrics: list[Metric]
    max_tokens: int
    artifacts: Artifacts


class MergedDelta(EvaluatedDelta):
    """A delta with the weight it is published at."""

    weight: Score


class PublishTask(Task):
    """Merge, write, verify, then move `latest`; reports `PublishedRevision` on the run.

    `replaces` is the revision that was in use when the winner was chosen: the same winner after another one is a new revision.
    """

    kind: Literal["Publish"] = "Publish"
    model: LoadedModel
    deltas: list[MergedDelta]
    weights: Weights
    trial: str
    results: list[ResultRow]
    data: Digest
    spec: RunSpec
    artifacts: Artifacts
    as_of: Digest | None = None
    replaces: RevisionName | None = None
    keep: Keep | None = None


class PinTask(Task):
    """Point `latest` at a revision that was published before; reports `PublishedRevision` on the run."""

    kind: Literal["Pin"] = "Pin"
    revision: str
    as_of: Digest | None = None
    artifacts: Artifacts


AnyTask = Annotated[PrepareTask | TrainTask | EvaluateTask | PublishTask | PinTask, Field(discriminator="kind")]
TASK: TypeAdapter[AnyTask] = TypeAdapter(AnyTask)
"""Reads a task document of any kind."""


def in_slot(template: EvaluateTask, slot: int) -> EvaluateTask:
    """Return the task of the evaluator in one slot."""
    return template.model_copy(update={"id": f"{template.id}-{slot}", "slot": slot})
