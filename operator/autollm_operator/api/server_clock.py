"""The API server's time, as its answers tell it: with that, and not with this machine's, what it has stamped is compared."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

TOLERANCE = timedelta(seconds=5)
"""A Date has whole seconds and may have been on its way for a while: a smaller difference is none."""


class ServerClock:
    """A clock that goes as this machine's does, put right where the API server's says something else."""

    def __init__(self, local: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._local = local
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the time."""
        return self._local() + self._ahead

    def heard(self, date: str | None) -> None:
        """Take note of the Date of an answer that has just come; one that is missing or cannot be read says nothing."""
        try:
            told = parsedate_to_datetime(date or "").astimezone(UTC)
        except ValueError:
            return
        ahead = told - self._local()
        if abs(ahead - self._ahead) > TOLERANCE:
            self._ahead = ahead if abs(ahead) > TOLERANCE else timedelta(0)
