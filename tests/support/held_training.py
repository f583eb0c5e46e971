"""`autollm-runtime`, whose training goes no further than its first step until it is asked to stop: what tests stop in time for certain."""

from __future__ import annotations

import signal
import sys

from autollm.resources.facts import Progress
from autollm_runtime.cli import main
from autollm_runtime.worker.reports import FolderReports
from cluster.waiting import wait_until

tell = FolderReports.progress


def told_then_held(reports: FolderReports, training: str, fact: Progress) -> None:
    """Tell of a step, and wait until the signal was taken, with which it gets its default effect back."""
    tell(reports, training, fact)
    wait_until(lambda: signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "nobody asks to stop", seconds=500)


if __name__ == "__main__":
    FolderReports.progress = told_then_held  # type: ignore[method-assign,assignment]  # in this process alone
    sys.exit(main())
