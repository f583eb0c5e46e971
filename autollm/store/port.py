"""The store's port: a few verbs over keys below one prefix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from autollm.errors import AutoLLMError, InputError, OutageError, TemporaryError


@dataclass(frozen=True)
class Stat:
    """What a store knows of an object without reading it: its size in bytes and the tag that changes with its content."""

    size: int
    etag: str


class NotFoundError(InputError):
    """There is no object of that key, no such bucket, or no such folder."""

    reason = "NotFound"


class AccessDeniedError(InputError):
    """The credentials are missing, wrong, or not allowed to do this."""

    reason = "AccessDenied"


class PreconditionError(AutoLLMError):
    """A conditional write lost: the object exists already, or is no longer the one that was read."""

    reason = "PreconditionFailed"


class StoreUnavailableError(OutageError):
    """The store did not answer after several tries."""

    reason = "StoreUnavailable"


class DiskFullError(TemporaryError):
    """No space is left where the store writes."""

    reason = "DiskFull"


class Store(Protocol):
    """Objects by key below one URI; keys are relative, use `/`, and never leave the prefix.

    Every verb raises NotFoundError, AccessDeniedError, StoreUnavailableError or DiskFullError with a message that
    names the URI and the remedy. Writes are atomic: a reader sees the old object or the new one.
    """

    uri: str

    def read(self, key: str) -> bytes:
        """Return an object whole."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Open an object for streaming."""
        ...

    def stat(self, key: str) -> Stat | None:
        """Return what is known of an object, or None where there is none."""
        ...

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> Stat:
        """Write an object; conditionally, raise PreconditionError where it exists (`if_absent`) or has changed (`if_match`)."""
        ...

    def upload(self, path: Path, key: str) -> Stat:
        """Write a file of any size."""
        ...

    def download(self, key: str, path: Path) -> None:
        """Copy an object into a file, which appears whole or not at all."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with a prefix, in order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is gone already is fine."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Return where an object, or the folder of a prefix, lies on this machine, if it does: then nothing needs copying."""
        ...
