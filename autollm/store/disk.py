"""Files that appear whole or not at all, and what the operating system's errors mean for a store."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from autollm.errors import AutoLLMError, InputError
from autollm.store.keys import RESERVED
from autollm.store.port import AccessDeniedError, DiskFullError, NotFoundError, StoreUnavailableError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MISSING = frozenset({errno.ENOENT, errno.EISDIR})
_SUFFIX = ".tmp"
_ABANDONED_SECONDS = 3600.0
_TRIES = 10


@dataclass(frozen=True)
class Staged:
    """An unfinished file beside the place where it is to appear."""

    file: BinaryIO
    path: Path

    def seal(self) -> None:
        """Bring the bytes to the disk, so that a name never outlives its content, and stamp the file with the time."""
        self.file.flush()
        os.fsync(self.file.fileno())
        now = time.time_ns()  # the kernel stamps by ticks of some milliseconds, in which two writes would look alike
        os.utime(self.file.fileno(), ns=(now, now))


@contextmanager
def staged(target: Path) -> Iterator[Staged]:
    """Open a new file beside `target`, to be sealed and moved there; it is removed unless it was. Folders are made as needed."""
    path, descriptor = _new_file(target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield Staged(file, path)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(target: Path) -> Iterator[Staged]:
    """Open a new file that takes the place of `target` when the block ends well; otherwise nothing changes."""
    with staged(target) as new:
        yield new
        new.seal()
        new.path.replace(target)


def sweep(folder: Path) -> None:
    """Remove the unfinished files of writers that were killed: those that nobody has written to for an hour."""
    oldest = time.time() - _ABANDONED_SECONDS
    for path in folder.glob(f"{RESERVED}*{_SUFFIX}"):
        try:
            if path.stat().st_mtime < oldest:
                path.unlink()
        except OSError:
            continue  # another sweeper was faster, or it is not ours to remove


@contextmanager
def disk_errors(where: str) -> Iterator[None]:
    """Raise the store's errors in place of OSError, each naming `where`, the URI or path that was worked on."""
    try:
        yield
    except OSError as error:
        raise _translate(error, where) from error


def _translate(error: OSError, where: str) -> AutoLLMError:
    if error.errno in _FULL:
        return DiskFullError(f"no space is left to write {where} ({error.strerror}): free some, or choose another place")
    if error.errno in _DENIED:
        return AccessDeniedError(f"{where} may not be used ({error.strerror}): check its owner and permissions")
    if error.errno in _MISSING:
        return NotFoundError(f"there is no {where}: check the path and its spelling")
    if error.errno == errno.ENOTDIR:
        return NotFoundError(f"there is no {where}: a part of its path is a file, not a folder")
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"{where} has a name that is too long for this file system: shorten it", reason="InvalidKey")
    if error.errno == errno.EEXIST:
        return InputError(f"{where} cannot be written: a folder has this name, or a part of its path is a file", reason="InvalidKey")
    return StoreUnavailableError(f"{where} cannot be used now: {error.strerror or error}")


def _new_file(folder: Path) -> tuple[Path, int]:
    """Made by hand and not by tempfile, whose files only their owner may read: artifacts are shared."""
    for remaining in reversed(range(_TRIES)):
        path = folder / f"{RESERVED}{secrets.token_hex(8)}{_SUFFIX}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # a folder on the way was empty, and somebody who deleted the last object removed it
            if not remaining:
                raise
    raise AssertionError("unreachable")
