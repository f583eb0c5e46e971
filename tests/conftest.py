"""Real servers that several rooms' tests use."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from support.versitygw import S3Server, built_server

if TYPE_CHECKING:
    from cluster.cluster import Cluster
    from cluster.node import Node


NODE = "tests/end_to_end/cluster/"
LONG = (
    NODE,
    "tests/end_to_end/",
    "tests/integration/train/test_peers.py",
    "tests/integration/cluster/faults/",
    "tests/integration/images/",
)
"""What takes minutes: begun first, so that in the end nobody waits for one of them."""

# On a busy machine an example may take any time, and what fails has to fail again; new examples are looked for in soak.
settings.register_profile("tests", deadline=None, database=None, derandomize=not os.environ.get("AUTOLLM_SOAK"))
settings.load_profile("tests")

# What tests import stays: to look for garbage in it again and again took a fifth of the unit tests' time.
gc.disable()


class OneNode(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
    """The tests of a file run in one process, and all that need a node in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return NODE if nodeid.startswith(NODE) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Give whole files to processes where that is asked for; else the usual scheduler is taken."""
    return OneNode(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first, each file as it is."""
    items.sort(key=lambda item: next((place for place, begin in enumerate(LONG) if item.nodeid.startswith(begin)), len(LONG)))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Look for garbage in a process that only hands tests to others: it collects none itself."""
    if session.config.getoption("numprocesses", None):
        gc.enable()


def pytest_collection_finish() -> None:
    """Look for garbage in what comes from now on."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _leaves_the_variables_as_they_were() -> Iterator[None]:
    """Programs that are run within a test's process set their own: two threads left to PyTorch made later tests ten times as slow."""
    names = {*os.environ, "OMP_NUM_THREADS"} - {"PYTEST_CURRENT_TEST"}
    before = {name: os.environ.get(name) for name in names}
    yield
    assert {name: os.environ.get(name) for name in names} == before


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server for the whole session: `endpoint`, `access_key`, `secret_key`, `environment`, `make_bucket(name)`."""
    with built_server(tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kubernetes with AutoLLM's CRDs: that of KUBECONFIG, or a control plane without nodes, started for the session."""
    from cluster.cluster import Cluster
    from cluster.crds import install_crds
    from cluster.helm import kubectl
    from cluster.own import started

    folder = tmp_path_factory.mktemp("cluster")
    if given := os.environ.get("KUBECONFIG"):
        cluster = Cluster(Path(given), folder, [shutil.which("kubectl") or str(kubectl())])
        install_crds(cluster.admin)
        yield cluster
    else:
        with started(folder) as cluster:
            yield cluster


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A cluster of its own with a real node, which has the operator's and the runtime's images."""
    from cluster import node as nodes
    from cluster.python_images import operator_image, python_layer, runtime_image

    if reason := nodes.missing():
        pytest.fail(reason, pytrace=False)
    folder = tmp_path_factory.mktemp("node")
    images = tmp_path_factory.mktemp("images")
    python = python_layer(images)
    with nodes.node(folder) as started:
        for write in (operator_image, runtime_image):
            started.load(write(images, python))
        yield started
    shutil.rmtree(images, ignore_errors=True)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test, with the workers' ServiceAccount; nobody waits for its deletion."""
    name = cluster.namespace()
    yield name
    cluster.delete_namespace(name)
