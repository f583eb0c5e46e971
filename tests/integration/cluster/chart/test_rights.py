"""The API server allows the ServiceAccounts of the chart exactly the snapshot, and refuses every other verb on every kind."""

from __future__ import annotations

import functools
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autollm.cli import main
from autollm_operator.api.client import KubernetesApi
from autollm_operator.api.login import configuration
from autollm_operator.api.port import ForbiddenError
from autollm_operator.api.resources import LEASES
from cluster.cluster import Cluster
from cluster.connection import MERGE, connect
from cluster.waiting import wait_until
from support.access import Access, allowed, may
from support.chart_rights import EDIT, LEASE, OPERATOR, RUNS, VIEW, WORKER, Rights
from support.documents import SHORTEST
from support.helm_release import Release
from support.sample_run import write_sample_run
from support.stored_run import GROUP, store_run

SYSTEM, WATCHED, OTHER = "system", "watched", "other"
OF_ONE_NAMESPACE = f"system:serviceaccount:{SYSTEM}:autollm"
OF_ALL = "system:serviceaccount:everywhere:autollm"
WORKER_OF_WATCHED = f"system:serviceaccount:{WATCHED}:autollm-worker"
EVERYWHERE = ""
PLACES = (WATCHED, OTHER, EVERYWHERE)


@pytest.fixture(scope="module")
def installed(empty: Cluster) -> Cluster:
    """The chart for one namespace that is not its own, and again for all, each with a standby."""
    for name in (SYSTEM, WATCHED, OTHER, "everywhere"):
        empty.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": name}})
    standby = {"operator": {"replicas": 2}}
    Release(empty.kubeconfig, SYSTEM).install(standby | {"namespaces": [WATCHED]})
    Release(empty.kubeconfig, "everywhere").install(standby | {"clusterWide": True, "crds": {"enabled": False}})
    probe = Access("get", "mergetrials.autollm.dev", WATCHED)
    for user in (OF_ONE_NAMESPACE, OF_ALL, WORKER_OF_WATCHED):
        wait_until(functools.partial(may, empty.admin, user, probe), f"{user} has no rights")
    runs = f"/apis/autollm.dev/v1alpha1/namespaces/{WATCHED}/autollmruns"
    wait_until(lambda: empty.admin.answers(runs), "runs are not served")
    empty.create(runs, SHORTEST)
    return empty


@pytest.fixture(scope="module")
def anybody(installed: Cluster) -> set[Access]:
    """What a ServiceAccount without any role may do: ask what it may do."""
    return allowed(installed.admin, f"system:serviceaccount:{OTHER}:default", PLACES)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (OF_ONE_NAMESPACE, {WATCHED: OPERATOR}),
        (WORKER_OF_WATCHED, {WATCHED: WORKER}),
        (OF_ALL, dict.fromkeys(PLACES, OPERATOR)),
    ],
    ids=["operator of one namespace", "worker", "operator of all"],
)
def test_every_verb_on_every_kind(installed: Cluster, anybody: set[Access], user: str, expected: dict[str, Rights]) -> None:
    snapshot = {Access(verb, resource, where) for where in PLACES for verb, resource, _ in expected.get(where, ())}
    assert allowed(installed.admin, user, PLACES) - anybody == snapshot
    assert len(anybody) < 20


@pytest.mark.parametrize("user", [OF_ONE_NAMESPACE, OF_ALL])
def test_the_lease_is_the_only_one_that_it_may_touch(installed: Cluster, user: str) -> None:
    home = user.split(":")[2]
    for verb, resource, name in LEASE:
        assert may(installed.admin, user, Access(verb, resource, home), name=name)
        assert not may(installed.admin, user, Access(verb, resource, home), name="another")
        assert not may(installed.admin, user, Access(verb, resource, OTHER), name=name)


def test_it_makes_its_lease_and_no_other(installed: Cluster) -> None:
    with closing(KubernetesApi(configuration(str(installed.kubeconfig_of(SYSTEM, "autollm"))))) as api:
        assert api.ensure(LEASES, SYSTEM, "autollm")["metadata"]["name"] == "autollm"
        with pytest.raises(ForbiddenError):
            api.ensure(LEASES, SYSTEM, "another")
        with pytest.raises(ForbiddenError):
            api.ensure(LEASES, OTHER, "autollm")


ATTEMPTS: dict[str, tuple[str, str, object]] = {
    "reads a Secret": ("GET", f"/api/v1/namespaces/{WATCHED}/secrets/s3-credentials", None),
    "lists ConfigMaps": ("GET", f"/api/v1/namespaces/{WATCHED}/configmaps", None),
    "changes a run": ("PATCH", f"/apis/autollm.dev/v1alpha1/namespaces/{WATCHED}/autollmruns/support-bot", {"spec": {"suspend": True}}),
    "reads a run elsewhere": ("GET", f"/apis/autollm.dev/v1alpha1/namespaces/{OTHER}/autollmruns", None),
    "writes a status elsewhere": ("PATCH", f"/apis/autollm.dev/v1alpha1/namespaces/{OTHER}/autollmruns/x/status", {"status": {}}),
    "gives itself rights": ("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{WATCHED}/roles", {"metadata": {"name": "x"}}),
    "asks for a token": ("POST", f"/api/v1/namespaces/{WATCHED}/serviceaccounts/default/token", {"spec": {}}),
    "enters a pod": ("POST", f"/api/v1/namespaces/{WATCHED}/pods/x/exec?command=sh", None),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=list(ATTEMPTS))
@pytest.mark.parametrize(("namespace", "account"), [(SYSTEM, "autollm"), (WATCHED, "autollm-worker")], ids=["operator", "worker"])
def test_requests_with_a_real_token_are_refused(installed: Cluster, namespace: str, account: str, attempt: tuple[str, str, object]) -> None:
    method, path, body = attempt
    connection = connect(installed.kubeconfig_of(namespace, account))
    assert connection.ask("GET", f"/apis/autollm.dev/v1alpha1/namespaces/{WATCHED}/mergetrials").status == 200
    answer = connection.ask(method, path, body, content_type=MERGE if method == "PATCH" else "application/json")
    assert (answer.status, answer.document["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize(("role", "expected"), [("view", VIEW), ("edit", VIEW | EDIT), ("admin", VIEW | EDIT)])
def test_people_get_their_rights_by_the_roles_of_kubernetes(installed: Cluster, role: str, expected: Rights) -> None:
    bind(installed, OTHER, role, {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"may-{role}"})
    questions = [Access(verb, resource, OTHER) for verb, resource, _ in VIEW | EDIT]
    statuses = [Access("patch", f"{plural}/status.autollm.dev", OTHER) for plural in ("autollmruns", "mergetrials")]

    def held() -> Rights:
        return {(one.verb, one.resource, "") for one in (*questions, *statuses) if may(installed.admin, f"may-{role}", one)}

    wait_until(lambda: held() == expected, f"{role} gives {held()}")


def bind(cluster: Cluster, namespace: str, role: str, subject: dict[str, str]) -> None:
    """Give somebody one of Kubernetes' own roles in a namespace."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    binding = {"kind": "RoleBinding", "metadata": {"name": f"{role}-of-{subject['name']}"}, "roleRef": reference, "subjects": [subject]}
    cluster.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)


class Person:
    """Somebody with one of Kubernetes' own roles in a namespace with a run, who calls `autollm`."""

    def __init__(self, cluster: Cluster, role: str) -> None:
        self.cluster, self.namespace = cluster, cluster.empty_namespace()
        cluster.create(f"/api/v1/namespaces/{self.namespace}/serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": "person"}})
        bind(cluster, self.namespace, role, {"kind": "ServiceAccount", "name": "person", "namespace": self.namespace})
        probe = Access("get", RUNS, self.namespace)
        user = f"system:serviceaccount:{self.namespace}:person"
        wait_until(lambda: may(cluster.admin, user, probe), f"{role} gives no rights")

    def call(self, *arguments: str) -> Result:
        kubeconfig = self.cluster.kubeconfig_of(self.namespace, "person")
        return CliRunner(env={"KUBECONFIG": str(kubeconfig)}).invoke(main, [*arguments, "-n", self.namespace])

    def objects(self) -> dict[str, str]:
        """Every run, training and trial that is there and not being deleted, with its resourceVersion."""
        lists = [f"{GROUP}/namespaces/{self.namespace}/{plural}" for plural in ("autollmruns", "deltatrainings", "mergetrials")]
        found = [item for path in lists for item in self.cluster.admin.expect("GET", path)["items"]]
        return {
            item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found if "deletionTimestamp" not in item["metadata"]
        }


@pytest.mark.parametrize("role", ["edit", "admin"])
def test_kubernetes_own_roles_are_enough_to_look_again(installed: Cluster, tmp_path: Path, role: str) -> None:
    person = Person(installed, role)
    store_run(installed, person.namespace, write_sample_run(tmp_path))
    before = person.objects()
    result = person.call("retry", "alr/quickstart", "--look-again")
    assert result.exit_code == 0, result.output
    trainings = {line.removeprefix("removed dt/") for line in result.stdout.splitlines() if line.startswith("removed dt/")}
    assert trainings
    assert before.keys() - person.objects().keys() == trainings
    assert person.objects()["quickstart"] != before["quickstart"]


def test_who_administers_a_namespace_installs_all_but_the_roles(installed: Cluster) -> None:
    """Nobody can grant what they lack: the rights of the operator's roles are more than those of `admin`."""

    def install(rbac: dict[str, bool]) -> str:
        person = Person(installed, "admin")
        kubeconfig = installed.kubeconfig_of(person.namespace, "person")
        return Release(kubeconfig, person.namespace).install({"crds": {"enabled": False}, "rbac": rbac})

    with pytest.raises(RuntimeError, match="attempting to grant RBAC permissions not currently held"):
        install({"aggregate": False})
    assert "carries out runs in" in install({"create": False, "aggregate": False})


def test_who_may_only_look_at_runs_changes_nothing_and_is_told_which_right_it_takes(installed: Cluster, tmp_path: Path) -> None:
    person = Person(installed, "view")
    store_run(installed, person.namespace, write_sample_run(tmp_path))
    before = person.objects()
    result = person.call("retry", "alr/quickstart", "--look-again")
    assert result.exit_code != 0
    assert 'cannot patch resource "autollmruns"' in result.stderr
    assert person.objects() == before
