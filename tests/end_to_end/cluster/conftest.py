"""An S3 server beside the node's pods, and the operator as the chart installs it."""

from __future__ import annotations

import pytest

from cluster.node import Node
from cluster.store import Store, start_store
from support.cluster_place import Place, make_place
from support.tiny_run import write_tiny_run


@pytest.fixture(scope="session")
def store(node: Node) -> Store:
    """The S3 server that pods read from and publish to."""
    return start_store(node)


@pytest.fixture(scope="session")
def tiny_place(node: Node, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with what tiny runs read; a delta that one of them has trained, the others find in its artifacts."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_run(folder)
    place = make_place(node, store)
    store.put(place.bucket, folder)
    return place
