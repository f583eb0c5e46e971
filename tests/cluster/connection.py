"""Raw requests to an API server over kept connections, for what the operator's own client does not do: any path, any content type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_WATCH = urllib3.Timeout(connect=5, read=90)


@dataclass(frozen=True)
class Answer:
    """What the API server said: its HTTP status and the document, which is a Status where it refused."""

    status: int
    document: dict[str, Any]


class Connection:
    """Requests as one user, who is known by a certificate or by a token; safe for threads."""

    def __init__(self, server: str, pool: urllib3.PoolManager, headers: Mapping[str, str]) -> None:
        self._server, self._pool, self._headers = server, pool, dict(headers)

    def ask(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Answer:
        """Send a document, or bytes as they are; raises urllib3's HTTPError where nobody answers."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        answer = self._pool.request(method, self._server + path, body=data, headers=self._headers | {"Content-Type": content_type})
        try:
            document = json.loads(answer.data)
        except ValueError:
            document = {"message": answer.data.decode(errors="replace")}
        return Answer(answer.status, document)

    def expect(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> dict[str, Any]:
        """Send a document and return the answer's; raises RuntimeError where it is refused."""
        answer = self.ask(method, path, body, content_type=content_type)
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.document.get('message')}")
        return answer.document

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of an answer as they come, as those of a watch do; raises urllib3's HTTPError where it is cut off."""
        answer = self._pool.request("GET", self._server + path, headers=self._headers, preload_content=False, timeout=_WATCH)
        rest = b""
        try:
            for data in answer.stream():
                *lines, rest = (rest + data).split(b"\n")
                yield from lines
        finally:
            answer.close()

    def answers(self, path: str) -> bool:
        """Whether a path answers with success."""
        try:
            return self.ask("GET", path).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def connect(kubeconfig: Path) -> Connection:
    """Requests as the user of a kubeconfig."""
    settings = settings_of(kubeconfig)
    pool = urllib3.PoolManager(
        ca_certs=settings.ssl_ca_cert, cert_file=settings.cert_file, key_file=settings.key_file, maxsize=8, retries=False, timeout=60
    )
    token = settings.get_api_key_with_prefix("BearerToken", alias="authorization")
    return Connection(settings.host, pool, {"Authorization": token} if token else {})


def settings_of(kubeconfig: Path) -> Configuration:
    """Where a kubeconfig's cluster is and how its user is known there."""
    settings = Configuration()
    load_kube_config(str(kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]  # it is typed in part only
    return settings
