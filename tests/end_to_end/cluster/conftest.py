"""An S3 server beside the node's pods, and the operator as the chart installs it."""

from __future__ import annotations

import pytest

from cluster.node import Node
from cluster.store import Store, start_store


@pytest.fixture(scope="session")
def store(node: Node) -> Store:
    """The S3 server that pods read from and publish to."""
    return start_store(node)
