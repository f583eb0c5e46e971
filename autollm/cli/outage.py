"""A server that is away for a while: what follows a run for hours outlasts it, and ends where it stays away."""

from __future__ import annotations

import time

import click

from autollm.errors import OutageError

LONGEST_MINUTES = 10
"""How long a server may be away; a worker gives its API server as long."""


class Outage:
    """Keeps count of how long a server has not answered, and says on stderr, once each time, that it does not."""

    def __init__(self) -> None:
        self._since: float | None = None

    def bear(self, error: OutageError) -> None:
        """Take note of an answer that did not come; raises OutageError where none has come for ten minutes."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            click.echo(f"{error}; it is asked again, for {LONGEST_MINUTES} minutes at most", err=True)
        elif now - self._since >= 60 * LONGEST_MINUTES:
            raise OutageError(f"{error}; it has been away for {LONGEST_MINUTES} minutes, which says nothing about the run") from error

    def end(self) -> None:
        """Take note of an answer."""
        self._since = None
