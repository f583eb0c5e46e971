"""A training in a process of its own that says a line before every checkpoint and waits after the fourth: what tests kill.

Arguments: task file, scratch folder.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from autollm.contract.tasks import TrainTask
from autollm.errors import Interrupted
from autollm_runtime.train.checkpoints import CheckpointPolicy
from autollm_runtime.train.run import Limits, train_delta
from autollm_runtime.worker.context import Context
from autollm_runtime.worker.stopping import stop_on_signals
from support.training import HeardReports, NoTrials


@dataclass(frozen=True)
class EveryStep(CheckpointPolicy):
    """Save after every step, and say so before; the fourth time, wait for the signal first, which then never comes too late."""

    stop: threading.Event = field(default_factory=threading.Event)
    steps: Iterator[int] = field(default_factory=lambda: count(1))

    def due(self, since_last: float, cost: float) -> bool:
        print("step", flush=True)
        if next(self.steps) == 4:
            self.stop.wait()
        return True


def main(task: Path, scratch: Path) -> int:
    stop = stop_on_signals()
    context = Context(reports=HeardReports(), trials=NoTrials(), scratch=scratch, stop=stop, threads=1)
    try:
        train_delta(TrainTask.model_validate_json(task.read_bytes()), context, Limits(EveryStep(stop=stop)))
    except Interrupted:
        return 143
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
