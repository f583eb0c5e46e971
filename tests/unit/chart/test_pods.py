"""The pods that the chart makes: restricted whatever the values, replaced as replicas ask for, told apart from workers."""

from __future__ import annotations

from typing import Any

import pytest

from support.chart import Document, of_kind, pod_templates, refusal, render

EVERYTHING: dict[str, Any] = {
    "clusterWide": True,
    "namespaces": ["team-b"],
    "operator": {
        "replicas": 2,
        "imagePullSecrets": ["registry"],
        "env": [{"name": "TZ", "value": "UTC"}, {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "token"}}}],
        "podAnnotations": {"note": "a"},
        "podLabels": {"team": "a"},
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "priorityClassName": "system-cluster-critical",
    },
    "workers": {"proxy": {"http": "http://proxy"}, "caBundle": {"configMap": "mine"}},
    "metrics": {"serviceMonitor": {"enabled": True}},
    "networkPolicy": {"enabled": True},
}


def breaches(pod: Document) -> list[str]:
    """What the restricted Pod Security Standard has against a pod's specification, as far as a chart can break it."""
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC", "hostUsers") if pod.get(name)]
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        found.append("root")
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        found.append("seccompProfile")
    found += [volume["name"] for volume in pod.get("volumes", []) if volume.keys() & {"hostPath", "nfs", "iscsi"}]
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append("privileged")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            found.append("capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append("writable")
        found += [port["name"] for port in container.get("ports", []) if "hostPort" in port]
    return found


@pytest.mark.parametrize("values", [{}, EVERYTHING, {"operator": {"user": None}}], ids=["default", "everything", "user of the cluster"])
def test_no_template_yields_a_privileged_pod(values: dict[str, Any]) -> None:
    pods = list(pod_templates(render(values)))
    assert [breaches(pod) for pod in pods] == [[]]


def test_a_cluster_may_choose_the_user() -> None:
    (pod,) = pod_templates(render({"operator": {"user": None}}))
    assert pod["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"}


def test_what_the_pod_is_given_beside() -> None:
    (pod,) = pod_templates(render(EVERYTHING))
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    given = EVERYTHING["operator"]
    for name in ("nodeSelector", "tolerations", "topologySpreadConstraints", "priorityClassName"):
        assert pod[name] == given[name]
    assert pod["containers"][0]["env"][-2:] == given["env"]
    (deployment,) = of_kind(render(EVERYTHING), "Deployment")
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "a"


@pytest.mark.parametrize("name", ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by"])
def test_nobody_takes_the_operators_pods_from_their_selector_or_for_workers(name: str) -> None:
    assert f"operator.podLabels: {name} may not be set" in refusal({"operator": {"podLabels": {name: "x"}}})


@pytest.mark.parametrize(("replicas", "strategy", "budgets"), [(1, "Recreate", 0), (2, "RollingUpdate", 1)])
def test_one_replica_is_replaced_and_several_stand_by(replicas: int, strategy: str, budgets: int) -> None:
    documents = render({"operator": {"replicas": replicas}})
    (deployment,) = of_kind(documents, "Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]["type"]) == (replicas, strategy)
    assert len(of_kind(documents, "PodDisruptionBudget")) == budgets


def test_no_policy_for_workers_holds_for_the_operator() -> None:
    documents = render(EVERYTHING)
    (deployment,) = of_kind(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = {one["metadata"]["name"]: one["spec"]["podSelector"]["matchLabels"] for one in of_kind(documents, "NetworkPolicy")}
    assert selectors["autollm"].items() <= labels.items()
    assert selectors["autollm-workers"] == {"app.kubernetes.io/managed-by": "autollm"}
    assert labels.get("app.kubernetes.io/managed-by") != "autollm"


def test_policies_say_who_reaches_what() -> None:
    policy = {"enabled": True, "operator": {"apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]}, "scrapers": [{"podSelector": {}}]}}
    documents = render({"networkPolicy": policy})
    (operator,) = of_kind(documents, "NetworkPolicy", "autollm")
    assert operator["spec"]["egress"][1] == {"ports": [{"protocol": "TCP", "port": 6443}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
    assert operator["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8080}], "from": [{"podSelector": {}}]}]
    (workers,) = of_kind(documents, "NetworkPolicy", "autollm-workers")
    dns = [{"protocol": protocol, "port": port} for port in (53, 5353) for protocol in ("UDP", "TCP")]  # OpenShift's pods have 5353
    assert operator["spec"]["egress"][0] == workers["spec"]["egress"][0] == {"ports": dns}
    anywhere = workers["spec"]["egress"][-1]["to"]
    assert anywhere[0]["ipBlock"] == {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}
    assert anywhere[-1] == {"namespaceSelector": {}}  # Cilium takes no address for that of a pod
    mine = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    (workers,) = of_kind(render({"networkPolicy": {"enabled": True, "workers": {"egress": [mine]}}}), "NetworkPolicy", "autollm-workers")
    assert workers["spec"]["egress"][-1] == mine
    assert len(workers["spec"]["egress"]) == 3  # DNS and each other stay allowed


def test_where_the_api_server_is_not_known_its_ports_are_open_everywhere() -> None:
    """Also where no rule with addresses leads: Cilium takes none for that of a node."""
    documents = render({"networkPolicy": {"enabled": True, "operator": {"apiServer": {"ports": [6443]}}}})
    for name in ("autollm", "autollm-workers"):
        (policy,) = of_kind(documents, "NetworkPolicy", name)
        assert policy["spec"]["egress"][-1] == {"ports": [{"protocol": "TCP", "port": 6443}]}
