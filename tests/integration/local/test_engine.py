"""The local engine with real processes that do no work."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autollm.cli import main
from autollm.contract.folder import ObjectFolder
from cluster.waiting import wait_until
from support.local_run import FAKE_WORKER, run_document, write_run
from support.runs import make_run

LONG = 500
"""Seconds within which anything comes about, however busy the machine is."""

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


class Folder:
    """A run in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.apply()

    def apply(self, **changes: Any) -> None:
        """Write the document, with changes."""
        times = {path: path.stat().st_mtime_ns for path in self.root.glob("*.jsonl")}
        write_run(self.root, make_run(**changes))
        for path, when in times.items():
            os.utime(path, ns=(when, when))

    def faults(self, *faults: dict[str, Any]) -> None:
        """Let work fail."""
        (self.root / "artifacts").mkdir(exist_ok=True)
        (self.root / "artifacts" / "faults.json").write_text(json.dumps(faults))

    def start(self, seconds: float = 0.01) -> subprocess.Popen[str]:
        """Start an engine whose pieces of work take so long."""
        command = [sys.executable, "-m", "support.local_run", str(self.root / "run.json"), str(self.root / "run")]
        environment = {**ENVIRONMENT, "FAKE_SECONDS": str(seconds)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def run(self) -> tuple[int, str]:
        """Run it to its end, in this process; return exit code and progress."""
        progress = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
            return run_document(self.root / "run.json", self.root / "run", progress), progress.getvalue()

    @property
    def work(self) -> list[str]:
        """What was really done, by kind."""
        return [line.partition(" ")[0] for line in (self.root / "artifacts" / "log.txt").read_text().splitlines()]

    @property
    def status(self) -> dict[str, Any]:
        """The run's status."""
        document = ObjectFolder(self.root / "run" / "objects").read("AutoLLMRun", "demo")
        status: dict[str, Any] = (document or {}).get("status", {})
        return status

    def condition(self, name: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        return next((one["status"], one["reason"]) for one in self.status["conditions"] if one["type"] == name)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def wait_for(condition: Callable[[], bool]) -> None:
    wait_until(condition, "it did not happen", seconds=LONG)


def working(folder: Folder, kind: str) -> Callable[[], bool]:
    """Say whether a task of a kind has a process."""
    return lambda: any((path / "log.txt").exists() for path in folder.root.glob(f"run/tasks/demo-{kind}-*"))


def test_a_run_to_its_end_and_again_without_doing_anything(folder: Folder) -> None:
    assert folder.run()[0] == 0
    assert folder.condition("Succeeded") == ("True", "Published")
    before = list(folder.work)
    assert before == ["prepare", "train", "train", *["trial"] * 9, "publish"]
    code, progress = folder.run()
    assert (code, folder.work) == (0, before)
    assert len(progress.splitlines()) == 1
    # No worker was needed, so PyTorch was not imported either.
    assert not (folder.root / "run" / "server.log").read_text()


def test_a_changed_document_goes_on(folder: Folder) -> None:
    folder.run()
    folder.apply(search={"trials": 6})
    assert folder.run()[0] == 0
    assert folder.work.count("prepare") == 1
    assert folder.work.count("train") == 2
    assert folder.status["trials"]["total"] == 6


def test_changed_data_is_prepared_again(folder: Folder) -> None:
    folder.run()
    with (folder.root / "math.jsonl").open("a") as file:
        file.write("{}\n")
    assert folder.run()[0] == 0
    assert folder.work.count("prepare") == 2
    assert folder.work.count("train") == 2


def test_refresh_is_one_round_each_time(folder: Folder) -> None:
    folder.apply(refresh={"every": "1h"})
    assert folder.run()[0] == 0
    before = folder.work
    assert (folder.run()[0], folder.work) == (0, before)
    # An hour later, as far as the engine can tell.
    status = folder.root / "run" / "objects" / "autollmruns" / "demo" / "status.json"
    written = json.loads(status.read_bytes())
    written["refresh"]["begun"] = "2026-01-01T00:00:00Z"
    status.write_text(json.dumps(written))
    assert folder.run()[0] == 0
    assert folder.work == [*before, "prepare"]
    assert folder.status["refresh"]["round"] == 2
    assert folder.condition("Succeeded") == ("True", "Published")


def test_several_evaluators(folder: Folder) -> None:
    folder.apply(search={"trials": 12, "parallelism": 3})
    assert folder.run()[0] == 0
    objects = ObjectFolder(folder.root / "run" / "objects")
    assert {trial["spec"]["slot"] for trial in objects.all("MergeTrial")} == {0, 1, 2}
    assert "repeated" not in folder.work


@pytest.mark.parametrize("parallelism", [1, 3])
def test_an_optimiser_in_a_process_of_its_own(folder: Folder, parallelism: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autollm.local.suggesting.BUDGET_SECONDS", LONG)
    monkeypatch.setattr("autollm.suggester.suggester.LOADING_SECONDS", LONG)
    folder.apply(search={"trials": 9, "parallelism": parallelism, "optimizer": {"random": None, "bayesian": {}}})
    assert folder.run()[0] == 0
    objects = ObjectFolder(folder.root / "run" / "objects")
    assert "Bayesian" in {trial["spec"]["origin"]["optimizer"] for trial in objects.all("MergeTrial")}
    assert len([trial for trial in objects.all("MergeTrial") if trial["spec"]["split"] == "Search"]) == 9


class TestFailure:
    def test_a_temporary_one_is_tried_again(self, folder: Folder) -> None:
        folder.faults({"match": "math/sft", "exit": 75, "times": 2, "reason": "StoreUnavailable", "message": "The bucket did not answer."})
        code, progress = folder.run()
        assert code == 0
        assert progress.count("ended with exit code 75 (StoreUnavailable: The bucket did not answer.)") == 2

    def test_a_final_one_fails_the_run_after_the_others_and_running_again_retries_it(self, folder: Folder) -> None:
        folder.faults({"match": "math/sft", "exit": 42, "reason": "NoChatTemplate", "message": "Give the model a chat template."})
        code, progress = folder.run()
        assert code == 1
        assert "math/sft: Give the model a chat template." in progress
        assert folder.condition("DeltasReady") == ("False", "TrainingFailed")
        assert folder.work == ["prepare", "train"]
        assert folder.run()[0] == 0
        assert folder.work.count("train") == 2
        assert folder.work.count("prepare") == 1

    def test_an_evaluator_that_dies_finds_its_trial_again(self, folder: Folder) -> None:
        folder.faults({"match": "trial Search 1 ", "exit": 137})
        assert folder.run()[0] == 0
        assert folder.work.count("trial") == 9
        assert folder.status["trials"] == {"total": 4, "succeeded": 4, "failed": 0, "running": 0}

    def test_candidates_that_kill_every_evaluator_fail_alone(self, folder: Folder) -> None:
        folder.faults(*({"match": f"trial Search {number} ", "exit": 137, "times": 9} for number in (1, 3)))
        assert folder.run()[0] == 0
        assert folder.status["trials"] == {"total": 4, "succeeded": 2, "failed": 2, "running": 0}
        trials = ObjectFolder(folder.root / "run" / "objects").all("MergeTrial")
        failures = {trial["spec"]["number"]: trial["status"]["failure"] for trial in trials if "failure" in trial["status"]}
        assert {number: failure["reason"] for number, failure in failures.items()} == {1: "EvaluatorDied", 3: "EvaluatorDied"}
        assert failures[1]["message"].startswith("2 evaluators died one after the other while scoring it (Killed): ")

    def test_the_death_of_the_server_is_nobodys_failure(self, folder: Folder) -> None:
        folder.faults({"match": "math/sft", "exit": "hang"})
        process = folder.start()
        wait_for(working(folder, "train"))
        (server,) = [int(pid) for pid in children(process.pid)]
        os.kill(server, signal.SIGKILL)
        _, progress = process.communicate(timeout=LONG)
        assert process.returncode == 0, progress
        assert "ended with" not in progress


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


class TestStopping:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_workers_save_first_and_running_again_goes_on(self, folder: Folder, number: signal.Signals, code: int) -> None:
        process = folder.start(seconds=2)
        wait_for(working(folder, "train"))
        process.send_signal(number)
        _, progress = process.communicate(timeout=LONG)
        assert process.returncode == code, progress
        assert "work in progress is saved" in progress
        assert folder.run()[0] == 0
        assert folder.work.count("train") == 2
        assert folder.work.count("prepare") == 1

    def test_the_second_time_at_once(self, folder: Folder) -> None:
        folder.faults({"match": "math/sft", "exit": "hang"})
        process = folder.start()
        wait_for(working(folder, "train"))
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while "work in progress is saved" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 143

    def test_a_second_engine_is_refused(self, folder: Folder) -> None:
        process = folder.start(seconds=LONG)
        wait_for(working(folder, "prepare"))
        code, progress = folder.run()
        assert code == 1
        assert f"another `autollm run` (process {process.pid}) works on {folder.root / 'run'}" in progress
        process.terminate()
        assert process.wait(LONG) == 143

    def test_suspend_in_the_document(self, folder: Folder) -> None:
        folder.run()
        folder.apply(suspend=True, search={"trials": 6})
        assert folder.run()[0] == 0
        assert folder.condition("Succeeded") == ("Unknown", "Suspended")
        folder.apply(search={"trials": 6})
        assert folder.run()[0] == 0
        assert folder.condition("Succeeded") == ("True", "Published")


class TestCommand:
    """The exit codes of `autollm run`."""

    @pytest.fixture(autouse=True)
    def fake_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("autollm.local.server.worker_program", lambda: FAKE_WORKER)
        monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])

    def invoke(self, folder: Folder) -> Result:
        return CliRunner().invoke(main, ["run", str(folder.root / "run.json"), "--folder", str(folder.root / "run")])

    def test_zero_where_it_succeeded(self, folder: Folder) -> None:
        assert self.invoke(folder).exit_code == 0

    def test_one_where_it_failed(self, folder: Folder) -> None:
        folder.faults({"match": "prepare", "exit": 42, "reason": "MixedFormats", "message": "math.jsonl has two formats."})
        result = self.invoke(folder)
        assert result.exit_code == 1
        assert "MixedFormats: math.jsonl has two formats." in result.stderr

    def test_two_where_the_document_does_not_fit_the_data(self, folder: Folder) -> None:
        folder.apply(search={"space": {"deltas": [{"match": "*/dpo", "max": 1}]}})
        result = self.invoke(folder)
        assert result.exit_code == 2
        assert "the pattern */dpo matches none of the deltas math/sft and code/sft" in result.stderr
