"""An S3 server beside a real node that does not serve for a while, or takes no writes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import refusing
from cluster.processes import Processes
from cluster.sandbox import ADDRESS
from cluster.store import PORT, PROGRAM
from support.cluster_place import Place
from support.versitygw import KEYS, command

AWAY_SECONDS = 20

_REFUSING, _BEHIND = "refusing-store", "versitygw-behind"
_PORT_BEHIND = 7071


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


@dataclass(frozen=True)
class Refusals:
    """What stands before a store that takes no writes.

    Attributes:
        before: How long its log was at first.
    """

    processes: Processes
    before: int

    def answer(self, status: int) -> None:
        """Refuse with another status from now on."""
        self.processes.kill(_REFUSING)
        self.start(status)

    def start(self, status: int) -> None:
        """Take the place of the store."""
        self.processes.start(_REFUSING, sys.executable, Path(refusing.__file__), ADDRESS, *map(str, (PORT, _PORT_BEHIND, status)))

    def count(self, status: int) -> int:
        """Return how many writes were refused with a status."""
        log = self.processes.log(_REFUSING).read_bytes()[self.before :].decode()
        return sum(line.startswith(f"{status} ") for line in log.splitlines())


@contextmanager
def refusing_writes(place: Place, status: int) -> Iterator[Refusals]:
    """Let the store serve reads and refuse writes with a status until the block ends; connections break at its begin and end."""
    processes = place.node.sandbox.processes
    log = processes.log(_REFUSING)
    refusals = Refusals(processes, log.stat().st_size if log.exists() else 0)
    processes.kill(PROGRAM)
    processes.start(_BEHIND, *command(f"{ADDRESS}:{_PORT_BEHIND}", place.store.folder), env=os.environ | KEYS)
    refusals.start(status)
    try:
        yield refusals
    finally:
        processes.kill(_REFUSING)
        processes.kill(_BEHIND)
        processes.restart(PROGRAM)
