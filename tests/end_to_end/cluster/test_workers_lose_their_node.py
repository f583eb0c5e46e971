"""A search whose kubelet falls silent for a while, and whose machine is then lost for good: it goes on where it was on a fresh one."""

from __future__ import annotations

import signal

import pytest

from cluster.node import Node
from support.cluster_place import Place
from support.pod_ends import PodEnds
from support.run_on_node import RunOnNode

pytestmark = pytest.mark.timeout(1800)

TRIALS = 100
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
"""By this taint an administrator vouches that nothing runs on a machine any more."""


def test_a_search_outlives_a_silent_kubelet_and_a_lost_machine(node: Node, tiny_place: Place) -> None:
    run, machine = RunOnNode(tiny_place, "lost"), node.machine
    with PodEnds(node.cluster.admin, tiny_place.namespace) as ends:
        run.apply(TRIALS, evaluate={"retries": 0})
        evaluators = run.catch_evaluators(2)
        node.sandbox.processes.kill("kubelet")
        run.until(lambda: not machine.is_ready(), "nobody misses the kubelet")
        run.signal(evaluators, signal.SIGCONT)
        # What the kubelet has started goes on without it: each scores another trial.
        assert [uid(pod) for pod in run.catch_evaluators(2)] == [uid(pod) for pod in evaluators]
        node.sandbox.processes.restart("kubelet")
        run.until(machine.is_ready, "the kubelet is not back")

        finished = run.finished()
        machine.lose()
        run.until(lambda: not machine.is_ready(), "nobody misses the machine")
        node.replace()
        assert not ends.of(run.name, "evaluate")
        node.cluster.kubectl("taint", "node", machine.name, OUT_OF_SERVICE)
        run.wait_published(TRIALS)

        assert finished.items() <= run.finished().items()
        assert ends.codes(run.name, "prepare") == [0]
        node.cluster.kubectl("delete", "node", machine.name)


def uid(pod: dict[str, dict[str, str]]) -> str:
    return pod["metadata"]["uid"]
