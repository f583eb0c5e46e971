"""How often a worker has failed so far: kept beside its task, so that the next engine goes on counting."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from autollm.contract.folder import write_atomically
from autollm.resources.metadata import Failure


@dataclass
class Failures:
    """The failures of one worker.

    Attributes:
        counted: Those after which it is given up if there are too many.
        by_trial: Those of an evaluator while it scored a trial: it is the trial that is given up.
    """

    counted: int = 0
    by_trial: dict[str, tuple[Failure, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Failures:
        """Return what an engine before this one has kept; none where it kept nothing that can be read."""
        try:
            document = json.loads(path.read_bytes())
            died = document.get("byTrial", {}).items()
            return cls(int(document["failures"]), {trial: tuple(map(Failure.parse, failures)) for trial, failures in died})
        except (FileNotFoundError, ValueError, KeyError, ValidationError):
            return cls()

    def write(self, path: Path) -> None:
        """Keep them."""
        died = {trial: [failure.document() for failure in failures] for trial, failures in self.by_trial.items()}
        write_atomically(path, json.dumps({"failures": self.counted, "byTrial": died}).encode())

    def count(self) -> int:
        """Note one that counts; return how many there are."""
        self.counted += 1
        return self.counted

    def count_on(self, trial: str, failure: Failure) -> int:
        """Note one while a trial was scored; return how many there are with that trial."""
        self.by_trial[trial] = (*self.by_trial.get(trial, ()), failure)
        return len(self.by_trial[trial])
