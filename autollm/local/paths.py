"""Where a run keeps its things on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autollm.contract.folder import ObjectFolder


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: its objects, a folder for each task, the lock, and what people read at the end."""

    root: Path

    @property
    def objects(self) -> ObjectFolder:
        """The three kinds as files."""
        return ObjectFolder(self.root / "objects")

    @property
    def tasks(self) -> Path:
        """A folder for each task: its document, its log, how it ended, its scratch space."""
        return self.root / "tasks"

    @property
    def lock(self) -> Path:
        """Held by the engine that works on the run, and by its workers."""
        return self.root / "lock"

    def status(self, run: str) -> Path:
        """The status fields that the planner owns."""
        return self.objects.root / "autollmruns" / run / "status.json"

    @property
    def server_log(self) -> Path:
        """What the fork server has to say; each worker has a log of its own."""
        return self.root / "server.log"

    @property
    def inputs_seen(self) -> Path:
        """What sources, base model and ready-made deltas looked like when they were last looked at."""
        return self.root / "inputs.json"
