"""An S3 server beside a real node that does not serve for a while."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.store import PROGRAM
from support.cluster_place import Place

AWAY_SECONDS = 20


@contextmanager
def hanging(place: Place) -> Iterator[None]:
    """Let the store take connections and answer none, for a while after the block."""
    processes = place.node.sandbox.processes
    processes.send(PROGRAM, signal.SIGSTOP)
    try:
        yield
        threading.Event().wait(AWAY_SECONDS)
    finally:
        processes.send(PROGRAM, signal.SIGCONT)


@contextmanager
def away(place: Place) -> Iterator[None]:
    """Let nothing be there where the store was, for a while after the block."""
    processes = place.node.sandbox.processes
    processes.kill(PROGRAM)
    try:
        yield
        threading.Event().wait(AWAY_SECONDS)
    finally:
        processes.restart(PROGRAM)
