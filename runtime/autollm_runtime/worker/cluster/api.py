"""The few requests a worker makes of the Kubernetes API, in plain documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from autollm.contract.folder import PLURALS, Kind
from autollm.contract.wording import plain
from autollm.resources.metadata import API_VERSION
from autollm_runtime.worker.cluster.answers import ApiUnavailableError, error_of
from autollm_runtime.worker.cluster.patience import Clock, Patience, patiently

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from urllib3 import BaseHTTPResponse

Document = dict[str, Any]

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_SILENT_SECONDS = 90
"""API servers send a bookmark a minute: a watch that says nothing for longer has lost its connection."""

_WATCH_SECONDS = 300
_PAGE = 500


class ClusterApi:
    """The objects of our kinds in one namespace.

    `get`, `apply_status` and `patch_status` ask again as long as the patience lasts, unless told otherwise; `list` and `watch` ask once.
    Raises ObjectGoneError (404), ConflictError (409), ExpiredError (410), ForbiddenError (403), RefusedError (400, 413, 422; OldCRDsError
    also by 500), and ApiUnavailableError when patience is at an end.
    """

    def __init__(self, client: ApiClient, namespace: str, *, patience: Patience | None = None, clock: Clock | None = None) -> None:
        self._client = client
        self._root = f"/apis/{API_VERSION}/namespaces/{quote(namespace, safe='')}"
        self._patience = patience or Patience()
        self._clock = clock or Clock()

    def get(self, kind: Kind, name: str, *, patient: bool = True) -> Document:
        """Return an object."""
        return (self._ask if patient else self._request)("GET", kind, name)

    def list(self, kind: Kind, fields: str) -> tuple[list[Document], str]:
        """Return the objects that a field selector selects, asked for once, and the version from which to watch them."""
        items: list[Document] = []
        query = {"fieldSelector": fields, "limit": str(_PAGE)}
        while True:
            page = self._request("GET", kind, query=query)
            items += page["items"]
            if not page["metadata"].get("continue"):
                return items, page["metadata"]["resourceVersion"]
            query = {**query, "continue": page["metadata"]["continue"]}

    def watch(self, kind: Kind, fields: str, version: str) -> Iterator[tuple[str, Document]]:
        """Yield what happens to the selected objects after a version, as type and object, until the server ends the answer."""
        query = {"watch": "1", "fieldSelector": fields, "resourceVersion": version, "allowWatchBookmarks": "true"}
        response = self._send("GET", kind, query=query | {"timeoutSeconds": str(_WATCH_SECONDS)}, read_seconds=_SILENT_SECONDS)
        try:
            with _connection_errors(f"watch {PLURALS[kind]}"):
                for event in _lines(response):
                    if event["type"] == "ERROR":
                        raise error_of(
                            int(event["object"].get("code", 500)), json.dumps(event["object"]).encode(), f"watch {PLURALS[kind]}"
                        )
                    yield event["type"], event["object"]
        finally:
            response.close()

    def apply_status(self, kind: Kind, name: str, version: str, manager: str, status: Mapping[str, Any], *, patient: bool = True) -> None:
        """Own these fields of an object's status as `manager`, by server-side apply; ConflictError where its resourceVersion is another.

        The version stands for the uid too, which API servers do not look at when a status is applied.
        """
        document = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "resourceVersion": version}, "status": dict(status)}
        query = {"fieldManager": manager, "force": "true"}
        ask = self._ask if patient else self._request
        ask("PATCH", kind, name, subresource="status", query=query, body=document, content="application/apply-patch+yaml")

    def patch_status(self, kind: Kind, name: str, patch: Mapping[str, Any], manager: str) -> None:
        """Merge a patch into an object's status; ConflictError where it names another uid or resourceVersion.

        Raises OldCRDsError for a field that the API server would leave out without a word.
        """
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        self._ask("PATCH", kind, name, subresource="status", query=query, body=dict(patch), content="application/merge-patch+json")

    def _ask(self, method: str, kind: Kind, name: str | None = None, **request: Any) -> Document:
        return patiently(lambda: self._request(method, kind, name, **request), self._patience, self._clock)

    def _request(self, method: str, kind: Kind, name: str | None = None, **request: Any) -> Document:
        response = self._send(method, kind, name, **request)
        with _connection_errors(_words(method, kind, name)):
            document: Document = json.loads(response.data)
        return document

    def _send(
        self,
        method: str,
        kind: Kind,
        name: str | None = None,
        *,
        subresource: str | None = None,
        query: Mapping[str, str] | None = None,
        body: Document | None = None,
        content: str | None = None,
        read_seconds: float = _READ_SECONDS,
    ) -> BaseHTTPResponse:
        what = _words(method, kind, name)
        path = "/".join([self._root, PLURALS[kind], *([quote(name, safe="")] if name else []), *([subresource] if subresource else [])])
        headers = {"Accept": "application/json"} | ({"Content-Type": content} if content else {})
        with _connection_errors(what):
            request = self._client.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response: BaseHTTPResponse = self._client.call_api(*request, _request_timeout=(_CONNECT_SECONDS, read_seconds)).response
            if not 200 <= response.status < 300:
                raise error_of(response.status, response.data, what, retry_after=response.headers.get("Retry-After"))
        return response


@contextmanager
def _connection_errors(what: str) -> Iterator[None]:
    """Raise ApiUnavailableError in place of what urllib3, the client and an answer that was cut short raise."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (HTTPError, ApiException, OSError, ValueError) as error:
        cause = plain(f"{type(error).__name__}: {error}", 512)
        raise ApiUnavailableError(f"{what}: the API server does not answer ({cause})") from error


def _words(method: str, kind: Kind, name: str | None) -> str:
    return f"{method.lower()} {PLURALS[kind]}" + (f"/{name}" if name else "")


def _lines(response: BaseHTTPResponse) -> Iterator[Document]:
    rest = b""
    for piece in response.stream(1 << 16, decode_content=False):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())
