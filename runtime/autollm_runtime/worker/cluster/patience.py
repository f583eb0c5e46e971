"""Asking again: what a worker found out in hours is not lost because the API server is away for minutes."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from autollm_runtime.worker.cluster.answers import ApiUnavailableError, ForbiddenError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Patience:
    """How long, in seconds, a worker asks again, and the pauses between.

    `forbidden` is for a right that is missing: a binding made at the same time as the Job is in force within seconds.
    """

    seconds: float = 600.0
    forbidden: float = 30.0
    first: float = 0.2
    longest: float = 15.0

    def pauses(self) -> Iterator[float]:
        """Yield ever longer pauses, each drawn from the upper half of its range so that workers do not ask in step."""
        longest = self.first
        while True:
            yield random.uniform(longest / 2, longest)  # noqa: S311  # nothing secret
            longest = min(2 * longest, self.longest)


@dataclass(frozen=True)
class Clock:
    """The time that passes, and waiting for it."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


def patiently(call: Callable[[], _T], patience: Patience, clock: Clock) -> _T:
    """Return what `call` returns, asked again while the API server is away; raises its last error when patience is at an end."""
    started = clock.now()
    for pause in patience.pauses():
        try:
            return call()
        except (ApiUnavailableError, ForbiddenError) as error:
            if isinstance(error, ForbiddenError):
                wait, limit = pause, patience.forbidden
            else:
                wait, limit = pause if error.retry_after is None else max(error.retry_after, pause / 2), patience.seconds
            left = started + limit - clock.now()
            if left <= 0:
                raise
            _log.warning("the API server is asked again", extra={"cause": str(error), "seconds": round(wait, 1)})
        clock.sleep(min(wait, left))
    raise AssertionError("pauses never end")
