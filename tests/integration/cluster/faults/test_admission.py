"""Admission in a real API server that fails or refuses for one kind of object: people who look at the run see it, and see it go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autollm_operator.api.port import InvalidError
from autollm_operator.api.resources import EVENTS, WATCHED
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.reconcile.dispatch import Reconciler
from autollm_operator.reconcile.suggesting import Suggesting
from cluster.cluster import Cluster
from cluster.connection import MERGE
from cluster.waiting import wait_until
from support.cluster_run import ClusterRun
from support.cluster_world import SETTINGS, Optimizer

ADMISSION = "/apis/admissionregistration.k8s.io/v1"


class Passes:
    """The operator's passes over one run, one by one, with a time that the test sets."""

    def __init__(self, run: ClusterRun) -> None:
        self._run, self._cache, self._now = run, Cache(), datetime.now(UTC)
        suggesting = Suggesting(Optimizer(), 20.0, lambda key: None)
        self._reconciler = Reconciler(run.cluster.api, self._cache, suggesting, SETTINGS, lambda: self._now)

    def look(self, seconds: float = 0) -> None:
        """Look at the run, so many seconds later; raises what a pass raises."""
        self._now += timedelta(seconds=seconds)
        for resource in WATCHED:
            self._cache.replace(resource, self._run.namespace, self._run.cluster.api.list(resource, self._run.namespace))
        self._reconciler.reconcile(Key("AutoLLMRun", self._run.namespace, "demo"))


@pytest.fixture
def run(cluster: Cluster, namespace: str) -> ClusterRun:
    return ClusterRun(cluster, namespace)


@contextmanager
def configured(run: ClusterRun, plural: str, kind: str, spec: dict[str, Any]) -> Iterator[None]:
    """Have the API server know a cluster-wide object that decides about one namespace."""
    name = f"{run.namespace}.autollm.test"
    run.cluster.create(f"{ADMISSION}/{plural}", {"kind": kind, "metadata": {"name": name}} | spec)
    try:
        yield
    finally:
        run.cluster.admin.expect("DELETE", f"{ADMISSION}/{plural}/{name}")


@contextmanager
def webhook_without_endpoint(run: ClusterRun) -> Iterator[None]:
    """What is left of a policy engine that somebody removed: nothing answers it, and nothing is admitted without."""
    webhook = {
        "name": f"{run.namespace}.autollm.test",
        "clientConfig": {"url": "https://127.0.0.1:1/admit"},
        "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}],
        "namespaceSelector": only(run),
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    with configured(run, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", {"webhooks": [webhook]}):
        wait_until(lambda: status_of_a_job(run) == 500, "the webhook is not asked")
        yield
    wait_until(lambda: status_of_a_job(run) == 201, "the webhook is still asked")


@contextmanager
def policy_on_the_status(run: ClusterRun) -> Iterator[None]:
    """A ValidatingAdmissionPolicy that lets nobody write the status of a run."""
    rule = {"apiGroups": ["autollm.dev"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["autollmruns/status"]}
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": only(run)},
        "validations": [{"expression": "false", "message": "runs are frozen until Monday"}],
    }
    binding = {"policyName": f"{run.namespace}.autollm.test", "validationActions": ["Deny"]}
    with (
        configured(run, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", {"spec": policy}),
        configured(run, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", {"spec": binding}),
    ):
        wait_until(lambda: status_of_a_status(run) == 422, "the policy is not in force")
        yield
    wait_until(lambda: status_of_a_status(run) == 200, "the policy is still in force")


def only(run: ClusterRun) -> dict[str, Any]:
    return {"matchLabels": {"kubernetes.io/metadata.name": run.namespace}}


def status_of_a_job(run: ClusterRun) -> int:
    pod = {"restartPolicy": "Never", "containers": [{"name": "any", "image": "localhost/any:1"}]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "any"}, "spec": {"template": {"spec": pod}}}
    return run.cluster.admin.ask("POST", f"{run.batch()}?dryRun=All", job).status


def status_of_a_status(run: ClusterRun) -> int:
    return run.cluster.admin.ask("PATCH", f"{run.path}/status?dryRun=All", {"status": {"observedGeneration": 0}}, content_type=MERGE).status


def warnings(run: ClusterRun) -> list[dict[str, Any]]:
    events = run.cluster.api.list(EVENTS, run.namespace)
    return [event for event in events if event["type"] == "Warning" and event["regarding"]["kind"] == "AutoLLMRun"]


def test_a_webhook_that_nobody_answers_is_told_and_goes(run: ClusterRun) -> None:
    run.apply()
    passes = Passes(run)
    with webhook_without_endpoint(run):
        passes.look()
        assert run.message("Stalled") == "", "it may pass by itself"
        passes.look(61)
        passes.look()
        for told in (run.message("Stalled"), warnings(run)[0]["note"]):
            assert f"create jobs {run.namespace}/demo-prepare-" in told
            assert f'failed calling webhook "{run.namespace}.autollm.test"' in told
            assert "(500)" in told
        assert warnings(run)[0]["reason"] == "ApiUnavailable"
    passes.look(60)
    passes.look()
    assert len(run.jobs("prepare")) == 1
    assert "webhook" not in str(run.status())
    assert len(warnings(run)) == 1


def test_a_policy_that_does_not_let_the_status_be_written_is_told_by_an_event(run: ClusterRun) -> None:
    run.apply()
    passes = Passes(run)
    with policy_on_the_status(run):
        for seconds in (0, 61, 30, 30):
            with pytest.raises(InvalidError):
                passes.look(seconds)
        (event,) = warnings(run)
        assert (event["reason"], event["regarding"]["name"]) == ("Refused", "demo")
        assert "demo/status: " in event["note"]
        assert "runs are frozen until Monday" in event["note"]
    passes.look(60)
    assert len(run.jobs("prepare")) == 1
