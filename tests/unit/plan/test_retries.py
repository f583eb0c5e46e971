"""What the way a worker ended says about trying again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.plan.retries import is_counted, retry_wait


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.BAD_INPUT, ExitCode.OUT_OF_GPU_MEMORY])
def test_what_cannot_succeed_is_never_tried_again(code: int) -> None:
    assert retry_wait(code, 1) is None


@pytest.mark.parametrize("code", [ExitCode.FAILED, ExitCode.UNAVAILABLE, ExitCode.TEMPORARY, ExitCode.KILLED, 139])
def test_everything_else_three_times_with_growing_waits(code: int) -> None:
    assert is_counted(code)
    waits = [retry_wait(code, failures) for failures in (1, 2, 3, 4)]
    assert waits == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4), None]


def test_what_was_asked_to_stop_goes_on_at_once_and_has_not_failed() -> None:
    assert not is_counted(ExitCode.STOPPED)
    assert retry_wait(ExitCode.STOPPED, 0) == timedelta(0)
