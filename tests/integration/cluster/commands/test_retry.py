"""`autollm retry` with the operator at work: what failed is tried again, what is finished is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autollm.cli import main
from autollm.contract.exit_codes import ExitCode
from cluster.cluster import Cluster
from support.cluster_run import ClusterRun
from support.operator_process import running_operator
from support.scene import Scene
from support.simulated_pods import Ending, SimulatedPods

FULL = Ending(ExitCode.OUT_OF_GPU_MEMORY, "Error", '{"reason": "OutOfMemory", "message": "one record does not fit"}')


@pytest.fixture
def scene(cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    pods = SimulatedPods(cluster.admin, namespace, seconds=lambda what: 0.1)
    with running_operator(tmp_path, cluster.kubeconfig, namespace) as operator, pods:
        operator.wait_ready()
        yield Scene(ClusterRun(cluster, namespace), pods, operator)


def retry(scene: Scene, *options: str) -> Result:
    result = CliRunner().invoke(main, ["retry", "alr/demo", "-n", scene.run.namespace, *options])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("kind", ["Prepare", "Train"])
def test_a_run_that_failed_goes_on(scene: Scene, kind: str) -> None:
    scene.pods.fault = lambda task, attempt: FULL if task.kind == kind and attempt == 0 else None
    scene.run.apply()
    scene.run.wait("Succeeded", "False")
    assert "removed job/demo-" in retry(scene).stdout
    scene.run.wait("Succeeded", "True", "Published", seconds=300)
    assert max(Counter(scene.pods.done).values()) == 1


def test_looking_again_at_a_finished_run_repeats_no_training_and_no_trial(scene: Scene) -> None:
    scene.run.apply()
    scene.run.wait("Succeeded", "True", "Published", seconds=300)
    before, done = scene.run.outcome(), list(scene.pods.done)
    result = retry(scene, "--look-again")
    assert "The operator looks at sources and artifacts again." in result.stdout
    scene.run.until(lambda: bool(scene.pods.done[len(done) :]), "nothing is prepared again")
    scene.run.wait("Succeeded", "True", "Published", seconds=300)
    # It has been published all the time; its trainings come back one after the other.
    scene.run.until(lambda: len(scene.run.children("deltatrainings")) == len(before["trainings"]), "not all trainings are back")
    scene.run.until(lambda: scene.run.outcome()["deltas"]["ready"] == before["deltas"]["ready"], "not all deltas are ready")
    again = scene.pods.done[len(done) :]
    assert [name for name in again if "prepare" not in name] == []
    after = scene.run.outcome()
    assert after["scores"] == before["scores"]
    assert after["trainings"] == before["trainings"]
    assert after["deltas"] | {"reused": before["deltas"]["reused"]} == before["deltas"]
