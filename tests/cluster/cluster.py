"""A cluster as tests use it, whoever started it: namespaces, requests, kubectl, and tokens of ServiceAccounts."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autollm_operator.api.client import KubernetesApi
from autollm_operator.api.login import configuration
from cluster.certificates import write_kubeconfig
from cluster.connection import Connection, connect, settings_of
from cluster.waiting import wait_until
from support import chart_rights

WORKER = "autollm-worker"
"""The ServiceAccount that workers run as in every namespace of a test."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that has AutoLLM's CRDs.

    Attributes:
        kubeconfig: The administrator's.
        folder: Where files of the session may lie.
        program: The command that is kubectl.
    """

    kubeconfig: Path
    folder: Path
    program: Sequence[str]

    @cached_property
    def admin(self) -> Connection:
        """Raw requests as the administrator."""
        return connect(self.kubeconfig)

    @cached_property
    def api(self) -> KubernetesApi:
        """The operator's own client, as the administrator."""
        return self.api_as(self.kubeconfig)

    def api_as(self, kubeconfig: Path) -> KubernetesApi:
        """The operator's own client, as the user of a kubeconfig."""
        return KubernetesApi(configuration(str(kubeconfig)))

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator and return its output; raises RuntimeError with what it said on stderr."""
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run([*self.program, *arguments], input=stdin, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def empty_namespace(self, *, security: str = "privileged") -> str:
        """Make a namespace that enforces a Pod Security Standard and return its name; the chart gives it what workers need."""
        name = f"test-{uuid.uuid4().hex[:10]}"
        labels = {"pod-security.kubernetes.io/enforce": security}
        self.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        return name

    def namespace(self, *, security: str = "privileged") -> str:
        """Make a namespace with the workers' ServiceAccount in it, which may do what the chart lets it do, and return its name."""
        name = self.empty_namespace(security=security)
        self.create(f"/api/v1/namespaces/{name}/serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": WORKER}})
        self.allow(name, WORKER, chart_rights.rules(chart_rights.WORKER))
        return name

    def allow(self, namespace: str, account: str, rules: Sequence[dict[str, Any]]) -> None:
        """Let a ServiceAccount do what the rules say in its namespace; returns when the API server knows it."""
        roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.create(f"{roles}/roles", {"kind": "Role", "metadata": {"name": account}, "rules": rules})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
        subjects = [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]
        binding = {"kind": "RoleBinding", "metadata": {"name": account}, "roleRef": reference, "subjects": subjects}
        self.create(f"{roles}/rolebindings", binding)
        rule = rules[0]
        resource, _, part = rule["resources"][0].partition("/")
        wanted = {
            "namespace": namespace,
            "group": rule["apiGroups"][0],
            "resource": resource,
            "subresource": part,
            "verb": rule["verbs"][0],
        }
        review = {"user": f"system:serviceaccount:{namespace}:{account}", "resourceAttributes": wanted}
        wait_until(lambda: self._allowed(review), f"{account} may not {rule['verbs'][0]} {rule['resources'][0]}")

    def _allowed(self, review: dict[str, Any]) -> bool:
        answer = self.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"kind": "SubjectAccessReview", "spec": review})
        return bool(answer["status"]["allowed"])

    def create(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Create an object of a list's path; its apiVersion may be left out."""
        group = path.split("/")
        version = group[2] if group[1] == "api" else f"{group[2]}/{group[3]}"
        return self.admin.expect("POST", path, {"apiVersion": version} | document)

    def token(self, namespace: str, account: str = WORKER) -> str:
        """Return a token of a ServiceAccount, good for an hour."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": 3600}}
        token: str = self.admin.expect("POST", path, request)["status"]["token"]
        return token

    def kubeconfig_of(self, namespace: str, account: str = WORKER) -> Path:
        """Write a kubeconfig with which one is a ServiceAccount."""
        path = self.folder / f"{namespace}-{account}.kubeconfig"
        user = {"token": self.token(namespace, account)}
        settings = settings_of(self.kubeconfig)
        write_kubeconfig(path, settings.host, str(settings.ssl_ca_cert), user, namespace=namespace)
        return path

    def delete_namespace(self, name: str) -> None:
        """Begin to delete a namespace; with pods in it that takes half a minute, which nobody waits for."""
        self.admin.expect("DELETE", f"/api/v1/namespaces/{name}", {"propagationPolicy": "Background"})
