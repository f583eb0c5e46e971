"""A store in a folder: file:// and plain paths."""

from __future__ import annotations

import errno
import fcntl
import io
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from autollm.store.disk import Staged, disk_errors, replacing, staged, sweep
from autollm.store.keys import RESERVED, check_key, check_prefix, is_key
from autollm.store.port import PreconditionError, Stat

_log = logging.getLogger(__name__)

_LOCK = f"{RESERVED}lock"
_PIECE = 1 << 20
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


class FolderStore:
    """Objects as files below a folder, which appears with the first write.

    Every change holds a lock on the folder for the moment of its rename, so that conditions hold between processes, also over NFS.
    An etag is made of inode, size and time: `Staged.seal` sees to it that no two writes agree in all three.
    """

    def __init__(self, root: Path, *, uri: str | None = None) -> None:
        self.root = root.absolute()
        self.uri = uri if uri is not None else self.root.as_uri()
        self._swept: set[Path] = set()

    def read(self, key: str) -> bytes:
        """Return an object whole."""
        with self.open(key) as file, disk_errors(self._name(key)):
            return file.read()

    def open(self, key: str) -> BinaryIO:
        """Open an object for streaming."""
        path = self._path(key)
        with disk_errors(self._name(key)):
            return path.open("rb", buffering=_PIECE)

    def stat(self, key: str) -> Stat | None:
        """Return size and etag, or None where there is no object."""
        path = self._path(key)
        with disk_errors(self._name(key)):
            return _stat(path)

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> Stat:
        """Write an object, conditionally if asked."""

        def settle(new: Staged, target: Path) -> None:
            if if_match is not None:
                found = _stat(target)
                if found is None or found.etag != if_match:
                    raise PreconditionError(f"{self._name(key)} has changed since it was read; read it again")
            if if_absent:
                self._link(new.path, target)
            else:
                new.path.replace(target)

        return self._put(key, io.BytesIO(data), settle)

    def upload(self, path: Path, key: str) -> Stat:
        """Write a file of any size."""
        with disk_errors(str(path)):
            source = path.open("rb")
        with source:
            return self._put(key, source, lambda new, target: new.path.replace(target))

    def download(self, key: str, path: Path) -> None:
        """Copy an object into a file; `local_path` needs no copy."""
        with self.open(key) as source, disk_errors(str(path)), replacing(path) as new:
            shutil.copyfileobj(source, new.file, _PIECE)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with a prefix, in order; what is not a regular file, or has no valid key, is passed over."""
        folder, _, start = check_prefix(prefix).rpartition("/")
        with disk_errors(self.uri):
            yield from _walk(self.root / folder, f"{folder}/" if folder else "", start)

    def delete(self, key: str) -> None:
        """Remove an object, and the folders that it leaves empty."""
        path = self._path(key)
        with disk_errors(self._name(key)):
            if _stat(path) is None:
                return
            with self._locked():
                path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root:
                    break
                try:
                    folder.rmdir()
                except OSError:
                    break

    def local_path(self, key: str) -> Path | None:
        """Return the file of an object or the folder of a prefix, or None where there is neither."""
        path = self._path(key.removesuffix("/")) if key else self.root
        return path if path.exists() else None

    def _put(self, key: str, source: BinaryIO, settle: Callable[[Staged, Path], object]) -> Stat:
        target = self._path(key)
        with disk_errors(self._name(key)):
            if target.parent not in self._swept and target.parent.is_dir():
                sweep(target.parent)
                self._swept.add(target.parent)
            if target.is_dir():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            with staged(target) as new:
                shutil.copyfileobj(source, new.file, _PIECE)
                new.seal()
                with self._locked():
                    settle(new, target)
                    return _etagged(os.fstat(new.file.fileno()))

    def _link(self, new: Path, target: Path) -> None:
        try:
            os.link(new, target)
        except FileExistsError:
            raise PreconditionError(f"{self.uri}/{target.relative_to(self.root)} exists already; it was left as it is") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():  # no hard links here: the lock alone keeps others away
                raise PreconditionError(f"{self.uri}/{target.relative_to(self.root)} exists already; it was left as it is") from None
            new.replace(target)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _name(self, key: str) -> str:
        return f"{self.uri}/{key}"


def _stat(path: Path) -> Stat | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if path.is_dir() else _etagged(found)


def _etagged(found: os.stat_result) -> Stat:
    return Stat(found.st_size, f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}")


def _walk(folder: Path, prefix: str, start: str) -> Iterator[str]:
    """Folders sort as their name and `/`, which is the order of the keys below them."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries if entry.name.startswith(start))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in found:
        if not is_key(name.removesuffix("/")):
            if not name.startswith(RESERVED):
                _log.warning("a file is passed over, because its name cannot be a key: %r", prefix + name)
            continue
        if name.endswith("/"):
            yield from _walk(folder / name, prefix + name, "")
        elif (folder / name).is_file():
            yield prefix + name
