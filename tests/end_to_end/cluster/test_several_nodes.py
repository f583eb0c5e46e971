"""A training on several nodes, on a real kubelet: pods that find each other by the headless Service train one delta."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.cluster_place import Place
from support.pod_ends import PodEnds
from support.run_on_node import RunOnNode

pytestmark = pytest.mark.timeout(1200)


def test_two_pods_train_one_delta(tiny_place: Place) -> None:
    run = RunOnNode(tiny_place, "nodes")
    document = tiny_place.tiny_run(run.name, workers={"train": {"nodes": 2}}, search={"trials": 1})
    spec = document["spec"] | {"sources": document["spec"]["sources"][:1]}
    with PodEnds(tiny_place.node.cluster.admin, tiny_place.namespace) as ends:
        tiny_place.apply(document | {"spec": spec})
        run.until(lambda: bool(run.finished()), "no delta is trained")
        run.until(lambda: ends.codes(run.name, "train") == [0, 0], "not both of its pods have ended well")
    logs = [lines(tiny_place, end.pod) for end in ends.of(run.name, "train")]
    met = [(line["rank"], line["processes"]) for log in logs for line in log if "have met" in line["message"]]
    assert sorted(met) == [(0, 2), (1, 2)]
    tiny_place.node.cluster.kubectl("delete", "autollmrun", run.name, "-n", tiny_place.namespace, "--timeout=60s")


def lines(place: Place, pod: str) -> list[dict[str, Any]]:
    """Return what is ours of a pod's log: of what torchrun says, nothing is JSON."""
    said = place.node.cluster.kubectl("logs", pod, "-n", place.namespace).splitlines()
    return [json.loads(line) for line in said if line.startswith("{")]
