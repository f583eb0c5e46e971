"""The trial that a worker has in hand: noted in its termination file, which tells on what it died even where it was killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autollm.contract.termination import TRIAL


class InHand:
    """What a worker is scoring. Nothing is written where it has no termination file.

    Attributes:
        trial: The name of the trial; empty where there is none. One that an error left stays, for what is written at the end.
    """

    def __init__(self, termination: Path | None = None) -> None:
        self._termination = termination
        self.trial = ""

    @contextmanager
    def scoring(self, trial: str) -> Iterator[None]:
        """Note the trial, until it has its outcome."""
        self._note(trial)
        yield
        self._note("")

    def _note(self, trial: str) -> None:
        self.trial = trial
        if self._termination is not None:
            self._termination.parent.mkdir(parents=True, exist_ok=True)
            # In place, because Kubernetes mounts it.
            self._termination.write_text(json.dumps({TRIAL: trial}) if trial else "")
