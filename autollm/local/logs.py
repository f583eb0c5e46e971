"""The logs of a run's tasks on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from autollm.errors import InputError
from autollm.local.lock import is_worked_on
from autollm.local.paths import RunFolder

LOG = "log.txt"
LOOK_SECONDS = 0.5


def task_logs(folder: Path, task: str | None, *, follow: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines of each task's log with the task's id; `follow` waits for more while an engine is at work.

    Raises InputError where there is no such task.
    """
    place = RunFolder(folder)
    if task is not None and not (place.tasks / task / LOG).is_file():
        known = ", ".join(path.parent.name for path in _logs(place)) or "none yet"
        raise InputError(f"{folder} has no log of a task {task}: there are {known}", reason="NotFound")
    read: dict[Path, int] = {}
    while True:
        at_work = is_worked_on(place.lock)  # before the logs, which are then whole
        for path in _logs(place):
            if task in (None, path.parent.name):
                yield from _new_lines(path, read, whole=not (follow and at_work))
        if not (follow and at_work):
            return
        time.sleep(LOOK_SECONDS)


def _logs(place: RunFolder) -> list[Path]:
    found = [path for path in place.tasks.glob(f"*/{LOG}") if path.is_file()]
    return sorted(found, key=lambda path: (path.parent.stat().st_ctime_ns, path.parent.name))


def _new_lines(path: Path, read: dict[Path, int], *, whole: bool) -> Iterator[tuple[str, str]]:
    """Yield what was written since the last look; a line that is being written waits, unless nobody writes any more."""
    with path.open("rb") as file:
        file.seek(read.get(path, 0))
        data = file.read()
    end = len(data) if whole else data.rfind(b"\n") + 1
    read[path] = read.get(path, 0) + end
    for line in data[:end].splitlines():
        yield path.parent.name, line.decode(errors="replace")
