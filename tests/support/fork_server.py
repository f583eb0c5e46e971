"""A fork server as a process, spoken to over its pipes; run as a program, it is one whose workers do small tricks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any


class ForkServer:
    """The process of a server; leaving the context closes its input, at which it ends."""

    def __init__(self, command: Sequence[str], errors: Path) -> None:
        self._errors = errors.open("wb")
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, bufsize=1, env=environment
        )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self._errors.close()

    def say(self, order: Any) -> None:
        """Give an order; text goes as it is."""
        assert self.process.stdin is not None
        self.process.stdin.write((order if isinstance(order, str) else json.dumps(order)) + "\n")

    def hear(self) -> dict[str, Any]:
        """Wait for the next answer."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def hear_end(self) -> int:
        """Wait for the end of a worker and return its exit code."""
        while "exit" not in (answer := self.hear()):
            assert "pid" in answer, answer
        return int(answer["exit"])


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


def trick(argv: Sequence[str]) -> int:
    """What the workers of the program below do, by their first argument."""
    match argv[0]:
        case "exit":
            return int(argv[1])
        case "raise":
            raise ValueError("a worker that raises")
        case "leave":
            sys.exit("a worker that leaves")
        case "tell":
            print(
                json.dumps({"argv": list(argv), "cwd": str(Path.cwd()), "input": sys.stdin.read(), "session": os.getsid(0) == os.getpid()})
            )
            print("an error", file=sys.stderr)
            return 0
        case "wait":
            Path(argv[1]).write_text(str(os.getpid()))
            signal.pause()
            return 0
        case "save":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # one that comes before it is waited for is kept
            Path(argv[1]).write_text(str(os.getpid()))
            signal.sigwait({signal.SIGTERM})
            return 143
        case "spawn":
            child = subprocess.Popen(["sleep", "600"])
            Path(argv[1]).write_text(str(child.pid))
            if argv[2] == "stay":
                signal.pause()
            return 0
    return 99


if __name__ == "__main__":
    from autollm_runtime.worker.serve import Server

    Server(os.dup(0), os.dup(1), trick).run()
