"""Conditions keep the time of their last change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from autollm.plan.conditions import MESSAGE_LENGTH, settle, summary, with_summary
from autollm.plan.step import Ended, Paused, Verdict, Working

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_new_condition_has_the_time_of_now() -> None:
    (condition,) = settle(None, [Verdict("DataReady", "True", "Prepared")], 3, NOON)
    assert (condition.last_transition_time, condition.observed_generation) == ("2026-01-01T12:00:00Z", 3)


def test_another_reason_or_generation_leaves_the_time() -> None:
    before = settle(None, [Verdict("DataReady", "False", "Preparing")], 1, NOON)
    (after,) = settle(before, [Verdict("DataReady", "False", "MixedFormats", "line 3")], 2, NOON + timedelta(hours=1))
    assert after.last_transition_time == before[0].last_transition_time
    assert (after.reason, after.message, after.observed_generation) == ("MixedFormats", "line 3", 2)


def test_another_status_changes_it() -> None:
    before = settle(None, [Verdict("DataReady", "False", "Preparing")], 1, NOON)
    (after,) = settle(before, [Verdict("DataReady", "True", "Prepared")], 1, NOON + timedelta(hours=1))
    assert after.last_transition_time == "2026-01-01T13:00:00Z"


def test_a_long_message_is_cut() -> None:
    (condition,) = settle(None, [Verdict("DataReady", "False", "Bad", "x" * 10_000)], 1, NOON)
    assert len(condition.message) == MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Working("Training", "1 of 2."), {"Reconciling": "True", "Stalled": "False", "Succeeded": "Unknown"}),
        (Paused("Suspended", "suspend is true."), {"Reconciling": "False", "Stalled": "False", "Succeeded": "Unknown"}),
        (Ended(True, "NotPublished", "Not better."), {"Reconciling": "False", "Stalled": "False", "Succeeded": "True"}),
        (Ended(False, "TrainingFailed", "row 3."), {"Reconciling": "False", "Stalled": "True", "Succeeded": "False"}),
    ],
)
def test_what_tools_wait_for(state: Working | Paused | Ended, expected: dict[str, str]) -> None:
    """Where Reconciling is True a tool waits, else Stalled alone tells it of a failure."""
    told = summary(state)
    assert {verdict.type: verdict.status for verdict in told} == expected
    assert {verdict.reason for verdict in told} == {state.reason}


def test_of_a_paused_run_what_is_done_stays_and_what_was_under_way_waits_for_nothing_any_more() -> None:
    done, doing = (
        Verdict("DataReady", "True", "Prepared", "9 records."),
        Verdict("DeltasReady", "Unknown", "Training", "1 of 2. Waiting: no GPU."),
    )
    before = settle(None, with_summary([done, doing], Working(doing.reason, doing.message), None), 1, NOON)
    paused = with_summary([], Paused("Suspended", "suspend is true."), before)
    told = {verdict.type: (verdict.status, verdict.reason, verdict.message) for verdict in paused}
    assert told["DataReady"] == ("True", "Prepared", "9 records.")
    assert told["DeltasReady"] == ("Unknown", "Suspended", "suspend is true.")
    assert told["SearchComplete"][:2] == ("Unknown", "NotReached")
