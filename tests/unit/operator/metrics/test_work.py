"""How far a Job is, from itself and its pods; what GPUs it holds; known values of labels in the rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import yaml

from autollm.plan.step import ConditionType, Truth
from autollm_operator.cache.jobs import job_view
from autollm_operator.cache.pods import pod_view
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.metrics.process import UNEXPECTED
from autollm_operator.metrics.work import FailureCause, JobState, ObservedJob, cause_of, job_samples

ROOT = Path(__file__).parents[4]
METADATA = {"namespace": "team-a", "name": "job", "uid": "job", "resourceVersion": "1", "labels": {"autollm.dev/task": "train"}}
TEMPLATE = {"spec": {"containers": [{"name": "worker", "image": "runtime", "resources": {"limits": {"nvidia.com/gpu": "4"}}}]}}
JOB = job_view({"metadata": METADATA, "spec": {"template": TEMPLATE}})


def pod(phase: str, **state: Mapping[str, str]) -> PodView:
    status = {"phase": phase, "containerStatuses": [{"name": "worker", "state": state}]}
    return pod_view({"metadata": METADATA, "spec": {}, "status": status})


PENDING = pod("Pending")
RUNNING = pod("Running", running={"startedAt": "2026-01-01T00:00:00Z"})
ENDED = pod("Succeeded", terminated={"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"})
FAILED = replace(ENDED, phase="Failed")


@pytest.mark.parametrize(
    ("job", "pods", "state"),
    [
        (JOB, [], "waiting"),
        (JOB, [PENDING], "waiting"),
        (JOB, [FAILED, PENDING], "waiting"),
        (JOB, [PENDING, RUNNING], "waiting"),
        (JOB, [ENDED], "running"),
        (replace(JOB, suspended=True), [], "suspended"),
        (replace(JOB, outcome="Complete"), [ENDED], "complete"),
        (replace(JOB, outcome="Failed"), [FAILED], "failed"),
    ],
)
def test_how_far_a_job_is(job: JobView, pods: list[PodView], state: JobState) -> None:
    assert ObservedJob(job, pods).state == state


def test_only_pods_that_run_hold_gpus() -> None:
    samples = {(sample.series.name, sample.labels): sample.value for sample in job_samples([ObservedJob(JOB, [RUNNING, RUNNING, PENDING])])}
    assert samples["autollm_run_gpus", ("train",)] == 8
    assert samples["autollm_run_jobs", ("train", "waiting")] == 1


@pytest.mark.parametrize(
    ("pod", "cause"),
    [
        (replace(FAILED, exit_code=69), "unavailable"),
        (replace(FAILED, exit_code=69, disrupted=True), "disrupted"),
        (replace(FAILED, exit_code=137, ended_because="OOMKilled"), "memory"),
        (replace(FAILED, exit_code=43), "memory"),
        (replace(FAILED, exit_code=137, ended_because="Error"), "other"),
        (replace(FAILED, exit_code=None), "other"),
    ],
)
def test_what_ended_a_pod(pod: PodView, cause: FailureCause) -> None:
    assert cause_of(pod) == cause


def test_failed_pods_count_while_their_job_goes_on() -> None:
    away = replace(FAILED, exit_code=69)
    jobs = [ObservedJob(JOB, [away, away, RUNNING]), ObservedJob(replace(JOB, outcome="Complete"), [away, ENDED])]
    samples = {(sample.series.name, sample.labels): sample.value for sample in job_samples(jobs)}
    assert samples["autollm_run_failed_pods", ("train", "unavailable")] == 2


def stages() -> set[str]:
    """Return every reason with which the planner says that a run is under way."""
    sources = (ROOT / "autollm" / "plan").glob("*.py")
    return {reason for source in sources for reason in re.findall(r"Working\(\s*\"(\w+)\"", source.read_text())}


def test_the_rules_ask_for_values_of_labels_that_there_are() -> None:
    known = {
        "state": {*get_args(JobState), "succeeded", "failed", "running"},
        "type": set(get_args(ConditionType)),
        "status": set(get_args(Truth)),
        "task": {"prepare", "train", "evaluate", "publish", "pin"},
        "cause": set(get_args(FailureCause)),
        "fallback": {"true", "false"},
        "reason": {UNEXPECTED},
        "stage": stages(),
    }
    rules = yaml.safe_load((ROOT / "charts" / "autollm" / "files" / "rules.yaml").read_text())
    asked = [
        found for group in rules["groups"] for rule in group["rules"] for found in re.findall(r"(\w+)[!=]~?\"([^\"]*)\"", rule["expr"])
    ]
    assert {label for label, _ in asked} == known.keys()
    for label, values in asked:
        assert set(values.split("|")) <= known[label], f"no series has {label}={values}"
