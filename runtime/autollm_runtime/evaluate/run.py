"""The evaluate task: score the trials of one slot as they appear until told to stop, or one trial by name."""

from __future__ import annotations

import logging

from autollm.contract.redaction import told
from autollm.contract.tasks import EvaluateTask
from autollm.errors import InputError, Interrupted, OutOfMemoryError, TemporaryError
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.store import AccessDeniedError, open_store
from autollm_runtime.evaluate.evaluator import Evaluator
from autollm_runtime.worker.context import Context
from autollm_runtime.worker.ending import is_device_lost

_log = logging.getLogger(__name__)

HANDOVER_SECONDS = 60.0
"""Within which an evaluator is asked to stop whose run has changed, and has trials already for the one that takes its place."""


def run_evaluate(task: EvaluateTask, context: Context) -> None:
    """Score trials one after the other; ends by an error alone, Interrupted where the task was asked to stop.

    A task that names its trial scores that one and returns; one that is gone or has its outcome costs nothing.

    A candidate that cannot be scored is a failed trial with its reason, and the next one is looked for. What concerns every
    trial ends the task instead, and leaves the trial to the next attempt: base, deltas or items that are damaged or do not
    fit (InputError), credentials that are not accepted (AccessDeniedError), a store that does not take the results (InputError) or
    does not answer (TemporaryError), memory for not even one item (OutOfMemoryError), an accelerator
    that does nothing more for this process.
    """
    single = context.trials.named(task.trial) if task.trial is not None else None
    if task.trial is not None and single is None:
        _log.info("the trial has its outcome, or is gone", extra={"trial": task.trial})
        return
    store = open_store(task.artifacts.uri, endpoint=task.artifacts.endpoint, region=task.artifacts.region)
    evaluator = Evaluator(task, store, context.scratch)
    _log.info("the evaluator is ready", extra={"slot": task.slot, "deltas": len(task.deltas)})
    if single is not None:
        _score(evaluator, single, context)
        return
    while True:
        context.check_stop()
        trial = context.trials.next(task.slot, task.run)
        if trial is None:
            context.trials.wait(context.stop)
        else:
            _score(evaluator, trial, context)


def _score(evaluator: Evaluator, trial: MergeTrial, context: Context) -> None:
    name = trial.metadata.name
    evaluator.prepare(trial.spec)
    # Loading and preparing concern every trial: only what kills the worker from here on may be this one's doing.
    with context.in_hand.scoring(name):
        _outcome(evaluator, trial, context)


def _outcome(evaluator: Evaluator, trial: MergeTrial, context: Context) -> None:
    name = trial.metadata.name
    try:
        scored = evaluator.score(trial, context.check_stop)
    except (Interrupted, TemporaryError, OutOfMemoryError, AccessDeniedError):
        raise
    except InputError as error:
        if error.reason == "LandscapeMismatch" and context.stop.wait(HANDOVER_SECONDS):
            context.check_stop()  # it is for the evaluator that comes
        _log.warning("the trial failed", extra={"trial": name, "reason": error.reason, "cause": str(error)})
        context.reports.failed_trial(name, Failure(reason=error.reason, message=told(str(error))))
    except Exception as error:
        if is_device_lost(error):
            raise  # the next trials would fail, too: another worker finds out whether it is this one's doing
        _log.exception("the trial failed unexpectedly", extra={"trial": name})
        message = f"{type(error).__name__}: {error}; the log of the evaluator has the traceback"
        context.reports.failed_trial(name, Failure(reason="InternalError", message=told(message)))
    else:
        context.reports.scored(name, evaluator.keep(scored))
