"""How a run stands, by what the cache holds of it and of its children."""

from __future__ import annotations

from datetime import datetime

from autollm.contract.pod import GENERATION_LABEL
from autollm.plan.landscape import failure_of
from autollm.plan.problems import Problem
from autollm.plan.refresh import attempt
from autollm.plan.snapshot import Snapshot
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run import AutoLLMRun
from autollm_operator.api.resources import TRAININGS, TRIALS
from autollm_operator.cache.cache import Children
from autollm_operator.cache.parsed import LOOK_AGAIN_ANNOTATION, Parsed
from autollm_operator.reconcile.hands import Hands
from autollm_operator.reconcile.policy import refused_run
from autollm_operator.reconcile.tasks import task_states


def observe(hands: Hands, row: Parsed[AutoLLMRun], run: AutoLLMRun, now: datetime) -> Snapshot:
    """Return a run as it stands; children that are being deleted are gone already."""
    children = hands.cache.children(row.uid)
    trials = tuple(child.value for child in children.trials if child.value is not None and not child.deleting)
    owners = (row.uid, *(child.uid for child in children.trainings))
    present = attempt(row.generation, run.status)
    return Snapshot(
        run=run,
        trainings=tuple(child.value for child in children.trainings if child.value is not None and not child.deleting),
        trials=trials,
        tasks=tuple(task_states(hands.cache, owners, present, now)),
        # No look is taken from here: who has mended something says so.
        inputs_seen=(run.metadata.annotations or {}).get(LOOK_AGAIN_ANNOTATION, ""),
        exhausted=hands.suggesting.exhausted(row.uid),
        failed_before=frozenset(trial.metadata.name for trial in trials if _failed_before(trial, present)),
        refused=refused_run(run.spec, hands.settings) or _unreadable(children),
    )


def _failed_before(trial: MergeTrial, generation: int) -> bool:
    if failure_of(trial) is None:
        return False
    made_for = (trial.metadata.labels or {}).get(GENERATION_LABEL, "")
    return made_for.isascii() and made_for.isdigit() and int(made_for) < generation


def _unreadable(children: Children) -> Problem | None:
    for resource, rows in ((TRAININGS, children.trainings), (TRIALS, children.trials)):
        for row in rows:
            if row.value is None:
                message = f"This version of the operator cannot read the {resource.kind} {row.name}; upgrade it. {row.problem}"
                return Problem("NotReadable", message)
    return None
