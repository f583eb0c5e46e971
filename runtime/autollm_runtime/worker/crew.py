"""The processes of one training on one node and their launcher, by files: who is at work, whether to stop, and how each ended.

FOLDER/0.pid      the process of rank 0 is at work
FOLDER/stop       the launcher was asked to stop
FOLDER/0.json     how rank 0 ended
FOLDER/torchrun   why torchrun itself failed
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from autollm.contract.exit_codes import ExitCode
from autollm.contract.folder import write_atomically
from autollm.errors import Interrupted
from autollm_runtime.worker.ending import Ending

FOLDER = "AUTOLLM_CREW"
"""The environment variable by which the launcher tells its processes the folder."""

TORCHRUN = "torchrun"
"""The file in the folder into which torchrun writes its own failure."""

_PEER = "PeerFailed"
_WEIGHT = (
    ExitCode.BAD_INPUT,
    ExitCode.OUT_OF_GPU_MEMORY,
    ExitCode.USAGE,
    ExitCode.FAILED,
    ExitCode.TEMPORARY,
    ExitCode.UNAVAILABLE,
    ExitCode.STOPPED,
)
"""What several endings come to is the first of these among them: what cannot be mended by another try comes first."""

_NOT_MET = ("DistNetworkError", "DistStoreError")
"""PyTorch's names for the errors of a connection between nodes."""


def report_for_work(folder: Path, rank: int) -> bool:
    """Let the launcher know this process, and return whether it is to stop at once. Its handlers of signals have to be in place."""
    write_atomically(folder / f"{rank}.pid", str(os.getpid()).encode())
    return (folder / "stop").exists()


def leave(folder: Path, rank: int, ending: Ending) -> None:
    """Let the launcher know how this process ended."""
    document = {"code": int(ending.code), "reason": ending.reason, "message": ending.message}
    write_atomically(folder / f"{rank}.json", json.dumps(document).encode())


def ask_to_stop(folder: Path) -> bool:
    """Ask all processes to save and end: those at work by a signal, those that are still starting when they report for work.

    Returns whether any has reported for work so far.
    """
    (folder / "stop").touch()
    reported = list(folder.glob("*.pid"))
    for path in reported:
        if not path.with_suffix(".json").exists():
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(int(path.read_bytes()), signal.SIGTERM)
    return bool(reported)


def ending_of_all(folder: Path, code: int) -> Ending:
    """Return how the training ended on this node, where torchrun ended with this code, which is 1 whatever went wrong."""
    if code == 0:
        return Ending(ExitCode.DONE, "Completed", "")
    endings = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}
    started = {path.stem for path in folder.glob("*.pid")}
    own = [ending for ending in endings.values() if ending.reason != _PEER and ending.code is not ExitCode.DONE]
    if own:
        return min(own, key=lambda ending: _WEIGHT.index(ending.code))
    if killed := sorted(started - endings.keys()):
        message = f"The process of rank {killed[0]} was killed, most often because memory ran out: give the training more."
        return Ending(ExitCode.KILLED, "Killed", message)
    others = [ending for ending in endings.values() if ending.code is not ExitCode.DONE]
    if others:
        return others[0]
    if endings:
        # What ended torchrun came afterwards: one is done when all have told each other so.
        return Ending(ExitCode.DONE, "Completed", "")
    return _not_begun(folder, code)


def _not_begun(folder: Path, code: int) -> Ending:
    if (folder / "stop").exists():
        return Ending(ExitCode.STOPPED, Interrupted.reason, "the training was asked to stop before it began on this node")
    cause = _failure_of_torchrun(folder)
    if cause.startswith(_NOT_MET):
        # The first node was evicted while this one waited with it for a third: that takes up no retry of this one either.
        message = f"the first node of this training went away before all had met, or the network between them broke: {cause}"
        return Ending(ExitCode.UNAVAILABLE, _PEER, message)
    message = f"torchrun ended with code {code} before any process began: {cause or 'see the log'}"
    return Ending(ExitCode.USAGE if code == ExitCode.USAGE else ExitCode.TEMPORARY, "NotStarted", message)


def _failure_of_torchrun(folder: Path) -> str:
    """Return name and text of the error that ended torchrun, empty where it has told none in a form that is known."""
    try:
        return str(json.loads((folder / TORCHRUN).read_bytes())["message"]["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _read(path: Path) -> Ending:
    document = json.loads(path.read_bytes())
    return Ending(ExitCode(document["code"]), document["reason"], document["message"])


def option(argv: Sequence[str], name: str) -> Path | None:
    """Return the path that a command line gives for an option."""
    return Path(argv[argv.index(name) + 1]) if name in argv[:-1] else None
