"""The clock of `search.stop.after`: it begins when the first trial of a search is scored and stands still while the run is suspended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from autollm.plan.conditions import stamp
from autollm.plan.snapshot import Snapshot
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run_status import SearchClock


def clock_now(snapshot: Snapshot, now: datetime) -> SearchClock | None:
    """Return the clock as it was left, stopped if the run is suspended, else going on; None where there is none or nobody asks for it."""
    stop, status = snapshot.spec.search.stop, snapshot.run.status
    before = status.clock if status is not None else None
    if before is None or stop is None or stop.after is None:
        return None
    if snapshot.spec.suspend:
        return before if before.stopped is not None else before.model_copy(update={"stopped": stamp(now)})
    if before.stopped is None:
        return before
    stood_still = now - datetime.fromisoformat(before.stopped)
    return SearchClock(landscape=before.landscape, begun=stamp(datetime.fromisoformat(before.begun) + stood_still))


def clock_of(snapshot: Snapshot, landscape: str, done: Sequence[MergeTrial], now: datetime) -> SearchClock | None:
    """Return the clock of the search in a landscape, of which these trials have an outcome; None before the first has one.

    Until then evaluators wait for nodes and load the model, which is no searching: it begins as long ago as that trial took.
    """
    known = clock_now(snapshot, now)
    if known is not None and known.landscape == landscape:
        return known
    if not done:
        return None
    seconds = done[0].status.seconds if done[0].status else None
    took = timedelta(seconds=float(seconds.merge) + float(seconds.evaluate)) if seconds else timedelta(0)
    return SearchClock(landscape=landscape, begun=stamp(now - took))
