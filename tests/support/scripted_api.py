"""An HTTP server that answers as told, over real connections, and remembers what it was asked: an API server on its worst day."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


@dataclass(frozen=True)
class Answer:
    """A whole answer; `cut` sends half of it and drops the connection, `absent` drops it before the first byte."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    absent: bool = False


@dataclass(frozen=True)
class Stream:
    """An answer of events, a line each; then it ends as it should, or is cut in the middle of one, or stays open until the test ends."""

    events: Sequence[Any]
    then: str = "end"


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


def refusal(status: int, message: str = "no", **details: Any) -> Answer:
    """Return an error as API servers word it."""
    document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
    return Answer(document | ({"details": details} if details else {}), status)


class ScriptedApi:
    """Answers to come, one after the other; without any left it answers 500."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: list[Answer | Stream] = []
        self.over = threading.Event()
        self.host = ""
        self._lock = threading.Lock()

    def then(self, *answers: Answer | Stream) -> None:
        """Add answers."""
        with self._lock:
            self.answers += answers

    def take(self, asked: Asked) -> Answer | Stream:
        """Remember a request and return its answer."""
        with self._lock:
            self.asked.append(asked)
            return self.answers.pop(0) if self.answers else refusal(500, "the script has no more answers")

    def client(self, token: str = "a-token") -> ApiClient:
        """Return a client that is signed in here."""
        from kubernetes.client import ApiClient, Configuration

        configuration = Configuration(host=self.host)
        configuration.api_key["BearerToken"] = f"bearer {token}"
        configuration.retries = False
        return ApiClient(configuration)


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """Run a server until the block ends."""
    script = ScriptedApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            place = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            answer = script.take(
                Asked(
                    self.command,
                    place.path,
                    dict(parse_qsl(place.query)),
                    {name.title(): value for name, value in self.headers.items()},
                    body,
                )
            )
            self.close_connection = True
            if isinstance(answer, Stream):
                self._stream(answer)
            elif not answer.absent:
                data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(data)),
                    "Connection": "close",
                    **answer.headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if answer.cut else data)

        do_GET = do_PATCH = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815  # http.server's names

        def _stream(self, stream: Stream) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            for event in stream.events:
                self._chunk(json.dumps(event).encode() + b"\n")
            if stream.then == "cut":
                self._chunk(b'{"type": "ADD')
            elif stream.then == "stay":
                script.over.wait()
            else:
                self.wfile.write(b"0\r\n\r\n")

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.host = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        script.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
