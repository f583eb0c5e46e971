"""A cluster of their own: these tests install and remove what all of a cluster shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.binary import program
from cluster.cluster import Cluster
from cluster.control_plane import control_plane


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without nodes and without AutoLLM's CRDs."""
    with control_plane(tmp_path_factory.mktemp("empty")) as plane:
        cluster = Cluster(plane.kubeconfig, plane.folder, [str(program()), "kubectl"])
        cluster.kubectl("delete", "crds", "--all")
        yield cluster
