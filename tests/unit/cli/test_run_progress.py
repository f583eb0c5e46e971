"""Which progress `autollm run` shows: moving lines in a terminal, plain ones everywhere else."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from autollm.cli.run import _progress
from autollm.local.live import LiveProgress
from autollm.local.progress import PlainProgress


def shown_on(console: Console) -> type[object]:
    progress = _progress(console)
    progress.close()
    return type(progress)


def test_a_terminal_gets_moving_lines() -> None:
    assert shown_on(Console(file=io.StringIO(), force_terminal=True)) is LiveProgress


def test_a_file_gets_plain_lines() -> None:
    stream = io.StringIO()
    assert shown_on(Console(file=stream)) is PlainProgress
    assert stream.getvalue() == ""


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert shown_on(Console(file=io.StringIO(), force_terminal=True)) is PlainProgress


def test_a_log_on_the_same_terminal_is_not_drawn_over() -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    try:
        assert shown_on(Console(file=io.StringIO(), force_terminal=True)) is PlainProgress
    finally:
        root.setLevel(before)
