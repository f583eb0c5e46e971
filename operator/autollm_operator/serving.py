"""Metrics and probes over HTTP: three addresses, nothing else, and nothing that changes anything."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry

from autollm_operator.health import Health
from autollm_operator.metrics.exposition import expose

TEXT = "text/plain; charset=utf-8"


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    content_type: str
    body: bytes


Route = Callable[[str], Page]
"""From the request's Accept header to the page."""


def routes(health: Health, registry: CollectorRegistry) -> Mapping[str, Route]:
    """Return what is served, by path."""
    return {
        "/livez": lambda accept: _probe(health.why_not_alive()),
        "/readyz": lambda accept: _probe(health.why_not_ready()),
        "/metrics": lambda accept: _metrics(registry, accept),
    }


class Server:
    """Answers GET in threads of its own, from the moment that it is made."""

    def __init__(self, host: str, port: int, pages: Mapping[str, Route]) -> None:
        self._http = _Http(_address(host), host, port, pages)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, name="serving", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on, also where 0 was asked for."""
        return self._http.server_port

    def close(self) -> None:
        """Answer nothing more."""
        self._http.shutdown()
        self._http.server_close()


def _probe(problem: str) -> Page:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
    return Page(status, TEXT, f"{problem or 'ok'}\n".encode())


def _metrics(registry: CollectorRegistry, accept: str) -> Page:
    body, content_type = expose(registry, accept)
    return Page(HTTPStatus.OK, content_type, body)


def _address(host: str) -> socket.AddressFamily:
    if host:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    return socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET  # every address, of either family where there are two


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, host: str, port: int, pages: Mapping[str, Route]) -> None:
        self.address_family = family
        self.pages = pages
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # seconds for a client to say what it wants
    server: _Http

    def do_GET(self) -> None:
        route = self.server.pages.get(self.path.partition("?")[0])
        page = route(self.headers.get("Accept", "")) if route else Page(HTTPStatus.NOT_FOUND, TEXT, b"not found\n")
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def version_string(self) -> str:
        return "autollm"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives it
        """Keep the log for what happens in the cluster."""
