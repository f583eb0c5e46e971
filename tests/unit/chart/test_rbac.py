"""The roles and bindings of the chart, compared with the snapshot of rights."""

from __future__ import annotations

from typing import Any

import pytest

from support.chart import Document, of_kind, render
from support.chart_rights import EDIT, LEASE, OPERATOR, VIEW, WORKER, Rights


def granted(role: Document) -> Rights:
    return {
        (verb, f"{resource}.{group}".rstrip("."), name)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def held(documents: list[Document]) -> dict[tuple[str, str], Rights]:
    """What every ServiceAccount may do, by its name and the namespace it may do it in; * is every namespace."""
    roles = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): granted(one) for one in documents if "rules" in one}
    found: dict[tuple[str, str], Rights] = {}
    for binding in documents:
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            where = binding["metadata"].get("namespace")
            reference = binding["roleRef"]
            for subject in binding["subjects"]:
                who = f"{subject['namespace']}/{subject['name']}"
                rights = roles[reference["kind"], where if reference["kind"] == "Role" else None, reference["name"]]
                found.setdefault((who, where or "*"), set()).update(rights)
    return found


def test_by_default_in_the_namespace_of_the_release_alone() -> None:
    assert held(render()) == {("team-a/autollm", "team-a"): OPERATOR, ("team-a/autollm-worker", "team-a"): WORKER}


def test_in_the_listed_namespaces_and_not_in_that_of_the_release() -> None:
    assert held(render({"namespaces": ["team-c", "team-b"]}, namespace="system")) == {
        ("system/autollm", "team-b"): OPERATOR,
        ("system/autollm", "team-c"): OPERATOR,
        ("team-b/autollm-worker", "team-b"): WORKER,
        ("team-c/autollm-worker", "team-c"): WORKER,
    }


def test_cluster_wide_the_operator_everywhere_and_workers_in_the_listed_namespaces() -> None:
    assert held(render({"clusterWide": True, "namespaces": ["team-b"]}, namespace="system")) == {
        ("system/autollm", "*"): OPERATOR,
        ("team-b/autollm-worker", "team-b"): WORKER,
    }


def test_several_replicas_may_make_and_hold_one_lease() -> None:
    documents = render({"operator": {"replicas": 2}, "namespaces": ["team-b"]})
    assert held(documents)["team-a/autollm", "team-a"] == LEASE
    assert held(documents)["team-a/autollm", "team-b"] == OPERATOR
    assert of_kind(documents, "Lease") == []


@pytest.mark.parametrize("values", [{}, {"clusterWide": True}], ids=["namespaced", "cluster-wide"])
def test_who_may_view_or_edit_a_namespace_may_do_so_with_its_runs(values: dict[str, Any]) -> None:
    to_whom: dict[str, Rights] = {}
    for role in of_kind(render(values), "ClusterRole"):
        for label in role["metadata"]["labels"]:
            if label.startswith("rbac.authorization.k8s.io/aggregate-to-"):
                to_whom[label.rpartition("-")[2]] = granted(role)
    assert to_whom == {"view": VIEW, "edit": EDIT, "admin": EDIT}


def test_who_owns_a_namespace_and_no_cluster_can_leave_out_what_they_may_not_make() -> None:
    documents = render({"crds": {"enabled": False}, "rbac": {"create": False, "aggregate": False}, "operator": {"replicas": 2}})
    assert {one["metadata"].get("namespace") for one in documents} == {"team-a"}
    assert [one["kind"] for one in documents if one["apiVersion"].startswith("rbac.")] == []


def test_somebody_else_may_bind_the_roles() -> None:
    assert held(render({"rbac": {"create": False}, "operator": {"replicas": 2}})) == {}
    assert held(render({"rbac": {"create": False}, "clusterWide": True})) == {}


def test_a_release_can_be_made_cluster_wide_and_back() -> None:
    """What a binding refers to cannot change: one to another role is another binding."""
    of_one, of_all = (
        {
            (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one["roleRef"]
            for one in render({"clusterWide": wide, "namespaces": ["team-b"]})
            if "roleRef" in one
        }
        for wide in (False, True)
    )
    assert {name for name in of_one.keys() & of_all.keys() if of_one[name] != of_all[name]} == set()
