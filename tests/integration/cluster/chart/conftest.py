"""A cluster of their own: these tests install and remove what all of a cluster shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.binary import program
from cluster.cluster import Cluster
from cluster.control_plane import control_plane


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without nodes and without AutoLLM's CRDs."""
    with _without_crds(tmp_path_factory.mktemp("empty")) as cluster:
        yield cluster


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Cluster]:
    """The same, for one test alone."""
    with _without_crds(tmp_path / "new") as cluster:
        yield cluster


@contextmanager
def _without_crds(folder: Path) -> Iterator[Cluster]:
    folder.mkdir(exist_ok=True)
    with control_plane(folder) as plane:
        cluster = Cluster(plane.kubeconfig, plane.folder, [str(program()), "kubectl"])
        cluster.kubectl("delete", "crds", "--all")
        yield cluster
