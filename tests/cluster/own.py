"""A cluster of one's own, for the session or for a test that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.binary import program
from cluster.cluster import Cluster
from cluster.control_plane import ControlPlane, control_plane


@contextmanager
def started(folder: Path) -> Iterator[Cluster]:
    """Run a control plane until the block ends."""
    with control_plane(folder) as plane:
        yield of(plane)


def of(plane: ControlPlane) -> Cluster:
    """The cluster of a control plane."""
    return Cluster(plane.kubeconfig, plane.folder, [str(program()), "kubectl"])
