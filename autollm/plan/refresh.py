"""Rounds: the sources are looked at again when `refresh.every` has passed since that was last begun, and what it led to has ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from autollm.plan.conditions import stamp
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Ended, Step
from autollm.resources.run_status import RefreshStatus, RunStatus
from autollm.resources.values import parse_duration


def round_now(snapshot: Snapshot, now: datetime) -> RefreshStatus | None:
    """Return the round that the run is in, and when it may end in another; the first one begins when rounds are asked for.

    Of a run that asks for no more of them the last one stays, for what was prepared in it is still what the run is made of.
    """
    asked, status = snapshot.spec.refresh, snapshot.run.status
    before = status.refresh if status is not None else None
    if asked is None:
        return None if before is None else RefreshStatus(round=before.round, begun=before.begun)
    # A clock that was ahead, and is right again, would keep the next round away for as long as it was ahead.
    number, begun = (1, stamp(now)) if before is None else (before.round, min(before.begun, stamp(now)))
    due = datetime.fromisoformat(begun) + timedelta(seconds=parse_duration(asked.every))
    return RefreshStatus(round=number, begun=begun, next=stamp(due))


def next_round(present: RefreshStatus | None, steps: Sequence[Step], now: datetime) -> tuple[RefreshStatus | None, datetime | None]:
    """Return the round that begins now, if one does, else when the next one will; while the present one is under way, neither.

    A run that was ended before its sources were looked at, as by its own document, would not look at them in another round either.
    """
    looked = any(verdict.type == "DataReady" for step in steps for verdict in step.verdicts)
    if present is None or present.next is None or not looked or not isinstance(steps[-1].state, Ended):
        return None, None
    due = datetime.fromisoformat(present.next)
    if now < due:
        return None, due
    every = due - datetime.fromisoformat(present.begun)
    return RefreshStatus(round=present.round + 1, begun=stamp(now), next=stamp(now + every)), None


def attempt(generation: int, status: RunStatus | None) -> int:
    """Return a number that grows with every change of the spec and with every round: what failed at a smaller one is tried again."""
    return generation + (status.refresh.round - 1 if status is not None and status.refresh is not None else 0)
