"""The folder store where it differs from others: files, permissions, writers that were killed, disks that are full."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from autollm.errors import InputError
from autollm.store import folder
from autollm.store.disk import disk_errors, staged
from autollm.store.folder import FolderStore
from autollm.store.port import AccessDeniedError, DiskFullError, NotFoundError, PreconditionError, Stat, StoreUnavailableError
from support.file_limit import file_limit


def test_nothing_is_made_before_the_first_write(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    assert list(store.list()) == []
    assert store.stat("a") is None
    assert store.local_path("") is None
    assert not (tmp_path / "store").exists()


def test_objects_lie_where_their_keys_say(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("models/m/config.json", b"{}")
    assert store.local_path("models/m/config.json") == tmp_path / "models/m/config.json"
    assert store.local_path("models/m") == store.local_path("models/m/") == tmp_path / "models/m"
    assert store.local_path("") == tmp_path
    assert store.local_path("models/other") is None
    assert store.uri == tmp_path.as_uri()


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        FolderStore(tmp_path).write("a", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_the_last_deleted_object_takes_its_folders_along(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.write("a/b/c", b"1")
    store.write("a/d", b"1")
    store.delete("a/b/c")
    assert not (tmp_path / "store/a/b").exists()
    assert store.read("a/d") == b"1"
    store.delete("a/d")
    assert (tmp_path / "store").exists()
    store.write("a/b/c", b"2")


def test_two_writes_within_one_tick_of_the_clock_differ(tmp_path: Path) -> None:
    times = set()
    with staged(tmp_path / "a") as new:
        for _ in range(20):
            new.seal()
            times.add(new.path.stat().st_mtime_ns)
    assert len(times) == 20


def test_nobody_comes_between_looking_and_moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = FolderStore(tmp_path).write("a", b"start").etag
    real = folder._stat
    meeting = threading.Barrier(2, timeout=0.3)  # where both writers would see the old object at once, if there were no lock

    def look(path: Path) -> Stat | None:
        found = real(path)
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait()
        return found

    def move(data: bytes) -> bool:
        try:
            FolderStore(tmp_path).write("a", data, if_match=etag)
        except PreconditionError:
            return False
        return True

    monkeypatch.setattr("autollm.store.folder._stat", look)
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(move, [b"1", b"2"])) == [False, True]


def test_a_name_that_cannot_be_a_key_is_passed_over_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = FolderStore(tmp_path)
    store.write("Aufnahme um 12\u202f00.jsonl", b"1")
    (tmp_path / "two\nlines").write_bytes(b"1")
    assert list(store.list()) == ["Aufnahme um 12\u202f00.jsonl"]
    assert [record.getMessage() for record in caplog.records] == ["a file is passed over, because its name cannot be a key: 'two\\nlines'"]


def test_a_file_and_a_folder_of_one_name(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("a", b"1")
    store.write("b/c", b"1")
    for key in ("a/below", "b"):
        with pytest.raises(InputError, match="a part of its path is a file"):
            store.write(key, b"2")
    assert list(store.list()) == ["a", "b/c"]


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too long for this file system"):
        FolderStore(tmp_path).write("a" * 300, b"1")


def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.write("a", b"old")
    (tmp_path / "up").write_bytes(bytes(1 << 20))
    store.upload(tmp_path / "up", "large")
    with file_limit(1 << 16):
        with pytest.raises(DiskFullError, match=f"no space is left to write {store.uri}/a"):
            store.write("a", bytes(1 << 20))
        with pytest.raises(DiskFullError, match=f"no space is left to write {store.uri}/a"):
            store.upload(tmp_path / "up", "a")
        with pytest.raises(DiskFullError, match=f"no space is left to write {tmp_path}/down"):
            store.download("large", tmp_path / "down")
    assert store.read("a") == b"old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".autollm-lock", "a", "large", "store", "up"]


def test_a_device_without_space() -> None:
    with pytest.raises(DiskFullError, match="No space left on device"), disk_errors("/dev/full"):
        Path("/dev/full").write_bytes(b"1")


def test_a_place_where_nobody_may_write() -> None:
    with pytest.raises(AccessDeniedError, match=r"may not be used .*: check its owner and permissions"):
        FolderStore(Path("/sys/autollm")).write("a", b"1")


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EDQUOT, DiskFullError), (errno.ESTALE, StoreUnavailableError), (errno.ENOENT, NotFoundError)]
)
def test_what_the_system_says_is_kept_apart(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="the place"), disk_errors("the place"):
        raise OSError(number, os.strerror(number))


def test_without_hard_links_a_second_maker_still_loses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)  # as on FAT and some network file systems
    store = FolderStore(tmp_path)
    store.write("a", b"1", if_absent=True)
    with pytest.raises(PreconditionError, match="exists already"):
        store.write("a", b"2", if_absent=True)
    assert store.read("a") == b"1"


@pytest.mark.parametrize("step", ["mkdir", "open"])
def test_a_folder_that_a_deleter_takes_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    store = FolderStore(tmp_path)
    store.write("a", b"1")
    owner: Any = Path if step == "mkdir" else os
    real = getattr(owner, step)
    taken: list[Any] = []

    def interrupted(path: Any, *arguments: Any, **options: Any) -> Any:
        if not taken and "deep" in str(path):
            taken.append(path)
            if step == "open":
                Path(path).parent.rmdir()
            else:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(owner, step, interrupted)
    store.write("deep/below/b", b"2")
    assert taken
    assert store.read("deep/below/b") == b"2"


_WRITER = """
    import io, os, signal, sys
    from pathlib import Path
    from autollm.store.folder import FolderStore

    class Endless(io.RawIOBase):
        asked = 0
        def readable(self): return True
        def readinto(self, buffer):
            if self.asked == 2: signal.pause()
            self.asked += 1
            sys.stdout.write("."); sys.stdout.flush()
            return len(buffer)

    FolderStore(Path(sys.argv[1]))._put("a", Endless(), lambda new, target: new.path.replace(target))
"""


def test_a_killed_writer_leaves_no_object_and_its_remains_are_swept(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(_WRITER), str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(2) == b".."
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    remains = [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]
    assert len(remains) == 1
    assert list(FolderStore(tmp_path).list()) == []
    assert FolderStore(tmp_path).stat("a") is None

    FolderStore(tmp_path).write("b", b"1")
    assert remains[0].exists()  # it may be of a writer at work
    os.utime(remains[0], (0, 0))
    FolderStore(tmp_path).write("b", b"1")
    assert not remains[0].exists()
