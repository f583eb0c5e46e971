"""Programs that run beside the tests, each with a log; none outlives the process that started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_STOP_SECONDS = 10.0


@dataclass
class Processes:
    """Programs by name, started in order and stopped in the reverse order.

    Attributes:
        folder: Where each leaves NAME.log.
        prefix: What every command is run by, such as nsenter.
    """

    folder: Path
    prefix: Sequence[str] = ()
    _commands: dict[str, tuple[Sequence[str | Path], Mapping[str, str] | None]] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str | Path, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()) -> None:
        """Start a program that ends with this process, however this process ends."""
        self._commands[name] = command, env
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise RuntimeError("the tests' cluster needs the program setpriv of util-linux")
        with self.log(name).open("ab") as output:
            self._running[name] = subprocess.Popen(
                [*self.prefix, setpriv, "--pdeathsig", "KILL", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                pass_fds=pass_fds,
                start_new_session=True,
            )

    def restart(self, name: str) -> None:
        """Start a program that was killed again, as it was started before."""
        command, env = self._commands[name]
        self.start(name, *command, env=env)

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP and SIGCONT for a program that hangs for a while."""
        _signal(self._running[name], number)

    def kill(self, name: str) -> None:
        """End a program at once, as a crash would."""
        process = self._running.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait()
        # What a command is run by ends before the program itself, which holds its port until it is gone.
        end = time.monotonic() + _STOP_SECONDS
        while _lives(process) and time.monotonic() < end:
            time.sleep(0.01)

    def stop(self) -> None:
        """End all of them, kindly first, but for an API server: it would wait for those who watch."""
        for name, process in reversed(self._running.items()):
            if name != "kube-apiserver":
                _signal(process, signal.SIGTERM)
                _signal(process, signal.SIGCONT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_SECONDS)
            _signal(process, signal.SIGKILL)
            process.wait()
        self._running.clear()

    def wait_until(self, name: str, ready: Callable[[], bool], *, seconds: float = 60.0) -> None:
        """Wait for a program; raises RuntimeError with the end of its log when it has ended or is not ready in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._running[name].poll() is None:
            if ready():
                return
            time.sleep(0.05)
        tail = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-15:])
        raise RuntimeError(f"{name} is not ready after {seconds:g} s (exit code {self._running[name].poll()}):\n{tail}")

    def log(self, name: str) -> Path:
        """The file with a program's output."""
        return self.folder / f"{name}.log"


def _lives(process: subprocess.Popen[bytes]) -> bool:
    """Say whether any process of a program's group is left."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a program's whole group: what it is run by does not hand signals on."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
