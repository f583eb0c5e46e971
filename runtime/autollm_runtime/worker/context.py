"""What a task is given beside its document."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from autollm.errors import Interrupted
from autollm_runtime.worker.feed import TrialFeed
from autollm_runtime.worker.in_hand import InHand
from autollm_runtime.worker.ranks import SINGLE, Rank
from autollm_runtime.worker.reports import Reports


@dataclass(frozen=True)
class Context:
    """The surroundings of one task.

    `scratch` is a folder of the task's own, kept from one attempt to the next and of no value once it is done. `stop` is
    set when the task is asked to save and end. `threads` is how many threads it may compute with. `rank` is this process's place
    among several that train together. `in_hand` is where the trial is noted that is being scored. `in_pod` says that each task of the
    run has a pod of its own, made as the run's `workers` say; else all of them use this machine.
    """

    reports: Reports
    trials: TrialFeed
    scratch: Path
    stop: threading.Event
    threads: int
    rank: Rank = SINGLE
    in_hand: InHand = field(default_factory=InHand)
    in_pod: bool = False

    def check_stop(self) -> None:
        """Raise Interrupted if the task was asked to stop; to be called where what was done is saved."""
        if self.stop.is_set():
            raise Interrupted("the task was asked to stop")
