"""What tests of the life of a run start from: a run, simulated workers and an operator, in a namespace of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.cluster import Cluster
from support.cluster_run import ClusterRun
from support.operator_process import running_operator
from support.scene import Scene
from support.simulated_pods import SimulatedPods


@pytest.fixture
def scene(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    """An operator that is ready, and workers that take a tenth of a second for everything."""
    pods = SimulatedPods(cluster.admin, namespace, seconds=lambda what: 0.1)
    with running_operator(tmp_path, cluster.kubeconfig, namespace) as operator, pods:
        operator.wait_ready()
        yield Scene(ClusterRun(cluster, namespace), pods, operator)
