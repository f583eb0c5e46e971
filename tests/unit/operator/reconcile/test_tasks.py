"""How tasks are doing, by their Jobs and pods: what they wait for, and why they failed, with the field to change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from autollm.plan.snapshot import TaskState
from autollm.resources.metadata import Failure
from autollm_operator.cache.jobs import job_view
from autollm_operator.cache.pods import pod_view
from autollm_operator.reconcile.tasks import is_stale, task_state
from support.kubernetes_objects import Document, condition, ended, job, job_with, pod, pod_with

NOW = datetime(2026, 1, 1, 10, 5, tzinfo=UTC)
OUT_OF_RETRIES = condition("Failed", reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit")
BY_POLICY = condition(
    "Failed",
    reason="PodFailurePolicy",
    message="Container worker for pod team-a/first failed with exit code 42 matching FailJob rule at index 0",
)
TOO_LATE = condition("Failed", reason="DeadlineExceeded", message="Job was active longer than specified deadline")
DISRUPTED = condition("DisruptionTarget", reason="EvictionByEvictionAPI")
STOPPED = '{"reason": "Interrupted", "message": "saved"}'
AWAY = '{"reason": "StoreUnavailable", "message": "No answer."}'


def named(document: Document, name: str, finished: str = "2026-01-01T10:30:00Z") -> Document:
    document["metadata"]["name"] = name
    for told in document["status"].get("containerStatuses", []):
        told["state"].get("terminated", {})["finishedAt"] = finished
    return document


def leaving(gone_by: str, phase: str = "Running") -> Document:
    document = pod_with({"running": {"startedAt": "2026-01-01T10:00:00Z"}}, phase)
    document["metadata"]["deletionTimestamp"] = gone_by
    document["spec"]["nodeName"] = "node-7"
    return document


def state(document: Document, *pods: Document) -> TaskState:
    return task_state(job_view(document), [pod_view(one) for one in pods], NOW)


class TestPhase:
    @pytest.mark.parametrize(
        ("document", "phase"),
        [
            (job(), "Running"),
            (job(spec={"suspend": True}), "Running"),
            (job_with(condition("FailureTarget", reason="PodFailurePolicy")), "Running"),
            (job_with(condition("Complete", reason="CompletionsReached")), "Succeeded"),
            (job_with(OUT_OF_RETRIES), "Failed"),
            (job(metadata={"deletionTimestamp": "2026-01-01T10:00:00Z"}), "Running"),
            (job(metadata={"deletionTimestamp": "2026-01-01T10:00:00Z"}, status={"conditions": [OUT_OF_RETRIES]}), "Running"),
        ],
    )
    def test_runs_until_it_is_decided_and_gone(self, document: Document, phase: str) -> None:
        assert state(document).phase == phase

    def test_a_failure_for_an_earlier_spec_is_stale(self) -> None:
        failed = job_view(job_with(OUT_OF_RETRIES))
        assert [is_stale(failed, generation) for generation in (3, 4)] == [False, True]
        assert not is_stale(job_view(job()), 4)


def worker(index: int, state: Document, phase: str, **status: object) -> Document:
    document = pod_with(state, phase)
    document["metadata"] |= {"name": f"w{index}"}
    document["metadata"]["labels"] = {"batch.kubernetes.io/job-completion-index": str(index)}
    document["status"] |= status
    return document


RUNS = {"running": {"startedAt": "2026-01-01T10:00:00Z"}}
NO_ROOM = [condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes have room.")]


class TestSlots:
    def test_those_whose_worker_runs(self) -> None:
        leaving = worker(2, {"running": {"startedAt": "2026-01-01T10:00:00Z"}}, "Running")
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T10:01:00Z"
        seen = state(
            job(spec={"parallelism": 4}),
            worker(0, {"running": {"startedAt": "2026-01-01T10:00:00Z"}}, "Running"),
            worker(1, {"waiting": {"reason": "ContainerCreating"}}, "Pending"),
            leaving,
            worker(3, {"running": {"startedAt": "2026-01-01T10:00:09Z"}}, "Running"),
        )
        assert seen.size == 4
        assert {slot: begun.second for slot, begun in seen.slots.items()} == {0: 0, 3: 9}

    def test_since_when_the_others_are_vacant(self) -> None:
        def at(document: Document, **moments: str) -> Document:
            document["metadata"] |= moments
            return document

        seen = state(
            job(
                spec={"parallelism": 5}, metadata={"labels": {"autollm.dev/task": "evaluate"}}, status={"startTime": "2026-01-01T10:00:00Z"}
            ),
            worker(0, RUNS, "Running"),
            at(worker(1, {}, "Pending"), creationTimestamp="2026-01-01T10:01:00Z"),
            worker(2, {"terminated": {"exitCode": 137, "finishedAt": "2026-01-01T10:02:00Z"}}, "Failed"),
            at(worker(3, RUNS, "Running"), deletionTimestamp="2026-01-01T10:03:00Z"),
        )
        assert {slot: since.minute for slot, since in seen.vacant.items()} == {1: 1, 2: 2, 3: 3, 4: 0}


class TestWaiting:
    @pytest.mark.parametrize(
        ("document", "pods", "told"),
        [
            (job(spec={"suspend": True}), [], "queued"),
            (
                job(),
                [pod(status={"conditions": [condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes")]})],
                "0/3 nodes",
            ),
            (job(), [pod_with({"running": {"startedAt": "2026-01-01T10:00:00Z"}}, "Running")], ""),
            (job(), [], "kubectl describe job --namespace team-a demo-train-0123456789"),
            (job(status={"startTime": "2026-01-01T10:04:50Z"}), [], ""),
            (job(), [ended(137, "OOMKilled")], "ended with exit code 137 (OOMKilled); Kubernetes makes another"),
            (job(), [ended(69, termination=AWAY)], "later each time. StoreUnavailable: No answer."),
            (job(metadata={"deletionTimestamp": "2026-01-01T10:00:00Z"}), [], "stops"),
            (job_with(OUT_OF_RETRIES), [], ""),
            (job(), [leaving("2026-01-01T10:06:00Z")], "saves what it has and stops; Kubernetes then makes another"),
            (job(), [leaving("2026-01-01T10:04:01Z")], "saves what it has and stops"),
            (job(), [leaving("2026-01-01T10:04:00Z")], "`kubectl delete node node-7` lets another pod begin"),
            (job(), [leaving("2026-01-01T10:04:00Z", "Failed")], "ended with no exit code"),
            (job(metadata={"deletionTimestamp": "2026-01-01T10:00:00Z"}), [leaving("2026-01-01T10:04:00Z")], "kubectl delete node node-7"),
            (job(), [leaving("2026-01-01T10:04:00Z"), pod_with({"running": {}}, "Running")], "kubectl delete node node-7"),
            (
                job(spec={"parallelism": 3}),
                [worker(0, RUNS, "Running"), worker(1, {}, "Pending", conditions=NO_ROOM), worker(2, RUNS, "Running")],
                "Its pod has no node yet (Unschedulable): 0/3 nodes have room. 2 of 3 pods run.",
            ),
            (job(spec={"parallelism": 2}), [worker(0, RUNS, "Running"), worker(1, {}, "Pending")], "1 of 2 pods run"),
        ],
    )
    def test_what_for(self, document: Document, pods: list[Document], told: str) -> None:
        waiting = state(document, *pods).waiting
        assert told in waiting
        assert bool(told) == bool(waiting)


class TestFailure:
    @pytest.mark.parametrize(
        ("document", "pods", "reason", "told"),
        [
            (
                job_with(BY_POLICY),
                [
                    named(ended(42, termination='{"reason": "NoChatTemplate", "message": "Add chat_template.jinja."}'), "first"),
                    named(ended(1), "last", "2026-01-01T10:40:00Z"),
                ],
                "NoChatTemplate",
                "Add chat_template.jinja.",
            ),
            (job_with(OUT_OF_RETRIES), [ended(137, "OOMKilled")], "OOMKilled", "workers.train.resources.limits.memory"),
            (job_with(OUT_OF_RETRIES), [ended(137)], "Killed", "workers.train.resources.requests.memory"),
            (
                job_with(OUT_OF_RETRIES),
                [pod(status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."})],
                "Evicted",
                "ephemeral-storage.): raise what is short in workers.train.resources",
            ),
            (job_with(TOO_LATE), [ended(143, termination=STOPPED)], "DeadlineExceeded", "workers.train.deadline"),
            (job_with(TOO_LATE), [ended(69, termination=AWAY)], "DeadlineExceeded", "At last a server was away: No answer."),
            (job_with(OUT_OF_RETRIES), [ended(1, termination="Traceback")], "WorkerFailed", "kubectl logs --namespace team-a"),
            (job_with(OUT_OF_RETRIES), [ended(1, termination='{"reason": "no reason", "message": 7}')], "WorkerFailed", "exit code 1"),
            (job_with(OUT_OF_RETRIES), [], "JobFailed", "reached the specified backoff limit"),
            (
                job_with(OUT_OF_RETRIES),
                [
                    named(ended(75, termination=AWAY), "mine"),
                    named(ended(137, "Error", "", DISRUPTED), "preempted", "2026-01-01T11:00:00Z"),
                    named(ended(143), "stopped", "2026-01-01T11:00:00Z"),
                ],
                "StoreUnavailable",
                "No answer.",
            ),
        ],
    )  # fmt: skip
    def test_says_why_and_what_to_change(self, document: Document, pods: list[Document], reason: str, told: str) -> None:
        failure = state(document, *pods).failure
        assert failure is not None
        assert failure.reason == reason
        assert told in failure.message

    def test_what_was_kept_stands_when_the_pods_are_gone(self) -> None:
        document = job_with(OUT_OF_RETRIES)
        document["metadata"]["annotations"] = {"autollm.dev/failure": '{"reason": "OOMKilled", "message": "Raise it."}'}
        assert state(document).failure == Failure(reason="OOMKilled", message="Raise it.")

    @pytest.mark.parametrize(
        ("task", "section"), [("prepare", "prepare"), ("evaluate", "evaluate"), ("publish", "publish"), ("pin", "publish")]
    )
    def test_names_the_section_of_its_kind(self, task: str, section: str) -> None:
        document = job_with(TOO_LATE)
        document["metadata"]["labels"]["autollm.dev/task"] = task
        failure = state(document).failure
        assert failure is not None
        assert f"workers.{section}.deadline" in failure.message
