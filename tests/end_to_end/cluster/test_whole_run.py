"""From `kubectl apply` to a published model, on a real kubelet: the operator as a pod, workers as Jobs in restricted pods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.node import Node
from cluster.store import Store
from cluster.waiting import wait_until
from support.cluster_place import Place, load_with_transformers, make_place
from support.prometheus import Prometheus, prometheus
from support.tiny_run import write_tiny_run
from support.versitygw import KEYS

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def place(node: Node, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where a run with a tiny model has come to its end."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_run(folder)
    place = make_place(node, store)
    store.put(place.bucket, folder)
    place.apply(place.tiny_run())
    condition = place.wait_for_end("tiny", seconds=900)
    assert condition["status"] == "True", f"{condition}\n{place.described()}"
    return place


def test_the_winner_is_published_and_loads_with_nothing_of_ours(place: Place) -> None:
    status = place.run("tiny")["status"]
    table = {row["name"]: row for row in status["results"]}
    assert set(table) >= {"base", "count/sft", "echo/sft", "average", "auto"}
    assert float(table["base"]["versus"]["low"]) > 0
    load_with_transformers(place.revision("tiny"))


def test_every_worker_ended_well_and_its_log_is_kept(place: Place) -> None:
    kubectl = place.node.cluster.kubectl
    jobs = json.loads(kubectl("get", "jobs", "-n", place.namespace, "-o", "json"))["items"]
    kinds = sorted(job["metadata"]["labels"]["autollm.dev/task"] for job in jobs)
    assert kinds == ["prepare", "publish", "train", "train"], (
        "the evaluators leave when the search is over, the others when their time is up"
    )
    for job in jobs:
        name = job["metadata"]["name"]
        kubectl("wait", "--for=condition=Complete", f"job/{name}", "-n", place.namespace, "--timeout=60s")
        assert kubectl("logs", f"job/{name}", "-n", place.namespace) is not None


def test_no_secret_is_to_be_seen(place: Place) -> None:
    kubectl = place.node.cluster.kubectl
    seen = kubectl("get", "autollm,jobs,pods,events,configmaps", "-n", place.namespace, "-o", "yaml")
    pods = kubectl("get", "pods", "-n", place.namespace, "-o", "name").split()
    seen += "".join(kubectl("logs", pod, "-n", place.namespace) for pod in pods)
    assert len(pods) >= 5
    assert KEYS["ROOT_ACCESS_KEY"] not in seen
    assert KEYS["ROOT_SECRET_KEY"] not in seen


def test_prometheus_sees_what_the_status_says(place: Place, tmp_path: Path) -> None:
    pods = json.loads(
        place.node.cluster.kubectl("get", "pods", "-n", place.namespace, "-l", "app.kubernetes.io/name=autollm", "-o", "json")
    )
    port = place.node.sandbox.forward(8080, pods["items"][0]["status"]["podIP"])
    best = float(place.run("tiny")["status"]["best"]["score"])
    with prometheus(tmp_path, targets=[f"127.0.0.1:{port}"]) as server:
        wait_until(
            lambda: _told(server) == [(place.namespace, "tiny", best)],
            f"Prometheus does not say that {best} is the best score",
        )


def _told(server: Prometheus) -> list[tuple[str, str, float]]:
    return [(labels["namespace"], labels["run"], score) for labels, score in server.query("autollm_run_best_score")]


def test_a_deleted_run_takes_its_children_along_and_leaves_its_models(place: Place) -> None:
    revision = place.revision("tiny")
    place.node.cluster.kubectl("delete", "autollmrun", "tiny", "-n", place.namespace, "--timeout=60s")
    for kind in ("deltatraining", "mergetrial", "job"):
        place.node.cluster.kubectl("wait", "--for=delete", kind, "--all", "-n", place.namespace, "--timeout=120s")
    assert (revision / "model.safetensors").exists()
