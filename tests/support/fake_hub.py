"""The Hub's protocol, as far as fetching a model uses it, on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class FakeHub:
    """Models by repository and commit; `gated` and `token` guard them, and `fetched` lists the files that were asked for."""

    commits: dict[str, dict[str, Mapping[str, bytes]]]
    branches: dict[str, dict[str, str]]
    gated: set[str] = field(default_factory=set)
    token: str | None = None
    broken: bool = False
    fetched: list[str] = field(default_factory=list)
    endpoint: str = ""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Answer at `hub.endpoint` until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the name that http.server calls
            parts = urlsplit(self.path).path.strip("/").split("/")
            if hub.broken:
                self._send(503, b"", {})
            elif hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
            elif parts[:2] == ["api", "models"]:
                self._api("/".join(parts[2:4]), parts[4], parts[5])
            else:
                self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

        do_HEAD = do_GET  # noqa: N815  # the name that http.server calls

        def _api(self, repo: str, verb: str, revision: str) -> None:
            body: object
            commit = self._commit(repo, revision)
            if commit is None:
                return
            files = hub.commits[repo][commit]
            if verb == "revision":
                body = {"id": repo, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
            else:
                body = [{"type": "file", "path": name, "size": len(data), "oid": _etag(data)} for name, data in files.items()]
            self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

        def _file(self, repo: str, revision: str, name: str) -> None:
            commit = self._commit(repo, revision)
            if commit is None:
                return
            if repo in hub.gated:
                self._send(403, b"", {"X-Error-Code": "GatedRepo"})
                return
            if self.command == "GET":
                hub.fetched.append(name)
            data = hub.commits[repo][commit][name]
            self._send(200, data, {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": commit})

        def _commit(self, repo: str, revision: str) -> str | None:
            if repo not in hub.commits:
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
                return None
            commit = hub.branches[repo].get(revision, revision)
            if commit not in hub.commits[repo]:
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
                return None
            return commit

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    return Handler


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
