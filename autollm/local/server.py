"""The fork server from the engine's side: orders go to its standard input, answers come from its standard output."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autollm.contract.exit_codes import ExitCode
from autollm.errors import AutoLLMError

PROGRAM = "autollm-runtime"


class WorkerProgramError(AutoLLMError):
    """The program that does the work is missing or does not run."""

    reason = "NoWorkerProgram"


@dataclass(frozen=True)
class WorkerEnded:
    """A worker's process is gone: by itself, `lost` with the server that had forked it, or with an `error` never started."""

    id: str
    exit_code: int
    error: str | None = None
    lost: bool = False


def worker_program() -> list[str]:
    """Return the command of the worker program, which is installed beside this Python or on the path."""
    beside = Path(sys.executable).with_name(PROGRAM)
    found = str(beside) if beside.exists() else shutil.which(PROGRAM)
    if found is None:
        raise WorkerProgramError(f"the program {PROGRAM} is not installed: in AutoLLM's repository, pip install '.[runtime]'")
    return [found]


class WorkerServer:
    """Starts and signals workers; the process behind it is started with the first of them, and again where it was killed."""

    MOST_DEATHS = 3

    def __init__(self, program: Sequence[str], log: Path, inherited: Sequence[int] = ()) -> None:
        self._program = list(program)
        self._log = log
        self._inherited = tuple(inherited)
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._running: set[str] = set()
        self._deaths = 0

    @property
    def answers(self) -> int | None:
        """The descriptor on which answers arrive, None before the first order."""
        return self._process.stdout.fileno() if self._process and self._process.stdout else None

    def start(self, name: str, argv: Sequence[str], *, log: Path, threads: int) -> None:
        """Have a worker started; it reports to `log`."""
        self._running.add(name)
        self._order({"id": name, "argv": list(argv), "log": str(log), "threads": threads})

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a worker; one that has ended already is let be."""
        if name in self._running:
            self._order({"id": name, "signal": int(number)})

    def read(self) -> list[WorkerEnded]:
        """Return the workers that have ended, as far as the answers say that wait to be read; blocks where none waits.

        The death of the server itself is the end of all its workers. Raises WorkerProgramError where it dies again and again.
        """
        if self._process is None or self._process.stdout is None:
            return []
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        if not data:
            return self._lost()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [ended for line in lines if line.strip() for ended in self._understood(json.loads(line))]

    def close(self) -> None:
        """End the server and all its workers."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process.wait()
            self._process = None

    def _understood(self, answer: dict[str, Any]) -> list[WorkerEnded]:
        if "exit" in answer:
            self._running.discard(answer["id"])
            self._deaths = 0
            return [WorkerEnded(answer["id"], answer["exit"])]
        if "error" in answer:
            if "id" not in answer:
                raise WorkerProgramError(f"{self._program[0]} serve: {answer['error']}")
            self._running.discard(answer["id"])
            return [WorkerEnded(answer["id"], ExitCode.FAILED, error=answer["error"])]
        return []

    def _lost(self) -> list[WorkerEnded]:
        lost, self._running = sorted(self._running), set()
        if self._process is not None:
            code = self._process.wait()
            self._process = None
            self._buffer = b""
            self._deaths += 1
            if self._deaths >= self.MOST_DEATHS:
                raise WorkerProgramError(f"{self._program[0]} serve ended {self._deaths} times, at last with {code}; see {self._log}")
        return [WorkerEnded(name, ExitCode.KILLED, lost=True) for name in lost]

    def _order(self, document: dict[str, Any]) -> None:
        process = self._process or self._spawn()
        if process.stdin is None:
            return
        try:
            process.stdin.write(json.dumps(document).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            # The end of its answers tells the same to whoever reads them.
            return

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the program is ours
                [*self._program, "serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=self._inherited,
                start_new_session=True,
            )
        return self._process
