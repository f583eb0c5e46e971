"""A child process that answers one JSON line with another, never waited for beyond a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

_CHUNK = 1 << 16
_REAP_SECONDS = 1.0

SINGLE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""The optimiser must not take the processors from the evaluators."""


class ChildTimeoutError(Exception):
    """The deadline passed first."""


class ChildEndedError(Exception):
    """The process is gone; the message says how it ended."""


class Child:
    """A running child. Its pipes do not block, so that neither a stopped nor a busy child can hold up the caller."""

    def __init__(self, command: Sequence[str]) -> None:
        self.started = time.monotonic()
        self.ready = False
        self._received = bytearray()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, **SINGLE_THREAD},
            bufsize=0,
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101  # both are pipes
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)

    @classmethod
    def spawn(cls) -> Child:
        """Start a suggesting process."""
        return cls([sys.executable, "-m", "autollm.suggester"])

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_until_ready(self, deadline: float) -> None:
        """Wait for the line with which the child says that it has loaded everything."""
        if not self.ready:
            self._receive(deadline)
            self.ready = True

    def exchange(self, message: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        """Send a line and return the one that answers it; `deadline` counts as `time.monotonic` does.

        Raises ChildTimeoutError, after which only `kill` is of use, and ChildEndedError.
        """
        self._send(json.dumps(message).encode() + b"\n", deadline)
        answer: dict[str, Any] = json.loads(self._receive(deadline))
        return answer

    def end(self) -> None:
        """End the process, stopped or not, under whoever waits for its answer."""
        self._process.kill()

    def kill(self) -> None:
        """End the process and close what belongs to it; nobody may be waiting for an answer."""
        self.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout, self._complaints):
            if pipe is not None:
                pipe.close()

    def _send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._stdin, selectors.EVENT_WRITE, deadline)
            try:
                rest = rest[os.write(self._stdin, rest[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise ChildEndedError(self._ending()) from None

    def _receive(self, deadline: float) -> bytes:
        while b"\n" not in self._received:
            self._wait(self._stdout, selectors.EVENT_READ, deadline)
            try:
                data = os.read(self._stdout, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                raise ChildEndedError(self._ending())
            self._received += data
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received[:] = rest
        return line

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, event)
            if not selector.select(max(deadline - time.monotonic(), 0.0)):
                raise ChildTimeoutError

    def _ending(self) -> str:
        try:
            code = self._process.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its pipes"
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._complaints.seek(0)
        complaints = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {complaints[-1]}" if complaints else how
