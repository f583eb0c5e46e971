"""What goes wrong with the folder itself."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from autollm.errors import AutoLLMError
from autollm.local.objects import RunObjects
from autollm.local.progress import PlainProgress
from autollm.local.start import run_here
from autollm.resources.run_status import RunStatus
from support.runs import make_run


@pytest.mark.parametrize(
    ("number", "reason", "words"),
    [(errno.ENOSPC, "DiskFull", "free some, then run again to go on"), (errno.EACCES, "AccessDenied", "check its owner and permissions")],
)
def test_it_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str, words: str) -> None:
    def refuse(objects: RunObjects, status: RunStatus) -> bool:
        raise OSError(number, "refused")

    monkeypatch.setattr(RunObjects, "write_status", refuse)
    with pytest.raises(AutoLLMError, match=words) as caught:
        run_here(make_run(), tmp_path, program=[], jobs=1, progress=PlainProgress(io.StringIO()), report=lambda folder: None)
    assert caught.value.reason == reason
