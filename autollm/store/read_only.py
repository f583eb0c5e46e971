"""A store that may be read but not changed: what installed packages and the Hub's snapshots are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from autollm.store.port import AccessDeniedError, Stat, Store


class ReadOnlyStore:
    """Another store's objects under a URI of their own; writing raises AccessDeniedError."""

    def __init__(self, inner: Store, uri: str) -> None:
        self.uri = uri
        self._inner = inner

    def read(self, key: str) -> bytes:
        """Return an object whole."""
        return self._inner.read(key)

    def open(self, key: str) -> BinaryIO:
        """Open an object for streaming."""
        return self._inner.open(key)

    def stat(self, key: str) -> Stat | None:
        """Return size and etag, or None where there is no object."""
        return self._inner.stat(key)

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> Stat:
        """Refuse."""
        self._refuse(key)

    def upload(self, path: Path, key: str) -> Stat:
        """Refuse."""
        self._refuse(key)

    def download(self, key: str, path: Path) -> None:
        """Copy an object into a file."""
        self._inner.download(key, path)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with a prefix, in order."""
        return self._inner.list(prefix)

    def delete(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def local_path(self, key: str) -> Path | None:
        """Return where an object or the folder of a prefix lies on this machine."""
        return self._inner.local_path(key)

    def _refuse(self, key: str) -> NoReturn:
        raise AccessDeniedError(f"{self.uri}/{key} cannot be written: {self.uri} is read only; artifacts go to s3:// or a folder")
