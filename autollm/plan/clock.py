"""The clock of `search.stop.after`: it begins when the first trial of a search is scored and goes while evaluators are at work on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from autollm.plan.conditions import stamp
from autollm.plan.snapshot import Snapshot
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run_status import SearchClock


def clock_of(snapshot: Snapshot, landscape: str, done: Sequence[MergeTrial], now: datetime) -> SearchClock | None:
    """Return the clock of the search in a landscape, of which these trials have an outcome; None before the first has one.

    Until then evaluators wait for nodes and load the model, which is no searching: it begins as long ago as that trial took.
    """
    if not done:
        return None
    known = _asked_for(snapshot)
    if known is not None and known.landscape == landscape:
        return known
    seconds = done[0].status.seconds if done[0].status else None
    took = timedelta(seconds=float(seconds.merge) + float(seconds.evaluate)) if seconds else timedelta(0)
    return SearchClock(landscape=landscape, begun=stamp(now - took))


def stopped_clock(snapshot: Snapshot, now: datetime) -> SearchClock | None:
    """Return the clock as a plan without a search leaves it; None where there is none or nobody asks for it."""
    known = _asked_for(snapshot)
    return stopped(known, now) if known is not None else None


def searched(clock: SearchClock, now: datetime) -> timedelta:
    """Return how long it has gone."""
    until = datetime.fromisoformat(clock.stopped) if clock.stopped is not None else now
    return until - datetime.fromisoformat(clock.begun)


def stopped(clock: SearchClock, now: datetime) -> SearchClock:
    """Return the clock standing still, since now if it went."""
    return clock if clock.stopped is not None else clock.model_copy(update={"stopped": stamp(now)})


def going(clock: SearchClock, now: datetime) -> SearchClock:
    """Return the clock going, as if it had begun later by the time for which it stood still."""
    return clock if clock.stopped is None else SearchClock(landscape=clock.landscape, begun=stamp(now - searched(clock, now)))


def _asked_for(snapshot: Snapshot) -> SearchClock | None:
    stop, status = snapshot.spec.search.stop, snapshot.run.status
    return status.clock if status is not None and stop is not None and stop.after is not None else None
