"""What is read of a pod: why it does not run, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from autollm_operator.cache.pods import one_line, pod_view
from autollm_operator.cache.views import Owner
from support.kubernetes_objects import Document, condition, ended, pod, pod_with, waiting

NO_NODE = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 3 No preemption victims found."
NOT_FOUND = 'rpc error: code = NotFound desc = failed to pull and unpack image "registry.test/runtime:1": not found'
UNSCHEDULED = condition("PodScheduled", "False", reason="Unschedulable", message=NO_NODE)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (pod(), ""),
        (pod(status={"conditions": [UNSCHEDULED]}), f"Its pod has no node yet (Unschedulable): {NO_NODE}"),
        (
            pod(status={"conditions": [condition("PodScheduled")]}),
            "Its container is being made: the image is pulled and volumes are mounted.",
        ),
        (waiting("ContainerCreating"), "Its container is being made: the image is pulled and volumes are mounted."),
        (waiting("ErrImagePull", NOT_FOUND), f"The image registry.test/runtime:1 cannot be pulled: {NOT_FOUND}"),
        (
            waiting("ImagePullBackOff", f'Back-off pulling image "registry.test/runtime:1": ErrImagePull: {NOT_FOUND}'),
            f"The image registry.test/runtime:1 cannot be pulled: {NOT_FOUND}",
        ),
        (
            waiting("ImagePullBackOff", 'Back-off pulling image "registry.test/runtime:1"'),
            "The image registry.test/runtime:1 cannot be pulled.",
        ),
        (
            waiting("CreateContainerConfigError", 'secret "s3-credentials" not found'),
            'Its container cannot be made (CreateContainerConfigError): secret "s3-credentials" not found',
        ),
        (pod_with({"running": {"startedAt": "2026-01-01T10:00:05Z"}}, "Running"), ""),
        (ended(1), ""),
    ],
)
def test_why_a_pod_waits(document: Document, told: str) -> None:
    assert pod_view(document).waiting == told


def test_a_pod_at_work() -> None:
    document = pod_with({"running": {"startedAt": "2026-01-01T10:00:05Z"}}, "Running")
    document["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = "3"
    view = pod_view(document)
    assert (view.index, view.phase, view.started) == (3, "Running", datetime(2026, 1, 1, 10, 0, 5, tzinfo=UTC))
    assert (view.exit_code, view.finished, view.disrupted) == (None, None, False)
    assert view.owner == Owner("Job", "demo-train-0123456789", "job-uid")


@pytest.mark.parametrize(
    ("document", "code", "because", "termination", "disrupted"),
    [
        (ended(0, "Completed"), 0, "Completed", "", False),
        (ended(42, termination='{"reason": "BadRecord", "message": "x"}'), 42, "Error", '{"reason": "BadRecord", "message": "x"}', False),
        (ended(137, "OOMKilled"), 137, "OOMKilled", "", False),
        (ended(143, "Error", "", condition("DisruptionTarget", reason="PreemptionByScheduler")), 143, "Error", "", True),
        (
            ended(137, "Error", "", reason="Evicted", message="The node was low on resource: ephemeral-storage."),
            137,
            "Evicted",
            "",
            True,
        ),
        (
            pod(status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
            None,
            "Evicted",
            "",
            True,
        ),
        (pod(status={"phase": "Failed", "reason": "NodeLost"}), None, "NodeLost", "", True),
    ],
)
def test_how_a_pod_ended(document: Document, code: int | None, because: str, termination: str, disrupted: bool) -> None:
    view = pod_view(document)
    assert (view.exit_code, view.ended_because, view.termination, view.disrupted) == (code, because, termination, disrupted)
    assert view.started is None


def test_containers_beside_the_worker_say_nothing() -> None:
    document = ended(0, "Completed")
    document["status"]["containerStatuses"].insert(0, {"name": "istio-proxy", "state": {"terminated": {"exitCode": 9, "reason": "Error"}}})
    assert pod_view(document).exit_code == 0


def test_what_others_write_is_one_short_printable_line() -> None:
    assert one_line("a\n\x1b[31mb\t c") == "a [31mb c"
    assert len(one_line("x" * 10_000)) == 512
    assert len(pod_view(ended(1, termination="x" * 10_000)).termination) == 4096
