"""The security contexts of the restricted Pod Security Standard, and a file system that nobody can write to but where it is meant to be."""

from __future__ import annotations

from typing import Any

from autollm_operator.settings import WorkerDefaults


def pod_security_context(defaults: WorkerDefaults) -> dict[str, Any]:
    """Return the pod's: no root, the runtime's own seccomp profile, and volumes that its group can write to."""
    context: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if defaults.run_as_user is not None:
        context |= {"runAsUser": defaults.run_as_user, "runAsGroup": defaults.run_as_user}
    if defaults.fs_group is not None:
        # A cache of a terabyte whose group is right already is not walked through for every pod.
        context |= {"fsGroup": defaults.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    return context


def container_security_context() -> dict[str, Any]:
    """Return the container's."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": False, "readOnlyRootFilesystem": True}
