"""What kstatus makes of a custom resource that it does not know, and so what Flux waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def kstatus(document: Mapping[str, Any]) -> str:
    """Return InProgress, Failed, Current or Terminating (the rules of sigs.k8s.io/cli-utils, pkg/kstatus)."""
    metadata, status = document["metadata"], document.get("status") or {}
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != metadata["generation"]:
        return "InProgress"
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if conditions.get("Ready", "True") != "True" else "Current"
