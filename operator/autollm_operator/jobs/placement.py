"""On which nodes pods may run."""

from __future__ import annotations

from typing import Any

from autollm.resources.workers import Workers


def placement(workers: Workers) -> dict[str, Any]:
    """Return the fields of a pod's spec that choose its node, its queue's priority and its runtime; those not asked for are left out."""
    fields: dict[str, Any] = {}
    if workers.node_selector:
        fields["nodeSelector"] = dict(workers.node_selector)
    if workers.node_affinity:
        terms = [{"matchExpressions": [requirement.document() for requirement in workers.node_affinity]}]
        fields["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    if workers.tolerations:
        fields["tolerations"] = [toleration.document() for toleration in workers.tolerations]
    if workers.priority_class_name is not None:
        fields["priorityClassName"] = workers.priority_class_name
    if workers.runtime_class_name is not None:
        fields["runtimeClassName"] = workers.runtime_class_name
    return fields
