"""Retries by cause: bad input never, being asked to stop or evicted free of charge, all else a few times."""

from __future__ import annotations

from typing import Any

from autollm.contract.exit_codes import FINAL, FREE
from autollm.contract.pod import CONTAINER


def pod_failure_policy() -> dict[str, Any]:
    """Return the rules, of which the first that fits a failed pod counts; where none does, the failure counts toward the limit."""
    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": _in(FINAL)},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "Ignore", "onExitCodes": _in(FREE)},
        ]
    }


def _in(codes: frozenset[int]) -> dict[str, Any]:
    return {"containerName": CONTAINER, "operator": "In", "values": sorted(int(code) for code in codes)}
