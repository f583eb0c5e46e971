"""One engine a folder: the second is refused, and the next waits until the last one's workers are gone."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autollm.errors import AutoLLMError

LONGEST_WAIT = 60.0
_STEP = 0.02


class FolderBusyError(AutoLLMError):
    """Another engine works on this run."""

    reason = "FolderBusy"


@contextmanager
def locked(path: Path, wait: float = LONGEST_WAIT) -> Iterator[int]:
    """Hold the lock and yield its descriptor, which workers inherit: it is free when the last of them has ended.

    An engine that was killed may leave workers that end a moment later; these are waited for, at most `wait` seconds.
    Raises FolderBusyError where the engine that holds it is alive, or its workers do not end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, wait)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {_started(os.getpid())}".encode(), 0)
        yield descriptor
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def is_worked_on(path: Path) -> bool:
    """Say whether an engine on this machine holds the lock; it is not touched."""
    try:
        return _is_alive(path.read_text(errors="replace"))
    except OSError:
        return False


def _acquire(descriptor: int, path: Path, wait: float) -> None:
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 64, 0).decode(errors="replace")
            if _is_alive(owner):
                raise FolderBusyError(
                    f"another `autollm run` (process {owner.split()[0]}) works on {path.parent}; wait for it, or stop it with Ctrl-C there"
                ) from None
            if time.monotonic() >= until:
                raise FolderBusyError(
                    f"workers of an `autollm run` that was killed still hold {path.parent}; end them, then run again"
                ) from None
            time.sleep(_STEP)
        else:
            return


def _is_alive(owner: str) -> bool:
    """Say whether the process is there and no other has got its number since."""
    number, _, started = owner.partition(" ")
    return number.isdecimal() and _started(int(number)) == started


def _started(process: int) -> str | None:
    """Return when a process was started, in the kernel's clock ticks; None where there is none, or only its remains."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
