"""Everything that an engine needs, put together and taken apart again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TextIO

from autollm.local.engine import Engine
from autollm.local.lock import locked
from autollm.local.objects import RunObjects
from autollm.local.paths import RunFolder
from autollm.local.progress import PlainProgress
from autollm.local.server import WorkerServer
from autollm.local.sources import look_at_sources
from autollm.local.suggesting import PatientSuggester
from autollm.local.tasks import Tasks
from autollm.plan.plan import Plan
from autollm.resources.run import AutoLLMRun
from autollm.suggester import Suggester


def run_here(run: AutoLLMRun, root: Path, *, program: Sequence[str], jobs: int, stream: TextIO) -> Plan:
    """Bring a run to its end in this folder by a worker program, `jobs` tasks at a time, and return the last plan.

    Raises FolderBusyError where another engine is at it, Interrupted or KeyboardInterrupt where it was stopped.
    """
    folder = RunFolder(root)
    with locked(folder.lock) as lock, closing(Suggester()) as suggester:
        progress = PlainProgress(stream)
        objects = RunObjects(folder.objects, run)
        server = WorkerServer(program, folder.server_log, inherited=[lock])
        tasks = Tasks(folder, server, progress.tell, jobs=jobs)
        seen = look_at_sources(run.spec, folder.sources_seen)
        return Engine(objects, tasks, server, PatientSuggester(suggester), progress, sources_seen=seen).run()
