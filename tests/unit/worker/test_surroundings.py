"""A worker in a pod: an arbitrary user, a read-only file system but for its scratch folder."""

from __future__ import annotations

import getpass
import os
import tempfile
from pathlib import Path

import pytest

from autollm_runtime.worker.surroundings import settle_in

NOBODY = 1_234_567_890


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom /etc/passwd does not know, as containers have it; the folder of the test is made before."""
    absent = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME")
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in absent})
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.usefixtures("stranger")
def test_libraries_find_a_home_a_name_and_room(tmp_path: Path) -> None:
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    settle_in(tmp_path / "scratch", os.environ)
    assert getpass.getuser() == "autollm"
    assert Path.home() == tmp_path / "scratch" / "home"
    assert Path(tempfile.gettempdir()) == tmp_path / "scratch" / "tmp"
    assert Path.home().is_dir()
    with tempfile.TemporaryDirectory() as folder:
        assert Path(folder).is_dir()


def test_caches_on_a_volume_stay_there(tmp_path: Path) -> None:
    environ = {"HF_HOME": "/models", "HOME": "/root", "TMPDIR": "/read-only"}
    settle_in(tmp_path, environ)
    assert environ["HF_HOME"] == "/models"
    assert environ["TRITON_CACHE_DIR"].startswith(str(tmp_path))
    assert (environ["HOME"], environ["TMPDIR"]) == (str(tmp_path / "home"), str(tmp_path / "tmp"))
