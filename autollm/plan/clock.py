"""The clock of `search.stop.after`: it begins with the first trial of a search and stands still while the run is suspended."""

from __future__ import annotations

from datetime import datetime

from autollm.plan.conditions import stamp
from autollm.plan.snapshot import Snapshot
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


def clock_of(snapshot: Snapshot, landscape: str, first: str, now: datetime) -> SearchClock:
    """Return the clock of the search in a landscape, which begins when its first trial was made."""
    known = clock_now(snapshot, now)
    return known if known is not None and known.landscape == landscape else SearchClock(landscape=landscape, begun=first)
