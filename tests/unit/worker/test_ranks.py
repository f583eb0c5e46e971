"""What torchrun says of a process, and what several processes of a node come to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.errors import DocumentError
from autollm_runtime.worker import crew
from autollm_runtime.worker.ending import Ending
from autollm_runtime.worker.ranks import SINGLE, Rank, take_rank

TOLD = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "node-0"}


def test_a_process_alone_needs_nothing_said() -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert take_rank(environ) == SINGLE
    assert environ == {"CUDA_VISIBLE_DEVICES": "0,1"}


@pytest.mark.parametrize(("devices", "own"), [(None, "1"), ("2,3,6,7", "3"), ("GPU-aa,MIG-bb,GPU-cc,GPU-dd", "MIG-bb")])
def test_each_process_sees_its_own_gpu_alone(devices: str | None, own: str) -> None:
    environ = TOLD | ({} if devices is None else {"CUDA_VISIBLE_DEVICES": devices})
    assert take_rank(environ) == Rank(5, 8, 1)
    assert environ == {"MASTER_ADDR": "node-0", "CUDA_VISIBLE_DEVICES": own}


@pytest.mark.parametrize("wrong", [{"RANK": "x"}, {"RANK": "8"}, {"RANK": "-1"}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_what_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(DocumentError):
        take_rank(TOLD | wrong)


def ended(code: ExitCode, reason: str = "R") -> Ending:
    return Ending(code, reason, "m")


PEER = ended(ExitCode.TEMPORARY, "PeerFailed")


@pytest.mark.parametrize(
    ("endings", "code"),
    [
        ([ended(ExitCode.BAD_INPUT), PEER], 42),
        ([PEER, ended(ExitCode.OUT_OF_GPU_MEMORY)], 43),
        ([ended(ExitCode.STOPPED), ended(ExitCode.TEMPORARY)], 75),
        ([ended(ExitCode.STOPPED), PEER], 143),
        ([ended(ExitCode.FAILED), ended(ExitCode.STOPPED)], 1),
        ([PEER, PEER], 75),
        ([ended(ExitCode.UNAVAILABLE, "StoreUnavailable"), ended(ExitCode.UNAVAILABLE, "PeerFailed")], 69),
        ([ended(ExitCode.UNAVAILABLE, "PeerFailed")], 69),
        ([ended(ExitCode.UNAVAILABLE), ended(ExitCode.FAILED)], 1),
        ([PEER, None], 137),
        ([ended(ExitCode.BAD_INPUT), None], 42),
        ([ended(ExitCode.DONE), None], 137),
        ([ended(ExitCode.DONE), ended(ExitCode.DONE)], 0),
        ([], 75),
    ],
)
def test_the_ending_of_all_is_that_of_the_one_that_failed_of_itself(tmp_path: Path, endings: list[Ending | None], code: int) -> None:
    for rank, ending in enumerate(endings):
        assert not crew.report_for_work(tmp_path, rank)
        if ending is not None:
            crew.leave(tmp_path, rank, ending)
    assert crew.ending_of_all(tmp_path, 1).code == code


def test_an_end_without_failure_and_wrong_options_are_what_torchrun_says(tmp_path: Path) -> None:
    assert crew.ending_of_all(tmp_path, 0).code == 0
    assert crew.ending_of_all(tmp_path, 2).code == 2


def test_one_that_comes_to_work_after_the_stop_stops_at_once(tmp_path: Path) -> None:
    crew.ask_to_stop(tmp_path)
    assert crew.report_for_work(tmp_path, 0)


def test_a_process_that_has_left_runs_no_more_of_anything(tmp_path: Path) -> None:
    task = tmp_path / "task.json"
    task.write_text("{}")
    argv = ["train", "--task", str(task), "--objects", str(tmp_path)]
    program = f"import atexit, os; atexit.register(os._exit, 99); from autollm_runtime.cli import main; main({argv})"
    environment = os.environ | {crew.FOLDER: str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, (tmp_path / "0.json").exists()) == (ExitCode.USAGE, True)
    assert "the task document cannot be read" in ended.stderr


@pytest.mark.parametrize(
    ("told", "code", "message"),
    [
        ('{"message": {"message": "DistNetworkError: Failed to recv, got 0 bytes."}}', 69, "the first node of this training went away"),
        ('{"message": {"message": "FileNotFoundError: echo"}}', 75, "before any process began: FileNotFoundError: echo"),
        ('{"message": "an older form"}', 75, "see the log"),
        ('{"message": ', 75, "see the log"),
    ],
)
def test_what_never_began_ends_as_torchrun_failed(tmp_path: Path, told: str, code: int, message: str) -> None:
    (tmp_path / crew.TORCHRUN).write_text(told)
    ending = crew.ending_of_all(tmp_path, 1)
    assert (ending.code, message in ending.message) == (code, True)
    assert not crew.ask_to_stop(tmp_path)
    assert crew.ending_of_all(tmp_path, -15).code == ExitCode.STOPPED
