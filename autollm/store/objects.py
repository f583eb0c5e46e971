"""Objects whose content is known by its digest, and the objects that a location names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from autollm.contract.digests import digest_bytes, digest_file
from autollm.errors import IntegrityError
from autollm.store.disk import disk_errors, staged
from autollm.store.port import NotFoundError, Store

_PIECE = 1 << 20


def read_verified(store: Store, key: str, digest: str) -> bytes:
    """Return an object whole; raises IntegrityError where its bytes are not those of the digest."""
    data = store.read(key)
    _compare(store, key, digest, digest_bytes(data))
    return data


def download_verified(store: Store, key: str, digest: str, path: Path) -> None:
    """Copy an object into a file, which appears only where its bytes are those of the digest; a file that has them already stays.

    Raises IntegrityError where the stored bytes are others.
    """
    with disk_errors(str(path)):
        if path.is_file() and digest_file(path) == digest:
            return
        with staged(path) as new:
            store.download(key, new.path)
            _compare(store, key, digest, digest_file(new.path))
            new.path.replace(path)


def digest_object(store: Store, key: str) -> str:
    """Return the digest of an object of any size, read in pieces."""
    with store.open(key) as file:
        found = hashlib.sha256()
        while piece := file.read(_PIECE):
            found.update(piece)
    return "sha256:" + found.hexdigest()


def objects_at(store: Store, key: str) -> Iterator[str]:
    """Yield the key of the object that a location names, or, where it names a folder, of all objects in it, in order.

    Raises NotFoundError where it names neither.
    """
    if key and store.stat(key) is not None:
        yield key
        return
    found = False
    for found_key in store.list(f"{key}/" if key else ""):
        found = True
        yield found_key
    if not found:
        raise NotFoundError(f"there is no object and no folder {store.uri}/{key}: check the path and its spelling")


def _compare(store: Store, key: str, expected: str, found: str) -> None:
    if found != expected:
        raise IntegrityError(
            f"{store.uri}/{key} is damaged: expected {expected}, found {found}; remove it, so that it is made again, or restore it"
        )
