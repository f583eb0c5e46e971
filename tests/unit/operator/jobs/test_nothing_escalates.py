"""Whatever a run document says, its pods get no more than the allow-list."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from autollm.resources.run import AutoLLMRun
from autollm.resources.validate import check_data
from autollm.resources.workers import Workers
from autollm_operator.jobs.build import build_evaluators, build_job
from autollm_operator.reconcile.policy import refused_workers
from support.documents import EVERYTHING, SHORTEST, changed
from support.escalation import HOSTILE_WORKERS, escalations
from support.generated_documents import worker_sections
from support.job_tasks import OWNER, SETTINGS, evaluate_task, every_task

TASKS = every_task()
ACCOUNTS = frozenset({SETTINGS.workers.service_account_name})


def jobs(workers: Workers) -> list[dict[str, Any]]:
    built = [build_job(task, workers=workers, owner=OWNER, namespace="team-a", generation=1, settings=SETTINGS) for task in TASKS.values()]
    return [*built, build_evaluators(evaluate_task(), 4, workers=workers, owner=OWNER, namespace="team-a", generation=1, settings=SETTINGS)]


def accepted(section: dict[str, Any]) -> Workers | None:
    """Return the section as types if the document and the operator's settings allow it."""
    data, problems = check_data("AutoLLMRun", changed(SHORTEST, {"spec.workers": section}))
    if problems:
        return None
    workers = AutoLLMRun.parse(data).spec.workers
    return None if refused_workers(workers.model_copy(update={"image": None}), SETTINGS, "spec.workers") else workers


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(worker_sections(), st.lists(st.sampled_from(HOSTILE_WORKERS), max_size=1))
def test_no_generated_document_gives_a_pod_more_than_the_allow_list(section: dict[str, Any], hostile: list[dict[str, Any]]) -> None:
    for fields in hostile:
        section |= copy.deepcopy(fields)
    workers = accepted(section)
    event("refused" if workers is None else "accepted")
    if workers is not None:
        assert [found for job in jobs(workers) for found in escalations(job, "team-a", ACCOUNTS)] == []


@pytest.mark.parametrize("section", HOSTILE_WORKERS, ids=str)
def test_a_document_that_asks_for_more_is_refused(section: dict[str, Any]) -> None:
    assert accepted(section) is None


def test_the_search_for_escalations_finds_them() -> None:
    job = jobs(Workers.parse(EVERYTHING["spec"]["workers"]))[0]
    assert list(escalations(job, "team-a", ACCOUNTS)) == []
    pod = job["spec"]["template"]["spec"]
    pod["hostNetwork"] = True
    pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}})
    pod["containers"][0]["securityContext"]["privileged"] = True
    assert set(escalations(job, "team-b", frozenset())) == {
        "another namespace", "pod.hostNetwork", "volume.hostPath", "privileges", "the ServiceAccount autollm-worker",
    }  # fmt: skip
