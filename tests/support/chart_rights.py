"""What the chart lets whom do, as a snapshot: nothing is added without being seen here."""

from __future__ import annotations

from typing import Any

Rights = set[tuple[str, str, str]]
"""Verb, `plural[/part][.group]`, and the one name it is limited to, or nothing."""

READ = ("get", "list", "watch")
RUNS, TRAININGS, TRIALS = KINDS = [f"{plural}.autollm.dev" for plural in ("autollmruns", "deltatrainings", "mergetrials")]
STATUSES = [f"{plural}/status.autollm.dev" for plural in ("autollmruns", "deltatrainings", "mergetrials")]


def rights(*resources: str, verbs: tuple[str, ...], name: str = "") -> Rights:
    """Return the right to do each of the verbs to each of the resources."""
    return {(verb, resource, name) for verb in verbs for resource in resources}


OPERATOR = (
    rights(RUNS, verbs=("list", "watch"))
    | rights(TRAININGS, TRIALS, verbs=(*READ, "create", "patch", "delete"))
    | rights("jobs.batch", verbs=(*READ, "create", "patch", "delete"))
    | rights(*STATUSES, verbs=("patch",))
    | rights("pods", verbs=("list", "watch"))
    | rights("pods/eviction", verbs=("create",))
    | rights("services", verbs=("create", "get"))
    | rights("events.events.k8s.io", verbs=("create",))
)
WORKER = rights(RUNS, TRAININGS, verbs=("get",)) | rights(TRIALS, verbs=READ) | rights(*STATUSES, verbs=("patch",))
LEASE = rights("leases.coordination.k8s.io", verbs=("create", "get", "patch"), name="autollm")
VIEW = rights(*KINDS, verbs=READ)
EDIT = rights(*KINDS, verbs=("create", "update", "patch", "delete", "deletecollection"))


def rules(held: Rights) -> list[dict[str, Any]]:
    """Return the rules of a Role that gives these rights."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": [verb]} | ({"resourceNames": [name]} if name else {})
        for verb, (resource, _, group), name in sorted((verb, what.partition("."), name) for verb, what, name in held)
    ]
