from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autollm.contract.tasks import AnyTask
from autollm.errors import InputError
from autollm_runtime import cli
from autollm_runtime.worker.context import Context
from autollm_runtime.worker.ports import folder_ports

PIN = {"kind": "Pin", "id": "pin", "run": "demo", "revision": "r1", "artifacts": {"uri": "artifacts"}}


class Program:
    """A program in place of that of a kind, which remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[AnyTask, Context]] = []
        self.error: Exception | None = None

    def __call__(self, task: AnyTask, context: Context) -> None:
        self.given.append((task, context))
        if self.error is not None:
            raise self.error


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    module = ModuleType("a_program_of_the_test")
    made = Program()
    module.work = made  # type: ignore[attr-defined]  # a module that the test makes
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cli, "WORK", {"Pin": f"{module.__name__}:work"})
    monkeypatch.setattr(cli, "start_logging", lambda: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield made
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def run(tmp_path: Path, *more: str, task: Any = PIN, command: str = "publish") -> tuple[int, dict[str, str]]:
    document = tmp_path / "task.json"
    document.write_text(task if isinstance(task, str) else json.dumps(task))
    end = tmp_path / "termination.json"
    code = cli.main([command, "--task", str(document), "--objects", str(tmp_path / "objects"), "--termination", str(end), *more])
    return code, json.loads(end.read_bytes())


def run_in_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str = "publish") -> tuple[int, dict[str, str]]:
    """Run the task as a pod does, with a folder in place of the API server."""
    monkeypatch.setattr(cli, "cluster_ports", lambda namespace, environ: folder_ports(tmp_path / namespace))
    document, end = tmp_path / "task.json", tmp_path / "termination.json"
    document.write_text(json.dumps(PIN))
    code = cli.main([command, "--task", str(document), "--namespace", "team-a", "--termination", str(end)])
    return code, json.loads(end.read_bytes())


def test_a_task_that_is_done(tmp_path: Path, program: Program) -> None:
    assert run(tmp_path, "--threads", "3") == (0, {"reason": "Completed", "message": ""})
    ((task, context),) = program.given
    assert task.id == "pin"
    assert (context.threads, context.scratch, context.in_pod) == (3, tmp_path / "scratch", False)
    assert context.scratch.is_dir()


def test_a_task_in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    assert run_in_pod(tmp_path, monkeypatch) == (0, {"reason": "Completed", "message": ""})
    ((_, context),) = program.given
    assert context.in_pod


def test_a_task_in_a_pod_whose_gpus_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    monkeypatch.setenv("AUTOLLM_GPUS", "1000")
    code, end = run_in_pod(tmp_path, monkeypatch)
    assert (code, end["reason"], program.given) == (75, "NoGpu", [])


def test_a_task_that_fails_by_its_input(tmp_path: Path, program: Program) -> None:
    program.error = InputError("there is no revision r1", reason="NotFound")
    assert run(tmp_path) == (42, {"reason": "NotFound", "message": "there is no revision r1"})


def test_a_defect_while_a_trial_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    def score(task: AnyTask, context: Context) -> None:
        with context.in_hand.scoring("demo-a"):
            raise KeyError("surprise")

    monkeypatch.setattr(sys.modules["a_program_of_the_test"], "work", score)
    code, end = run(tmp_path)
    assert (code, end["reason"], end["trial"]) == (1, "InternalError", "demo-a")


def test_a_defect(tmp_path: Path, program: Program, caplog: pytest.LogCaptureFixture) -> None:
    program.error = KeyError("surprise")
    code, end = run(tmp_path)
    assert (code, end["reason"]) == (1, "InternalError")
    assert "surprise" in end["message"]
    assert "Traceback" in caplog.text


def test_a_program_that_is_not_installed(tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "WORK", {"Pin": "no_such_module:work"})
    code, end = run(tmp_path)
    assert (code, end["reason"]) == (1, "InternalError")


@pytest.mark.parametrize("task", ["{", {}, PIN | {"revision": 3}, PIN | {"more": 1}, PIN | {"kind": "Bake"}])
def test_a_document_that_is_no_task(tmp_path: Path, program: Program, task: Any) -> None:
    code, end = run(tmp_path, task=task)
    assert (code, end["reason"], program.given) == (2, "InvalidTask", [])


def test_a_task_for_another_command(tmp_path: Path, program: Program) -> None:
    code, end = run(tmp_path, command="train")
    assert code == 2
    assert "was given a task of kind Pin" in end["message"]


@pytest.mark.parametrize("threads", ["0", "-1", "many"])
def test_threads_that_are_none(tmp_path: Path, program: Program, threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, "--threads", threads)
    assert caught.value.code == 2
    assert "threads" in capsys.readouterr().err


def test_sigterm_asks_and_a_second_one_kills(tmp_path: Path, program: Program) -> None:
    assert run(tmp_path)[0] == 0
    context = program.given[0][1]
    assert not context.stop.is_set()
    signal.raise_signal(signal.SIGTERM)
    assert context.stop.wait(10)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
