"""Digests of documents and bytes: what makes two things the same thing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_bytes(data: bytes) -> str:
    """Return `sha256:` and the hexadecimal digest of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_document(document: Mapping[str, Any]) -> str:
    """Return the digest of a JSON document, the same for every order of its keys."""
    return digest_bytes(_CANONICAL.encode(document).encode())


def digest_file(path: Path) -> str:
    """Return the digest of a file, read in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def short(digest: str, length: int = 12) -> str:
    """Return the first hexadecimal digits of a digest, for names that people see."""
    return digest.removeprefix("sha256:")[:length]
