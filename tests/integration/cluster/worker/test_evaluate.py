"""The real worker program, started as a pod starts it, scores trials of a real API server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autollm.contract import pod
from autollm.contract.tasks import EvaluateTask
from cluster.waiting import wait_until
from support.evaluation import Landscape, make_landscape

LONG = 480
"""Seconds within which a worker comes about that imports PyTorch, however busy the machine is."""

if TYPE_CHECKING:
    from cluster.cluster import Cluster

Create = Callable[..., dict[str, Any]]
RUN = "support-bot"


@contextmanager
def evaluator(cluster: Cluster, task: EvaluateTask, owner: dict[str, Any], folder: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the worker with the packed task, the token of a worker's ServiceAccount and the environment of its pod."""
    namespace = owner["metadata"]["namespace"]
    packed = folder / "task"
    packed.write_text(pod.pack_task(task.model_dump_json(by_alias=True, exclude_none=True).encode()))
    environment = {
        "PATH": os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
        "KUBECONFIG": str(cluster.kubeconfig_of(namespace)),
        pod.OWNER_UID: owner["metadata"]["uid"],
        **more,
    }
    program = [str(Path(sys.executable).with_name("autollm-runtime")), "evaluate", "--task", str(packed), "--namespace", namespace]
    command = [*program, "--termination", str(folder / "end"), "--scratch", str(folder / "scratch"), "--threads", "1"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log, cwd="/") as process:
        try:
            yield process
        finally:
            process.kill()


def spec_of(landscape: Landscape, name: str, weights: dict[str, str], slot: int) -> dict[str, Any]:
    document = landscape.trial(name, weights, slot=slot).document()
    spec: dict[str, Any] = document["spec"]
    return spec


def test_a_slot_of_a_real_evaluator(cluster: Cluster, run: dict[str, Any], create: Create, tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path, run=RUN)
    create("MergeTrial", "first", spec_of(landscape, "first", {"math/sft": "0.5"}, slot=1))
    create("MergeTrial", "elsewhere", spec_of(landscape, "elsewhere", {}, slot=0))

    def status(name: str) -> dict[str, Any]:
        path = f"/apis/autollm.dev/v1alpha1/namespaces/{run['metadata']['namespace']}/mergetrials/{name}"
        return cluster.admin.expect("GET", path).get("status", {})  # type: ignore[no-any-return]  # of JSON

    def has_ended(name: str) -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        return "conditions" in status(name)

    with evaluator(cluster, landscape.task, run, tmp_path, **{pod.COMPLETION_INDEX: "1"}) as process:
        wait_until(lambda: has_ended("first"), "the first trial is not scored", seconds=LONG)
        create("MergeTrial", "second", spec_of(landscape, "second", {}, slot=1) | {"number": 1})
        wait_until(lambda: has_ended("second"), "the second trial is not scored", seconds=LONG)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 143
    assert 0 < float(status("first")["score"]) < 1
    assert status("first")["results"].endswith("trials/support-bot/first.jsonl")
    assert status("second")["conditions"][0]["reason"] == "Scored"
    assert status("elsewhere") == {}
    assert json.loads((tmp_path / "end").read_text())["reason"] == "Interrupted"


def test_a_trial_made_by_hand_is_scored_and_the_worker_ends(cluster: Cluster, run: dict[str, Any], create: Create, tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path, run=RUN)
    trial = create("MergeTrial", "mine", {"run": RUN, "split": "Test", "weights": {"code/sft": "0.25"}}, owned=False)
    task = landscape.task.model_copy(update={"trial": "mine"})
    with evaluator(cluster, task, trial, tmp_path) as process:
        assert process.wait(LONG) == 0, (tmp_path / "log").read_text()
    path = f"/apis/autollm.dev/v1alpha1/namespaces/{run['metadata']['namespace']}/mergetrials/mine"
    status = cluster.admin.expect("GET", path)["status"]
    assert status["items"] == 9
    assert status["conditions"][0]["status"] == "True"
    assert json.loads((tmp_path / "end").read_text())["reason"] == "Completed"
