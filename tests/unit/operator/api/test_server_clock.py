"""The API server's time: an operator whose own clock is wrong finds no report late and no trial overdue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from autollm_operator.api.server_clock import ServerClock

HERE = datetime(2026, 1, 1, 12, tzinfo=UTC)


def date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), -timedelta(minutes=11)], ids=["behind the server", "ahead of it"])
def test_a_clock_that_is_wrong_is_put_right_and_follows_when_it_is_set(ahead: timedelta) -> None:
    clock = ServerClock(lambda: HERE)
    assert clock.now() == HERE
    clock.heard(date(HERE + ahead))
    assert clock.now() == HERE + ahead
    clock.heard(date(HERE))
    assert clock.now() == HERE


def test_what_an_answer_takes_on_its_way_is_no_difference() -> None:
    clock = ServerClock(lambda: HERE)
    clock.heard(date(HERE - timedelta(seconds=4)))
    assert clock.now() == HERE


@pytest.mark.parametrize("told", [None, "", "yesterday"])
def test_an_answer_without_a_date_says_nothing(told: str | None) -> None:
    clock = ServerClock(lambda: HERE)
    clock.heard(date(HERE + timedelta(hours=1)))
    clock.heard(told)
    assert clock.now() == HERE + timedelta(hours=1)
