"""What a plan asks for. Every action may be carried out twice: the second time finds it done."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from autollm.contract.digests import digest_document
from autollm.contract.layout import child_name
from autollm.contract.tasks import EvaluateTask, PinTask, PrepareTask, PublishTask, TrainTask
from autollm.plan.weights import exact_weights
from autollm.resources.delta_training import DeltaTraining, DeltaTrainingStatus
from autollm.resources.merge_trial import MergeTrial, MergeTrialSpec
from autollm.resources.metadata import ChildMetadata, Failure
from autollm.resources.model import Model
from autollm.resources.workers import Workers
from autollm.search.trials import Request, Suggestion


@dataclass(frozen=True)
class EnsureTraining:
    """Create a DeltaTraining."""

    training: DeltaTraining


@dataclass(frozen=True)
class SetTrainingStatus:
    """Write the status fields of a DeltaTraining that the planner owns."""

    name: str
    status: DeltaTrainingStatus


@dataclass(frozen=True)
class SetTrainingWorkers:
    """Say anew what the pods of a DeltaTraining may use; one at work keeps what it has."""

    name: str
    workers: Workers


@dataclass(frozen=True)
class EnsureTask:
    """Run a task until it has succeeded, or failed for good; of evaluators, one that scores the trial it names and ends."""

    task: PrepareTask | TrainTask | EvaluateTask | PublishTask | PinTask


@dataclass(frozen=True)
class EnsureEvaluators:
    """Keep one evaluator in each of `size` slots at work and none in another; slot i gets the template with its own number."""

    template: EvaluateTask
    size: int


@dataclass(frozen=True)
class StopTask:
    """Let a task save what it has and stop; of evaluators, all of them."""

    id: str


@dataclass(frozen=True)
class RestartEvaluator:
    """Replace the evaluator of one slot, which hangs."""

    id: str
    slot: int


@dataclass(frozen=True)
class AskCandidate:
    """Ask the optimiser for a candidate and create the MergeTrial that `candidate_trial` makes of the answer.

    Without a slot it is asked ahead: nothing is created, and the answer is kept until a plan asks the same with the slot that became free.
    """

    run: str
    landscape: str
    items: int | None
    slot: int | None
    request: Request

    def is_answered_by(self, earlier: AskCandidate) -> bool:
        """Say whether the answer to an earlier question is one to this: the same trial, though more results may be known by now."""
        return (self.run, self.landscape) == (earlier.run, earlier.landscape) and self.request.asks_the_same(earlier.request)


@dataclass(frozen=True)
class EnsureTrial:
    """Create a MergeTrial."""

    trial: MergeTrial


@dataclass(frozen=True)
class FailTrial:
    """Write a failure in place of the result of a trial; a result that is there already stands."""

    name: str
    failure: Failure


@dataclass(frozen=True)
class DeleteTraining:
    """Delete a DeltaTraining; its delta stays in the artifacts."""

    name: str


@dataclass(frozen=True)
class DeleteTrial:
    """Delete a MergeTrial; its per-item results stay in the artifacts."""

    name: str


Action = (
    EnsureTraining
    | SetTrainingStatus
    | SetTrainingWorkers
    | EnsureTask
    | EnsureEvaluators
    | StopTask
    | RestartEvaluator
    | AskCandidate
    | EnsureTrial
    | FailTrial
    | DeleteTraining
    | DeleteTrial
)


def candidate_trial(ask: AskCandidate, suggestion: Suggestion) -> MergeTrial:
    """Return the trial of a suggested candidate, for the slot that it was asked for; asked twice for one number, it has the same name."""
    number = ask.request.number
    return MergeTrial(
        metadata=ChildMetadata(name=child_name(ask.run, digest_document({"landscape": ask.landscape, "number": number}))),
        spec=MergeTrialSpec(
            run=ask.run,
            name=suggestion.name,
            landscape=ask.landscape,
            split="Search",
            items=ask.items,
            weights=exact_weights(suggestion.weights),
            number=number,
            slot=ask.slot,
            origin=suggestion.origin,
        ),
    )


def describe(action: Action) -> dict[str, Any]:
    """Return an action as JSON values, for logs and tests."""
    values = ((field.name, getattr(action, field.name)) for field in fields(action))
    return {"action": type(action).__name__} | {
        name: value.document() if isinstance(value, Model | Request) else value for name, value in values
    }
