"""What a user may do on a real API server, asked of it for every verb and every kind that it serves."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cluster.connection import Connection

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
FURTHER = {
    "clusterroles.rbac.authorization.k8s.io": ("bind", "escalate"),
    "roles.rbac.authorization.k8s.io": ("bind", "escalate"),
    "serviceaccounts": ("impersonate",),
    "certificatesigningrequests.certificates.k8s.io": ("approve",),
}
"""Verbs that no request has and that RBAC asks for on top."""
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Access(NamedTuple):
    """A verb on a kind, `plural[/part][.group]`, in a namespace; the empty namespace is all of them."""

    verb: str
    resource: str
    namespace: str


def resources(admin: Connection) -> Iterator[str]:
    """Yield every kind that the API server serves, with its parts such as status, each as `plural[/part][.group]`."""
    groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in admin.expect("GET", "/apis")["groups"]]
    for path in ["/api/v1", *groups]:
        suffix = "" if path == "/api/v1" else "." + path.split("/")[2]
        yield from (kind["name"] + suffix for kind in admin.expect("GET", path)["resources"])


def allowed(admin: Connection, user: str, namespaces: tuple[str, ...]) -> set[Access]:
    """Return all that a user may do in these namespaces, the empty one among them if it is to be asked for."""
    questions = [
        Access(verb, resource, namespace)
        for resource in resources(admin)
        for verb in (*VERBS, *FURTHER.get(resource, ()))
        for namespace in namespaces
    ]
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda question: may(admin, user, question), questions)
        return {question for question, answer in zip(questions, answers, strict=True) if answer}


def may(admin: Connection, user: str, access: Access, *, name: str = "") -> bool:
    """Whether a user may do this, to the object of this name if one is given."""
    kind, _, group = access.resource.partition(".")
    plural, _, part = kind.partition("/")
    wanted = {"verb": access.verb, "group": group, "resource": plural, "subresource": part, "namespace": access.namespace, "name": name}
    question = {"user": user, "groups": _groups(user), "resourceAttributes": wanted}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": question}
    return bool(admin.expect("POST", _REVIEWS, review)["status"]["allowed"])


def _groups(user: str) -> list[str]:
    """The groups that the API server puts a user in."""
    if not user.startswith("system:serviceaccount:"):
        return ["system:authenticated"]
    return ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}", "system:authenticated"]
