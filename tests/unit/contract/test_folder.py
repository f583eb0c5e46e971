"""Files of the run's folder: whole or not at all, and readable by whom the user's umask lets read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from autollm.contract.folder import write_atomically


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_file_may_be_read_as_far_as_the_umask_lets(tmp_path: Path, umask: int) -> None:
    write_atomically(tmp_path / "report.html", b"x")
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "folder" / "one", b"before")
    assert write_atomically(tmp_path / "folder" / "one", b"after")
    assert (tmp_path / "folder" / "one").read_bytes() == b"after"


def test_an_exclusive_file_is_written_once(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "one", b"first", exclusive=True)
    assert not write_atomically(tmp_path / "one", b"second", exclusive=True)
    assert (tmp_path / "one").read_bytes() == b"first"


def test_nothing_is_left_beside_a_file_whatever_happens(tmp_path: Path) -> None:
    write_atomically(tmp_path / "one", b"x")
    write_atomically(tmp_path / "one", b"x", exclusive=True)
    (tmp_path / "place").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "place", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "place"]
