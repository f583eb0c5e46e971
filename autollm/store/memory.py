"""A store in memory: the small fake for tests of what only needs a store."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from autollm.contract.digests import digest_bytes
from autollm.store.disk import disk_errors, replacing
from autollm.store.keys import check_key, check_prefix
from autollm.store.port import NotFoundError, PreconditionError, Stat


class MemoryStore:
    """Objects in a dictionary, gone with the process."""

    def __init__(self, uri: str = "memory://store") -> None:
        self.uri = uri
        self._objects: dict[str, bytes] = {}
        self._lock = Lock()

    def read(self, key: str) -> bytes:
        """Return an object whole."""
        try:
            return self._objects[check_key(key)]
        except KeyError:
            raise NotFoundError(f"there is no {self.uri}/{key}: check the key and its spelling") from None

    def open(self, key: str) -> BinaryIO:
        """Open an object for streaming."""
        return io.BytesIO(self.read(key))

    def stat(self, key: str) -> Stat | None:
        """Return size and etag, or None where there is no object."""
        data = self._objects.get(check_key(key))
        return None if data is None else _stat(data)

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> Stat:
        """Write an object, conditionally if asked."""
        check_key(key)
        with self._lock:
            found = self._objects.get(key)
            if if_absent and found is not None:
                raise PreconditionError(f"{self.uri}/{key} exists already; it was left as it is")
            if if_match is not None and (found is None or _stat(found).etag != if_match):
                raise PreconditionError(f"{self.uri}/{key} has changed since it was read; read it again")
            self._objects[key] = bytes(data)
        return _stat(data)

    def upload(self, path: Path, key: str) -> Stat:
        """Write a file's content."""
        with disk_errors(str(path)):
            data = path.read_bytes()
        return self.write(key, data)

    def download(self, key: str, path: Path) -> None:
        """Copy an object into a file."""
        data = self.read(key)
        with disk_errors(str(path)), replacing(path) as new:
            new.file.write(data)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with a prefix, in order."""
        check_prefix(prefix)
        yield from sorted(key for key in list(self._objects) if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove an object."""
        with self._lock:
            self._objects.pop(check_key(key), None)

    def local_path(self, key: str) -> Path | None:
        """Nothing of it lies on the disk."""
        check_prefix(key)
        return None


def _stat(data: bytes) -> Stat:
    return Stat(len(data), digest_bytes(data))
