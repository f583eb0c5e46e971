"""Nodes and pods without containers, for tests of scheduling and of scale: kwok keeps the nodes alive and says that pods run and end.

Fake nodes are tainted, so that only pods that tolerate it come to them: other tests of the same cluster are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cluster.binary import program
from cluster.cluster import Cluster
from cluster.processes import Processes
from cluster.waiting import wait_until

TAINT = {"key": "autollm.dev/fake-node", "value": "true", "effect": "NoSchedule"}
TOLERATION = {"key": TAINT["key"], "operator": "Equal", "value": TAINT["value"], "effect": "NoSchedule"}
LASTS = "autollm.dev/lasts"
"""The annotation of a pod that says after how long it ends well, such as 2s; without it, it runs on."""

_OURS = "autollm.dev/fake"
_PHASE = ".status.phase"
_DELETED = ".metadata.deletionTimestamp"


@contextmanager
def fake_nodes(cluster: Cluster, count: int, capacity: Mapping[str, str]) -> Iterator[list[str]]:
    """Give a cluster nodes of a capacity, such as {"cpu": "64", "nvidia.com/gpu": "8"}, for the length of the block; yields their names."""
    stages = cluster.folder / "kwok.json"
    stages.write_text("\n---\n".join(json.dumps(stage) for stage in _stages()))
    names = [f"fake-{number}" for number in range(count)]
    processes = Processes(cluster.folder)
    processes.start(
        "kwok",
        *(program(), "kwok", "--kubeconfig", cluster.kubeconfig, "--config", stages),
        *("--manage-nodes-with-annotation-selector", f"{_OURS}=true", "--node-lease-duration-seconds", "40"),
    )
    try:
        for name in names:
            _make_node(cluster, name, {"pods": "1000", "memory": "1Ti"} | dict(capacity))
        wait_until(lambda: all(_is_ready(cluster, name) for name in names), f"fake nodes are not ready; see {processes.log('kwok')}")
        yield names
    finally:
        for name in names:
            cluster.admin.ask("DELETE", f"/api/v1/nodes/{name}")
        processes.stop()


def _make_node(cluster: Cluster, name: str, capacity: Mapping[str, str]) -> None:
    metadata = {"name": name, "annotations": {_OURS: "true"}, "labels": {"kubernetes.io/hostname": name}}
    status = {"capacity": capacity, "allocatable": capacity}
    cluster.create("/api/v1/nodes", {"kind": "Node", "metadata": metadata, "spec": {"taints": [TAINT]}, "status": status})


def _is_ready(cluster: Cluster, name: str) -> bool:
    node = cluster.admin.expect("GET", f"/api/v1/nodes/{name}")
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in node["status"].get("conditions", []))
    return ready and node["spec"].get("taints") == [TAINT]


def _stages() -> list[dict[str, Any]]:
    """What kwok does with nodes and pods, each as soon as its selector fits."""
    return [
        _stage("node-ready", "Node", [(".status.conditions.[].type", "NotIn", ["Ready"])], status=_NODE_STATUS),
        _stage("pod-runs", "Pod", [(_DELETED, "DoesNotExist", []), (_PHASE, "In", ["Pending"])], status=_RUNNING),
        _stage(
            "pod-ends",
            "Pod",
            [(_DELETED, "DoesNotExist", []), (_PHASE, "In", ["Running"]), (f'.metadata.annotations["{LASTS}"]', "Exists", [])],
            status=_ENDED,
            delay={"durationFrom": {"expressionFrom": f'.metadata.annotations["{LASTS}"]'}},
        ),
        _stage("pod-goes", "Pod", [(_DELETED, "Exists", [])]),
    ]


def _stage(
    name: str, kind: str, selector: list[tuple[str, str, list[str]]], *, status: str = "", delay: dict[str, Any] | None = None
) -> dict[str, Any]:
    expressions = [{"key": key, "operator": operator} | ({"values": values} if values else {}) for key, operator, values in selector]
    spec = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": expressions},
        "next": {"statusTemplate": status} if status else {"delete": True},
    }
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": spec | ({"delay": delay} if delay else {}),
    }


_NODE_STATUS = """
conditions:
- type: Ready
  status: "True"
  reason: Fake
  message: a node of tests
  lastHeartbeatTime: {{ Now | Quote }}
  lastTransitionTime: {{ Now | Quote }}
"""
_RUNNING = """
phase: Running
startTime: {{ Now | Quote }}
podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
conditions:
- {type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, ready: true, restartCount: 0, state: {running: {startedAt: {{ Now | Quote }}}}}
{{ end }}
"""
_ENDED = """
phase: Succeeded
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: false
  restartCount: 0
  state: {terminated: {exitCode: 0, reason: Completed, finishedAt: {{ Now | Quote }}}}
{{ end }}
"""
