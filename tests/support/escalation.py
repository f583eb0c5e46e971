"""What no run document may ever give a pod, and documents that ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from support.documents import ELSEWHERE

ALLOWED_POD_FIELDS = frozenset(
    (
        "restartPolicy", "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds",
        "securityContext", "containers", "volumes", "nodeSelector", "affinity", "tolerations", "priorityClassName", "runtimeClassName",
        "imagePullSecrets", "subdomain",
    )
)  # fmt: skip
ALLOWED_CONTAINER_FIELDS = frozenset(
    (
        "name", "image", "imagePullPolicy", "command", "env", "resources", "volumeMounts", "securityContext", "terminationMessagePath",
        "terminationMessagePolicy",
    )
)  # fmt: skip
ALLOWED_VOLUMES = frozenset(("name", "emptyDir", "persistentVolumeClaim", "configMap", "secret", "downwardAPI"))
OWN_FOLDERS = ("/autollm", "/scratch", "/tmp", "/dev")


def escalations(job: Mapping[str, Any], namespace: str, accounts: frozenset[str]) -> Iterator[str]:
    """Yield what a Job's pods could do that they must not."""
    pod = job["spec"]["template"]["spec"]
    if job["metadata"]["namespace"] != namespace or "namespace" in job["spec"]["template"]["metadata"]:
        yield "another namespace"
    if "ownerReferences" in job["spec"]["template"]["metadata"] or "suspend" in job["spec"]:
        yield "fields that are the cluster's"
    yield from sorted(f"pod.{field}" for field in pod.keys() - ALLOWED_POD_FIELDS)
    if pod["serviceAccountName"] not in accounts:
        yield f"the ServiceAccount {pod['serviceAccountName']}"
    if pod["securityContext"]["runAsNonRoot"] is not True or pod["securityContext"].get("runAsUser", 1) == 0:
        yield "root"
    if pod["securityContext"].keys() & {"sysctls", "seLinuxOptions", "windowsOptions", "supplementalGroups"}:
        yield "a pod security context that is not restricted"
    if pod.get("priorityClassName", "").startswith("system-"):
        yield "the cluster's own priority"
    (container,) = pod["containers"]
    yield from _of_container(container)
    for volume in pod["volumes"]:
        yield from sorted(f"volume.{field}" for field in volume.keys() - ALLOWED_VOLUMES)
    own = {volume["name"] for volume in pod["volumes"] if volume["name"].startswith("autollm-")}
    for mount in container["volumeMounts"]:
        path = mount["mountPath"]
        if mount["name"] not in own and path.startswith(OWN_FOLDERS):
            yield f"a mount over {path}"
        if mount.keys() - {"name", "mountPath", "readOnly"} or ".." in path.split("/"):
            yield f"the mount {mount}"


def _of_container(container: Mapping[str, Any]) -> Iterator[str]:
    yield from sorted(f"container.{field}" for field in container.keys() - ALLOWED_CONTAINER_FIELDS)
    context = container["securityContext"]
    if context["privileged"] or context["allowPrivilegeEscalation"] or context["capabilities"] != {"drop": ["ALL"]}:
        yield "privileges"
    if not context["readOnlyRootFilesystem"]:
        yield "a file system to write to"
    if "autollm-runtime" not in container["command"]:
        yield "another program"
    for variable in container["env"]:
        source: Mapping[str, Any] = variable.get("valueFrom", {})
        if variable.keys() - {"name", "value", "valueFrom"}:
            yield f"the variable {variable['name']}"
        if source.keys() - {"secretKeyRef", "fieldRef"} or "namespace" in source.get("secretKeyRef", {}):
            yield f"the variable {variable['name']}"
        if variable["name"].startswith(("LD_", "PYTHON")) or variable["name"] in ("PATH", *ELSEWHERE):
            yield f"the variable {variable['name']}"


_VOLUME = {"name": "v", "mountPath": "/v"}
_SOURCES: tuple[dict[str, Any], ...] = (
    {"hostPath": {"path": "/"}},
    {"emptyDir": {}, "hostPath": {"path": "/var/run"}},
    {"nfs": {"server": "10.0.0.1", "path": "/"}},
    {"csi": {"driver": "secrets-store.csi.k8s.io"}},
    {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}},
    {"ephemeral": {"volumeClaimTemplate": {}}},
    {"persistentVolumeClaim": {"claimName": "c", "namespace": "team-b"}},
    {"secret": {"secretName": "s", "namespace": "kube-system"}},
    {"emptyDir": {}, "subPath": "../../etc"},
    {"emptyDir": {}, "mountPropagation": "Bidirectional"},
    {"emptyDir": {}, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
    {"emptyDir": {}, "mountPath": "/usr/local/bin"},
)
HOSTILE_WORKERS: tuple[dict[str, Any], ...] = (
    *({"volumes": [_VOLUME | source]} for source in _SOURCES),
    {"podTemplate": {"spec": {"hostNetwork": True}}},
    {"hostNetwork": True, "hostPID": True, "hostIPC": True, "shareProcessNamespace": True},
    {"securityContext": {"runAsUser": 0, "privileged": True}},
    {"train": {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}},
    {"train": {"command": ["sh"], "args": ["-c", "id"]}},
    {"initContainers": [{"name": "i", "image": "busybox"}], "sidecars": [{"name": "s", "image": "busybox"}]},
    {"namespace": "kube-system"},
    {"serviceAccountName": "kube-system/admin"},
    {"serviceAccountName": "cluster-admin"},
    {"automountServiceAccountToken": True, "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["kubernetes.default.svc"]}]},
    {"nodeName": "control-plane", "schedulerName": "mine"},
    {"priorityClassName": "system-cluster-critical"},
    {"env": [{"name": "A", "secretKeyRef": {"name": "s", "key": "k", "namespace": "kube-system"}}]},
    {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]},
    {"env": [{"name": "LD_PRELOAD", "value": "/v/evil.so"}]},
    {"env": [{"name": "AUTOLLM_NAMESPACE", "value": "kube-system"}]},
    *({"env": [{"name": name, "value": "http://169.254.169.254"}]} for name in ELSEWHERE),
    {"env": [{"name": "HF_ENDPOINT", "secretKeyRef": {"name": "s", "key": "k"}}]},
    {"imagePullSecrets": [{"name": "kube-system/registry"}]},
)
"""Sections that ask for what is not theirs: some fields do not exist, others have values that are refused."""
