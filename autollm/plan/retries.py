"""Retries: what the way a worker ended says about trying again."""

from __future__ import annotations

from datetime import timedelta

from autollm.contract.exit_codes import FINAL, FREE, ExitCode

MOST_FAILURES = 3
"""A task that has failed this often after its first attempt is given up."""

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=1)


def is_counted(exit_code: int) -> bool:
    """Say whether an end counts as a failure; a worker that saved and stopped because it was asked to has not failed."""
    return exit_code not in FREE


def is_death(exit_code: int) -> bool:
    """Say whether a worker died of what it was doing: killed, crashed or failed unexpectedly, and nothing else is known to be the cause."""
    return exit_code not in {*FINAL, *FREE, ExitCode.DONE, ExitCode.UNAVAILABLE, ExitCode.TEMPORARY}


def retry_wait(exit_code: int, failures: int) -> timedelta | None:
    """Return how long to wait before a task is started again, or None where it is given up.

    `failures` are those so far, this one included if it counts. What cannot succeed (bad input, too little GPU memory, wrong usage) is
    never tried again; what was merely stopped is started again at once; everything else up to three times, each wait twice the one before.
    """
    if exit_code in FINAL or failures > MOST_FAILURES:
        return None
    if not is_counted(exit_code):
        return timedelta(0)
    return min(FIRST_WAIT * (1 << max(failures - 1, 0)), LONGEST_WAIT)
