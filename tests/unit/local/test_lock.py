"""One engine a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autollm.local.lock import FolderBusyError, locked

HOLD = """
import pathlib, sys
from autollm.local.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_engine_is_refused_at_once_and_told_who_is_there(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock")
    with pytest.raises(FolderBusyError, match=f"process {process.pid}"), locked(tmp_path / "lock"):
        pass
    process.communicate()
    with locked(tmp_path / "lock"):
        pass


def test_workers_of_an_engine_that_was_killed_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path) as descriptor:
        # A worker that outlives its engine holds the lock; the engine's number in the file is nobody's.
        worker = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[descriptor])
        path.write_text("999999999 1")
        copy = os.dup(descriptor)
    os.close(copy)
    with pytest.raises(FolderBusyError, match="that was killed still hold"), locked(path, wait=0.1):
        pass
    worker.kill()
    with locked(path):
        pass
    worker.communicate()


def test_a_number_that_another_process_has_got_is_not_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = holder(path)
    path.write_text(f"{os.getpid()} 1")
    with pytest.raises(FolderBusyError, match="that was killed still hold"), locked(path, wait=0.05):
        pass
    process.communicate()
