"""Everything that an engine needs, put together and taken apart again."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from autollm.local.engine import Engine
from autollm.local.inputs import look_at_inputs
from autollm.local.lock import locked
from autollm.local.lost import forget_lost
from autollm.local.objects import RunObjects
from autollm.local.paths import RunFolder
from autollm.local.progress import Progress
from autollm.local.server import WorkerServer
from autollm.local.suggesting import PatientSuggester
from autollm.local.tasks import Tasks
from autollm.plan.plan import Plan
from autollm.resources.run import AutoLLMRun
from autollm.store import AccessDeniedError, DiskFullError
from autollm.suggester import Suggester

_log = logging.getLogger(__name__)


def run_here(
    run: AutoLLMRun, root: Path, *, program: Sequence[str], jobs: int, progress: Progress, report: Callable[[Path], object]
) -> Plan:
    """Bring a run to its end in this folder by a worker program, `jobs` tasks at a time, and return the last plan.

    The report is written into the folder whenever a stage is reached. Raises FolderBusyError where another engine is at it, Interrupted or
    KeyboardInterrupt where it was stopped.
    """
    folder = RunFolder(root)
    with closing(progress), _disk_errors(root), locked(folder.lock) as lock, closing(Suggester()) as suggester:
        forget_lost(folder.objects, run.metadata.name)
        objects = RunObjects(folder.objects, run)
        server = WorkerServer(program, folder.server_log, inherited=[lock])
        tasks = Tasks(folder, server, progress.tell, jobs=jobs)
        seen = look_at_inputs(run.spec, folder.inputs_seen)
        engine = Engine(
            objects, tasks, server, PatientSuggester(suggester), progress, inputs_seen=seen, on_stage=lambda: _written(report, root)
        )
        made = engine.run()
        if _is_outdated(root, folder.status(run.metadata.name)):
            _written(report, root)
        return made


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    """Raise errors that say what to do where the folder is full, or somebody else's."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFullError(f"no space is left below {root}: free some, then run again to go on") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            message = f"{error.filename or root} may not be written: check its owner and permissions, or choose another folder by --folder"
            raise AccessDeniedError(message) from error
        raise


def _is_outdated(root: Path, status: Path) -> bool:
    """Say whether the page is older than the status, as where an engine was killed between the two."""
    page = root / "report.html"
    return not page.exists() or (status.exists() and page.stat().st_mtime_ns < status.stat().st_mtime_ns)


def _written(report: Callable[[Path], object], root: Path) -> None:
    try:
        report(root)
    except Exception as error:
        # A run of hours does not end because its page cannot be drawn.
        detailed = _log.isEnabledFor(logging.DEBUG)
        _log.warning("the report cannot be written (%s); `autollm report %s` tries again", error, root, exc_info=detailed)
