"""Tasks as processes: in turn, again after a failure, and stopped when asked."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.tasks import TASK, EvaluateTask, PinTask
from autollm.local.paths import RunFolder
from autollm.local.server import WorkerEnded
from autollm.local.tasks import Tasks
from autollm.plan.snapshot import TaskState
from autollm.resources.delta_training import LoadedModel
from autollm.resources.evaluation import Likelihood, Metric
from autollm.resources.facts import ItemsFact
from autollm.resources.run import Artifacts

ARTIFACTS = Artifacts(uri="file:///artifacts")
DIGEST = "sha256:" + "0" * 64


class FakeServer:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.threads: list[int] = []
        self.signals: list[tuple[str, signal.Signals]] = []

    def start(self, name: str, argv: Sequence[str], *, log: Path, threads: int) -> None:
        self.started.append(name)
        self.threads.append(threads)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.signals.append((name, number))


class Setting:
    """Tasks with a clock that the test moves."""

    def __init__(self, root: Path, *, jobs: int = 1, cores: int = 4) -> None:
        self.folder = RunFolder(root)
        self.server = FakeServer()
        self.told: list[str] = []
        self.time = 1000.0
        self.tasks = Tasks(self.folder, self.server, self.told.append, jobs=jobs, cores=cores, clock=lambda: self.time)

    def begin(self, *names: str) -> None:
        for name in names:
            self.tasks.ensure(task(name))
        self.tasks.start_due()

    def end(self, name: str, code: int, *, reason: str | None = None, lost: bool = False, trial: str = "") -> None:
        if trial:
            (self.folder.tasks / name / "termination.json").write_text(json.dumps({"trial": trial}))
        if reason is not None:
            termination = json.dumps({"reason": reason, "message": "Told."})
            (self.folder.tasks / name / "termination.json").write_text(termination)
        self.tasks.ended(WorkerEnded(name, code, lost=lost))

    def state(self, name: str) -> TaskState:
        return next(state for state in self.tasks.states() if state.id == name)


def task(name: str) -> PinTask:
    return PinTask(id=name, run="demo", revision="r1", artifacts=ARTIFACTS)


def evaluators(name: str = "demo-evaluate") -> EvaluateTask:
    return EvaluateTask(
        id=name,
        run="demo",
        slot=0,
        model=LoadedModel(uri="file:///model", digest=DIGEST, dtype="Float32"),
        deltas=[],
        search=ItemsFact(digest=DIGEST, count=10),
        test=ItemsFact(digest=DIGEST, count=10),
        metrics=[Metric(name="likelihood", likelihood=Likelihood())],
        max_tokens=100,
        artifacts=ARTIFACTS,
    )


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


class TestInTurn:
    def test_one_at_a_time_with_all_cores(self, setting: Setting) -> None:
        setting.begin("a", "b")
        assert (setting.server.started, setting.server.threads) == (["a"], [4])
        setting.end("a", 0)
        setting.tasks.start_due()
        assert setting.server.started == ["a", "b"]

    def test_several_share_the_cores(self, tmp_path: Path) -> None:
        setting = Setting(tmp_path, jobs=2)
        setting.begin("a", "b", "c")
        assert (setting.server.started, setting.server.threads) == (["a", "b"], [2, 2])

    def test_a_task_that_waits_for_its_turn_is_running_to_the_planner(self, setting: Setting) -> None:
        setting.begin("a", "b")
        assert (setting.state("b").phase, setting.state("b").started) == ("Running", None)

    def test_what_is_asked_for_twice_is_started_once(self, setting: Setting) -> None:
        setting.begin("a")
        setting.begin("a")
        assert setting.server.started == ["a"]

    def test_its_document_lies_in_its_folder(self, setting: Setting) -> None:
        setting.begin("a")
        assert TASK.validate_json((setting.folder.tasks / "a" / "task.json").read_bytes()) == task("a")


class TestEnds:
    def test_well(self, setting: Setting) -> None:
        setting.begin("a")
        (setting.folder.tasks / "a" / "scratch").mkdir()
        setting.end("a", 0)
        assert setting.state("a").phase == "Succeeded"
        assert not setting.tasks.busy
        assert not (setting.folder.tasks / "a" / "scratch").exists()

    def test_final_codes_fail_at_once_with_what_the_worker_said(self, setting: Setting) -> None:
        setting.begin("a")
        setting.end("a", ExitCode.BAD_INPUT, reason="MixedFormats")
        state = setting.state("a")
        assert state.failure is not None
        assert (state.phase, state.exit_code, state.failure.reason, state.failure.message) == ("Failed", 42, "MixedFormats", "Told.")

    def test_others_are_tried_again_three_times_after_growing_waits(self, setting: Setting) -> None:
        setting.begin("a")
        for expected in (1.0, 2.0, 4.0):
            setting.end("a", ExitCode.TEMPORARY, reason="StoreUnavailable")
            assert setting.tasks.start_due() == pytest.approx(expected)
            setting.time += expected
            assert setting.tasks.start_due() is None
        assert setting.server.started == ["a"] * 4
        assert len(setting.told) == 3
        setting.end("a", ExitCode.TEMPORARY, reason="StoreUnavailable")
        assert setting.state("a").phase == "Failed"

    def test_a_worker_that_somebody_stopped_goes_on_at_once_and_uncounted(self, setting: Setting) -> None:
        setting.begin("a")
        for _ in range(9):
            setting.end("a", ExitCode.STOPPED)
            setting.tasks.start_due()
        assert setting.server.started == ["a"] * 10

    def test_a_worker_that_went_with_its_server_has_not_failed(self, setting: Setting) -> None:
        setting.begin("a")
        for _ in range(9):
            setting.end("a", ExitCode.KILLED, lost=True)
            setting.tasks.start_due()
        assert setting.server.started == ["a"] * 10

    def test_killed_without_a_word_has_a_reason_all_the_same(self, setting: Setting) -> None:
        setting.begin("a")
        setting.end("a", ExitCode.KILLED)
        assert "memory" in setting.told[0]

    def test_failures_survive_the_engine(self, setting: Setting, tmp_path: Path) -> None:
        setting.begin("a")
        setting.end("a", ExitCode.TEMPORARY)
        again = Setting(tmp_path)
        again.begin("a")
        again.end("a", ExitCode.TEMPORARY)
        assert again.tasks.start_due() == pytest.approx(2.0)

    def test_but_once_it_is_given_up_the_next_engine_begins_anew(self, setting: Setting, tmp_path: Path) -> None:
        setting.begin("a")
        for wait in (1, 2, 4, 0):
            setting.end("a", ExitCode.TEMPORARY)
            setting.time += wait
            setting.tasks.start_due()
        again = Setting(tmp_path)
        again.begin("a")
        again.end("a", ExitCode.TEMPORARY)
        assert again.tasks.start_due() == pytest.approx(1.0)


class TestStopping:
    def test_it_is_asked_once_to_save_and_then_forgotten(self, setting: Setting) -> None:
        setting.begin("a")
        setting.tasks.stop("a")
        setting.tasks.stop("a")
        assert setting.server.signals == [("a", signal.SIGTERM)]
        assert setting.tasks.busy
        setting.end("a", ExitCode.STOPPED)
        assert setting.tasks.states() == ()
        assert not setting.tasks.busy

    def test_what_has_not_begun_is_dropped(self, setting: Setting) -> None:
        setting.begin("a", "b")
        setting.tasks.stop_all()
        assert setting.server.signals == [("a", signal.SIGTERM)]
        setting.end("a", ExitCode.STOPPED)
        setting.tasks.start_due()
        assert setting.server.started == ["a"]

    def test_what_has_ended_keeps_its_state(self, setting: Setting) -> None:
        setting.begin("a")
        setting.end("a", 0)
        setting.tasks.stop("a")
        assert setting.state("a").phase == "Succeeded"


class TestEvaluators:
    def test_all_at_once_sharing_the_cores(self, setting: Setting) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 2)
        setting.tasks.start_due()
        assert setting.server.started == ["demo-evaluate-0", "demo-evaluate-1"]
        assert setting.server.threads == [2, 2]
        state = setting.state("demo-evaluate")
        assert (state.phase, state.size, sorted(state.slots)) == ("Running", 2, [0, 1])

    def test_one_that_hangs_is_killed_and_started_again_uncounted(self, setting: Setting) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 2)
        setting.tasks.start_due()
        setting.tasks.replace("demo-evaluate", 1)
        assert setting.server.signals == [("demo-evaluate-1", signal.SIGKILL)]
        setting.end("demo-evaluate-1", ExitCode.KILLED)
        assert setting.tasks.start_due() is None
        assert setting.server.started[2:] == ["demo-evaluate-1"]
        state = setting.state("demo-evaluate")
        assert state.started is not None
        assert state.started <= state.slots[0] <= state.slots[1]

    def test_one_that_fails_for_good_takes_the_others_with_it(self, setting: Setting) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 2)
        setting.tasks.start_due()
        setting.end("demo-evaluate-0", ExitCode.BAD_INPUT, reason="DigestMismatch")
        state = setting.state("demo-evaluate")
        assert state.failure is not None
        assert (state.phase, state.failure.reason) == ("Failed", "DigestMismatch")
        assert setting.server.signals == [("demo-evaluate-1", signal.SIGTERM)]

    def test_those_that_die_on_a_trial_tell_of_it_and_are_started_again(self, setting: Setting, tmp_path: Path) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 2)
        setting.tasks.start_due()
        for trial in ("first", "second", "third"):
            for wait in (1.0, 2.0):
                setting.end("demo-evaluate-1", ExitCode.KILLED, trial=trial)
                assert setting.tasks.start_due() == pytest.approx(wait)
                setting.time += wait
                setting.tasks.start_due()
        told = setting.state("demo-evaluate")
        assert told.phase == "Running"
        assert {trial: [death.reason for death in died] for trial, died in told.deaths.items()} == {
            trial: ["Killed", "Killed"] for trial in ("first", "second", "third")
        }
        again = Setting(tmp_path)
        again.tasks.ensure_evaluators(evaluators(), 2)
        assert again.state("demo-evaluate").deaths == told.deaths

    @pytest.mark.parametrize(("code", "lost"), [(ExitCode.STOPPED, False), (ExitCode.TEMPORARY, False), (ExitCode.KILLED, True)])
    def test_what_ends_them_otherwise_is_no_trials_doing(self, setting: Setting, code: int, lost: bool) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 1)
        setting.tasks.start_due()
        setting.end("demo-evaluate-0", code, lost=lost, trial="first")
        assert setting.state("demo-evaluate").deaths == {}

    def test_nor_is_what_hangs_until_it_is_killed(self, setting: Setting) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 1)
        setting.tasks.start_due()
        setting.tasks.replace("demo-evaluate", 0)
        setting.end("demo-evaluate-0", ExitCode.KILLED, trial="first")
        assert setting.state("demo-evaluate").deaths == {}

    def test_one_that_ends_well_but_unasked_is_started_again(self, setting: Setting) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 1)
        setting.tasks.start_due()
        setting.end("demo-evaluate-0", ExitCode.DONE)
        setting.time += 1
        setting.tasks.start_due()
        assert setting.server.started == ["demo-evaluate-0"] * 2

    def test_of_fewer_the_last_ones_save_and_end(self, setting: Setting) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 3)
        setting.tasks.start_due()
        setting.tasks.ensure_evaluators(evaluators(), 1)
        assert setting.server.signals == [("demo-evaluate-1", signal.SIGTERM), ("demo-evaluate-2", signal.SIGTERM)]
        assert setting.state("demo-evaluate").size == 1
        for slot in (1, 2):
            setting.end(f"demo-evaluate-{slot}", ExitCode.STOPPED)
        setting.tasks.start_due()
        assert sorted(setting.state("demo-evaluate").slots) == [0]
        assert len(setting.server.started) == 3

    def test_wanted_again_while_they_end_they_are_started_again(self, setting: Setting) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 2)
        setting.tasks.start_due()
        setting.tasks.ensure_evaluators(evaluators(), 1)
        setting.tasks.ensure_evaluators(evaluators(), 2)
        setting.end("demo-evaluate-1", ExitCode.STOPPED)
        setting.tasks.start_due()
        assert setting.server.started == ["demo-evaluate-0", "demo-evaluate-1", "demo-evaluate-1"]

    def test_stopped_they_are_forgotten(self, setting: Setting) -> None:
        setting.tasks.ensure_evaluators(evaluators(), 2)
        setting.tasks.start_due()
        setting.tasks.stop("demo-evaluate")
        for slot in (0, 1):
            setting.end(f"demo-evaluate-{slot}", ExitCode.STOPPED)
        assert setting.tasks.states() == ()
