"""A run in a namespace of a real cluster, and its children."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from support.documents import SHORTEST

if TYPE_CHECKING:
    from cluster.cluster import Cluster

Create = Callable[..., dict[str, Any]]


@pytest.fixture
def run(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """A run, as it was created."""
    return cluster.create(f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/autollmruns", SHORTEST)


@pytest.fixture
def create(cluster: Cluster, namespace: str, run: dict[str, Any]) -> Create:
    """Create a child of the run, or of nobody: `create(kind, name, spec, owned=True)`."""

    def of(kind: str, name: str, spec: dict[str, Any], *, owned: bool = True) -> dict[str, Any]:
        owner = {"apiVersion": run["apiVersion"], "kind": run["kind"], "name": run["metadata"]["name"]}
        owners = [owner | {"uid": run["metadata"]["uid"], "controller": True}] if owned else []
        path = f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/{kind.lower()}s"
        return cluster.create(path, {"kind": kind, "metadata": {"name": name, "ownerReferences": owners}, "spec": spec})

    return of
