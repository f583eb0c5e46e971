"""Whether the operator is stuck, in one sentence: what Kubernetes' probes are answered."""

from __future__ import annotations

from collections.abc import Callable

LONGEST_SILENCE = 60.0
"""Seconds in which the event loop has to turn: nothing in it takes longer than milliseconds."""

LONGEST_WAIT, LONGEST_PASS = 300.0, 300.0
"""Seconds in which one of the keys that are due has to be begun, and a pass to end: a slow API server, 35 s a request, is no reason to
die, and neither are more objects than it lets be worked at in that time."""


class Health:
    """The two answers; each is empty where all is well, and says what is not otherwise.

    Args:
        silence: For how many seconds the event loop has not turned.
        waiting: For how many seconds a key has been due and none was begun; not asked of one that does not work.
        working: For how many seconds the oldest pass has been under way.
        works: Whether this replica works, rather than standing by.
        listed: Whether every kind has been listed once.
        refused: Why this replica could not hold its Lease even if it were free; empty where it could, or needs none.
    """

    def __init__(
        self,
        *,
        silence: Callable[[], float],
        waiting: Callable[[], float],
        working: Callable[[], float],
        works: Callable[[], bool],
        listed: Callable[[], bool],
        refused: Callable[[], str],
    ) -> None:
        self._silence, self._waiting, self._working = silence, waiting, working
        self._works, self._listed, self._refused = works, listed, refused

    def why_not_alive(self) -> str:
        """Return what is stuck, so that a new process would help."""
        if (silence := self._silence()) > LONGEST_SILENCE:
            return f"the event loop has not turned for {silence:.0f} s"
        if (working := self._working()) > LONGEST_PASS:
            return f"a pass has been under way for {working:.0f} s"
        if self._works() and (waiting := self._waiting()) > LONGEST_WAIT:
            return f"objects are due, and for {waiting:.0f} s none has been looked at"
        return ""

    def why_not_ready(self) -> str:
        """Return what is missing until this replica knows the cluster, and so could work at once."""
        return self._refused() if self._listed() else "not every kind of object has been listed yet"
