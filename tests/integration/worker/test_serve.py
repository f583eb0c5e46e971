"""The fork server as a process of its own, its workers real processes too."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.waiting import wait_until
from support.evaluation import make_landscape
from support.fork_server import ForkServer, is_alive

DEADLINE = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForkServer]:
    with ForkServer([sys.executable, "-m", "support.fork_server"], tmp_path / "server.log") as running:
        yield running


@pytest.fixture
def start(server: ForkServer, tmp_path: Path) -> Callable[..., int]:
    """Start a worker that does a trick, and return its process id."""

    def order(name: str, *argv: str, **more: Any) -> int:
        server.say({"id": name, "argv": argv, "log": str(tmp_path / f"{name}.log"), **more})
        answer = server.hear()
        assert answer["id"] == name
        return int(answer["pid"])

    return order


def until(condition: Callable[[], object]) -> None:
    """Wait for what another process does."""
    wait_until(lambda: bool(condition()), "it did not happen", seconds=DEADLINE)


def written(path: Path) -> Callable[[], object]:
    return lambda: path.exists() and path.read_text()


@pytest.mark.parametrize("code", [0, 2, 42, 143])
def test_tells_how_a_worker_ended(server: ForkServer, start: Callable[..., int], code: int) -> None:
    pid = start("w", "exit", str(code))
    assert server.hear() == {"id": "w", "pid": pid, "exit": code}


def test_a_worker_has_its_log_its_folder_and_its_threads(server: ForkServer, start: Callable[..., int], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    start("w", "tell", cwd=str(folder), threads=3)
    assert server.hear_end() == 0
    told, error = (tmp_path / "w.log").read_text().splitlines()
    assert json.loads(told) == {"argv": ["tell", "--threads", "3"], "cwd": str(folder), "input": "", "session": True}
    assert error == "an error"


@pytest.mark.parametrize(("what", "said"), [("raise", "ValueError: a worker that raises"), ("leave", "")])
def test_a_worker_that_falls_over_is_told_from_one_that_is_done(
    server: ForkServer, start: Callable[..., int], tmp_path: Path, what: str, said: str
) -> None:
    start("w", what)
    assert server.hear_end() == 1
    assert said in (tmp_path / "w.log").read_text()


def test_a_log_goes_on_where_the_last_attempt_ended(server: ForkServer, start: Callable[..., int], tmp_path: Path) -> None:
    for _ in range(2):
        start("w", "tell")
        assert server.hear_end() == 0
    assert len((tmp_path / "w.log").read_text().splitlines()) == 4


def test_signals_are_passed_on(server: ForkServer, start: Callable[..., int], tmp_path: Path) -> None:
    for name, trick, signum, code in (("a", "wait", 15, 143), ("b", "save", 15, 143), ("c", "wait", 9, 137), ("d", "save", 9, 137)):
        start(name, trick, str(tmp_path / name))
        until(written(tmp_path / name))
        server.say({"id": name, "signal": signum})
        assert server.hear_end() == code


def test_a_worker_that_saves_on_sigterm_ends_by_itself(server: ForkServer, start: Callable[..., int], tmp_path: Path) -> None:
    pid = start("w", "save", str(tmp_path / "ready"))
    until(written(tmp_path / "ready"))
    server.say({"id": "nobody", "signal": 15})
    server.say({"id": "w", "signal": 15})
    assert server.hear() == {"id": "w", "pid": pid, "exit": 143}


@pytest.mark.parametrize(
    "order",
    [
        "no JSON",
        "[]",
        '{"id": "x"}',
        {"id": "x", "argv": "exit", "log": "l"},
        {"id": "x", "argv": [], "log": "l", "more": 1},
        {"id": "x", "argv": [], "log": "l", "threads": 0},
        {"id": "x", "signal": 999},
        "{" * (3 << 20),
    ],
)
def test_an_order_that_cannot_be_obeyed_is_answered_and_the_next_obeyed(server: ForkServer, start: Callable[..., int], order: Any) -> None:
    server.say(order)
    assert "error" in server.hear()
    start("later", "exit", "5")
    assert server.hear_end() == 5


def test_a_name_in_use_is_refused(server: ForkServer, start: Callable[..., int], tmp_path: Path) -> None:
    start("w", "wait", str(tmp_path / "ready"))
    server.say({"id": "w", "argv": ["exit", "0"], "log": str(tmp_path / "other.log")})
    answer = server.hear()
    assert "'w' is running" in answer["error"]
    assert not (tmp_path / "other.log").exists()


def test_many_workers_at_once(server: ForkServer, tmp_path: Path) -> None:
    for number in range(30):
        server.say({"id": str(number), "argv": ["exit", str(number)], "log": str(tmp_path / "log")})
    ends: dict[str, int] = {}
    while len(ends) < 30:
        answer = server.hear()
        if "exit" in answer:
            ends[answer["id"]] = answer["exit"]
    assert ends == {str(number): number for number in range(30)}


def test_what_a_worker_leaves_behind_is_killed(server: ForkServer, start: Callable[..., int], tmp_path: Path) -> None:
    start("w", "spawn", str(tmp_path / "child"), "go")
    assert server.hear_end() == 0
    until(lambda: not is_alive(int((tmp_path / "child").read_text())))


def test_nothing_outlives_the_end_of_the_orders(server: ForkServer, start: Callable[..., int], tmp_path: Path) -> None:
    pid = start("w", "spawn", str(tmp_path / "child"), "stay")
    until(written(tmp_path / "child"))
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.wait(DEADLINE) == 0
    assert not is_alive(pid)
    until(lambda: not is_alive(int((tmp_path / "child").read_text())))


def test_workers_die_with_a_server_that_is_killed(server: ForkServer, start: Callable[..., int], tmp_path: Path) -> None:
    pid = start("w", "save", str(tmp_path / "ready"))
    until(written(tmp_path / "ready"))
    server.process.send_signal(signal.SIGKILL)
    until(lambda: not is_alive(pid))


def test_an_evaluator_from_the_real_server_scores_and_stops(tmp_path: Path) -> None:
    """PyTorch was imported before the fork; the worker computes with two threads, which a fork of threads could not."""
    landscape = make_landscape(tmp_path)
    landscape.trial("first", {"math/sft": 1})
    task = tmp_path / "task.json"
    task.write_text(json.dumps(landscape.task.document()))
    argv = ["evaluate", "--task", str(task), "--objects", str(landscape.objects.root), "--termination", str(tmp_path / "end")]
    with ForkServer([sys.executable, "-m", "autollm_runtime.cli", "serve"], tmp_path / "server.log") as server:
        server.say({"id": "e", "argv": argv, "log": str(tmp_path / "log"), "threads": 2})
        assert "pid" in server.hear()
        until(lambda: landscape.outcome("first"))
        landscape.trial("second", number=1)
        until(lambda: landscape.outcome("second"))
        server.say({"id": "e", "signal": 15})
        assert server.hear_end() == 143
    assert "score" in landscape.outcome("first")
    assert "score" in landscape.outcome("second")
    assert json.loads((tmp_path / "end").read_bytes())["reason"] == "Interrupted"
    assert "started threads" not in (tmp_path / "server.log").read_text()
