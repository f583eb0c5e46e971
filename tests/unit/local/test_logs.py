"""Logs of a folder's tasks: all, one, and as they grow."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from autollm.errors import InputError
from autollm.local.lock import locked
from autollm.local.logs import task_logs
from autollm.local.paths import RunFolder


def write(folder: Path, task: str, text: str) -> Path:
    path = RunFolder(folder).tasks / task / "log.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)
    return path


def test_every_line_comes_with_its_task_the_last_one_without_an_end_too(tmp_path: Path) -> None:
    write(tmp_path, "prepare-1", "one\ntwo\n")
    write(tmp_path, "train-1", "three")
    assert sorted(task_logs(tmp_path, None, follow=False)) == [("prepare-1", "one"), ("prepare-1", "two"), ("train-1", "three")]


def test_one_task_alone_or_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, "prepare-1", "one\n")
    write(tmp_path, "train-1", "two\n")
    assert list(task_logs(tmp_path, "train-1", follow=False)) == [("train-1", "two")]
    with pytest.raises(InputError, match=r"no log of a task train-2: there are prepare-1, train-1"):
        list(task_logs(tmp_path, "train-2", follow=False))


def test_what_is_followed_comes_in_whole_lines_until_nobody_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "train-1", "begun\nhalf a ")
    told: list[tuple[str, str]] = []
    with ExitStack() as engine:
        engine.enter_context(locked(RunFolder(tmp_path).lock))
        looks: list[float] = []

        def meanwhile(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 1:
                write(tmp_path, "train-1", "line\nthe end")
            else:
                engine.close()

        monkeypatch.setattr("autollm.local.logs.time.sleep", meanwhile)
        told.extend(task_logs(tmp_path, None, follow=True))
    assert told == [("train-1", "begun"), ("train-1", "half a line"), ("train-1", "the end")]
