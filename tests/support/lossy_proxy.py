"""A connection that carries a request to its server and loses the first good answer on the way back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

_GOOD = b"HTTP/1.1 200"


@contextmanager
def losing_first_answer(endpoint: str) -> Iterator[str]:
    """Return the endpoint to use in place of `endpoint`; the connection breaks where the first `200` would have come."""
    host, _, port = endpoint.removeprefix("http://").partition(":")
    lost = threading.Event()
    threads: list[threading.Thread] = []

    def pump(source: socket.socket, target: socket.socket, *, answers: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if answers and data.startswith(_GOOD) and not lost.is_set():
                    lost.set()
                    break
                target.sendall(data)
        except OSError:
            pass  # the other direction has closed both
        for end in (source, target):
            with closing(end):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((host, int(port)))
            for source, target, answers in ((client, server, False), (server, client, True)):
                thread = threading.Thread(target=pump, args=(source, target), kwargs={"answers": answers}, daemon=True)
                thread.start()
                threads.append(thread)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
    assert lost.is_set(), "no answer was lost, so nothing was tested"
