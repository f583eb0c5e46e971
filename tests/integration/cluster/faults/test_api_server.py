"""An API server that is away, slow or refuses, while a run goes on: it ends as if nothing had happened, and nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane, control_plane
from cluster.own import of
from cluster.proxy import Asked, Cut, Refusal, proxied, refusal
from cluster.waiting import wait_until
from support.cluster_run import ClusterRun
from support.operator_process import running_operator
from support.scene import Scene
from support.simulated_pods import SimulatedPods

AWAY = {"kube-apiserver": 65, "etcd": 65 if os.environ.get("AUTOLLM_SOAK") else 15}
"""Seconds; the operator's longest pause before it asks again is half of the longer one."""


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane that the test may break."""
    folder = tmp_path / "plane"
    folder.mkdir()
    with control_plane(folder) as plane:
        yield plane


@contextmanager
def scene_of(plane: ControlPlane, folder: Path) -> Iterator[Scene]:
    """An operator and workers on a control plane."""
    cluster = of(plane)
    namespace = cluster.namespace()
    pods = SimulatedPods(cluster.admin, namespace, seconds=lambda what: 0.5)
    with running_operator(folder, cluster.kubeconfig, namespace) as operator, pods:
        operator.wait_ready()
        yield Scene(ClusterRun(cluster, namespace), pods, operator)


@pytest.mark.parametrize("program", AWAY)
def test_away_for_a_while(own_plane: ControlPlane, tmp_path: Path, program: str) -> None:
    with scene_of(own_plane, tmp_path) as scene:
        scene.run.apply()
        scene.run.until(lambda: len(scene.pods.evaluators("demo")) == 2, "there are not two evaluators")
        own_plane.processes.kill(program)
        threading.Event().wait(AWAY[program])
        assert scene.operator.answers("/livez"), "an operator that is restarted meanwhile gains nothing"
        own_plane.processes.restart(program)
        wait_until(lambda: own_plane.admin.answers("/readyz"), f"{program} does not come back")
        scene.run.wait("Succeeded", "True", "Published")
        assert max(Counter(scene.pods.done).values()) == 1
        assert scene.run.status()["trials"]["succeeded"] == 6


def test_frozen_again_and_again(own_plane: ControlPlane, tmp_path: Path) -> None:
    with scene_of(own_plane, tmp_path) as scene:
        scene.run.apply()
        for _ in range(4):
            threading.Event().wait(1)
            own_plane.processes.send("kube-apiserver", signal.SIGSTOP)
            threading.Event().wait(4)
            own_plane.processes.send("kube-apiserver", signal.SIGCONT)
        scene.run.wait("Succeeded", "True", "Published")
        assert max(Counter(scene.pods.done).values()) == 1


REFUSALS = [
    refusal(409, "Conflict"),
    refusal(410, "Expired"),
    refusal(422, "Invalid"),
    refusal(429, "TooManyRequests", Retry_After="1"),
    refusal(500, "InternalError"),
    refusal(503, "ServiceUnavailable"),
]


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_fifth_request_fails(scene: Scene, tmp_path: Path, when: str) -> None:
    """Refused before it took effect, or cut off when it had."""
    drawn = random.Random(7)

    def fault(asked: Asked) -> Refusal | float | None:
        if asked.watches or drawn.random() > 0.2:
            return None
        if when == "after" or drawn.random() < 0.3:
            raise Cut
        return drawn.choice(REFUSALS)

    run = ClusterRun(scene.run.cluster, scene.run.namespace)
    scene.operator.kill()
    folder = tmp_path / "proxied"
    folder.mkdir()
    with proxied(run.cluster.kubeconfig, folder) as proxy, running_operator(folder, proxy.kubeconfig, run.namespace):
        setattr(proxy, when, fault)
        run.apply()
        run.wait("Succeeded", "True", "Published", seconds=400)
    assert max(Counter(scene.pods.done).values()) == 1
    assert run.status()["trials"] == {"total": 6, "succeeded": 6, "failed": 0, "running": 0}
