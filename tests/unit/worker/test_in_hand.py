"""What a worker was scoring is known however it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from autollm.contract.termination import LastWords, read_last_words
from autollm.resources.metadata import Failure
from autollm_runtime.worker.ending import write_termination
from autollm_runtime.worker.in_hand import InHand


def left(path: Path) -> LastWords:
    return read_last_words(path.read_bytes())


def test_from_its_begin_to_its_outcome(tmp_path: Path) -> None:
    path = tmp_path / "end"
    in_hand = InHand(path)
    for trial in ("first", "second"):
        with in_hand.scoring(trial):
            assert left(path) == LastWords(trial=trial)
        assert left(path) == LastWords()


def test_also_where_the_worker_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "end"
    child = os.fork()
    if child == 0:
        with InHand(path).scoring("first"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert left(path) == LastWords(trial="first")


def test_beside_the_error_that_ended_it(tmp_path: Path) -> None:
    path = tmp_path / "end"
    in_hand = InHand(path)
    with pytest.raises(ZeroDivisionError), in_hand.scoring("first"):
        raise ZeroDivisionError
    assert in_hand.trial == "first"
    write_termination(path, "InternalError", "x" * 5000, in_hand.trial)
    assert path.stat().st_size <= 4096
    words = left(path)
    assert words.trial == "first"
    assert words.failure is not None
    assert words.failure.reason == "InternalError"


def test_in_place(tmp_path: Path) -> None:
    """Kubernetes mounts it: another file of its name would not be read."""
    path = tmp_path / "end"
    path.touch()
    mounted = path.stat().st_ino
    with InHand(path).scoring("first"):
        pass
    assert path.stat().st_ino == mounted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"reason": "Killed", "message": "x"}', LastWords(Failure(reason="Killed", message="x"))),
        ('{"reason": "Killed", "message": "x", "trial": "t"}', LastWords(Failure(reason="Killed", message="x"), "t")),
        ('{"reason": "no word", "message": "x", "trial": "t"}', LastWords(trial="t")),
        ('{"trial": ["t"]}', LastWords()),
        ('["t"]', LastWords()),
        ("Traceback", LastWords()),
        ("[" * 100_000, LastWords()),
        ("", LastWords()),
    ],
)
def test_nothing_else_is_believed(text: str, words: LastWords) -> None:
    assert read_last_words(text) == words
