"""Landscapes: what a score depends on beside the weights. Only trials of one landscape are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from autollm.contract.digests import digest_document, short
from autollm.contract.keys import landscape_digest
from autollm.contract.layout import child_name
from autollm.contract.tasks import EvaluatedDelta, EvaluateTask
from autollm.plan.snapshot import Snapshot
from autollm.plan.trainings import loaded_model
from autollm.resources.facts import ItemsFact, Prepared
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.resources.run import RunSpec

OUTDATED = Failure(reason="Superseded", message="The run changed before this trial was scored.")
SUPERSEDED = OUTDATED.reason
"""The reason of all trials that were given up before they were scored."""

NON_FINITE = "NonFinite"
"""The reason of a failure that lies in the candidate itself and comes back however often it is scored."""


@dataclass(frozen=True)
class Landscapes:
    """The three of a run: where it searches (on a sample, if so asked), where finalists are ranked, and where the test is.

    Without a sample, `search` and `whole` are the same.
    """

    deltas: Mapping[str, str]
    sample: int | None
    search: str
    whole: str
    test: str

    def trials(self, snapshot: Snapshot, landscape: str) -> list[MergeTrial]:
        """Return the trials of one landscape by number, without those given up before they were scored.

        Without those to be tried once more either, except in the search, which has room for trials that fail.
        """
        searching = landscape == self.search
        found = [
            trial
            for trial in snapshot.trials
            if trial.spec.landscape == landscape and (not is_superseded(trial) if searching else not _is_void(snapshot, trial))
        ]
        return sorted(found, key=lambda trial: (trial.spec.place, trial.metadata.name))

    def contains(self, trial: MergeTrial) -> bool:
        """Say whether a trial belongs to the run as it is now."""
        return trial.spec.landscape in (self.search, self.whole, self.test)


def landscapes(spec: RunSpec, prepared: Prepared, deltas: Mapping[str, str]) -> Landscapes:
    """Return the landscapes of a run whose deltas have these keys."""
    asked = spec.search.items
    sample = asked if asked is not None and asked < prepared.search.count else None

    def digest(items: ItemsFact, drawn: int | None) -> str:
        return landscape_digest(
            base=prepared.model.digest,
            dtype=prepared.model.dtype,
            deltas=deltas,
            items=items.digest,
            sample=drawn,
            metrics=spec.evaluation.effective_metrics,
            max_tokens=spec.data.max_tokens,
        )

    return Landscapes(deltas, sample, digest(prepared.search, sample), digest(prepared.search, None), digest(prepared.test, None))


def evaluator(run: str, spec: RunSpec, prepared: Prepared, deltas: Mapping[str, str]) -> EvaluateTask:
    """Return the task of the evaluator in slot 0, which scores the trials of all three landscapes."""
    task = EvaluateTask(
        id="",
        run=run,
        slot=0,
        model=loaded_model(prepared.model, spec.model),
        deltas=[EvaluatedDelta(name=name, key=key) for name, key in deltas.items()],
        search=prepared.search,
        test=prepared.test,
        metrics=spec.evaluation.effective_metrics,
        max_tokens=spec.data.max_tokens,
        artifacts=spec.artifacts,
    )
    # Nine digits: with the number of the last slot, -255, the longest name just fits the 63 characters of a DNS label.
    return task.model_copy(update={"id": f"{run}-evaluate-{short(digest_document(task.document()), 9)}"})


def placed(trial: MergeTrial, slot: int) -> MergeTrial:
    """Return a trial for the evaluator in one slot."""
    return trial.model_copy(update={"spec": trial.spec.model_copy(update={"slot": slot})})


def trial_name(snapshot: Snapshot, asked: Mapping[str, object]) -> str:
    """Return the name of the trial of what is asked: always the same, but a new one where that trial is void."""
    names = (child_name(snapshot.name, digest_document({**asked, "again": again} if again else asked)) for again in count())
    return next(name for name in names if (found := snapshot.trial(name)) is None or not _is_void(snapshot, found))


def _is_void(snapshot: Snapshot, trial: MergeTrial) -> bool:
    """Say whether another takes the place of this one: it was given up, or failed before the run was asked for again."""
    failure = failure_of(trial)
    again = trial.metadata.name in snapshot.failed_before and failure is not None and failure.reason != NON_FINITE
    return is_superseded(trial) or again


def failure_of(trial: MergeTrial) -> Failure | None:
    """Return why a trial has no score."""
    return trial.status.failure if trial.status else None


def is_superseded(trial: MergeTrial) -> bool:
    """Say whether a trial was given up before it was scored."""
    failure = failure_of(trial)
    return failure is not None and failure.reason == SUPERSEDED


def is_pending(trial: MergeTrial) -> bool:
    """Say whether a trial has no outcome yet."""
    return trial.status is None or (trial.status.score is None and trial.status.failure is None)


def ranked(trials: Sequence[MergeTrial]) -> list[MergeTrial]:
    """Return the scored trials, the best first; of equal ones the earlier."""
    scored = [(trial.status.score, trial) for trial in trials if trial.status is not None and trial.status.score is not None]
    scored.sort(key=lambda pair: (pair[1].spec.place, pair[1].metadata.name))
    return [trial for _, trial in sorted(scored, key=lambda pair: pair[0], reverse=True)]  # which keeps the order of equal ones
