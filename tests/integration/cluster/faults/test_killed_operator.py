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
from support.operator_process import running_operator
from support.simulated_pods import SimulatedPods

KILLS = 500 if os.environ.get("AUTOLLM_SOAK") else 20
KILLS_A_RUN = 4
SECONDS = 0.3
"""How long every piece of work takes."""


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], int]:
    """How the run ends whose operator nobody kills."""
    return finished(cluster, tmp_path_factory.mktemp("undisturbed"), [], random.Random())


@pytest.mark.parametrize("number", range(KILLS // KILLS_A_RUN))
def test_the_same_final_state_whenever_it_is_killed(
    cluster: Cluster, tmp_path: Path, undisturbed: tuple[dict[str, object], int], number: int
) -> None:
    drawn = random.Random(number)
    # Two pieces before its end a run cannot end between the look at it and the kill.
    kills = sorted(drawn.choices(range(undisturbed[1] - 2), k=KILLS_A_RUN))
    assert finished(cluster, tmp_path, kills, drawn) == undisturbed, f"killed after {kills} pieces of work"


def finished(cluster: Cluster, folder: Path, kills: list[int], drawn: random.Random) -> tuple[dict[str, object], int]:
    """Bring a run to its end; return how it ended, and how many pieces of work its workers did.

    Args:
        kills: The pieces of work after which the operator is killed, within the time that the next one takes.
        drawn: Where those instants come from.
    """
    namespace = cluster.namespace()
    # One slot and random candidates: which results a candidate is made from then depends on no timing.
    run = ClusterRun(cluster, namespace)
    pods = SimulatedPods(cluster.admin, namespace, seconds=lambda what: SECONDS)
    with running_operator(folder, cluster.kubeconfig, namespace) as operator, pods:
        run.apply(search={"parallelism": 1})
        for pieces in kills:
            # Killed while it only loads, it would never get anywhere.
            operator.wait_ready()
            run.until(lambda: len(pods.done) >= pieces, f"less than {pieces} pieces of work were done")  # noqa: B023 - waited for here
            threading.Event().wait(drawn.uniform(0, SECONDS))
            assert run.condition("Succeeded")[0] != "True", "it was not killed in a run, but after it"
            operator.kill()
            operator.start()
        run.wait("Succeeded", "True", "Published")
        operator.wait_ready()
    repeated = {work: times for work, times in Counter(pods.done).items() if times > 1}
    assert not repeated, repeated
    outcome = run.outcome()
    cluster.delete_namespace(namespace)
    return outcome, len(pods.done)
