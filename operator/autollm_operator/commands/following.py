"""The logs of pods as they grow: a thread reads each of them, and it is looked for new pods all the while."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from autollm.cli.outage import Outage
from autollm_operator.api.port import UnavailableError
from autollm_operator.cache.views import PodView

LOOK_SECONDS = 2.0
"""How often it is looked for new pods, and for streams that broke."""

LINES_AHEAD = 10_000
"""How many lines are read before they are asked for: the logs of thousands of steps come faster than a terminal shows them."""

_Lines = queue.Queue[tuple[str, str]]


class Growing(Protocol):
    """The pods whose logs are followed."""

    def find(self) -> tuple[list[PodView], bool]:
        """Return the pods that are there, and whether more may come; raises UnavailableError where the API server does not answer."""
        ...

    def stamped(self, pod: PodView) -> Iterator[tuple[str, str]]:
        """Yield the lines of a log from its beginning until the pod ends, each after its time as text that sorts, or after nothing.

        Raises UnavailableError where the stream breaks, or cannot be had.
        """
        ...


def follow_logs(pods: Growing) -> Iterator[tuple[str, str]]:
    """Yield lines as they are written, each with its pod's name, of pods that come later too, until the work has ended.

    Raises OutageError where the API server stays away.
    """
    lines: _Lines = queue.Queue(LINES_AHEAD)
    readers: dict[str, _Reader] = {}
    outage = Outage()
    while True:
        try:
            found, more = pods.find()
        except UnavailableError as error:
            outage.bear(error)
        else:
            outage.end()
            begun = [pod for pod in found if pod.phase != "Pending"]
            reading = [readers.setdefault(pod.uid, _Reader(pods, lines)).read_on(pod, more=more) for pod in begun]
            if not more and not any(reading) and not any(reader.is_reading for reader in readers.values()):
                yield from _left_in(lines)
                return
        yield from _for_a_while(lines, LOOK_SECONDS)


def _for_a_while(lines: _Lines, seconds: float) -> Iterator[tuple[str, str]]:
    """Yield lines as they come, for so many seconds whether any come or not."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            yield lines.get(timeout=left)
        except queue.Empty:
            return


def _left_in(lines: _Lines) -> Iterator[tuple[str, str]]:
    while not lines.empty():
        yield lines.get()


class _Reader:
    """Reads the log of one pod; where its stream breaks, another one goes on after the last line."""

    def __init__(self, pods: Growing, lines: _Lines) -> None:
        self._pods = pods
        self._lines = lines
        self._thread = threading.Thread()
        self._of_ended_pod = self._is_whole = self._brought_any = False
        self._last = ""
        self._told = ""

    @property
    def is_reading(self) -> bool:
        """Whether its stream may bring more lines."""
        return self._thread.is_alive()

    def read_on(self, pod: PodView, *, more: bool) -> bool:
        """Read what is not read yet, unless that goes on already; say whether there may be any. `more`: whether that can wait."""
        if self.is_reading:
            return True
        # A stream that was opened while the pod was at work may have been cut, also where it ended as one that is whole.
        if self._of_ended_pod and (self._is_whole or not (more or self._brought_any)):
            return False
        self._of_ended_pod = pod.phase in ("Succeeded", "Failed")
        self._thread = threading.Thread(target=self._pour, args=(pod,), name=f"log of {pod.name}", daemon=True)
        self._thread.start()
        return True

    def _pour(self, pod: PodView) -> None:
        after, self._is_whole, self._brought_any = self._last, False, False
        try:
            for stamp, line in self._pods.stamped(pod):
                if stamp and stamp <= after:
                    continue
                self._lines.put((pod.name, line))
                self._last, self._brought_any, self._told = stamp or self._last, True, ""
            self._is_whole = True
        except UnavailableError as error:
            # That a stream breaks, and another one goes on, is no news; that none brings anything is, once.
            if not self._brought_any and self._told != str(error):
                self._told = str(error)
                self._lines.put((pod.name, self._told))
