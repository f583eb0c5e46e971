"""An operator killed at random instants of a run: another goes on, and the run ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from cluster.cluster import Cluster
from support.cluster_run import ClusterRun
from support.operator_process import OperatorProcess, running_operator
from support.simulated_pods import SimulatedPods

KILLS = 500 if os.environ.get("AUTOLLM_SOAK") else 20
KILLS_A_RUN = 4
LONGEST_LIFE = 2.5


def test_the_same_final_state_whenever_it_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    undisturbed = finished(cluster, tmp_path / "undisturbed", kills=0, seed=0)
    for number in range(KILLS // KILLS_A_RUN):
        assert finished(cluster, tmp_path / str(number), kills=KILLS_A_RUN, seed=number) == undisturbed


def finished(cluster: Cluster, folder: Path, *, kills: int, seed: int) -> dict[str, object]:
    """Bring a run to its end with an operator that is killed so often, and return how it ended."""
    folder.mkdir()
    namespace = cluster.namespace()
    # One slot and random candidates: which results a candidate is made from then depends on no timing.
    run, drawn = ClusterRun(cluster, namespace), random.Random(seed)
    pods = SimulatedPods(cluster.admin, namespace, seconds=lambda what: 0.2)
    with running_operator(folder, cluster.kubeconfig, namespace) as operator, pods:
        run.apply(search={"parallelism": 1})
        for _ in range(kills):
            live(operator, run, drawn.uniform(0.5, LONGEST_LIFE))
            operator.kill()
            operator.start()
        run.wait("Succeeded", "True", "Published", seconds=120)
        operator.wait_ready()
    repeated = {work: times for work, times in Counter(pods.done).items() if times > 1}
    assert not repeated, repeated
    outcome = run.outcome()
    cluster.delete_namespace(namespace)
    return outcome


def live(operator: OperatorProcess, run: ClusterRun, seconds: float) -> None:
    """Let it live for a while after it has come up: killed while it only loads, it would never get anywhere."""
    operator.wait_ready()
    threading.Event().wait(seconds)


@pytest.fixture(autouse=True)
def _longer(request: pytest.FixtureRequest) -> None:
    request.node.add_marker(pytest.mark.timeout(600 if KILLS == 20 else 18000))
