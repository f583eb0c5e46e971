"""Why a worker ended: what it wrote itself, or what its exit code says where it could not."""

from __future__ import annotations

import re
from pathlib import Path

from autollm.contract.exit_codes import ExitCode
from autollm.contract.termination import LastWords, read_last_words
from autollm.resources.metadata import Failure


def read_termination(folder: Path, exit_code: int, error: str | None = None) -> Failure:
    """Return the failure of a task whose termination file, if it wrote one, is in this folder."""
    if error is not None:
        return Failure(reason="NotStarted", message=error[:4096])
    return _last_words(folder).failure or _by_exit_code(exit_code, folder / "log.txt")


def trial_in_hand(folder: Path) -> str:
    """Return the trial that an evaluator was scoring when it ended; empty where it was scoring none."""
    return _last_words(folder).trial


def _last_words(folder: Path) -> LastWords:
    try:
        return read_last_words((folder / "termination.json").read_bytes())
    except OSError:
        return LastWords()


def _by_exit_code(exit_code: int, log: Path) -> Failure:
    if exit_code == ExitCode.KILLED:
        message = f"The worker was killed (signal 9), most often because memory ran out: give it more, or a smaller model; {log} may tell."
        return Failure(reason="Killed", message=message)
    last = _last_line(log)
    told = f"; its last words: {last}" if last else ""
    return Failure(reason="WorkerFailed", message=f"The worker ended with exit code {exit_code} without saying why, see {log}{told}")


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 2048))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return re.sub(r"[^\x20-\x7e]", "?", lines[-1])[:512] if lines else ""
