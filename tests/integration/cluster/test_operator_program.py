"""The program `autollm-operator`: it begins, ends, stands by and gives up as Kubernetes and its Lease ask for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autollm_operator.api.client import KubernetesApi
from autollm_operator.api.login import configuration
from autollm_operator.api.resources import LEASES, RUNS
from autollm_operator.lease import LEASE_SECONDS
from cluster.cluster import Cluster
from cluster.proxy import Asked, Cut, Proxy, Refusal, proxied, refusal
from cluster.waiting import wait_until
from support.access import Access, may
from support.api_contract import run_document
from support.chart_rights import OPERATOR, rules
from support.operator_process import OperatorProcess, running_operator


@pytest.fixture
def api(cluster: Cluster) -> Iterator[KubernetesApi]:
    with closing(KubernetesApi(configuration(str(cluster.kubeconfig)))) as api:
        yield api


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    with proxied(cluster.kubeconfig, tmp_path) as proxy:
        yield proxy


def is_planned(api: KubernetesApi, namespace: str, name: str = "support-bot") -> bool:
    return bool(api.get(RUNS, namespace, name).get("status", {}).get("conditions"))


def messages(operator: OperatorProcess) -> list[str]:
    return [line["message"] for line in operator.log]


def test_it_begins_works_and_ends_within_seconds(cluster: Cluster, api: KubernetesApi, namespace: str, tmp_path: Path) -> None:
    with running_operator(tmp_path, cluster.kubeconfig, namespace) as operator:
        operator.wait_ready()
        assert operator.answers("/livez")
        api.create(RUNS, run_document(namespace))
        wait_until(lambda: is_planned(api, namespace), "the run is not planned")
        watches = 'autollm_api_requests_total{code="200",resource="autollmruns",verb="watch"} 1.0'
        wait_until(lambda: watches in operator.metrics(), "it does not watch the runs, or more than once")
        begun = time.monotonic()
        assert operator.stop() == 0
        assert time.monotonic() - begun < 30
        assert messages(operator)[-1] == "stopped"
        assert not {line["level"] for line in operator.log} & {"ERROR", "CRITICAL"}


def test_settings_that_make_no_sense_end_it_with_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    with running_operator(tmp_path, cluster.kubeconfig, "x", reconcilers=0) as operator:
        assert operator.wait() == 1
        assert "reconcilers" in messages(operator)[-1]


def test_it_waits_for_definitions_that_come_after_it(
    cluster: Cluster, proxy: Proxy, api: KubernetesApi, namespace: str, tmp_path: Path
) -> None:
    missing = [True]

    def before(asked: Asked) -> Refusal | None:
        return refusal(404, "NotFound") if missing and "/mergetrials" in asked.path else None

    proxy.before = before
    with running_operator(tmp_path, proxy.kubeconfig, namespace) as operator:
        wait_until(lambda: len([one for one in proxy.asked if "/mergetrials" in one.path]) >= 2, "it does not ask again")
        assert operator.answers("/livez")
        assert not operator.answers("/readyz")
        missing.clear()
        operator.wait_ready()
        api.create(RUNS, run_document(namespace))
        wait_until(lambda: is_planned(api, namespace), "the run is not planned")


def test_a_namespace_that_is_gone_stops_no_other_and_is_served_when_it_comes_back(
    cluster: Cluster, api: KubernetesApi, namespace: str, tmp_path: Path
) -> None:
    gone, account = f"{namespace}-gone", f"system:serviceaccount:{namespace}:operator"
    cluster.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": "operator"}})
    _let_operate(cluster, account, namespace)
    with running_operator(tmp_path, cluster.kubeconfig_of(namespace, "operator"), gone, namespace) as operator:
        operator.wait_ready()
        api.create(RUNS, run_document(namespace))
        wait_until(lambda: is_planned(api, namespace), "the run is not planned")
        cluster.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": gone}})
        _let_operate(cluster, account, gone)
        api.create(RUNS, run_document(gone))
        wait_until(lambda: is_planned(api, gone), "the run in the namespace that came back is not planned", seconds=120)
        watched = 'autollm_api_requests_total{code="200",resource="autollmruns",verb="watch"} 2.0'
        wait_until(lambda: watched in operator.metrics(), "the namespace that came back is not watched", seconds=120)
        told = [line for line in operator.log if line["level"] != "INFO"]
        assert ["nothing is done in this namespace" in line["message"] for line in told] == [True], told
        assert told[0]["namespace"] == gone
    cluster.delete_namespace(gone)


def _let_operate(cluster: Cluster, account: str, namespace: str) -> None:
    """Give an account the rights that the chart gives the operator in a namespace."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": account}
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    cluster.create(f"{path}/roles", {"kind": "Role", "metadata": {"name": "operator"}, "rules": rules(OPERATOR)})
    binding = {"kind": "RoleBinding", "metadata": {"name": "operator"}, "roleRef": role, "subjects": [subject]}
    cluster.create(f"{path}/rolebindings", binding)
    probe = Access("list", "pods", namespace)
    wait_until(lambda: may(cluster.admin, account, probe), f"{account} has no rights")


def give_back(api: KubernetesApi, namespace: str) -> None:
    """Make a Lease as one has left it: nobody has to wait for it."""
    api.create(LEASES, {"metadata": {"namespace": namespace, "name": "operator"}, "spec": {"holderIdentity": ""}})


class Replicas:
    """Two operators that share a Lease."""

    def __init__(self, stack: ExitStack, api: KubernetesApi, kubeconfig: Path, namespace: str, folder: Path) -> None:
        give_back(api, namespace)
        self.both: list[OperatorProcess] = []
        for name in "ab":
            (folder / name).mkdir()
            operator = stack.enter_context(running_operator(folder / name, kubeconfig, namespace, lease=f"{namespace}/operator"))
            self.both.append(operator)
        for operator in self.both:
            operator.wait_ready()
        wait_until(lambda: len(self.leaders()) == 1, "nobody leads")
        (self.leader,) = self.leaders()
        (self.standby,) = (one for one in self.both if one is not self.leader)

    def leaders(self) -> list[OperatorProcess]:
        return [one for one in self.both if "this replica holds the lease and begins to work" in messages(one)]


@pytest.fixture
def replicas(cluster: Cluster, api: KubernetesApi, namespace: str, tmp_path: Path) -> Iterator[Replicas]:
    with ExitStack() as stack:
        yield Replicas(stack, api, cluster.kubeconfig, namespace, tmp_path)


def test_one_works_and_the_next_takes_over_at_once_when_it_ends(replicas: Replicas, api: KubernetesApi, namespace: str) -> None:
    api.create(RUNS, run_document(namespace))
    wait_until(lambda: is_planned(api, namespace), "the run is not planned")
    assert replicas.standby.answers("/livez")
    assert replicas.leaders() == [replicas.leader]
    assert replicas.leader.stop() == 0
    begun = time.monotonic()
    wait_until(lambda: replicas.standby in replicas.leaders(), "nobody takes over")
    assert time.monotonic() - begun < LEASE_SECONDS
    api.create(RUNS, run_document(namespace, "second"))
    wait_until(lambda: is_planned(api, namespace, "second"), "the second run is not planned")
    assert api.get(LEASES, namespace, "operator")["spec"]["leaseTransitions"] == 2


def test_of_one_that_dies_the_lease_runs_out(replicas: Replicas, api: KubernetesApi, namespace: str) -> None:
    replicas.leader.kill()
    wait_until(lambda: replicas.standby in replicas.leaders(), "nobody takes over", seconds=40)
    api.create(RUNS, run_document(namespace))
    wait_until(lambda: is_planned(api, namespace), "the run is not planned")


def test_a_lease_that_is_deleted_is_made_again_and_stays_with_its_holder(replicas: Replicas, api: KubernetesApi, namespace: str) -> None:
    lease = api.get(LEASES, namespace, "operator")

    def again() -> bool:
        """Say whether the one that is there now was renewed twice at least."""
        seen.update(
            one["spec"]["renewTime"]
            for one in api.list(LEASES, namespace)
            if one["metadata"]["uid"] != lease["metadata"]["uid"]
            if one["spec"].get("holderIdentity") == lease["spec"]["holderIdentity"]
        )
        return len(seen) > 1

    seen: set[str] = set()
    api.delete(LEASES, namespace, "operator", uid=lease["metadata"]["uid"])
    wait_until(again, "its holder does not hold it again")
    assert replicas.leaders() == [replicas.leader]
    assert replicas.leader.answers("/readyz")


def test_who_may_not_hold_its_lease_is_not_ready_until_it_may(proxy: Proxy, namespace: str, tmp_path: Path) -> None:
    proxy.before = lambda asked: refusal(403, "Forbidden") if "/leases" in asked.path else None
    with running_operator(tmp_path, proxy.kubeconfig, namespace, lease=f"{namespace}/operator") as operator:
        wait_until(lambda: len([one for one in proxy.asked if "/leases" in one.path]) >= 4, "it does not ask for its lease again")
        assert operator.answers("/livez")
        assert not operator.answers("/readyz")
        told = [line["reason"] for line in operator.log if line["level"] == "WARNING"]
        assert "Forbidden" in told
        assert not any(one == after for one, after in pairwise(told)), "it says the same again and again"
        proxy.before = lambda asked: None
        operator.wait_ready()
        wait_until(lambda: "this replica holds the lease and begins to work" in messages(operator), "it does not begin")


def test_who_cannot_renew_its_lease_ends(proxy: Proxy, api: KubernetesApi, namespace: str, tmp_path: Path) -> None:
    give_back(api, namespace)
    with running_operator(tmp_path, proxy.kubeconfig, namespace, lease=f"{namespace}/operator") as operator:
        wait_until(lambda: "this replica holds the lease and begins to work" in messages(operator), "it does not begin", seconds=60)

        def before(asked: Asked) -> Any:
            if "/leases" in asked.path:
                raise Cut

        proxy.before = before
        assert operator.wait() == 1
        assert "the lease is lost" in messages(operator)[-1]


def test_one_whose_thread_dies_ends(proxy: Proxy, namespace: str, tmp_path: Path) -> None:
    proxy.before = lambda asked: Refusal(200, {"kind": "Lease"}) if "/leases" in asked.path else None
    with running_operator(tmp_path, proxy.kubeconfig, namespace, lease=f"{namespace}/operator") as operator:
        assert operator.wait() == 1
        assert messages(operator)[-1] == "the thread beginning has died, so the operator ends"
        assert "KeyError" in operator.log[-1]["exception"]
