"""A node whose kubelet gives logs and nothing else: what `kubectl logs` asks of it through the real API server."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cluster.certificates import make_certificates
from cluster.cluster import Cluster
from cluster.connection import MERGE


@dataclass
class FakeKubelet:
    """The logs of the node's pods, a line each nanosecond; a log that is followed ends once it is in `ended`, or is cut."""

    node: str
    logs: dict[str, list[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    cuts: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def write(self, pod: str, *lines: str, end: bool = False) -> None:
        """Add lines to a pod's log, and perhaps end it."""
        with self.changed:
            self.logs.setdefault(pod, []).extend(lines)
            if end:
                self.ended.add(pod)
            self.changed.notify_all()

    def cut(self) -> None:
        """End all streams, as a kubelet does that is started again."""
        with self.changed:
            self.cuts += 1
            self.changed.notify_all()

    def read(self, pod: str, *, follow: bool, stamped: bool) -> Iterator[str]:
        """Yield a pod's lines, each after its time where that is asked for."""
        sent, cuts = 0, self.cuts
        while True:
            with self.changed:
                lines = self.logs.get(pod, [])[sent:]
                over = not follow or pod in self.ended or self.cuts > cuts
                if not lines and not over:
                    self.changed.wait(timeout=60)
                    continue
            for place, line in enumerate(lines, sent):
                yield f"2026-01-01T00:00:00.{place:09}Z {line}" if stamped else line
            sent += len(lines)
            if over and not lines:
                return


@contextmanager
def fake_kubelet(cluster: Cluster, folder: Path, node: str) -> Iterator[FakeKubelet]:
    """A node of that name, served on this machine."""
    kubelet = FakeKubelet(node)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)  # /containerLogs/NAMESPACE/POD/CONTAINER
            pod, options = asked.path.split("/")[3], parse_qs(asked.query)
            self.send_response(200)
            self.end_headers()
            for line in kubelet.read(pod, follow=options.get("follow") == ["true"], stamped=options.get("timestamps") == ["true"]):
                self.wfile.write(f"{line}\n".encode())
                self.wfile.flush()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    certificates = make_certificates(folder / node, ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.file("server.crt"), certificates.file("server.key"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cluster.create("/api/v1/nodes", {"kind": "Node", "metadata": {"name": node}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_port}},
    }
    cluster.admin.expect("PATCH", f"/api/v1/nodes/{node}/status", {"status": status}, content_type=MERGE)
    try:
        yield kubelet
    finally:
        cluster.admin.expect("DELETE", f"/api/v1/nodes/{node}")
        server.shutdown()
