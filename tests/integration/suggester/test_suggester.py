"""The suggesting process: real children, killed, stopped and left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autollm.resources.search import Optimizer
from autollm.search import Finished, Parameter, Request, Space, SpaceExhausted, Start, Suggestion, suggest
from autollm.suggester import Suggester
from autollm.suggester.child import Child

PATIENT = 500.0
"""Seconds within which anything comes about, however busy the machine is."""

SPACE = Space(tuple(Parameter(name, 0.0, 1.5, ((name, 1.0),)) for name in ("code/sft", "math/sft")), {})


def request(finished: int = 8, number: int = 8, optimizer: Optimizer | None = None) -> Request:
    points = [(0.1 * step % 1.5, 0.37 * step % 1.5) for step in range(finished)]
    trials = (Finished(step, SPACE.expand(point), -((point[0] - 0.5) ** 2), 0.01) for step, point in enumerate(points))
    return Request(SPACE, tuple(trials), optimizer=optimizer, seed=3, number=number)


@pytest.fixture(scope="module")
def suggester() -> Iterator[Suggester]:
    with Suggester() as suggester:
        yield suggester


def pid_of(suggester: Suggester) -> int:
    assert suggester.pid is not None
    return suggester.pid


def comes_to_its_end(process: int) -> bool:
    """Say whether a process that `os.pidfd_open` gave ends, be it that nobody has asked after its exit code yet."""
    readable, _, _ = select.select([process], [], [], PATIENT)
    os.close(process)
    return bool(readable)


def test_the_process_answers_what_the_pure_function_answers(suggester: Suggester) -> None:
    asked = request()
    assert suggester.ask(asked, PATIENT) == suggest(asked)
    first = pid_of(suggester)
    assert suggester.ask(request(9, 9), PATIENT).origin.optimizer == "Bayesian"
    assert pid_of(suggester) == first
    assert os.getpriority(os.PRIO_PROCESS, first) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)


def test_a_child_gives_way_to_others_only_when_it_has_loaded() -> None:
    """Else loading takes minutes beside evaluators, and the search gets random candidates meanwhile."""
    halted = "import os, sys; os.nice = lambda _: sys.exit('gave way'); sys.modules['autollm.search.bayesian'] = None"
    command = [sys.executable, "-c", f"{halted}; from autollm.suggester.__main__ import main; main()"]
    with Suggester(lambda: Child(command)) as halting:
        assert "import of autollm.search.bayesian halted" in (halting.ask(request(), PATIENT).origin.reason or "")


def test_a_child_that_cannot_be_started_ends_nothing_and_is_tried_again() -> None:
    """Else an operator on a node without a process to spare would look well, and never begin to work."""
    refused = [BlockingIOError("no process is to spare"), BlockingIOError("no process is to spare")]

    def spawn() -> Child:
        if refused:
            raise refused.pop()
        return Child.spawn()

    with Suggester(spawn) as suggester:
        answer = suggester.ask(request(), PATIENT)
        assert (answer.origin.optimizer, "no process is to spare" in (answer.origin.reason or "")) == ("Fallback", True)
        assert suggester.ask(request(), PATIENT).origin.optimizer == "Bayesian"


def test_a_killed_child_costs_one_random_candidate_that_says_why(suggester: Suggester) -> None:
    suggester.ask(request(), PATIENT)
    lost = pid_of(suggester)
    os.kill(lost, signal.SIGKILL)
    answer = suggester.ask(request(), PATIENT)
    assert answer.origin.optimizer == "Fallback"
    assert "SIGKILL" in (answer.origin.reason or "")
    assert SPACE.contains(answer.weights)
    assert pid_of(suggester) != lost
    assert suggester.ask(request(), PATIENT).origin.optimizer == "Bayesian"


# The larger request does not fit into a pipe: there the parent is held up while it writes.
@pytest.mark.parametrize("finished", [8, 3000])
def test_a_stopped_child_holds_nobody_up_beyond_the_budget(suggester: Suggester, finished: int) -> None:
    suggester.ask(request(), PATIENT)
    hung = pid_of(suggester)
    process = os.pidfd_open(hung)
    os.kill(hung, signal.SIGSTOP)
    before = time.monotonic()
    answer = suggester.ask(request(finished, finished), 0.5)
    assert time.monotonic() - before < PATIENT / 2
    assert answer.origin.optimizer == "Fallback"
    assert "within 0.5 s" in (answer.origin.reason or "")
    assert pid_of(suggester) != hung
    assert comes_to_its_end(process)
    assert suggester.ask(request(), PATIENT).origin.optimizer == "Bayesian"


def test_a_child_that_still_loads_is_left_to_load() -> None:
    with Suggester(lambda: Child([sys.executable, "-c", "import time; time.sleep(3600)"])) as suggester:
        first = pid_of(suggester)
        answer = suggester.ask(request(), 0.0)
        assert answer.origin.optimizer == "Fallback"
        assert "still loading" in (answer.origin.reason or "")
        assert pid_of(suggester) == first


def test_a_child_that_cannot_start_is_reported_with_its_last_words() -> None:
    broken = Suggester(lambda: Child([sys.executable, "-c", "raise SystemExit('no such optimiser')"]))
    with broken:
        answer = broken.ask(request(), PATIENT)
    assert answer.origin.optimizer == "Fallback"
    assert answer.origin.reason == "the optimiser's process ended with exit code 1: no such optimiser"


def test_start_points_and_random_candidates_need_no_process() -> None:
    idle = Suggester()
    start = Start({"code/sft": 1.0, "math/sft": 0.0}, "code/sft")
    answer = idle.ask(Request(SPACE, starts=(start,)), 0.0)
    assert (answer.origin.optimizer, answer.name) == ("Start", "code/sft")
    assert idle.ask(request(optimizer=Optimizer.parse({"random": {}})), 0.0).origin.optimizer == "Random"
    with pytest.raises(SpaceExhausted):
        idle.ask(Request(Space((), {"code/sft": 1.0}), finished=(Finished(0, {"code/sft": 1.0}, 0.5),)), 0.0)
    assert idle.pid is None


def test_the_process_is_started_for_a_search_that_will_need_it_and_for_no_other() -> None:
    suggester = Suggester()
    try:
        suggester.prepare(request(optimizer=Optimizer.parse({"random": {}})))
        assert suggester.pid is None
        suggester.prepare(Request(SPACE, starts=(Start({"code/sft": 1.0, "math/sft": 0.0}, "code/sft"),)))
        started = pid_of(suggester)
        suggester.ask(request(), PATIENT)
        assert pid_of(suggester) == started
    finally:
        suggester.close()


def test_to_prepare_waits_for_no_question() -> None:
    suggester = Suggester()
    with suggester._lock:
        suggester.prepare(request())
    assert suggester.pid is None, "whoever asks starts it"


def test_a_question_waits_for_another_no_longer_than_its_budget(suggester: Suggester) -> None:
    suggester.ask(request(), PATIENT)
    busy = pid_of(suggester)
    os.kill(busy, signal.SIGSTOP)
    other = threading.Thread(target=suggester.ask, args=(request(), PATIENT))
    other.start()
    while not suggester._lock.locked():
        os.sched_yield()
    answer = suggester.ask(request(), 0.2)
    assert "another question" in (answer.origin.reason or "")
    assert other.is_alive()
    os.kill(busy, signal.SIGCONT)
    other.join()


def test_closing_waits_for_no_answer() -> None:
    suggester, answers = Suggester(), list[Suggestion]()
    suggester.ask(request(), PATIENT)
    hung = pid_of(suggester)
    process = os.pidfd_open(hung)
    os.kill(hung, signal.SIGSTOP)
    asking = threading.Thread(target=lambda: answers.append(suggester.ask(request(), PATIENT)))
    asking.start()
    while not suggester._lock.locked():
        os.sched_yield()
    before = time.monotonic()
    suggester.close()
    asking.join()
    assert time.monotonic() - before < PATIENT / 2
    assert [answer.origin.optimizer for answer in answers] == ["Fallback"]
    assert suggester.pid is None, "no other child was started in its place"
    assert comes_to_its_end(process)
    assert suggester.ask(request(), PATIENT).origin.reason == "the optimiser is closed"


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import signal, sys\nfrom autollm.suggester import Suggester\nsuggester = Suggester()\nsuggester.start()\n"
        "print(suggester.pid, flush=True)\nsignal.pause()\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    assert comes_to_its_end(child), "the child outlived its parent"
