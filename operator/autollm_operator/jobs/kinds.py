"""What the kinds of tasks differ in, as far as their Jobs are concerned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autollm.contract.tasks import AnyTask
from autollm.resources.workers import TaskWorkers, Workers


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    Attributes:
        section: Its section of `workers`, which is also its command of `autollm-runtime`.
        grace_seconds: How long a pod may take to stop: longer than what it is in the middle of takes to save.
    """

    section: str
    grace_seconds: int


KINDS_OF_TASKS: Mapping[str, Kind] = {
    "Prepare": Kind("prepare", 120),
    "Train": Kind("train", 600),  # a checkpoint of 8 billion numbers, written to S3 at 100 MB/s, takes half of it
    "Evaluate": Kind("evaluate", 120),
    "Publish": Kind("publish", 120),
    "Pin": Kind("publish", 60),
}


def asked_of(task: AnyTask, workers: Workers) -> TaskWorkers:
    """Return what the document says of pods of this kind of task."""
    return workers.by_kind[KINDS_OF_TASKS[task.kind].section]
