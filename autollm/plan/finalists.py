"""Finalists: the few best of a search on a sample are scored on the whole search split, where the winner is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from autollm.contract.digests import digest_document
from autollm.plan.actions import EnsureTrial
from autollm.plan.evaluators import occupy
from autollm.plan.field import Field
from autollm.plan.landscape import is_pending, placed, ranked, trial_name
from autollm.plan.search import best_of
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Ended, Step, Verdict, Working
from autollm.plan.waiting import with_waits
from autollm.plan.weights import normal
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import ChildMetadata


@dataclass(frozen=True)
class Podium:
    """The finalists, the best first, once they are known; until then the step says what is to be done."""

    step: Step
    finalists: Sequence[MergeTrial] = ()


def rank_finalists(snapshot: Snapshot, field: Field, now: datetime) -> Podium:
    """Return the finalists ranked on the whole search split."""
    searched = filter(field.allows, field.landscapes.trials(snapshot, field.landscapes.search))
    found = _distinct(ranked(list(searched)))[: snapshot.spec.search.finalists]
    if field.landscapes.sample is None:
        return Podium(Step(fields={"best": best_of(found)}), found)
    existing = {_identity(trial): trial for trial in field.landscapes.trials(snapshot, field.landscapes.whole)}
    again = [existing.get(_identity(trial)) or _whole(snapshot, field, trial) for trial in found]
    missing = [trial for trial in again if _identity(trial) not in existing]
    if not missing and not any(is_pending(trial) for trial in again):
        best = ranked(again)
        if not best:
            message = "Not one of the best trials could be scored on the whole search split."
            return Podium(Step(Ended(False, "NoScores", message), (Verdict("SearchComplete", "False", "NoScores", message),)))
        return Podium(Step(fields={"best": best_of(best)}), best)
    slots = occupy(snapshot, field, now)
    if slots.failure is not None:
        failed = slots.failure
        verdict = Verdict("SearchComplete", "False", failed.reason, failed.message)
        return Podium(Step(Ended(False, failed.reason, failed.message), (verdict,)))
    ensured = tuple(EnsureTrial(placed(trial, slot)) for trial, slot in zip(missing, slots.free, strict=False))
    message = f"The best {len(again)} are scored on all {field.prepared.search.count} search items."
    working = Working("Ranking", with_waits(message, slots.waits))
    verdict = Verdict("SearchComplete", "Unknown", working.reason, working.message)
    return Podium(Step(working, (verdict,), (*slots.actions, *ensured), slots.tasks, look_again=slots.look_again))


def _distinct(trials: Sequence[MergeTrial]) -> list[MergeTrial]:
    found: dict[str, MergeTrial] = {}
    for trial in trials:
        found.setdefault(_identity(trial), trial)
    return list(found.values())


def _identity(trial: MergeTrial) -> str:
    return digest_document(normal(trial.spec.weights))


def _whole(snapshot: Snapshot, field: Field, trial: MergeTrial) -> MergeTrial:
    landscape = field.landscapes.whole
    spec = trial.spec.model_copy(update={"landscape": landscape, "items": None})
    name = trial_name(snapshot, {"landscape": landscape, "weights": normal(spec.weights)})
    return MergeTrial(metadata=ChildMetadata(name=name), spec=spec)
