"""Retries by cause: bad input never; eviction, and a server that is away, free of charge until the deadline; all else a few times."""

from __future__ import annotations

from typing import Any

from autollm.contract.exit_codes import FINAL, FREE, ExitCode
from autollm.contract.pod import CONTAINER
from autollm.contract.tasks import AnyTask, PinTask, PrepareTask, TrainTask


def pod_failure_policy(task: AnyTask) -> dict[str, Any]:
    """Return the rules, of which the first that fits a failed pod counts; where none does, the failure counts toward the limit.

    What a preparation has reached and later workers do not is away for a while; what none has reached may be a wrong address.
    """
    free = FREE | {ExitCode.UNAVAILABLE} if _is_prepared(task) else FREE
    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": _in(FINAL)},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "Ignore", "onExitCodes": _in(free)},
        ]
    }


def _is_prepared(task: AnyTask) -> bool:
    """Say whether a preparation came before; none does before a pin, and before a training that somebody made by hand, its own run."""
    return not isinstance(task, PrepareTask | PinTask) and not (isinstance(task, TrainTask) and task.run == task.training)


def _in(codes: frozenset[int]) -> dict[str, Any]:
    return {"containerName": CONTAINER, "operator": "In", "values": sorted(int(code) for code in codes)}
