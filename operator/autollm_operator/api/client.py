"""The port on the official client: plain JSON both ways, so that no number, quantity or unknown field is changed on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autollm_operator.api.port import (
    FIELD_MANAGER,
    ApiError,
    ConflictError,
    Document,
    NotFoundError,
    Propagation,
    UnavailableError,
)
from autollm_operator.api.refusals import ExpiredError, no_answer, refusal
from autollm_operator.api.resources import PODS, Resource
from autollm_operator.api.server_clock import ServerClock

PAGE = 500
"""Objects of a page of a list: some 3 MB of trials."""

CONNECT_SECONDS, READ_SECONDS = 5.0, 35.0
"""An admission webhook may take 30 s of it: one that does not answer is then told from an API server that does not."""

_MERGE, _APPLY, _JSON = "application/merge-patch+json", "application/apply-patch+yaml", "application/json"

Observe = Callable[[str, str, int], None]
"""Told of each answer: the verb, the plural of the kind, the HTTP status (0: none came)."""


class _At(NamedTuple):
    """Which object, or which objects."""

    namespace: str | None
    name: str | None = None
    subresource: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in self if part) or "everywhere"


class KubernetesApi:
    """The API of a cluster; any number of threads may use it at the same time.

    Attributes:
        clock: The time as this API server has it.
    """

    def __init__(
        self,
        configuration: client.Configuration,
        *,
        manager: str = FIELD_MANAGER,
        read_seconds: float = READ_SECONDS,
        page: int = PAGE,
        observe: Observe = lambda verb, plural, status: None,
    ) -> None:
        self._client = client.ApiClient(configuration)
        self._client.user_agent = manager
        self._manager = manager
        self._timeout = (CONNECT_SECONDS, read_seconds)
        self._page = page
        self._observe = observe
        self.clock = ServerClock()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._client.close()  # type: ignore[no-untyped-call]  # the client has no types here

    def list(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> Iterator[Document]:
        """Yield all objects, page by page; one that changes meanwhile may come twice, none that stays is left out."""
        asked = {"limit": str(self._page), **({"labelSelector": labels} if labels else {})}
        token = ""
        while True:
            try:
                page = self._ask("list", resource, _At(namespace), asked | ({"continue": token} if token else {}))
            except ExpiredError as error:
                if not token:
                    raise UnavailableError(str(error), status=error.status) from error
                token = error.token  # the rest as it is now; without a token, all from the start
                continue
            for item in page.get("items") or ():
                yield {"apiVersion": resource.api_version, "kind": resource.kind, **item}
            token = page["metadata"].get("continue") or ""
            if not token:
                return

    def get(self, resource: Resource, namespace: str, name: str) -> Document:
        """Return an object; raises NotFoundError."""
        return self._ask("get", resource, _At(namespace, name))

    def create(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        """Create an object and return it as stored; raises AlreadyExistsError."""
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **document}
        return self._ask("create", resource, _At(document["metadata"]["namespace"]), self._owned, body, _JSON)

    def ensure(self, resource: Resource, namespace: str, name: str) -> Document:
        """Return the object of this name, made with nothing but its name where there is none."""
        body: Document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"namespace": namespace, "name": name}}
        return self._ask("apply", resource, _At(namespace, name), self._owned, body, _APPLY)

    def apply_status(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        """Own exactly these fields of an object's status; raises NotFoundError, and ConflictError as the port says."""
        metadata = document["metadata"]
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **document}
        at = _At(metadata["namespace"], metadata["name"], "status")
        return _same(metadata, self._ask("apply", resource, at, self._owned | {"force": "true"}, body, _APPLY))

    def patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str | None = None) -> Document:
        """Merge a patch into an object; raises NotFoundError, and ConflictError where the patch names another uid or resourceVersion."""
        at = _At(namespace, name, subresource)
        return _same(patch.get("metadata", {}), self._ask("patch", resource, at, self._owned, dict(patch), _MERGE))

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        propagation: Propagation = "Background",
    ) -> None:
        """Delete the object of this uid; one that is gone, or that another has replaced, is deleted already."""
        options: Document = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation, "preconditions": {"uid": uid}}
        try:
            self._ask("delete", resource, _At(namespace, name), {}, options, _JSON)
        except NotFoundError:
            return
        except ConflictError:
            if self._is_there(resource, namespace, name, uid):
                raise

    def evict(self, namespace: str, name: str, *, uid: str, grace_seconds: int) -> None:
        """Evict the pod of this uid; one that is gone, or that another has replaced, is gone already."""
        options: Document = {"preconditions": {"uid": uid}, "gracePeriodSeconds": grace_seconds}
        eviction: Document = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options}
        with suppress(NotFoundError, ConflictError):
            self._ask("create", PODS, _At(namespace, name, "eviction"), {}, eviction, _JSON)

    def _is_there(self, resource: Resource, namespace: str, name: str, uid: str) -> bool:
        try:
            return bool(self.get(resource, namespace, name)["metadata"]["uid"] == uid)
        except NotFoundError:
            return False

    @property
    def _owned(self) -> dict[str, str]:
        return {"fieldManager": self._manager}

    def _ask(
        self, verb: str, resource: Resource, at: _At, query: Mapping[str, str] | None = None, body: Document | None = None, kind: str = ""
    ) -> Document:
        method = {"list": "GET", "get": "GET", "create": "POST", "delete": "DELETE"}.get(verb, "PATCH")
        asked = f"{verb} {resource.plural} {at if at.name or body is None else at._replace(name=body['metadata'].get('name'))}"
        headers = {"Accept": _JSON, **({"Content-Type": kind} if kind else {})}
        status = 0
        try:
            method, url, headers, _, _ = self._client.param_serialize(
                method, resource.path(*at), query_params=list((query or {}).items()), header_params=headers, auth_settings=["BearerToken"]
            )
            response = self._client.call_api(method, url, header_params=headers, body=body, _request_timeout=self._timeout)
            content: bytes = response.read()  # type: ignore[no-untyped-call]  # the client has no types here
            status = response.status
            self.clock.heard(response.headers.get("Date"))
        except (HTTPError, OSError, ApiException) as error:
            raise no_answer(asked, error) from error
        finally:
            self._observe(verb, resource.plural, status)
        if not 200 <= status < 300:
            raise refusal(asked, status, response.reason or "", response.headers, content)
        try:
            document = json.loads(content)
        except ValueError as error:
            raise no_answer(asked, error) from error  # something between us and the API server answered for it
        if not isinstance(document, dict):
            raise ApiError(f"the answer to {asked} is no document", status=status)
        if document.get("kind") == "Status" and document.get("status") == "Failure":
            # So is an eviction answered that two PodDisruptionBudgets have a say in: created (201).
            raise refusal(asked, int(document.get("code") or 500), "", response.headers, content)
        return document


def _same(wanted: Mapping[str, Any], answer: Document) -> Document:
    """Return the answer if it is of the object that was meant: where a status is written, the API server does not look at the uid."""
    found = answer["metadata"]["uid"]
    if wanted.get("uid", found) != found:
        raise ConflictError(f"{answer['kind']} {answer['metadata']['name']} is another object by now: its uid is {found}", status=409)
    return answer
